#include "handshake/isakmp/cookie.h"

#include <gtest/gtest.h>

#include "handshake/isakmp/testing/peers.h"

namespace sealcast::isakmp {
namespace {

constexpr std::int64_t slot_begin = 1'800'000'000;  // the beginning of a slot

Secret<32> key(std::uint8_t fill) {
  Secret<32> out;
  std::fill_n(out.data(), out.size(), fill);
  return out;
}
PeerAddress peer(const char* address = "10.0.0.1", std::uint16_t port = 4000) {
  return {*IpAddress::parse(address), port};
}

TEST(IsakmpCookie, P34_IsTheMacThatTheDocumentationNames) {
  // python3: hmac.new(b"\x07"*32, b"sealcast isakmp cookie\x04" + bytes([10,0,0,1]) + bytes(12) +
  // (4000).to_bytes(2,"big")
  //          + bytes(range(1,9)) + (1800000000//5).to_bytes(8,"big"), "sha256").hexdigest()[:16]
  EXPECT_EQ(to_hex(CookieKeys(key(7)).make(peer(), initiator_cookie, slot_begin).value()), "455d8120908bd733");
}

TEST(IsakmpCookie, H13_IsGoodForThePeerItWasMadeForAndNoOther) {
  const CookieKeys keys(key(7));
  const Cookie cookie = keys.make(peer(), initiator_cookie, slot_begin).value();
  EXPECT_TRUE(keys.check(peer(), initiator_cookie, cookie, slot_begin).value());
  EXPECT_FALSE(keys.check(peer("10.0.0.2"), initiator_cookie, cookie, slot_begin).value());
  EXPECT_FALSE(keys.check(peer("10.0.0.1", 4001), initiator_cookie, cookie, slot_begin).value());
  EXPECT_FALSE(keys.check(peer("::ffff:10.0.0.1"), initiator_cookie, cookie, slot_begin).value());
  EXPECT_FALSE(keys.check(peer(), Cookie{1, 2, 3, 4, 5, 6, 7, 9}, cookie, slot_begin).value());
  EXPECT_FALSE(CookieKeys(key(8)).check(peer(), initiator_cookie, cookie, slot_begin).value());
  EXPECT_FALSE(keys.check(peer(), initiator_cookie, no_cookie, slot_begin).value());
  for (std::size_t bit = 0; bit < 64; ++bit) {
    Cookie changed = cookie;
    changed[bit / 8] = static_cast<std::uint8_t>(changed[bit / 8] ^ (1u << bit % 8));
    EXPECT_FALSE(keys.check(peer(), initiator_cookie, changed, slot_begin).value()) << bit;
  }
}

TEST(IsakmpCookie, P34_IsGoodForFiveToTenSeconds) {
  const CookieKeys keys(key(7));
  for (std::int64_t made = slot_begin; made < slot_begin + CookieKeys::slot_seconds; ++made) {
    const Cookie cookie = keys.make(peer(), initiator_cookie, made).value();
    std::int64_t lasts = 0;
    while (keys.check(peer(), initiator_cookie, cookie, made + lasts + 1).value())
      ++lasts;
    EXPECT_GE(lasts, 5) << made;
    EXPECT_LT(lasts, 10) << made;
    EXPECT_FALSE(keys.check(peer(), initiator_cookie, cookie, made + 3600).value());
  }
  EXPECT_FALSE(
      keys.check(peer(), initiator_cookie, keys.make(peer(), initiator_cookie, slot_begin).value(), slot_begin - 5)
          .value())
      << "made in the future";
}

TEST(IsakmpCookie, H13_SurvivesOneRotationOfTheKeyAndNotTwo) {
  CookieKeys keys(key(7));
  const Cookie cookie = keys.make(peer(), initiator_cookie, slot_begin).value();
  keys.rotate(key(8));
  EXPECT_TRUE(keys.check(peer(), initiator_cookie, cookie, slot_begin + 4).value());
  EXPECT_NE(keys.make(peer(), initiator_cookie, slot_begin).value(), cookie) << "new ones are made with the new key";
  EXPECT_TRUE(keys.check(peer(), initiator_cookie, keys.make(peer(), initiator_cookie, slot_begin).value(), slot_begin)
                  .value());
  keys.rotate(key(9));
  EXPECT_FALSE(keys.check(peer(), initiator_cookie, cookie, slot_begin + 4).value());
}

}  // namespace
}  // namespace sealcast::isakmp
