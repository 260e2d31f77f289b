#include "base/esp_overhead.h"

#include <gtest/gtest.h>

namespace sealcast {
namespace {

TEST(EspOverhead, SizesAreThoseOfTheWireFormat) {
  EXPECT_EQ(sealed_bytes(EspMode::tunnel_preserve, 4, 1446), 1500U);
  EXPECT_EQ(sealed_bytes(EspMode::tunnel_preserve, 4, 1447), 1504U);
  EXPECT_EQ(sealed_bytes(EspMode::tunnel_fixed, 4, 1500), 1556U);
  EXPECT_EQ(sealed_bytes(EspMode::tunnel_preserve, 6, 1500), 1576U);
  EXPECT_EQ(sealed_bytes(EspMode::transport, 4, 1500), 1536U);
  for (std::uint32_t inner = 20; inner < 9000; ++inner) {
    // RFC 4303 §2.4 in words: padding so that payload, padding, pad length and next header fill a multiple of 4.
    const std::uint32_t padding = (4 - (inner + 2) % 4) % 4;
    EXPECT_EQ(sealed_bytes(EspMode::tunnel_preserve, 4, inner), 20 + 8 + 8 + inner + padding + 2 + 16);
    EXPECT_EQ(sealed_bytes(EspMode::tunnel_preserve, 6, inner), 40 + 8 + 8 + inner + padding + 2 + 16);
    EXPECT_EQ(sealed_bytes(EspMode::transport, 6, inner), 8 + 8 + inner + padding + 2 + 16);
  }
}

TEST(EspOverhead, WhatFitsFitsAndOneByteMoreDoesNot) {
  for (const EspMode mode : {EspMode::tunnel_preserve, EspMode::tunnel_fixed, EspMode::transport}) {
    for (const std::uint8_t family : {std::uint8_t{4}, std::uint8_t{6}}) {
      for (std::uint32_t mtu = 100; mtu <= 9300; ++mtu) {
        const std::uint32_t inner = largest_inner_bytes(mode, family, mtu);
        ASSERT_LE(sealed_bytes(mode, family, inner), mtu);
        ASSERT_GT(sealed_bytes(mode, family, inner + 1), mtu);
      }
      EXPECT_EQ(largest_inner_bytes(mode, family, 20), 0U);
    }
  }
  static_assert(largest_inner_bytes(EspMode::tunnel_preserve, 4, 1500) == 1446);
  static_assert(largest_inner_bytes(EspMode::tunnel_preserve, 6, 1500) == 1426);
}

}  // namespace
}  // namespace sealcast
