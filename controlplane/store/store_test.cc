#include "controlplane/store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <random>
#include <set>

#include "controlplane/store/testing/store_file_fixture.h"

namespace sealcast::store {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t now = 1'800'000'000;

class StoreTest : public testing::StoreFile {
 protected:
  std::unique_ptr<Store> open(std::int64_t at = now) {
    auto store = open_sqlite(path_, "ks", at);
    EXPECT_TRUE(store.has_value()) << store.error().message;
    return store ? std::move(*store) : nullptr;
  }
  std::string open_error(const std::string& id = "ks") {
    auto store = open_sqlite(path_, id, now);
    return store ? "no error" : store.error().message;
  }
  // A second connection, for checks that the interface does not offer.
  void sql(const std::string& text) {
    sqlite3* handle = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &handle), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(handle, text.c_str(), nullptr, nullptr, &error), SQLITE_OK) << error;
    sqlite3_free(error);
    sqlite3_close(handle);
  }
  std::int64_t number(const std::string& query) {
    sqlite3* handle = nullptr;
    EXPECT_EQ(sqlite3_open(path_.c_str(), &handle), SQLITE_OK);
    sqlite3_stmt* statement = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(handle, query.c_str(), -1, &statement, nullptr), SQLITE_OK);
    EXPECT_EQ(sqlite3_step(statement), SQLITE_ROW);
    const std::int64_t found = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(handle);
    return found;
  }
};

NewEpoch wish(const std::string& group = "tv", std::int64_t at = now) {
  return {group, 0x10000000, 0x1fffffff, 16, at, at + 86400};
}
Holder holder(std::uint64_t epoch, std::uint16_t slots, const std::string& member = "m",
              const std::string& group = "tv") {
  return {group, epoch, member, "01", "127.0.0.1", 1, slots, now};
}

TEST_F(StoreTest, H11_RevocationsSurviveARestart) {
  auto store = open();
  ASSERT_TRUE(store->revoke({"anna", "", now}));
  ASSERT_TRUE(store->revoke({"bob", "tv", now + 1}));
  ASSERT_TRUE(store->revoke({"anna", "", now + 5})) << "again: nothing new";
  store.reset();
  store = open(now + 10);
  const auto all = store->revocations();
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ((*all)[0].member_id, "anna");
  EXPECT_EQ((*all)[0].group_id, "");
  EXPECT_EQ((*all)[0].since, now);
  EXPECT_EQ((*all)[1].group_id, "tv");
  EXPECT_EQ(store->reinstate("bob", "").value(), false) << "revoked in one group only";
  EXPECT_EQ(store->reinstate("bob", "tv").value(), true);
  EXPECT_EQ(store->reinstate("bob", "tv").value(), false);
  store.reset();
  EXPECT_EQ(open()->revocations()->size(), 1U);
}

TEST_F(StoreTest, H11_AFileWithoutRevocationsIsTakenOverWithItsCounters) {
  std::uint64_t epoch = 0;
  {
    auto store = open();
    epoch = store->begin_epoch(wish())->epoch;
  }
  sql("DROP TABLE revocations; DROP TABLE kept_epochs; DROP TABLE identities; PRAGMA user_version = 1");
  auto store = open();
  ASSERT_TRUE(store);
  EXPECT_TRUE(store->revocations()->empty());
  EXPECT_TRUE(store->revoke({"anna", "", now}));
  EXPECT_GT(store->begin_epoch(wish())->epoch, epoch);
}

TEST_F(StoreTest, H5_EpochNumbersFollowTheClockAndNeverFall) {
  auto store = open();
  const auto first = store->begin_epoch(wish());
  ASSERT_TRUE(first.has_value()) << first.error().message;
  EXPECT_EQ(first->epoch, static_cast<std::uint64_t>(now) << 20);
  EXPECT_EQ(store->begin_epoch(wish())->epoch, first->epoch + 1);
  EXPECT_EQ(store->begin_epoch(wish("tv", now - 1'000'000))->epoch, first->epoch + 2) << "the clock went back";
  EXPECT_EQ(store->begin_epoch(wish("tv", now + 1))->epoch, static_cast<std::uint64_t>(now + 1) << 20);
  EXPECT_EQ(store->begin_epoch(wish("radio"))->epoch, first->epoch) << "numbers are per group";
  store.reset();
  store = open(now - 5'000'000);
  EXPECT_EQ(store->begin_epoch(wish("tv", now - 5'000'000))->epoch, (static_cast<std::uint64_t>(now + 1) << 20) + 1);
  EXPECT_THAT(store->begin_epoch(wish("tv", -1)).error().message, HasSubstr("expected a sane clock"));
}

