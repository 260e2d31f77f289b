#include "dataplane/neighbours/beacon.h"

#include <gtest/gtest.h>

#include <random>

#include "base/limits.h"

namespace sealcast::dataplane {
namespace {

constexpr MacAddress from = {2, 0, 0, 0, 0, 9};
const Beacon full{Standing::stands_by, 0x0123456789abcdef, "gateway-1", "hq"};

TEST(Beacon, IsReadAsItWasWritten) {
  for (const auto vlan : {std::optional<std::uint16_t>(), std::optional<std::uint16_t>(4094)}) {
    const auto frame = write_beacon(full, from, vlan);
    EXPECT_EQ(frame.size(), vlan ? 64U : 60U) << "padded as Ethernet wants it";
    const auto heard = read_beacon(frame);
    ASSERT_TRUE(heard);
    EXPECT_EQ(heard->source, from);
    EXPECT_EQ(heard->beacon.standing, Standing::stands_by);
    EXPECT_EQ(heard->beacon.nonce, full.nonce);
    EXPECT_EQ(heard->beacon.name, "gateway-1");
    EXPECT_EQ(heard->beacon.site, "hq");
  }
}

TEST(Beacon, HasTheBytesOfItsDescription) {
  const auto frame = write_beacon(full, from, std::nullopt);
  const std::vector<std::uint8_t> expected = {
      0x03, 0x53, 0x45, 0x41, 0x4c, 0x43, 2,    0, 0,   0,   0,   9,   0x88, 0xb5, 'S', 'C', 'B', 'N', 1,   2,   0x01,
      0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 9, 'g', 'a', 't', 'e', 'w',  'a',  'y', '-', '1', 2,   'h', 'q', 0};
  EXPECT_EQ(std::vector<std::uint8_t>(frame.begin(), frame.begin() + 42), expected);
}

TEST(Beacon, EveryLengthIsChecked) {
  const Beacon longest{Standing::works, 1, std::string(max_name_bytes, 'n'), std::string(max_name_bytes, 's')};
  const auto frame = write_beacon(longest, from, 7);
  ASSERT_TRUE(read_beacon(frame));
  for (std::size_t length = 0; length < frame.size(); ++length) {
    const std::vector<std::uint8_t> cut(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(read_beacon(cut)) << length;
  }
  const auto short_one = write_beacon(full, from, std::nullopt);
  for (const std::size_t place : {12U, 14U, 17U, 18U, 19U, 28U, 38U}) {  // type, magic, version, standing, both lengths
    for (const std::uint8_t wrong : {0, 65, 255}) {
      auto bent = short_one;
      bent[place] = wrong;
      if (place == 19 && wrong == 0) continue;  // it works
      if (place == 18 && wrong != 0) continue;  // a later version may only append
      EXPECT_FALSE(read_beacon(bent)) << place << " " << int{wrong};
    }
  }
}

TEST(Beacon, ALaterVersionIsReadAndWhatItAppendsIsNot) {
  auto frame = write_beacon(full, from, std::nullopt);
  frame[18] = 2;
  frame.insert(frame.begin() + 41, 200, 0xaa);
  const auto heard = read_beacon(frame);
  ASSERT_TRUE(heard);
  EXPECT_EQ(heard->beacon.site, "hq");
}

TEST(Beacon, NamesFromOutsideHoldNoControlCharacters) {
  EXPECT_EQ(beacon_text("a\n\x1b[2Jb\xc3\xa9"), "a??[2Jb??");
  EXPECT_EQ(beacon_text(""), "?");
  EXPECT_EQ(beacon_text(std::string(100, 'x')).size(), max_name_bytes);
  auto frame = write_beacon(full, from, std::nullopt);
  frame[29] = '\n';
  EXPECT_EQ(read_beacon(frame)->beacon.name, "?ateway-1");
}

TEST(Beacon, RandomBytesAreReadWithinTheirBounds) {
  std::mt19937 random(18);
  const auto good = write_beacon(full, from, 3);
  for (int i = 0; i < 20'000; ++i) {
    auto bent = good;
    bent.resize(random() % (good.size() + 1));
    for (unsigned changes = random() % 6; changes != 0 && !bent.empty(); --changes)
      bent[random() % bent.size()] = static_cast<std::uint8_t>(random());
    const std::vector<std::uint8_t> exact(bent);  // exactly sized, for AddressSanitizer
    if (const auto heard = read_beacon(exact)) {
      EXPECT_LE(heard->beacon.name.size(), max_name_bytes);
      EXPECT_LE(heard->beacon.site.size(), max_name_bytes);
    }
  }
}

}  // namespace
}  // namespace sealcast::dataplane
