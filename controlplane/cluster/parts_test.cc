// The parts of a cluster that need no etcd: what is sealed, what is remembered, which slots are ours.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "controlplane/cluster/kept_memory.h"
#include "controlplane/cluster/memory.h"
#include "controlplane/cluster/records.h"
#include "controlplane/cluster/sealing.h"
#include "controlplane/cluster/slot_book.h"
#include "controlplane/cluster/testing/plain_host.h"

namespace sealcast::cluster {
namespace {

using ::testing::HasSubstr;

EpochContent content() {
  EpochContent out;
  Selector selector;
  selector.destination = *Prefix::parse("239.1.1.0/24");
  out.policy.selectors = {selector};
  out.policy.spi_prefix = 0x10000000;
  out.premaster.span()[3] = 42;
  return out;
}

TEST(ClusterSealing, H14_OpensForItsPlaceAloneAndUnderItsKeyAlone) {
  Secret<32> key;
  key.span()[0] = 1;
  const SealedFor where{"ks", "tv", 7, 1000, 2000};
  const auto sealed = seal_epoch(key, where, content(), handshake::system_random());
  ASSERT_TRUE(sealed.has_value()) << sealed.error().message;
  const auto opened = open_epoch(key, where, *sealed);
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  EXPECT_TRUE(opened->premaster.equals(content().premaster));
  EXPECT_EQ(opened->policy.selectors, content().policy.selectors);

  for (const SealedFor& other : {SealedFor{"ks2", "tv", 7, 1000, 2000}, SealedFor{"ks", "tw", 7, 1000, 2000},
                                 SealedFor{"ks", "tv", 8, 1000, 2000}, SealedFor{"ks", "tv", 7, 1001, 2000},
                                 SealedFor{"ks", "tv", 7, 1000, 2001}})
    EXPECT_FALSE(open_epoch(key, other, *sealed).has_value());
  Secret<32> other_key;
  other_key.span()[0] = 2;
  EXPECT_FALSE(open_epoch(other_key, where, *sealed).has_value());
  for (std::size_t i = 0; i < sealed->size(); ++i) {
    std::string bent = *sealed;
    bent[i] = static_cast<char>(bent[i] ^ 1);
    EXPECT_FALSE(open_epoch(key, where, bent).has_value()) << i;
    EXPECT_FALSE(open_epoch(key, where, sealed->substr(0, i)).has_value()) << i;
  }
  EXPECT_NE(*sealed, *seal_epoch(key, where, content(), handshake::system_random())) << "a nonce of its own each time";
}

TEST(ClusterRecords, ReadBackWhatTheyWroteAndRefuseTheRest) {
  const Keys keys("ks");
  EpochValue epoch;
  epoch.spi_prefix = 0x10000000;
  epoch.slot_bits = 16;
  epoch.begun_ms = 5;
  epoch.expires_ms = 9;
  epoch.sealed = std::string("\0\x01\xff", 3);
  epoch.assigned = {"aa", "bb"};
  const auto again = EpochValue::parse(epoch.text());
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->sealed, epoch.sealed);
  EXPECT_EQ(again->assigned, epoch.assigned);
  for (const char* bad : {"", "1", "1 2 3 4 5 6", "268435456 16 5 9 0 ", "268435456 17 5 9 0 00", "1 16 9 5 0 00",
                          "1 16 5 9 1 00", "1 16 5 9 2 00", "1 16 5 9 0 0", "1 16 5 9 0 zz", "-1 16 5 9 0 00"})
    EXPECT_FALSE(EpochValue::parse(bad).has_value()) << bad;
  for (const char* bad : {"", "1", "1 2", "1 2 3", "x 1", "18446744073709551616 1"})
    EXPECT_FALSE(GroupValue::parse(bad).has_value()) << bad;
  EXPECT_EQ(GroupValue::parse("7 5")->active, 5u);

