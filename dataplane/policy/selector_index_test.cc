#include "dataplane/policy/selector_index.h"

#include <gtest/gtest.h>

#include <random>

#include "dataplane/policy/policy.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

TEST(SelectorIndex, H16_FindsWhatHoldsIsHeldOrIsTheSame) {
  SelectorIndex index;
  index.add(selector("239.1.0.0/16"), "wide");
  index.add(selector("239.2.3.4"), "narrow");
  index.add(selector("ff35::/32"), "six");
  EXPECT_EQ(index.overlapping(selector("239.1.7.0/24"))->group_id, "wide");
  EXPECT_EQ(index.overlapping(selector("239.1.0.0/16"))->group_id, "wide");
  EXPECT_EQ(index.overlapping(selector("239.2.0.0/16"))->group_id, "narrow");
  EXPECT_EQ(index.overlapping(selector("ff35:0:1::/48"))->group_id, "six");
  EXPECT_EQ(index.overlapping(selector("239.3.0.0/16")), nullptr);
  EXPECT_EQ(index.overlapping(selector("ff36::/32")), nullptr);
}

TEST(SelectorIndex, H16_SourcesTellApart) {
  SelectorIndex index;
  index.add(selector("232.1.1.1", {}, "10.0.0.1"), "one");
  EXPECT_EQ(index.overlapping(selector("232.1.1.1", {}, "10.0.0.2")), nullptr);
  index.add(selector("232.1.1.1", {}, "10.0.0.2"), "two");
  EXPECT_EQ(index.overlapping(selector("232.1.1.1", {}, "10.0.0.2/31"))->group_id, "two");
  EXPECT_NE(index.overlapping(selector("232.1.1.1")), nullptr);
}

// Against a comparison of every selector with every other.
TEST(SelectorIndex, H16_AgreesWithComparingAll) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    SelectorIndex index;
    std::vector<Selector> all;
    for (int i = 0; i < 12; ++i) {
      Selector one;
      const bool six = random() % 4 == 0;
      one.destination.address.family = six ? 6 : 4;
      one.destination.address.bytes[0] = six ? 0xff : 239;
      one.destination.address.bytes[1] = static_cast<std::uint8_t>(six ? 0x35 : 1);
      one.destination.address.bytes[2] = static_cast<std::uint8_t>(random() % 4);
      const std::uint8_t lengths[] = {16, 22, 23, 24, 32};
      one.destination.length = lengths[random() % 5];
      if (one.destination.length >= 24) one.destination.address.bytes[3] = 0;
      if (one.destination.length == 32) one.destination.address.bytes[3] = static_cast<std::uint8_t>(random() % 2);
      if (one.destination.length == 16) one.destination.address.bytes[2] = 0;
      if (one.destination.length == 22) one.destination.address.bytes[2] &= 0xfc;
      if (one.destination.length == 23) one.destination.address.bytes[2] &= 0xfe;
      if (random() % 2) one.protocol = static_cast<std::uint8_t>(random() % 2 ? 17 : 6);
      bool met = false;
      for (const Selector& other : all)
        met = met || overlap(one, other);
      ASSERT_EQ(index.overlapping(one) != nullptr, met) << one.text();
      index.add(one, std::to_string(i));
      all.push_back(one);
      if (random() % 5) continue;
      // Removes one again.
      index.remove(one, std::to_string(i));
      all.pop_back();
    }
  }
}

}  // namespace
}  // namespace sealcast::dataplane::testing
