// Gateways that hear each other's beacons on one red segment: which one works.
#include "dataplane/neighbours/neighbours.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>

namespace sealcast::dataplane {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A red segment, and the control threads of gateways on it, which run every 50 ms.
class Segment {
 public:
  Neighbours& add(const std::string& name, std::uint64_t nonce = 0, std::vector<std::string> ignored = {}) {
    gateways_.push_back(
        std::make_unique<Neighbours>(NeighbourSettings{.name = name,
                                                       .site = "hq",
                                                       .nonce = nonce == 0 ? gateways_.size() + 1 : nonce,
                                                       .ignored = std::move(ignored)}));
    gateways_.back()->start({2, 0, 0, 0, 0, static_cast<std::uint8_t>(gateways_.size())}, now);
    return *gateways_.back();
  }
  void run(std::chrono::milliseconds time) {
    for (const auto end = now + time; now < end; now += 50ms) {
      for (std::size_t i = 0; i < gateways_.size(); ++i) {
        if (stopped.count(i) != 0) continue;
        gateways_[i]->tick(now);
        for (const Bytes& frame : gateways_[i]->due(now))
          put(frame, i);
      }
      std::size_t working = 0;
      for (std::size_t i = 0; i < gateways_.size(); ++i)
        working += stopped.count(i) == 0 && gateways_[i]->standing() == Standing::works ? 1U : 0U;
      most_working = std::max(most_working, working);
    }
  }
  void put(const Bytes& frame, std::size_t from) {
    ++frames;
    for (std::size_t i = 0; i < gateways_.size(); ++i)
      if (i != from && stopped.count(i) == 0 && deaf.count({from, i}) == 0) gateways_[i]->hear(frame, now);
  }
  static constexpr std::size_t host = 99;

  SteadyTime now{1000s};
  std::set<std::size_t> stopped;
  std::set<std::pair<std::size_t, std::size_t>> deaf;  // from, to
  std::size_t most_working = 0, frames = 0;