  const SharedKey key = parse_shared(keys, keys.epoch("a/b", 7));
  EXPECT_EQ(key.kind, "epoch");
  EXPECT_EQ(key.id, "a/b");
  EXPECT_EQ(parse_number(key.rest), 7u);
  EXPECT_EQ(parse_shared(keys, keys.revoked("m", "tv")).rest, "tv");
  EXPECT_EQ(parse_shared(keys, keys.revoked("m", "")).rest, "");
  for (const std::string& other : {std::string("/elsewhere"), keys.live(), keys.shared() + "epoch/7", keys.shared()})
    EXPECT_EQ(parse_shared(keys, other).kind, "") << other;
  EXPECT_EQ(parse_block(keys.slot("tv", 7, 12)), 12u);
  EXPECT_FALSE(parse_block("none").has_value());
}

TEST(ClusterSlots, H9_GivesEachSlotOnceAndRunsOut) {
  SlotBook book;
  const SlotBook::Epoch epoch{"tv", 1};
  EXPECT_FALSE(book.take(epoch, 1).has_value());
  book.add(epoch, 16, 32);
  book.claimed_to(epoch, 64);
  EXPECT_EQ(book.take(epoch, 0)->used_to, 64);
  EXPECT_EQ(book.take(epoch, 10)->first, 16);
  EXPECT_FALSE(book.take(epoch, 7).has_value()) << "six are left";
  EXPECT_EQ(book.take(epoch, 6)->first, 26);
  book.add(epoch, 64, 80);
  book.add(epoch, 80, 96);
  EXPECT_EQ(book.take(epoch, 32)->first, 64) << "adjacent blocks are one run";
  EXPECT_EQ(book.left(epoch), 0u);
  EXPECT_FALSE(book.take({"tv", 2}, 1).has_value());
}

TEST(ClusterMemory, IsReadBackAndNeverGuessed) {
  char folder[] = "/tmp/sealcast-memory-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string path = std::string(folder) + "/state";
  const std::string left_over = path + ".0123456789abcdef.tmp";  // by one that was killed (H14)
  std::ofstream(left_over) << "x";
  EXPECT_EQ(Memory::load(path)->revision, 0) << "there is no file yet";
  EXPECT_NE(access(left_over.c_str(), F_OK), 0);
  Memory memory;
  memory.etcd_cluster = ~std::uint64_t{0};
  memory.revision = 12;
  memory.highest_epoch = 99;
  memory.revoked[{"a b", ""}] = 5;
  memory.revoked[{"m\n", "tv"}] = 6;
  memory.lease = 77;
  memory.standing = {{"a group", "0123"}, {"tv", "4567"}};
  ASSERT_TRUE(memory.save(path).has_value());
  const auto again = Memory::load(path);
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_EQ(again->etcd_cluster, memory.etcd_cluster);
  EXPECT_EQ(again->highest_epoch, 99u);
  EXPECT_EQ(again->revoked, memory.revoked);
  EXPECT_EQ(again->lease, 77);
  EXPECT_EQ(again->standing, memory.standing);

  std::ifstream in(path);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  for (std::size_t size = 1; size + 1 < whole.size(); ++size) {
    std::ofstream(path, std::ios::trunc) << whole.substr(0, size);
    EXPECT_FALSE(Memory::load(path).has_value()) << size;
  }
  std::ofstream(path, std::ios::trunc) << "SQLite format 3";
  EXPECT_THAT(Memory::load(path).error().message, HasSubstr(path));
  unlink(path.c_str());
  rmdir(folder);
}

TEST(ClusterMemory, IsWrittenWhenSomethingChangedAndUntilThatSucceeds) {
  char folder[] = "/tmp/sealcast-memory-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string path = std::string(folder) + "/state";
  testing::PlainHost host;
  KeptMemory memory({}, path, host);
  memory.save();
  EXPECT_NE(access(path.c_str(), F_OK), 0) << "there is nothing to write";
  memory.change().revision = 5;
  EXPECT_EQ(memory->revision, 5);
  ASSERT_EQ(rmdir(folder), 0);
  memory.save();
  EXPECT_THAT(host.notes, HasSubstr("cluster_memory_failed"));
  ASSERT_EQ(mkdir(folder, 0700), 0);
  memory.save();
  EXPECT_EQ(Memory::load(path)->revision, 5);
  unlink(path.c_str());
  memory.save();
  EXPECT_NE(access(path.c_str(), F_OK), 0) << "nothing has changed since";
  rmdir(folder);
}

}  // namespace
}  // namespace sealcast::cluster
