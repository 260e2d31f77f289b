// The pair of snapshots against a plain map of the latest pictures, through thousands of random changes.
#include "dataplane/sa/snapshot_pair.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace sealcast::dataplane {
namespace {

TEST(SnapshotPair, ShowsWhatWasSaidLastAndNothingElse) {
  std::mt19937 random(5);
  constexpr std::uint32_t groups = 40, workers = 2;
  SnapshotPair pair(workers);
  std::vector<SealingSa> sealing(groups * workers);
  std::map<std::uint32_t, GroupPicture> said;
  const Snapshot* used = &pair.current();
  for (std::uint32_t g = 0; g < groups; ++g) {
    Selector selector;
    selector.destination = Prefix{IpAddress::v4(0xef010000 + g), 32};
    pair.protect({selector}, g);
    said[g].group = g;
  }
  for (int round = 0; round < 400; ++round) {
    for (std::uint32_t changes = random() % 3; changes > 0; --changes) {
      GroupPicture next;
      next.group = random() % groups;
      // Ranges of a group's own; SPIs dense in them, so that the table's runs are long.
      for (std::uint32_t e = random() % 3; e > 0; --e) {
        const std::uint32_t first = 0x10000000 + next.group * 0x100 + e * 0x40;
        next.ranges.insert(next.ranges.begin(), {first, first + 0x3f, first + 9});
        for (std::uint32_t n = random() % 12; n > 0; --n)
          next.spis.push_back({first + n, static_cast<std::uint16_t>(n % 2), 1, nullptr});
      }
      if (random() % 2 == 0)
        for (std::uint32_t w = 0; w < workers; ++w)
          next.outbound.push_back(&sealing[next.group * workers + w]);
      said[next.group] = next;
      pair.set(std::move(next));
    }
    const std::uint64_t before = used->version;
    pair.publish([&](const Snapshot* next) {
      EXPECT_NE(next, used) << "the one in use is never changed";
      used = next;
    });
    ASSERT_EQ(used, &pair.current());
    ASSERT_EQ(used->version, before + 1);
    std::size_t ranges = 0;
    for (const auto& [group, picture] : said) {
      ranges += picture.ranges.size();
      for (std::uint32_t spi = 0x10000000 + group * 0x100; spi < 0x10000100 + group * 0x100; ++spi) {
        const SpiTable::Entry* found = used->spis.find(spi);
        const auto expected = std::find_if(picture.spis.begin(), picture.spis.end(),
                                           [&](const SpiTable::Entry& entry) { return entry.spi == spi; });
        ASSERT_EQ(found != nullptr, expected != picture.spis.end()) << std::hex << spi;
        if (found == nullptr) continue;
        ASSERT_EQ(found->own, expected->own);
      }
      for (const SpiRange& range : picture.ranges) {
        ASSERT_NE(used->range_of(range.first), nullptr);
        ASSERT_EQ(used->range_of(range.last)->first, range.first);
      }
      for (std::uint32_t w = 0; w < workers; ++w)
        ASSERT_EQ(used->outbound[group * workers + w], picture.outbound.empty() ? nullptr : picture.outbound[w]);
      std::uint32_t matched = groups;
      ASSERT_EQ(used->policy->find(PacketKey{0xef010000 + group, 1, 17, true, 1}, matched), Match::found);
      ASSERT_EQ(matched, group);
    }
    ASSERT_EQ(used->ranges.size(), ranges);
  }
}

}  // namespace
}  // namespace sealcast::dataplane