 private:
  std::vector<std::unique_ptr<Neighbours>> gateways_;
};

TEST(Neighbours, AloneItWorksAfterAMomentOfListening) {
  Segment red;
  Neighbours& only = red.add("a");
  EXPECT_EQ(only.standing(), Standing::listens);
  red.run(200ms);
  EXPECT_EQ(only.standing(), Standing::listens);
  red.run(100ms);
  EXPECT_EQ(only.standing(), Standing::works);
  red.frames = 0;
  red.run(10s);
  EXPECT_EQ(red.frames, 50U) << "five beacons a second";
}

TEST(Neighbours, OfTwoThatBeginTheLowerNameWorks) {
  for (const bool lower_first : {true, false}) {
    Segment red;
    Neighbours& first = red.add(lower_first ? "a" : "b");
    Neighbours& second = red.add(lower_first ? "b" : "a");
    red.run(1s);
    EXPECT_EQ((lower_first ? first : second).standing(), Standing::works);
    EXPECT_EQ((lower_first ? second : first).standing(), Standing::stands_by);
    EXPECT_EQ(red.most_working, 1U);
  }
}

TEST(Neighbours, OneThatWorksGoesOnWhateverComes) {
  Segment red;
  Neighbours& working = red.add("z");
  red.run(1s);
  for (const char* later : {"a", "b", "zz"}) {
    Neighbours& other = red.add(later);
    red.run(1s);
    EXPECT_EQ(other.standing(), Standing::stands_by);
  }
  EXPECT_EQ(working.standing(), Standing::works);
  EXPECT_EQ(red.most_working, 1U);
}

TEST(Neighbours, WhenItsLinkComesUpItListensFirst) {
  Segment red;
  Neighbours& only = red.add("a");
  only.tick(red.now, false);
  red.now += 300ms;
  EXPECT_TRUE(only.tick(red.now, false));
  EXPECT_EQ(only.standing(), Standing::works) << "a driver that never tells of a link";
  EXPECT_TRUE(only.tick(red.now, true));
  EXPECT_EQ(only.standing(), Standing::listens);
  red.run(200ms);
  EXPECT_EQ(only.standing(), Standing::listens);
  red.run(100ms);
  EXPECT_EQ(only.standing(), Standing::works);
}

TEST(Neighbours, OneNameTwiceIsDecidedByTheProcess) {
  Segment red;
  Neighbours& higher = red.add("a", 20);
  Neighbours& lower = red.add("a", 10);
  red.run(1s);
  EXPECT_EQ(lower.standing(), Standing::works);
  EXPECT_EQ(higher.standing(), Standing::stands_by);
}

TEST(Neighbours, WhenTwoWorkingOnesAreWiredTogetherTheLowerNameStays) {
  Segment red;
  red.deaf = {{0, 1}, {1, 0}};
  Neighbours& a = red.add("a");
  Neighbours& b = red.add("b");
  red.run(5s);
  EXPECT_EQ(red.most_working, 2U);
  red.deaf.clear();
  red.run(300ms);
  EXPECT_EQ(a.standing(), Standing::works);
  EXPECT_EQ(b.standing(), Standing::stands_by);
}

TEST(Neighbours, OneThatIsNotHeardGivesWay) {
  Segment red;
  red.deaf = {{0, 1}};  // "b" does not hear "a"
  Neighbours& a = red.add("a");
  Neighbours& b = red.add("b");
  red.run(3s);
  EXPECT_EQ(a.standing(), Standing::stands_by) << "though its name is the lower one";
  EXPECT_EQ(b.standing(), Standing::works);
  // And when it becomes deaf while both are at work.
  Segment later;
  later.deaf = {{0, 1}, {1, 0}};
  Neighbours& low = later.add("a");
  Neighbours& high = later.add("b");
  later.run(1s);
  later.deaf = {{0, 1}};
  later.run(1500ms);
  EXPECT_EQ(low.standing(), Standing::stands_by);
  EXPECT_EQ(high.standing(), Standing::works);
  later.run(10s);
  EXPECT_EQ(low.standing(), Standing::stands_by) << "it does not flap";
}

TEST(Neighbours, TheOtherTakesOverWhenTheFirstIsGone) {
  Segment red;
  Neighbours& a = red.add("a");
  Neighbours& b = red.add("b");
  red.run(1s);
  red.stopped.insert(0);
  red.run(1800ms);
  EXPECT_EQ(b.standing(), Standing::stands_by);
  red.run(600ms);
  EXPECT_EQ(b.standing(), Standing::works) << "2 s without a beacon, and a moment of listening";
  EXPECT_THAT(b.statistics().neighbours, IsEmpty());
  EXPECT_EQ(a.standing(), Standing::works);
}

TEST(Neighbours, OneThatStopsSaysSo) {
  Segment red;
  Neighbours& a = red.add("a");
  Neighbours& b = red.add("b");
  red.run(1s);
  for (const Bytes& frame : a.stop())
    red.put(frame, 0);
  red.stopped.insert(0);
  red.run(400ms);
  EXPECT_EQ(b.standing(), Standing::works);
}

TEST(Neighbours, InAChainWhereNotAllHearEachOtherTheOnesThatMayWorkDo) {
  Segment red;
  red.deaf = {{0, 2}, {2, 0}};  // two VLANs; "b" is on both
  Neighbours& a = red.add("a");
  Neighbours& b = red.add("b");
  Neighbours& c = red.add("c");
  red.run(2s);
  EXPECT_EQ(a.standing(), Standing::works);
  EXPECT_EQ(b.standing(), Standing::stands_by);
  EXPECT_EQ(c.standing(), Standing::works) << "it does not hear a, and b does not work";
}

TEST(Neighbours, IgnoredOnesDoNotCountButAreShown) {
  Segment red;
  Neighbours& a = red.add("a", 0, {"b"});
  Neighbours& b = red.add("b", 0, {"a"});
  red.run(3s);
  EXPECT_EQ(a.standing(), Standing::works);
  EXPECT_EQ(b.standing(), Standing::works);
  ASSERT_THAT(a.statistics().neighbours, SizeIs(1));
  EXPECT_TRUE(a.statistics().neighbours[0].ignored);
  EXPECT_EQ(a.statistics().neighbours[0].name, "b");
  EXPECT_EQ(a.statistics().neighbours[0].state, "works");
}

TEST(Neighbours, SITE3_AForgedBeaconSilencesForTwoSecondsAfterItsLast) {
  Segment red;
  Neighbours& only = red.add("a");
  red.run(1s);
  const Beacon forged{Standing::works, 7, "A", "elsewhere"};  // lower than "a"
  red.put(write_beacon(forged, {2, 0, 0, 0, 0, 66}, std::nullopt), Segment::host);
  red.run(100ms);
  EXPECT_EQ(only.standing(), Standing::stands_by);
  ASSERT_THAT(only.statistics().neighbours, SizeIs(1));
  EXPECT_EQ(only.statistics().neighbours[0].mac, "02:00:00:00:00:42") << "the operator sees who it was";
  red.run(2500ms);
  EXPECT_EQ(only.standing(), Standing::works);
}

TEST(Neighbours, SITE3_AFloodOfNamesIsBoundedAndHidesNoneThatWorks) {
  Segment red;
  Neighbours& a = red.add("a");
  Neighbours& b = red.add("b");
  red.run(1s);
  red.frames = 0;
  for (std::uint64_t i = 0; i < 1000; ++i)
    red.put(
        write_beacon({Standing::listens, 1000 + i, "x" + std::to_string(i), "x"}, {2, 0, 0, 0, 0, 66}, std::nullopt),
        Segment::host);
  red.run(300ms);
  EXPECT_THAT(b.statistics().neighbours, SizeIs(Neighbours::most));
  EXPECT_EQ(b.standing(), Standing::stands_by);
  EXPECT_EQ(a.standing(), Standing::works);
  EXPECT_LE(red.frames, 1000U + 2 * 6) << "it is answered no more often than it ticks";
}

TEST(Neighbours, ItsOwnBeaconIsNoNeighbour) {
  Segment red;
  Neighbours& only = red.add("a", 5);
  red.run(1s);
  for (int i = 0; i < 10; ++i)
    red.put(write_beacon({Standing::works, 5, "a", "hq"}, {2, 0, 0, 0, 0, 1}, std::nullopt), Segment::host);
  red.run(1s);
  EXPECT_EQ(only.standing(), Standing::works);
  EXPECT_THAT(only.statistics().neighbours, IsEmpty());
}

TEST(Neighbours, BeaconsGoToEachVlan) {
  Neighbours both({.name = "a", .site = "hq", .nonce = 1, .vlans = {10, 20}});
  EXPECT_THAT(both.due(SteadyTime(1s)), IsEmpty()) << "no port yet";
  both.start({2, 0, 0, 0, 0, 1}, SteadyTime(1s));
  const auto frames = both.due(SteadyTime(1s));
  ASSERT_THAT(frames, SizeIs(3));
  EXPECT_EQ(frames[0][12], 0x88);
  EXPECT_THAT(std::vector<int>(frames[2].begin() + 12, frames[2].begin() + 18),
              ElementsAre(0x81, 0, 0, 20, 0x88, 0xb5));
}

}  // namespace
}  // namespace sealcast::dataplane
