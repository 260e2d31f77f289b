#include "dataplane/sources/source_table.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

namespace sealcast::dataplane {
namespace {

constexpr std::uint32_t now = 5'000'000;

TEST(SourceTable, HoldsASourceForTwoSecondsAfterItsLastPacket) {
  const auto table = std::make_unique<SourceTable>();
  EXPECT_FALSE(table->has(7, now));
  EXPECT_TRUE(table->note(7, now));
  EXPECT_TRUE(table->has(7, now));
  EXPECT_FALSE(table->has(8, now));
  EXPECT_TRUE(table->has(7, now + 1999));
  EXPECT_FALSE(table->has(7, now + 2000));
  EXPECT_FALSE(table->note(7, now + 1900)) << "it goes on";
  EXPECT_TRUE(table->has(7, now + 3899));
  EXPECT_FALSE(table->has(7, now + 3900));
  EXPECT_TRUE(table->note(7, now + 4000)) << "it begins anew";
}

TEST(SourceTable, AReadersClockMayBeASecondBehind) {
  const auto table = std::make_unique<SourceTable>();
  table->note(7, now);
  EXPECT_TRUE(table->has(7, now - 999));
}

TEST(SourceTable, TheClockMayComeRound) {
  const auto table = std::make_unique<SourceTable>();
  table->note(7, 0xffff'fff0);
  EXPECT_TRUE(table->has(7, 0xffff'fff0 + 1999));
  EXPECT_FALSE(table->has(7, 0xffff'fff0 + 2000));
}

// A reader that found nothing asks again only when the number rises: so it must rise whenever a source could have been
// missed.
TEST(SourceTable, ItsGenerationRisesWheneverAReaderMayHaveMissedASource) {
  const auto table = std::make_unique<SourceTable>();
  const std::uint32_t before = table->generation();
  table->note(7, now);
  const std::uint32_t first = table->generation();
  EXPECT_NE(first, before);
  for (std::uint32_t ms = 0; ms < 10'000; ms += 10)
    table->note(7, now + ms);
  EXPECT_EQ(table->generation(), first) << "a source that goes on";
  table->note(7, now + 9'990 + 1500);
  EXPECT_NE(table->generation(), first) << "a reader whose clock is ahead may have found it gone";
}

// Meant for ThreadSanitizer, valid without it, too.
TEST(SourceTable, AThreadThatSeesTheGenerationSeesItsSource) {
  constexpr std::uint32_t last = 900;
  const auto table = std::make_unique<SourceTable>();
  std::thread owner([&] {
    for (std::uint64_t tag = 1; tag <= last; ++tag)
      table->note(tag, now);
  });
  std::uint32_t seen = 0, missed = 0;
  while (seen < last) {
    seen = table->generation();
    if (seen != 0 && !table->has(seen, now)) ++missed;
  }
  owner.join();
  EXPECT_EQ(missed, 0U);
}

TEST(SourceTable, SITE2_AMillionForgedSourcesLeaveThoseInItAndRoomForMore) {
  const auto table = std::make_unique<SourceTable>();
  EXPECT_TRUE(table->note(~std::uint64_t{0}, now));
  std::uint32_t begun = 0;
  for (std::uint64_t i = 1; i <= 1'000'000; ++i) {
    const std::uint32_t at = now + static_cast<std::uint32_t>(i / 100);  // 100,000 a second for ten seconds
    begun += table->note(i * 0x9e3779b97f4a7c15, at) ? 1U : 0U;
    if (i % 10'000 == 0) table->note(~std::uint64_t{0}, at);
    ASSERT_TRUE(table->has(~std::uint64_t{0}, at)) << "a source that sends is never displaced";
  }
  EXPECT_LE(begun, 12 * SourceTable::new_per_second);
  EXPECT_EQ(table->left_out(), 1'000'000 - begun);
  // Two seconds after its end a source begins as if nothing had been.
  EXPECT_TRUE(table->note(0x1234, now + 13'000));
}

TEST(Sources, WhatOneWorkerNotesAllSee) {
  Sources all(3, 42);
  const std::uint64_t tag = all.tag(Address4{0x0a000001});
  all.of(2).red.note(tag, now);
  EXPECT_TRUE(all.on_red(tag, now));
  EXPECT_FALSE(all.from_black(tag, now));
  all.of(0).black.note(tag, now);
  EXPECT_TRUE(all.from_black(tag, now));
  EXPECT_EQ(all.generation(), 1U) << "of red alone";
}

TEST(Sources, AddressesOfBothFamiliesHaveTagsOfTheirOwn) {
  const Sources all(1, 42);
  std::set<std::uint64_t> tags;
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    tags.insert(all.tag(Address4{0x0a000000 + i}));
    tags.insert(all.tag(Address6{0, 0x0a000000 + i}));
    tags.insert(all.tag(Address6{0xfe80'0000'0000'0000 + i, 1}));
  }
  EXPECT_EQ(tags.size(), 30'000U);
  EXPECT_EQ(tags.count(0), 0U);
}

}  // namespace
}  // namespace sealcast::dataplane