TEST_F(StoreTest, H9_SlotsAscendAndEndAtTheEndOfTheBlock) {
  auto store = open();
  NewEpoch small = wish();
  small.slot_bits = 4;
  const std::uint64_t epoch = store->begin_epoch(small)->epoch;
  EXPECT_EQ(store->issue(holder(epoch, 3))->first_slot, 0);
  const auto second = store->issue(holder(epoch, 2));
  EXPECT_EQ(second->first_slot, 3);
  EXPECT_EQ(second->slots_used, 5);
  EXPECT_EQ(store->issue(holder(epoch, 0))->slots_used, 5) << "a receiver burns none";
  EXPECT_THAT(store->issue(holder(epoch, 12)).error().message, HasSubstr("expected at least 12 free slots, got 11"));
  EXPECT_EQ(store->issue(holder(epoch, 11))->first_slot, 5);
  EXPECT_FALSE(store->issue(holder(epoch, 1)).has_value()) << "never wraps";
  EXPECT_TRUE(store->issue(holder(epoch, 0)).has_value());
  EXPECT_FALSE(store->issue(holder(epoch + 7, 1)).has_value());
}

TEST_F(StoreTest, H9_TheLastSlotOfAFullBlockStaysUnused) {
  auto store = open();
  const std::uint64_t epoch = store->begin_epoch(wish())->epoch;
  EXPECT_EQ(store->issue(holder(epoch, 65535))->slots_used, 65535);
  EXPECT_FALSE(store->issue(holder(epoch, 1)).has_value());
}

TEST_F(StoreTest, H9_EpochsBegunBeforeTheLastStartAreNeverIssuedAgain) {
  auto store = open();
  const std::uint64_t epoch = store->begin_epoch(wish())->epoch;
  ASSERT_TRUE(store->issue(holder(epoch, 1)).has_value());
  store.reset();
  store = open(now + 10);
  EXPECT_EQ(store->previous_start(), now);
  EXPECT_THAT(store->issue(holder(epoch, 1)).error().message, HasSubstr("begun before the last start"));
  EXPECT_FALSE(store->issue(holder(epoch, 0)).has_value());
}

TEST_F(StoreTest, H3_HoldersAndTheirSlotsAreRemembered) {
  auto store = open();
  const std::uint64_t epoch = store->begin_epoch(wish())->epoch;
  for (const char* member : {"a", "b", "a"})
    ASSERT_TRUE(store->issue(holder(epoch, 2, member)).has_value());
  EXPECT_EQ(store->holder_count("tv", epoch), 2u);
  EXPECT_EQ(store->slots_of("tv", epoch, "a"), 4u);
  EXPECT_EQ(store->slots_of("tv", epoch, "c"), 0u);
}

TEST_F(StoreTest, H19_WhoHoldsAnEpochIsKnownOverRestartsUntilItExpires) {
  auto store = open();
  const std::uint64_t epoch = store->begin_epoch(wish())->epoch;
  ASSERT_TRUE(store->issue(holder(epoch, 1, "a")));
  store.reset();
  store = open(now + 60);
  EXPECT_TRUE(store->holds("tv", "a", "01", now + 60).value());
  EXPECT_FALSE(store->holds("radio", "a", "01", now + 60).value());
  EXPECT_FALSE(store->holds("tv", "b", "01", now + 60).value());
  EXPECT_FALSE(store->holds("tv", "a", "02", now + 60).value()) << "under another certificate it is another";
  EXPECT_TRUE(store->holds("tv", "a", "01", now + 86399).value());
  EXPECT_FALSE(store->holds("tv", "a", "01", now + 86400).value());
}

TEST_F(StoreTest, H12_BlocksOfLiveEpochsAreDisjoint) {
  auto store = open();
  std::vector<SpiBlock> blocks;
  for (int i = 0; i < 200; ++i) {
    NewEpoch next = wish(i % 2 ? "tv" : "radio", now + i);
    next.slot_bits = static_cast<std::uint8_t>(i % 3 ? 16 : 12);
    const auto epoch = store->begin_epoch(next);
    ASSERT_TRUE(epoch.has_value()) << epoch.error().message;
    EXPECT_GE(epoch->block.prefix, 0x10000000u);
    EXPECT_LE(epoch->block.end() - 1, 0x1fffffffu);
    EXPECT_EQ(epoch->block.prefix % (1u << epoch->block.slot_bits), 0u);
    for (const SpiBlock& other : blocks)
      ASSERT_TRUE(epoch->block.end() <= other.prefix || other.end() <= epoch->block.prefix);
    blocks.push_back(epoch->block);
  }
}

