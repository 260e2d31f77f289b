// Unit tests of base/: byte order, constant-time comparison, secrets, addresses, selectors and limits (H12, H14).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/address.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "base/secret.h"

namespace sealcast {
namespace {

TEST(Bytes, BigEndianRoundTrip) {
  std::uint8_t buffer[8] = {};
  store_be<std::uint32_t>(buffer, 0x01020304u);
  EXPECT_EQ(to_hex({buffer, 4}), "01020304");
  EXPECT_EQ(load_be<std::uint32_t>(buffer), 0x01020304u);
  store_be<std::uint64_t>(buffer, 0x0102030405060708u);
  EXPECT_EQ(load_be<std::uint64_t>(buffer), 0x0102030405060708u);
  EXPECT_EQ(load_be<std::uint16_t>(buffer), 0x0102u);
}

TEST(Secret, H14_MoveWipesTheSource) {
  Secret<16> a;
  a.data()[0] = 7;
  Secret<16> b = std::move(a);
  EXPECT_TRUE(a.is_zero());  // NOLINT(bugprone-use-after-move): that is the property
  EXPECT_EQ(b.data()[0], 7);
  EXPECT_FALSE(b.equals(a));
  EXPECT_TRUE(b.equals(b.clone()));
}

TEST(Secret, H14_ArenaIsLockedAndUndumpable) {
  auto arena = LockedArena::create(5000);
  ASSERT_TRUE(arena.has_value()) << arena.error().message;
  EXPECT_EQ(arena->size(), 8192u);
  std::string flags;
  FILE* smaps = fopen("/proc/self/smaps", "r");
  ASSERT_NE(smaps, nullptr);
  char line[512];
  char want[32];
  snprintf(want, sizeof want, "%lx-", reinterpret_cast<unsigned long>(arena->data()));
  bool inside = false;
  while (fgets(line, sizeof line, smaps) != nullptr) {
    if (strncmp(line, want, strlen(want)) == 0) inside = true;
    if (inside && strncmp(line, "VmFlags:", 8) == 0) {
      flags = line;
      break;
    }
  }
  fclose(smaps);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // the sanitizers turn mlock() into nothing
  EXPECT_THAT(flags, testing::HasSubstr(" lo"));                     // locked
#endif
  EXPECT_THAT(flags, testing::HasSubstr(" dd"));  // do not dump
}

TEST(Address, ParsesAndPrints) {
  EXPECT_EQ(IpAddress::parse("239.1.2.3")->text(), "239.1.2.3");
  EXPECT_EQ(IpAddress::parse("ff3e::1")->text(), "ff3e::1");
  EXPECT_THAT(IpAddress::parse("239.1.2").error().message, testing::HasSubstr("got \"239.1.2\""));
  EXPECT_EQ(Prefix::parse("239.1.0.0/16")->text(), "239.1.0.0/16");
  EXPECT_EQ(Prefix::parse("239.1.0.9")->text(), "239.1.0.9");
  EXPECT_FALSE(Prefix::parse("239.1.0.9/16").has_value());
  EXPECT_FALSE(Prefix::parse("239.1.0.0/33").has_value());
  EXPECT_FALSE(Prefix::parse("239.1.0.0/").has_value());
  EXPECT_EQ(PortRange::parse("5000-5010")->text(), "5000-5010");
  EXPECT_FALSE(PortRange::parse("5010-5000").has_value());
  EXPECT_FALSE(PortRange::parse("65536").has_value());
}

TEST(Address, PrefixContains) {
  const Prefix wide = *Prefix::parse("239.1.0.0/17");
  EXPECT_TRUE(wide.contains(*IpAddress::parse("239.1.127.255")));
  EXPECT_FALSE(wide.contains(*IpAddress::parse("239.1.128.0")));
  EXPECT_TRUE(wide.contains(*Prefix::parse("239.1.4.0/24")));
  EXPECT_FALSE(wide.contains(*Prefix::parse("239.0.0.0/8")));
  EXPECT_FALSE(wide.contains(*IpAddress::parse("ff3e::1")));
}

TEST(Selector, H12_RefusesWhatNoGroupMayProtect) {
  const auto message = [](const char* destination) {
    const auto result = validate(Selector{*Prefix::parse(destination), {}, {}, {}});
    return result ? std::string("accepted") : result.error().message;
  };
  EXPECT_EQ(message("239.1.1.0/24"), "accepted");
  EXPECT_EQ(message("ff3e::/64"), "accepted");
  EXPECT_THAT(message("10.0.0.1"), testing::HasSubstr("multicast destination"));
  EXPECT_THAT(message("224.0.0.5"), testing::HasSubstr("link-local"));
  EXPECT_THAT(message("224.0.0.0/8"), testing::HasSubstr("link-local"));
  EXPECT_THAT(message("0.0.0.0/0"), testing::HasSubstr("multicast destination"));
  EXPECT_THAT(message("ff02::1"), testing::HasSubstr("link-local"));
  // The flags before the scope do not change it (RFC 4291 §2.7): transient, prefix-based, source-specific.
  for (const char* local : {"ff12::1", "ff11::/16", "ff32::/32", "ff32::1234:5678", "ff71::5", "fff2::/16", "ff30::/12",
                            "ff30::/13", "ff30::/14", "ff32::/15", "ff00::/8", "ff00::/11"})
    EXPECT_THAT(message(local), testing::HasSubstr("link-local")) << local;
  for (const char* wider : {"ff03::/16", "ff05::1", "ff15::/16", "ff34::/14", "ff38::/13", "ff3e::/15", "ff0e::/16"})
    EXPECT_EQ(message(wider), "accepted") << wider;
  Selector ports{*Prefix::parse("239.1.1.1"), {}, {}, PortRange{1, 2}};
  EXPECT_FALSE(validate(ports).has_value());
  ports.protocol = 17;
  EXPECT_TRUE(validate(ports).has_value());
  ports.source = *Prefix::parse("239.9.9.9");
  EXPECT_FALSE(validate(ports).has_value());
}

TEST(Selector, Covers) {
  const Selector wide{*Prefix::parse("239.1.0.0/16"), {}, std::uint8_t{17}, PortRange{5000, 6000}};
  Selector narrow{*Prefix::parse("239.1.1.1"), *Prefix::parse("10.0.0.1"), std::uint8_t{17}, PortRange{5000, 5000}};
  EXPECT_TRUE(wide.covers(narrow));
  EXPECT_FALSE(narrow.covers(wide));
  narrow.ports.reset();
  EXPECT_FALSE(wide.covers(narrow));
}

TEST(Limits, BothEndsAreAllowed) {
  EXPECT_EQ(mtu_limits.range(), "576 to 9000");
  EXPECT_FALSE(mtu_limits.allow(575));
  EXPECT_TRUE(mtu_limits.allow(576));
  EXPECT_TRUE(mtu_limits.allow(9000));
  EXPECT_FALSE(mtu_limits.allow(9001));
}

TEST(Limits, AReplayWindowIsAPowerOfTwo) {
  for (const std::uint32_t good : {1024u, 4096u, 1u << 20})
    EXPECT_TRUE(valid_replay_window(good)) << good;
  for (const std::uint32_t bad : {0u, 512u, 1025u, 3000u, 1u << 21})
    EXPECT_FALSE(valid_replay_window(bad)) << bad;
}

}  // namespace
}  // namespace sealcast
