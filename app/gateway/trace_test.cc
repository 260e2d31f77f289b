// The questions about single packets as they come by the admin socket.
#include "app/gateway/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/testing/harness.h"

namespace sealcast::gateway {
namespace {

using ::testing::HasSubstr;

using admin::to_json;

Result<dataplane::WhatIfQuestion> parse(const char* json) {
  SEALCAST_TRY_ASSIGN(const auto request, admin::read_request<admin::WhatIfRequest>(json));
  return question_of(request);
}

std::uint32_t further(const char* json) {
  return further_of(admin::read_request<admin::DropsRequest>(json).value_or(admin::DropsRequest()));
}

std::string json_of(const Result<dataplane::WhatIfAnswer>& answer) {
  return to_json(answer.map([](const auto& one) { return answer_of(one); }));
}

TEST(Trace, ReadsAQuestion) {
  const auto question =
      parse(R"({"command":"what-if","side":"black","frame":"00ffA0","worker":2,"spi":"0x10000001","number":7})");
  ASSERT_TRUE(question) << question.error().message;
  EXPECT_EQ(question->side, dataplane::Side::black);
  EXPECT_EQ(question->frame, (Bytes{0, 0xff, 0xa0}));
  EXPECT_EQ(question->worker, 2U);
  EXPECT_EQ(question->spi, 0x10000001U);
  EXPECT_EQ(question->number, 7U);
}

TEST(Trace, RefusesWhatIsNoQuestion) {
  for (const char* bad :
       {"", "[]", "{}", R"({"side":"blue","frame":""})", R"({"side":"red"})", R"({"side":"red","frame":"0"})",
        R"({"side":"red","frame":"zz"})", R"({"side":"red","frame":"+1"})", R"({"side":"red","frame":"","worker":-1})",
        R"({"side":"red","frame":"","worker":256})", R"({"side":"red","frame":"","spi":"x"})",
        R"({"side":"red","frame":"","spi":7})", R"({"side":"red","frame":"","spi":"0x"})",
        R"({"side":"red","frame":"","number":"7"})"})
    EXPECT_FALSE(parse(bad)) << bad;
}

TEST(Trace, AnswersWithTheStepsAndTheReason) {
  dataplane::testing::Harness plane;
  plane.install_tv();
  dataplane::WhatIfQuestion question;
  question.frame = dataplane::testing::udp_frame(100);
  EXPECT_THAT(json_of(plane.plane().what_if(question)),
              AllOf(HasSubstr(R"("verdict":"forward")"), HasSubstr(R"("spi":"0x10000000")"),
                    HasSubstr(R"("group":"tv")"), HasSubstr(R"("step":"leaves")")));
  question.side = dataplane::Side::black;
  EXPECT_THAT(json_of(plane.plane().what_if(question)), HasSubstr(R"("reason":"clear_on_black")"));
  question.worker = 9;
  EXPECT_THAT(json_of(plane.plane().what_if(question)), HasSubstr(R"({"error":")"));
}

TEST(Trace, ShowsHeadersOfDrops) {
  dataplane::testing::Harness plane;
  plane.install_tv();
  EXPECT_EQ(further(R"({"further":1000000})"), 64U);
  EXPECT_EQ(further("nonsense"), 0U);
  EXPECT_TRUE(plane.plane().drop_samples(5).empty());
  plane.black(dataplane::testing::udp_frame(100));
  const std::string json = to_json(answer_of(plane.plane().drop_samples(0)));
  EXPECT_THAT(json, AllOf(HasSubstr(R"("reason":"clear_on_black")"), HasSubstr("IPv4 10.0.0.1 to 239.1.1.5, UDP"),
                          HasSubstr(R"("bytes":142)")));
  plane.black(dataplane::testing::udp_frame(100));
  EXPECT_TRUE(plane.plane().drop_samples(0).empty()) << "no more samples were asked for";
}

}  // namespace
}  // namespace sealcast::gateway