TEST_F(StoreTest, ABlockRestsUntilItsEpochExpiredOrWasRetired) {
  auto store = open();
  NewEpoch tight = wish();
  tight.spi_last = 0x1003ffff;  // four blocks
  std::vector<EpochRecord> epochs;
  for (int i = 0; i < 4; ++i) {
    tight.group_id = "g" + std::to_string(i);
    tight.unix_now = now + i;
    epochs.push_back(*store->begin_epoch(tight));
  }
  EXPECT_THAT(store->begin_epoch(tight).error().message, HasSubstr("widen spi_range"));
  ASSERT_TRUE(store->retire("g2", epochs[2].epoch).has_value());
  ASSERT_TRUE(store->retire("g1", epochs[1].epoch).has_value());
  EXPECT_EQ(store->begin_epoch(tight)->block.prefix, epochs[1].block.prefix) << "the oldest retired one";
  tight.unix_now = now + 2 * 86400;
  tight.unix_expires = tight.unix_now + 86400;
  EXPECT_EQ(store->begin_epoch(tight)->block.prefix, epochs[2].block.prefix) << "round and round after expiry";
}

TEST_F(StoreTest, ManyRestartsDoNotUseUpATightRange) {
  NewEpoch tight = wish();
  tight.spi_last = 0x1003ffff;
  std::uint64_t highest = 0;
  std::vector<std::uint32_t> prefixes;
  for (int i = 0; i < 20; ++i) {
    auto store = open();
    const auto epoch = store->begin_epoch(tight);
    ASSERT_TRUE(epoch.has_value()) << i << ": " << epoch.error().message;
    EXPECT_GT(epoch->epoch, highest);
    highest = epoch->epoch;
    prefixes.push_back(epoch->block.prefix);
    for (std::size_t back = 1; back <= 2 && back < prefixes.size(); ++back)
      EXPECT_NE(epoch->block.prefix, prefixes[prefixes.size() - 1 - back]) << "a member may still hold it";
    ASSERT_TRUE(store->issue(holder(epoch->epoch, 1)).has_value());
  }
}

TEST_F(StoreTest, AnEarlierEpochLivesWhileSomebodyMayHoldIt) {
  auto store = open();
  const auto first = store->begin_epoch(wish());
  EXPECT_THAT(first->earlier_holders, ::testing::IsEmpty()) << "the first ever";
  EXPECT_THAT(store->begin_epoch(wish())->earlier_holders, ::testing::IsEmpty()) << "no member was given the first";
  ASSERT_TRUE(store->issue(holder(first->epoch, 0)).has_value());
  ASSERT_TRUE(store->issue(holder(first->epoch, 0, "n")).has_value());
  ASSERT_TRUE(store->issue(holder(first->epoch, 0)).has_value());
  EXPECT_THAT(store->begin_epoch(wish())->earlier_holders, ::testing::UnorderedElementsAre("m", "n"));
  EXPECT_THAT(store->begin_epoch(wish("radio"))->earlier_holders, ::testing::IsEmpty());
  EXPECT_THAT(store->begin_epoch(wish("tv", now + 2 * 86400))->earlier_holders, ::testing::IsEmpty()) << "all expired";
}

TEST_F(StoreTest, H9_ABatchIsOnDiskWholeOrNotAtAll) {
  auto store = open();
  const std::uint64_t epoch = store->begin_epoch(wish())->epoch;
  EXPECT_FALSE(store->end_batch().has_value()) << "none is open";
  ASSERT_TRUE(store->begin_batch().has_value());
  EXPECT_FALSE(store->begin_batch().has_value());
  EXPECT_EQ(store->issue(holder(epoch, 2))->first_slot, 0);
  EXPECT_EQ(store->issue(holder(epoch, 1, "n"))->first_slot, 2);
  ASSERT_TRUE(store->end_batch().has_value());
  EXPECT_EQ(store->issue(holder(epoch, 1))->first_slot, 3);
  ASSERT_TRUE(store->begin_batch().has_value());
  ASSERT_TRUE(store->issue(holder(epoch, 1, "o")).has_value());
  store.reset();  // the process ends before end_batch(): no member got any of it
  store = open();
  EXPECT_EQ(store->holder_count("tv", epoch), 2u);
  EXPECT_EQ(store->slots_of("tv", epoch, "m"), 3u);
}

