// The bad network's decisions: reproducible, as frequent as configured, and independent of each other.
#include "tests/wire/impairment.h"

#include <gtest/gtest.h>

#include <numeric>

namespace sealcast::wire {
namespace {

std::vector<Decision> draw(std::uint64_t seed, std::uint32_t from, std::uint32_t to, const Impairments& i, int n) {
  LinkDice dice(seed, from, to);
  std::vector<Decision> decisions;
  for (int k = 0; k < n; ++k)
    decisions.push_back(dice.next(i));
  return decisions;
}

bool same(const std::vector<Decision>& a, const std::vector<Decision>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Decision& x, const Decision& y) {
    return x.copies == y.copies && x.overtaken_by == y.overtaken_by && x.delay_ms == y.delay_ms;
  });
}

TEST(Impairment, SameSeedSameDecisions) {
  const Impairments all{0.1, 0.1, 0.1, 3, 5, 2};
  EXPECT_TRUE(same(draw(7, 0, 1, all, 5000), draw(7, 0, 1, all, 5000)));
  EXPECT_FALSE(same(draw(7, 0, 1, all, 5000), draw(8, 0, 1, all, 5000)));
}

TEST(Impairment, LinksDoNotShareTheirLuck) {
  const Impairments loss{0.5, 0, 0, 3, 0, 0};
  EXPECT_FALSE(same(draw(7, 0, 1, loss, 200), draw(7, 1, 0, loss, 200)));
  EXPECT_FALSE(same(draw(7, 0, 1, loss, 200), draw(7, 0, 2, loss, 200)));
}

TEST(Impairment, FrequenciesAreAsAsked) {
  int dropped = 0;
  int doubled = 0;
  int overtaken = 0;
  for (const Decision& d : draw(1, 0, 1, {0.2, 0.1, 0.05, 4, 0, 0}, 100'000)) {
    dropped += d.copies == 0;
    doubled += d.copies == 2;
    overtaken += d.overtaken_by == 4;
  }
  EXPECT_NEAR(dropped, 20'000, 600);
  EXPECT_NEAR(doubled, 8'000, 500);  // of the 80 % that are left
  EXPECT_NEAR(overtaken, 4'000, 350);
}

TEST(Impairment, OneImpairmentDoesNotMoveAnothersDice) {
  const auto loss_only = draw(3, 0, 1, {0.3, 0, 0, 3, 0, 0}, 1000);
  const auto both = draw(3, 0, 1, {0.3, 0.5, 0.5, 3, 9, 3}, 1000);
  for (std::size_t i = 0; i < loss_only.size(); ++i)
    EXPECT_EQ(loss_only[i].copies == 0, both[i].copies == 0) << i;
}

TEST(Impairment, DelayStaysWithinItsJitter) {
  for (const Decision& d : draw(1, 0, 1, {0, 0, 0, 3, 10, 4}, 10'000)) {
    EXPECT_GE(d.delay_ms, 6);
    EXPECT_LE(d.delay_ms, 14);
  }
  for (const Decision& d : draw(1, 0, 1, {0, 0, 0, 3, 1, 4}, 10'000))
    EXPECT_GE(d.delay_ms, 0);
}

TEST(Impairment, RefusesNonsense) {
  EXPECT_TRUE(validate({}));
  for (const Impairments& bad :
       {Impairments{1.1, 0, 0, 3, 0, 0}, Impairments{-0.1, 0, 0, 3, 0, 0}, Impairments{0, 2, 0, 3, 0, 0},
        Impairments{0, 0, 0, 0, 0, 0}, Impairments{0, 0, 0, 65, 0, 0}, Impairments{0, 0, 0, 3, -1, 0},
        Impairments{0, 0, 0, 3, 0, 1e9}})
    EXPECT_FALSE(validate(bad));
}

std::vector<int> drain(LinkQueue<int>& queue, std::uint64_t now) {
  std::vector<int> out;
  while (const auto frame = queue.peek(now)) {
    out.push_back(*frame);
    queue.pop();
  }
  return out;
}

TEST(LinkQueue, KeepsOrderWithoutImpairments) {
  LinkQueue<int> queue;
  for (int i = 0; i < 5; ++i)
    queue.put(i, {}, 0);
  EXPECT_EQ(drain(queue, 0), (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(LinkQueue, AFrameIsOvertakenByExactlyAsManyAsDecided) {
  LinkQueue<int> queue;
  queue.put(0, {}, 0);
  queue.put(1, {1, 2, 0}, 0);
  queue.put(2, {}, 0);
  queue.put(3, {}, 0);
  queue.put(4, {}, 0);
  EXPECT_EQ(drain(queue, 0), (std::vector<int>{0, 2, 3, 1, 4}));
}

TEST(LinkQueue, AFrameNobodyOvertakesComesAfterAll) {
  LinkQueue<int> queue;
  queue.put(1, {1, 5, 0}, 0);
  queue.put(2, {}, 0);
  EXPECT_EQ(drain(queue, 0), (std::vector<int>{2}));
  EXPECT_EQ(drain(queue, LinkQueue<int>::overtake_patience_ns), (std::vector<int>{1}));
  EXPECT_EQ(queue.size(), 0U);
}

TEST(LinkQueue, DelayHoldsAndJitterDoesNotReorder) {
  LinkQueue<int> queue;
  queue.put(0, {1, 0, 5}, 0);
  queue.put(1, {1, 0, 1}, 0);
  EXPECT_TRUE(drain(queue, 4'999'999).empty());
  EXPECT_EQ(drain(queue, 5'000'000), (std::vector<int>{0, 1}));
}

TEST(Partition, IslandsHearOnlyThemselves) {
  const auto p = Partition::parse("0,1/2", 4);
  ASSERT_TRUE(p) << p.error().message;
  EXPECT_TRUE(p->connected(0, 1));
  EXPECT_TRUE(p->connected(1, 0));
  EXPECT_FALSE(p->connected(0, 2));
  EXPECT_FALSE(p->connected(2, 1));
  EXPECT_FALSE(p->connected(0, 3)) << "port 3 is named in no island";
  EXPECT_TRUE(Partition{}.connected(0, 3));
}

TEST(Partition, RefusesNonsense) {
  for (const char* bad : {"", "0,", "/1", "0,1/2,0", "0/4", "a", "0;1", "0 1"})
    EXPECT_FALSE(Partition::parse(bad, 4)) << bad;
}

}  // namespace
}  // namespace sealcast::wire
