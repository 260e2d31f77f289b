#include "controlplane/store/spi_blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace sealcast::store {
namespace {

constexpr std::uint32_t base = 0x10000000;

NewEpoch epoch_wish(std::uint8_t slot_bits, std::uint32_t first, std::uint32_t last) {
  NewEpoch out;
  out.group_id = "tv";
  out.spi_first = first;
  out.spi_last = last;
  out.slot_bits = slot_bits;
  return out;
}

// The rule in spi_blocks.h, candidate by candidate.
std::optional<SpiBlock> by_the_rule(const NewEpoch& wish, std::vector<UsedBlock> used, std::uint64_t last) {
  const std::uint64_t size = std::uint64_t{1} << wish.slot_bits;
  for (;;) {
    std::vector<SpiBlock> candidates;
    for (std::uint64_t prefix = (wish.spi_first + size - 1) / size * size; prefix + size - 1 <= wish.spi_last;
         prefix += size)
      candidates.push_back({static_cast<std::uint32_t>(prefix), wish.slot_bits});
    const auto start = std::find_if(candidates.begin(), candidates.end(),
                                    [&](const SpiBlock& one) { return one.prefix / size > last / size; });
    std::rotate(candidates.begin(), start == candidates.end() ? candidates.begin() : start, candidates.end());
    for (const SpiBlock& one : candidates)
      if (std::none_of(used.begin(), used.end(), [&](const UsedBlock& other) {
            return one.prefix < other.block.end() && other.block.prefix < one.end();
          }))
        return one;
    const auto oldest = std::find_if(used.begin(), used.end(), [](const UsedBlock& one) { return one.retired; });
    if (oldest == used.end()) return std::nullopt;
    used.erase(oldest);
  }
}

TEST(SpiBlocks, H12_WhateverIsUsedTheRuleIsKept) {
  std::mt19937 random(1);
  int none = 0, some = 0;
  for (int run = 0; run < 20000; ++run) {
    const auto pick = [&](std::uint32_t below) { return static_cast<std::uint32_t>(random() % below); };
    const std::uint32_t first = base + pick(20), last = first + pick(120);
    const NewEpoch next = epoch_wish(static_cast<std::uint8_t>(pick(5)), first, last);
    std::vector<UsedBlock> used;
    for (std::uint32_t i = pick(40); i > 0; --i) {
      const auto bits = static_cast<std::uint8_t>(pick(6));
      used.push_back({{(base + pick(140)) >> bits << bits, bits}, pick(3) != 0});
    }
    const std::uint64_t before = pick(4) == 0 ? 0 : base + pick(140);
    const auto expected = by_the_rule(next, used, before), got = choose_block(next, used, before);
    ASSERT_EQ(got.has_value(), expected.has_value()) << "run " << run;
    if (!got) {
      ++none;
      continue;
    }
    ++some;
    ASSERT_EQ(got->prefix, expected->prefix) << "run " << run;
    ASSERT_EQ(got->slot_bits, next.slot_bits);
  }
  EXPECT_GT(none, 100);
  EXPECT_GT(some, 10000);
}

// Of sixteen million candidates all but a few are in use: passing them takes few steps, where a step for each would
// take this test hours.
TEST(SpiBlocks, ARangeThatIsNearlyUsedUpIsNotSearchedBlockByBlock) {
  std::vector<UsedBlock> used;
  for (std::uint32_t prefix = base; prefix < base + 0x10000000; prefix += 0x10000)
    used.push_back({{prefix, 16}, false});
  const NewEpoch next = epoch_wish(4, base, base + 0x0fffffff);
  for (int i = 0; i < 100; ++i)
    EXPECT_FALSE(choose_block(next, used, base + static_cast<std::uint32_t>(i) * 1024));
  used[3000].retired = true;
  for (int i = 0; i < 100; ++i)
    ASSERT_EQ(choose_block(next, used, base + static_cast<std::uint32_t>(i) * 1024)->prefix, used[3000].block.prefix);
}

}  // namespace
}  // namespace sealcast::store