TEST_F(StoreTest, HistoryIsBoundedButTheHighestNumberStays) {
  auto store = open();
  const std::uint64_t epoch = store->begin_epoch(wish())->epoch;
  ASSERT_TRUE(store->issue(holder(epoch, 1)).has_value());
  store.reset();
  store = open(now + 200 * 86400);
  EXPECT_EQ(store->holder_count("tv", epoch), 0u);
  EXPECT_EQ(store->begin_epoch(wish("tv", now))->epoch, epoch + 1);
}

TEST_F(StoreTest, H14_TheFileIsItsOwnersAlone) {
  auto store = open();
  ASSERT_TRUE(store->begin_epoch(wish()).has_value());
  for (const char* end : {"", "-wal"}) {
    struct stat status {};
    ASSERT_EQ(stat((path_ + end).c_str(), &status), 0) << end;
    EXPECT_EQ(status.st_mode & 0777, 0600u) << end;
  }
}

TEST_F(StoreTest, H9_ASecondKeyServerOnTheSameFileIsRefused) {
  auto store = open();
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  const pid_t child = fork();
  if (child == 0) {
    const std::string error = open_error();
    const bool sent = write(pipes[1], error.data(), error.size()) == static_cast<ssize_t>(error.size());
    _exit(sent ? 0 : 1);
  }
  close(pipes[1]);
  char text[512] = {};
  EXPECT_GT(read(pipes[0], text, sizeof text - 1), 0);
  close(pipes[0]);
  waitpid(child, nullptr, 0);
  EXPECT_THAT(std::string(text), AllOf(HasSubstr(path_), HasSubstr("another process has it open")));
  EXPECT_TRUE(store->begin_epoch(wish()).has_value()) << "the first is undisturbed";
}

TEST_F(StoreTest, ForeignAndDamagedFilesAreRefused) {
  std::ofstream(path_) << "this is not a database, but long enough to be read as the header of one: "
                       << std::string(200, 'x');
  EXPECT_THAT(open_error(), AllOf(HasSubstr(path_), HasSubstr("file is not a database")));
  unlink(path_.c_str());
  sql("CREATE TABLE other (x)");
  EXPECT_THAT(open_error(), HasSubstr("another program's database"));
  unlink(path_.c_str());
  open();
  EXPECT_THAT(open_error("other"), HasSubstr("expected the state of key server \"other\", got that of \"ks\""));
  sql("PRAGMA user_version = 4");
  EXPECT_THAT(open_error(), HasSubstr("expected schema version 1 to 3, got 4"));
  unlink(path_.c_str());
  mkdir(path_.c_str(), 0700);
  EXPECT_THAT(open_error(), HasSubstr(path_));
  rmdir(path_.c_str());
  path_ = folder_ + "/none/ks.db";
  EXPECT_THAT(open_error(), HasSubstr("No such file or directory"));
  path_ = folder_ + "/ks.db";
}

TEST_F(StoreTest, ADamagedPageIsRefused) {
  {
    auto store = open();
    for (int i = 0; i < 50; ++i) {
      const auto epoch = store->begin_epoch(wish("group number " + std::to_string(i)));
      ASSERT_TRUE(store->issue(holder(epoch->epoch, 1, "m", "group number " + std::to_string(i))).has_value());
    }
  }
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  ASSERT_GT(status.st_size, 4 * 4096);
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096);  // past the schema's page
  file << std::string(3 * 4096, '\xff');
  file.close();
  EXPECT_THAT(open_error(), HasSubstr(path_));
}

