// A key server with a wrapping key finds its groups' epochs after a restart.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "controlplane/store/store.h"
#include "controlplane/store/testing/store_file_fixture.h"

namespace sealcast::store {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

constexpr std::int64_t begun_at = 1'800'000'000;

class KeptEpochsTest : public testing::StoreFile {
 protected:
  KeptEpochsTest() { open(); }
  void open() {
    store_.reset();
    auto store = open_sqlite(path_, "ks", begun_at);
    ASSERT_TRUE(store.has_value()) << store.error().message;
    store_ = std::move(*store);
  }
  std::uint64_t begin(const std::string& group = "tv") {
    const auto record = store_->begin_epoch({group, 0x10000000, 0x1fffffff, 16, begun_at, begun_at + 86400});
    EXPECT_TRUE(record.has_value());
    return record ? record->epoch : 0;
  }
  Result<Issue> give(std::uint64_t epoch, const std::string& member, std::uint16_t slots,
                     const std::string& identity = "somebody") {
    return store_->issue({"tv", epoch, member, "01", "127.0.0.1", 1, slots, begun_at, identity});
  }
  void keep(std::uint64_t epoch, const std::string& sealed = std::string("\0sealed\xff", 8),
            const std::string& group = "tv") {
    ASSERT_TRUE(store_->keep({group, epoch, begun_at, begun_at + 86400, sealed}).has_value());
  }
  std::optional<Kept> take_up(const std::string& group = "tv") {
    auto kept = store_->take_up(group);
    EXPECT_TRUE(kept.has_value());
    return kept ? std::move(*kept) : std::nullopt;
  }
  std::string files() const {
    std::string out;
    for (const char* end : {"", "-wal", "-journal"}) {
      std::ifstream file(path_ + end, std::ios::binary);
      out.append(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    return out;
  }

  std::unique_ptr<Store> store_;
};

TEST_F(KeptEpochsTest, H9_ARestartFindsItWithHoldersAndGivesOutNoSlots) {
  const auto epoch = begin();
  ASSERT_TRUE(give(epoch, "anna", 2));
  ASSERT_TRUE(give(epoch, "bob", 0, "bob's"));
  ASSERT_TRUE(give(epoch, "anna", 3, "another"));
  keep(epoch);
  ASSERT_TRUE(store_->note_alive(begun_at + 7));
  open();
  EXPECT_EQ(store_->last_alive(), begun_at + 7);
  EXPECT_FALSE(give(epoch, "carl", 0)) << "it was not taken up";
  const auto kept = take_up();
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->epoch.epoch, epoch);
  EXPECT_EQ(kept->epoch.begun, begun_at);
  EXPECT_EQ(kept->epoch.expires, begun_at + 86400);
  EXPECT_EQ(kept->epoch.sealed, std::string("\0sealed\xff", 8));
  EXPECT_EQ(kept->slots_used, 5);
  ASSERT_EQ(kept->holders.size(), 2U);
  EXPECT_EQ(kept->holders[0].member_id, "anna");
  EXPECT_EQ(kept->holders[0].identity, "another");
  EXPECT_THAT(kept->holders[0].runs, ElementsAre(Pair(0, 2), Pair(2, 3)));
  EXPECT_EQ(kept->holders[1].identity, "bob's");
  EXPECT_TRUE(kept->holders[1].runs.empty());

  EXPECT_FALSE(give(epoch, "carl", 1));
  const auto given = give(epoch, "carl", 0);
  ASSERT_TRUE(given);
  EXPECT_EQ(given->slots_used, 5);
  EXPECT_FALSE(give(epoch - 1, "carl", 0));
}

TEST_F(KeptEpochsTest, WhatEndsItDropsIt) {
  keep(begin());
  begin();
  EXPECT_FALSE(take_up()) << "the next one is begun";
  const auto epoch = begin();
  keep(epoch);
  ASSERT_TRUE(store_->retire("tv", epoch + 1));
  EXPECT_TRUE(take_up());
  ASSERT_TRUE(store_->retire("tv", epoch));
  EXPECT_FALSE(take_up());
  keep(begin());
  ASSERT_TRUE(store_->drop_kept("tv"));
  EXPECT_FALSE(take_up());
}

TEST_F(KeptEpochsTest, GroupsThatAreNoMoreLeaveNothing) {
  keep(begin());
  keep(begin("radio"), "radio's", "radio");
  ASSERT_TRUE(store_->drop_kept_except({"radio", "news"}));
  EXPECT_FALSE(take_up());
  EXPECT_TRUE(take_up("radio"));
  ASSERT_TRUE(store_->drop_kept_except({}));
  EXPECT_FALSE(take_up("radio"));
}

TEST_F(KeptEpochsTest, H14_WhatIsDroppedLeavesTheFileAndItsLog) {
  const std::string sealed(200, 'S');
  const auto epoch = begin();
  keep(epoch, sealed);
  ASSERT_NE(files().find(sealed), std::string::npos) << "the test must see it while it is there";
  ASSERT_TRUE(store_->note_alive(begun_at + 1));
  ASSERT_NE(files().find(sealed), std::string::npos);
  ASSERT_TRUE(store_->drop_kept("tv"));
  ASSERT_TRUE(store_->note_alive(begun_at + 2));
  EXPECT_EQ(files().find(std::string(20, 'S')), std::string::npos);
}

TEST_F(KeptEpochsTest, AFileOfTheVersionBeforeIsTakenOverWithItsCounters) {
  const auto epoch = begin();
  store_.reset();
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &handle), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(handle, "DROP TABLE kept_epochs; DROP TABLE identities; PRAGMA user_version = 2;", nullptr,
                         nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(handle);
  open();
  EXPECT_FALSE(take_up());
  const auto next = begin();
  EXPECT_GT(next, epoch);
  keep(next);
  EXPECT_TRUE(take_up());
}

}  // namespace
}  // namespace sealcast::store
