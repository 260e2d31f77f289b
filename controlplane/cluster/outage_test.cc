// What operators hear of an etcd that does not answer, and how often.
#include "controlplane/cluster/outage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/cluster/testing/plain_host.h"

namespace sealcast::cluster::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr SteadyTime start{1000s};

class ClusterOutage : public ::testing::Test {
 protected:
  // Since `start`, in a session that ends after 4 s.
  void silent_for(std::chrono::milliseconds time) { outage_.watch("aa", start, start + 4s, 5s, start + time); }

  PlainHost host_;
  Outage outage_{host_};
};

TEST_F(ClusterOutage, SilenceIsToldOnceAndItsEndToo) {
  silent_for(1874ms);
  EXPECT_EQ(host_.notes, "");
  outage_.failed("refused");
  silent_for(1875ms);
  silent_for(2000ms);
  EXPECT_EQ(host_.notes, "cluster_etcd_silent for_ms=1875 cut_off_in_ms=2125 why=\"refused\"\n");
  EXPECT_TRUE(outage_.silent());
  EXPECT_EQ(outage_.alarm(start, start + 2s), "etcd has not answered for 2000 ms: refused");
  outage_.answered();
  EXPECT_THAT(outage_.alarm(start, start + 2s), HasSubstr("no answer"));
  host_.notes.clear();
  silent_for(0ms);
  silent_for(0ms);
  EXPECT_EQ(host_.notes, "cluster_etcd_answers incarnation=aa\n");
  EXPECT_EQ(outage_.alarm(start, start), "");
}

TEST_F(ClusterOutage, BeingCutOffIsToldAtOnceAndAgainEveryMinute) {
  EXPECT_TRUE(outage_.first_joining());
  outage_.cut_off("no answer", true, start);
  EXPECT_EQ(host_.notes, "cluster_cut_off why=\"no answer\"\n");
  host_.notes.clear();
  outage_.cut_off("no answer", false, start + 59s);
  EXPECT_EQ(host_.notes, "");
  outage_.cut_off("no answer", false, start + 60s);
  EXPECT_EQ(host_.notes, "cluster_cut_off why=\"no answer\" for_ms=60000\n");
  EXPECT_EQ(outage_.since(), start);
  EXPECT_FALSE(outage_.first_joining());
}

TEST_F(ClusterOutage, AnotherReasonIsToldAfterFiveSeconds) {
  outage_.cut_off("no answer", true, start);
  host_.notes.clear();
  outage_.cut_off("wrong CA", false, start + 4s);
  EXPECT_EQ(host_.notes, "");
  EXPECT_EQ(outage_.why(), "wrong CA");
  outage_.cut_off("no route", false, start + 5s);
  EXPECT_THAT(host_.notes, HasSubstr("no route"));
}

TEST_F(ClusterOutage, ItBeginsAnewAfterItServed) {
  outage_.cut_off("no answer", false, start);
  outage_.serving();
  EXPECT_EQ(outage_.why(), "");
  outage_.cut_off("no answer", true, start + 10s);
  EXPECT_EQ(outage_.since(), start + 10s);
}

}  // namespace
}  // namespace sealcast::cluster::testing
