#include "dataplane/sources/local_sources.h"

#include <gtest/gtest.h>

namespace sealcast::dataplane {
namespace {

Address4 v4(const char* source) {
  return address4(IpAddress::parse(source).value());
}
Address6 v6(const char* source) {
  return address6(IpAddress::parse(source).value());
}

TEST(LocalSources, KnowsItsPrefixesOfBothFamilies) {
  const LocalSources sources(
      {*Prefix::parse("10.66.0.0/16"), *Prefix::parse("192.0.2.1/32"), *Prefix::parse("fd00:1::/32")});
  EXPECT_TRUE(sources.has(v4("10.66.255.1")));
  EXPECT_TRUE(sources.has(v4("192.0.2.1")));
  EXPECT_FALSE(sources.has(v4("192.0.2.2")));
  EXPECT_FALSE(sources.has(v4("10.67.0.1")));
  EXPECT_TRUE(sources.has(v6("fd00:1::5")));
  EXPECT_FALSE(sources.has(v6("fd00:2::5")));
}

TEST(LocalSources, OfOneFamilyHaveNoneOfTheOther) {
  const LocalSources six({*Prefix::parse("fd00:1::/32")});
  EXPECT_FALSE(six.has(v4("10.0.0.1")));
  EXPECT_TRUE(six.has(v6("fd00:1::5")));
}

}  // namespace
}  // namespace sealcast::dataplane
