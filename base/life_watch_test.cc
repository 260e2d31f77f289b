// Warnings before a certificate or a revocation list ends (H19).
#include "base/life_watch.h"

#include <gtest/gtest.h>

namespace sealcast {
namespace {

constexpr std::int64_t day_s = LifeWatch::day;
const Life year{Life::Kind::list, "CA", 0, 400 * day_s};

TEST(LifeWatch, H19_ItIsToldAt50And80And95PercentAndThenDaily) {
  LifeWatch watch;
  std::vector<std::int64_t> days;
  for (std::int64_t hour = 0; hour <= 410 * 24; ++hour)
    if (!watch.due({year}, hour * 3600).empty()) days.push_back(hour / 24);
  std::vector<std::int64_t> expected{200, 320};
  for (std::int64_t at = 380; at <= 410; ++at)
    expected.push_back(at);
  EXPECT_EQ(days, expected) << "the end, at day 400, is no second warning of that day";
}

TEST(LifeWatch, H19_AProcessThatStartsLateSaysWhatHoldsNow) {
  LifeWatch watch;
  EXPECT_EQ(watch.due({year}, 399 * day_s).size(), 1u);
  EXPECT_TRUE(watch.due({year}, 399 * day_s + 60).empty());
  EXPECT_EQ(watch.due({year}, 400 * day_s).size(), 1u) << "it has ended";
}

TEST(LifeWatch, H19_ARenewedOneBeginsAnewAndEachIsToldForItself) {
  LifeWatch watch;
  const Life other{Life::Kind::certificate, "ks", 300 * day_s, 420 * day_s};
  EXPECT_EQ(watch.due({year, other}, 370 * day_s), (std::vector<Life>{year, other}));
  Life renewed = year;
  renewed.begins = 370 * day_s;
  renewed.ends = 770 * day_s;
  EXPECT_TRUE(watch.due({renewed, other}, 371 * day_s).empty());
  EXPECT_EQ(watch.due({renewed, other}, 571 * day_s).size(), 2u);
}

TEST(LifeWatch, H19_HowMuchIsOver) {
  EXPECT_EQ(year.used(-5), 0);
  EXPECT_EQ(year.used(200 * day_s - 1), 49);
  EXPECT_EQ(year.used(200 * day_s), 50);
  EXPECT_EQ(year.used(400 * day_s - 1), 99);
  EXPECT_EQ(year.used(400 * day_s), 100);
  EXPECT_EQ(stage_of(year, 319 * day_s), 50);
  EXPECT_EQ(stage_of(year, 320 * day_s), 80);
  EXPECT_EQ(stage_of(year, 400 * day_s), 100);
}

}  // namespace
}  // namespace sealcast
