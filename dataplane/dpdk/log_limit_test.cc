#include "dataplane/dpdk/log_limit.h"

#include <gtest/gtest.h>

namespace sealcast::dataplane {
namespace {

TEST(LogLimit, H13_AFloodIsHeldBackAndCounted) {
  LogLimit limit;
  std::uint32_t passed = 0;
  for (int line = 0; line < 100'000; ++line)
    passed += limit.pass(7) ? 1 : 0;
  EXPECT_EQ(passed, LogLimit::lines_per_second);
  EXPECT_TRUE(limit.pass(8));
  EXPECT_EQ(limit.take_held_back(), 100'000U - LogLimit::lines_per_second);
  EXPECT_EQ(limit.take_held_back(), 0U);
}

TEST(LogLimit, AFewLinesASecondAllPass) {
  LogLimit limit;
  for (std::uint64_t second = 0; second < 100; ++second) {
    for (std::uint32_t line = 0; line < LogLimit::lines_per_second; ++line)
      EXPECT_TRUE(limit.pass(second));
  }
  EXPECT_EQ(limit.take_held_back(), 0U);
}

}  // namespace
}  // namespace sealcast::dataplane
