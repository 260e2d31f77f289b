#include "dataplane/packet/fragment_table.h"

#include <gtest/gtest.h>

#include <random>

namespace sealcast::dataplane {
namespace {

constexpr std::uint64_t lifetime = 2'000;
constexpr std::uint64_t start = 1'000'000;

FragmentKey key(std::uint64_t source, std::uint32_t id, std::uint64_t destination = 9, std::uint8_t family = 4) {
  FragmentKey made;
  made.source = {source, 0};
  made.destination = {destination, 0};
  made.id = id;
  made.protocol = 17;
  made.family = family;
  return made;
}

constexpr FragmentPlace whole_first{0, 1480, true};
constexpr FragmentPlace middle{1480, 1480, true};
constexpr FragmentPlace tail{2960, 100, false};

class FragmentTableTest : public ::testing::Test {
 protected:
  FragmentTable table_{lifetime, 0x1234567890abcdef};
  std::uint16_t port_ = 0;

  DropReason first(const FragmentKey& k, std::uint16_t port = 5000, std::uint64_t now = start,
                   const FragmentPlace& place = whole_first) {
    return table_.first(k, place, port, now);
  }
  DropReason later(const FragmentKey& k, const FragmentPlace& place, std::uint64_t now = start) {
    return table_.later(k, place, now, port_);
  }
};

TEST_F(FragmentTableTest, TheRestFollowsTheFirst) {
  ASSERT_EQ(first(key(1, 7)), DropReason::none);
  EXPECT_EQ(later(key(1, 7), middle), DropReason::none);
  EXPECT_EQ(port_, 5000);
  EXPECT_EQ(later(key(1, 7), tail), DropReason::none);
  EXPECT_EQ(port_, 5000);
}

TEST_F(FragmentTableTest, TheRestMayComeInAnyOrderBehindTheFirst) {
  ASSERT_EQ(first(key(1, 7)), DropReason::none);
  EXPECT_EQ(later(key(1, 7), tail), DropReason::none);
  EXPECT_EQ(later(key(1, 7), middle), DropReason::none);
}

TEST_F(FragmentTableTest, WithoutItsFirstAFragmentIsAnOrphan) {
  ASSERT_EQ(first(key(1, 7)), DropReason::none);
  EXPECT_EQ(later(key(2, 7), middle), DropReason::fragment_orphan) << "another source";
  EXPECT_EQ(later(key(1, 8), middle), DropReason::fragment_orphan) << "another identification";
  EXPECT_EQ(later(key(1, 7, 10), middle), DropReason::fragment_orphan) << "another destination";
  EXPECT_EQ(later(key(1, 7, 9, 6), middle), DropReason::fragment_orphan) << "the other family";
  FragmentKey other = key(1, 7);
  other.protocol = 6;
  EXPECT_EQ(later(other, middle), DropReason::fragment_orphan) << "another protocol";
}

TEST_F(FragmentTableTest, TooLateIsAnOrphan) {
  ASSERT_EQ(first(key(1, 7)), DropReason::none);
  EXPECT_EQ(later(key(1, 7), middle, start + lifetime - 1), DropReason::none);
  EXPECT_EQ(later(key(1, 7), tail, start + lifetime), DropReason::fragment_orphan);
}

TEST_F(FragmentTableTest, ASecondFirstWithOtherPortsChangesNothing) {
  ASSERT_EQ(first(key(1, 7), 5000), DropReason::none);
  EXPECT_EQ(first(key(1, 7), 6000), DropReason::bad_fragment);
  EXPECT_EQ(first(key(1, 7), 5001), DropReason::bad_fragment);
  EXPECT_EQ(later(key(1, 7), middle), DropReason::none);
  EXPECT_EQ(port_, 5000);
  EXPECT_EQ(first(key(1, 7), 6000, start + lifetime), DropReason::none) << "another datagram, later";
}

TEST_F(FragmentTableTest, NothingOverwritesTheFirst) {
  ASSERT_EQ(first(key(1, 7)), DropReason::none);
  EXPECT_EQ(later(key(1, 7), {8, 1480, true}), DropReason::bad_fragment);
  EXPECT_EQ(later(key(1, 7), {1472, 1480, true}), DropReason::bad_fragment) << "by 8 bytes";
  EXPECT_EQ(later(key(1, 7), {1480, 1480, true}), DropReason::none);
}

TEST_F(FragmentTableTest, NothingLiesBehindTheLast) {
  ASSERT_EQ(first(key(1, 7)), DropReason::none);
  ASSERT_EQ(later(key(1, 7), {2960, 100, false}), DropReason::none);
  EXPECT_EQ(later(key(1, 7), {2960, 1480, true}), DropReason::bad_fragment);
  EXPECT_EQ(later(key(1, 7), {4440, 8, false}), DropReason::bad_fragment) << "another last";
  EXPECT_EQ(later(key(1, 7), {2960, 92, false}), DropReason::bad_fragment) << "a shorter last";
}

TEST_F(FragmentTableTest, AWholeDatagramFreesItsIdentificationAtOnce) {
  ASSERT_EQ(first(key(1, 7), 5000), DropReason::none);
  ASSERT_EQ(later(key(1, 7), middle), DropReason::none);
  ASSERT_EQ(later(key(1, 7), tail), DropReason::none);
  EXPECT_EQ(first(key(1, 7), 6000), DropReason::none) << "identifications come round within a second at 1 Gb/s";
}

TEST_F(FragmentTableTest, PlausibleIsWhatAnHonestSenderMakes) {
  struct {
    const char* what;
    FragmentPlace place;
    std::uint32_t header;
    bool expected;
  } const cases[] = {
      {"ordinary first", {0, 1480, true}, 20, true},
      {"ordinary last", {1480, 3, false}, 20, true},
      {"the smallest", {0, 8, true}, 20, true},
      {"empty", {0, 0, true}, 20, false},
      {"empty last", {1480, 0, false}, 20, false},
      {"more to follow, 7 bytes", {0, 7, true}, 20, false},
      {"more to follow, 1481 bytes", {1480, 1481, true}, 20, false},
      {"the longest datagram's end", {65512, 3, false}, 20, true},
      {"ping of death: a byte too many", {65512, 4, false}, 20, false},
      {"ping of death: the highest offset", {65528, 1480, false}, 20, false},
      {"options count as well", {65472, 4, false}, 60, false},
      {"up to the last byte with options", {65472, 3, false}, 60, true},
  };
  for (const auto& c : cases)
    EXPECT_EQ(plausible(c.place, c.header), c.expected) << c.what;
}

// DATA-2 for fragments: a source that floods takes places from itself.
TEST_F(FragmentTableTest, AFloodFromOneSourceDisplacesItself) {
  constexpr std::uint64_t victims = 256;
  for (std::uint64_t source = 1000; source < 1000 + victims; ++source)
    ASSERT_EQ(first(key(source, 1)), DropReason::none);
  // A full bucket replaces its oldest, so not all of them need still be there.
  std::uint64_t before = 0;
  std::vector<bool> present;
  for (std::uint64_t source = 1000; source < 1000 + victims; ++source) {
    present.push_back(later(key(source, 1), middle) == DropReason::none);
    before += present.back() ? 1 : 0;
  }
  ASSERT_GT(before, victims * 9 / 10);
  std::mt19937 random(1);
  for (std::uint32_t i = 0; i < 100'000; ++i)
    first(key(1, static_cast<std::uint32_t>(random()), random()), 5000, start + 1);
  std::uint64_t lost = 0;
  for (std::uint64_t source = 1000; source < 1000 + victims; ++source)
    if (present[source - 1000] && later(key(source, 1), {2960, 1480, true}, start + 1) != DropReason::none) ++lost;
  EXPECT_LE(lost, FragmentTable::places) << "only where it shares a bucket";
}

TEST_F(FragmentTableTest, ASourceKeepsItsNewestDatagrams) {
  for (std::uint32_t id = 0; id < 1000; ++id) {
    ASSERT_EQ(first(key(1, id), 5000, start + id / 10), DropReason::none);
    if (id == 0) continue;
    EXPECT_EQ(later(key(1, id - 1), middle, start + id / 10), DropReason::none) << "the one before";
  }
  std::uint32_t held = 0;
  for (std::uint32_t id = 0; id < 1000; ++id)
    held += later(key(1, id), {2960, 8, true}, start + 100) == DropReason::none ? 1 : 0;
  EXPECT_EQ(held, FragmentTable::places_a_source);
}

// Against a map that never forgets: what the table lets pass is always what the map says; it may only forget.
TEST_F(FragmentTableTest, NeverAnotherPortThanTheFirsts) {
  std::mt19937 random(7);
  struct Known {
    std::uint16_t port = 0;
    bool any = false;
  };
  std::vector<Known> known(64 * 32);
  std::uint64_t passed = 0;
  for (std::uint32_t i = 0; i < 200'000; ++i) {
    const std::uint32_t source = static_cast<std::uint32_t>(random() % 64);
    const std::uint32_t id = static_cast<std::uint32_t>(random() % 32);
    Known& it = known[source * 32 + id];
    if (random() % 3 == 0) {
      const auto port = static_cast<std::uint16_t>(random() % 4);
      if (first(key(source, id), port) == DropReason::none) it = {port, true};
    } else if (later(key(source, id), {1480 + 8 * static_cast<std::uint32_t>(random() % 16), 8, true}) ==
               DropReason::none) {
      ++passed;
      ASSERT_TRUE(it.any);
      ASSERT_EQ(port_, it.port);
    }
  }
  EXPECT_GT(passed, 10'000U);
}

}  // namespace
}  // namespace sealcast::dataplane
