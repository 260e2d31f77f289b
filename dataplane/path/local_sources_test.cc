#include "dataplane/path/local_sources.h"

#include <gtest/gtest.h>

namespace sealcast::dataplane {
namespace {

Packet from(const char* source) {
  const IpAddress address = IpAddress::parse(source).value();
  Packet packet{};
  packet.family = address.family;
  if (address.family == 4) {
    packet.source = address4(address);
  } else {
    packet.source6 = address6(address);
  }
  return packet;
}

TEST(LocalSources, KnowsItsPrefixesOfBothFamilies) {
  const LocalSources sources(
      {*Prefix::parse("10.66.0.0/16"), *Prefix::parse("192.0.2.1/32"), *Prefix::parse("fd00:1::/32")});
  EXPECT_TRUE(sources.has<V4>(from("10.66.255.1")));
  EXPECT_TRUE(sources.has<V4>(from("192.0.2.1")));
  EXPECT_FALSE(sources.has<V4>(from("192.0.2.2")));
  EXPECT_FALSE(sources.has<V4>(from("10.67.0.1")));
  EXPECT_TRUE(sources.has<V6>(from("fd00:1::5")));
  EXPECT_FALSE(sources.has<V6>(from("fd00:2::5")));
}

TEST(LocalSources, IsEmptyPerFamily) {
  const LocalSources none({}), six({*Prefix::parse("fd00:1::/32")});
  EXPECT_TRUE(none.empty<V4>() && none.empty<V6>());
  EXPECT_TRUE(six.empty<V4>());
  EXPECT_FALSE(six.empty<V6>());
  EXPECT_FALSE(none.has<V4>(from("10.0.0.1")));
}

}  // namespace
}  // namespace sealcast::dataplane