TEST_F(StoreTest, H9_AFullDiskRefusesAndReusesNothing) {
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  auto prepared = open();
  const std::uint64_t epoch_before = prepared->begin_epoch(wish())->epoch;
  prepared.reset();
  const pid_t child = fork();
  if (child == 0) {
    // The file-size limit acts as a full disk: the write fails in the same way.
    auto store = open_sqlite(path_, "ks", now);
    if (!store) _exit(2);
    const auto epoch = (*store)->begin_epoch(wish());
    if (!epoch) _exit(3);
    std::signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit {};
    limit.rlim_cur = limit.rlim_max = 128 * 1024;
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 0; i < 2000; ++i) {
      const auto given = (*store)->issue(holder(epoch->epoch, 1));
      if (!given) {
        // The store stays usable: the next call is refused too, not answered with an old number.
        const auto again = (*store)->issue(holder(epoch->epoch, 1));
        const std::string text = given.error().message;
        const bool sent = write(pipes[1], text.data(), text.size()) > 0;
        _exit(sent && !again ? 0 : 4);
      }
      if (given->first_slot != i) _exit(5);
    }
    _exit(6);
  }
  close(pipes[1]);
  char text[512] = {};
  EXPECT_GT(read(pipes[0], text, sizeof text - 1), 0);
  close(pipes[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_THAT(std::string(text), HasSubstr(path_));
  auto store = open();
  EXPECT_GT(store->begin_epoch(wish())->epoch, epoch_before + 1);
}

// A member that comes a thousand times costs one row; each slot still has its own.
TEST_F(StoreTest, H27_AHolderWithoutSlotsIsWrittenOnce) {
  auto store = open();
  const auto epoch = store->begin_epoch(wish())->epoch;
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(store->issue(holder(epoch, 0, "home")));
    ASSERT_TRUE(store->issue(holder(epoch, 1, "studio")));
  }
  auto renewed = holder(epoch, 0, "home");
  renewed.certificate_serial = "02";
  ASSERT_TRUE(store->issue(renewed));
  ASSERT_TRUE(store->issue(holder(epoch, 0, "studio"))) << "it is known as a holder already";
  EXPECT_EQ(store->slots_of("tv", epoch, "studio").value(), 50u);
  EXPECT_EQ(store->holder_count("tv", epoch).value(), 2u);
  store.reset();
  EXPECT_EQ(number("SELECT count(*) FROM holders"), 52);
}

// A process that runs for years prunes as one that is restarted.
TEST_F(StoreTest, H27_WhatIsOlderThanItsRetentionGoesWithoutARestart) {
  auto store = open();
  constexpr std::int64_t day = 86400;
  for (int i = 0; i < 200; ++i) {
    const auto epoch = store->begin_epoch(wish("tv", now + i * day));
    ASSERT_TRUE(epoch.has_value());
    ASSERT_TRUE(store->issue(holder(epoch->epoch, 1)));
  }
  store.reset();
  EXPECT_EQ(number("SELECT count(*) FROM epochs"), 92) << "90 days after their ends, that of today and one at its end";
  EXPECT_EQ(number("SELECT count(*) FROM holders"), 92);
}

// One number that the store returned; written to the parent only afterwards.
struct Given {
  std::uint64_t epoch;
  std::uint32_t first_slot;
  std::uint32_t count;
};

[[noreturn]] void give_until_killed(const std::string& path, int out, unsigned seed) {
  std::minstd_rand random(seed);
  auto store = open_sqlite(path, "ks", now);
  if (!store) _exit(1);
  for (;;) {
    const auto epoch = (*store)->begin_epoch(wish());
    if (!epoch) _exit(2);
    for (unsigned i = random() % 20; i-- > 0;) {
      const auto count = static_cast<std::uint16_t>(random() % 4);
      const auto given = (*store)->issue(holder(epoch->epoch, count));
      if (!given) _exit(3);
      const Given line{epoch->epoch, given->first_slot, count};
      if (write(out, &line, sizeof line) != sizeof line) _exit(4);
    }
  }
}

TEST_F(StoreTest, H9_KEY2_KillNineNeverMakesANumberComeTwice) {
  open();
  std::set<std::uint64_t> epochs;
  std::set<std::pair<std::uint64_t, std::uint32_t>> slots;
  std::uint64_t last_epoch = 0;
  std::size_t given = 0;
  for (unsigned round = 0; round < 40; ++round) {
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) give_until_killed(path_, pipes[1], round);
    close(pipes[1]);
    // Every fourth one is killed at a time counted from its start, perhaps while it opens the file; the others while
    // they hand out numbers, however slow the machine is.
    pollfd first{pipes[0], POLLIN, 0};
    if (round % 4 != 0) {
      ASSERT_EQ(poll(&first, 1, 10'000), 1) << "the child hands out nothing";
    }
    usleep(1000 * (round * 7 % 31));
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child gave up with code " << WEXITSTATUS(status);
    Given line{};
    std::uint64_t round_epoch = 0;
    while (read(pipes[0], &line, sizeof line) == sizeof line) {
      if (line.epoch != round_epoch) {
        ASSERT_GT(line.epoch, last_epoch) << "an epoch number came twice";
        last_epoch = round_epoch = line.epoch;
      }
      for (std::uint32_t i = 0; i < line.count; ++i)
        ASSERT_TRUE(slots.emplace(line.epoch, line.first_slot + i).second) << "a slot came twice";
      ++given;
    }
    close(pipes[0]);
  }
  EXPECT_GE(given, 30u) << "the test must have seen the store at work in every life that was waited for";
}

}  // namespace
}  // namespace sealcast::store
