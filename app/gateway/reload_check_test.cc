#include "app/gateway/reload_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sealcast::gateway {
namespace {

config::MemberGroup group(const std::string& id, const std::string& destination) {
  config::MemberGroup out;
  out.id = id;
  Selector selector;
  selector.destination = *Prefix::parse(destination);
  out.selectors = {selector};
  return out;
}

// The file read again has no such rule any more, so that it is sound; the running gateway still has the rule.
TEST(ReloadCheck, H10_AGroupThatARunningBypassRuleWouldLetPassIsRefused) {
  BypassRule rule;
  rule.name = "cameras";
  rule.protocol = BypassProtocol::ip;
  rule.ip_protocol = 17;
  rule.destination = *Prefix::parse("239.2.0.0/16");
  ASSERT_TRUE(validate(rule));
  EXPECT_TRUE(check_against_bypass({rule}, {group("tv", "239.1.1.0/24")}));
  const auto refused = check_against_bypass({rule}, {group("tv", "239.1.1.0/24"), group("radio", "239.2.1.0/24")});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("group \"radio\""));
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("\"cameras\""));
  EXPECT_TRUE(check_against_bypass(with_defaults({}), {group("radio", "239.2.1.0/24")})) << "reports are no group's";
}

}  // namespace
}  // namespace sealcast::gateway
