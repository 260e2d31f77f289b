// Events as values, and the lines that logs have of them.
#include "base/event.h"

#include <gtest/gtest.h>

namespace sealcast {
namespace {

TEST(Event, ALineNamesTheEventAndItsFieldsInOrder) {
  Event event("member_joined", {{"group", "tv"}, {"epoch", 7U}, {"address", Word{"10.0.0.1:5"}}});
  event.add({"slot", -1});
  EXPECT_EQ(event.line(), "member_joined group=\"tv\" epoch=7 address=10.0.0.1:5 slot=-1");
  EXPECT_EQ(event.field("group"), "tv");
  EXPECT_EQ(event.field("member"), "");
  EXPECT_EQ(Event("stopped").line(), "stopped");
}

TEST(Event, H14_ANameFromTheNetworkCannotPretendToBeAnotherFieldOrEvent) {
  const Event event("member_left", {{"member", "eve\" group=\"radio\" x=\"\nrevoked \\ caf\xc3\xa9"}});
  EXPECT_EQ(event.line(),
            "member_left member=\"eve\\x22 group=\\x22radio\\x22 x=\\x22\\x0arevoked \\x5c caf\\xc3\\xa9\"");
  EXPECT_EQ(event.fields().size(), 1u);
}

TEST(Event, H13_LongTextIsCutAndSaysSo) {
  const EventField field("why", std::string(300, 'a'));
  EXPECT_EQ(field.in_line(), "\"" + std::string(200, 'a') + "…\"");
  EXPECT_EQ(field.shown(), std::string(200, 'a') + "…");
  EXPECT_EQ(EventField("why", std::string(200, 'a')).shown(), std::string(200, 'a'));
}

}  // namespace
}  // namespace sealcast
