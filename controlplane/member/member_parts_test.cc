// The agent's small parts: the state file, back-off, the log of failures, the watch over the clocks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "controlplane/member/attempts.h"
#include "controlplane/member/backoff.h"
#include "controlplane/member/clock_watch.h"
#include "controlplane/member/epoch_memory.h"
#include "controlplane/member/failure_log.h"
#include "controlplane/member/keepalives.h"
#include "controlplane/member/shared_keepalives.h"

namespace sealcast::member {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class Memory : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "sealcast-memory-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/state";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  EpochMemory load() {
    auto memory = EpochMemory::load(path_);
    EXPECT_TRUE(memory) << memory.error().message;
    return memory ? std::move(*memory) : EpochMemory();
  }
  static RememberedEpoch epoch(std::uint64_t number, std::uint8_t fill = 1) {
    RememberedEpoch out{number, {}};
    out.epoch_id.fill(fill);
    return out;
  }
  std::string folder_, path_;
};

TEST_F(Memory, H5_OutlivesTheProcess) {
  {
    EpochMemory memory = load();
    EXPECT_FALSE(memory.find("ks.example", "cluster", "tv"));
    ASSERT_TRUE(memory.remember("ks.example", "cluster", "tv", epoch(~0ull, 0xfe)));
    ASSERT_TRUE(memory.remember("ks.example", "cluster", "radio", epoch(7)));
  }
  const EpochMemory again = load();
  EXPECT_EQ(again.find("ks.example", "cluster", "tv"), epoch(~0ull, 0xfe));
  EXPECT_EQ(again.find("ks.example", "cluster", "radio"), epoch(7));
  EXPECT_FALSE(again.find("ks.example", "other", "tv")) << "another cluster is another memory";
  EXPECT_FALSE(again.find("other.example", "cluster", "tv"));
  struct stat found {};
  ASSERT_EQ(::stat(path_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
}

TEST_F(Memory, H14_WhatAKilledProcessLeftBesideItIsRemovedAtStart) {
  const std::string left_over = path_ + ".0123456789abcdef.tmp";
  std::ofstream(left_over) << "{";
  EXPECT_TRUE(EpochMemory::load(path_));
  EXPECT_FALSE(std::filesystem::exists(left_over));
}

TEST_F(Memory, H5_NeverFallsAndNeverRenames) {
  EpochMemory memory = load();
  ASSERT_TRUE(memory.remember("s", "k", "g", epoch(10)));
  EXPECT_TRUE(memory.remember("s", "k", "g", epoch(10)));
  EXPECT_FALSE(memory.remember("s", "k", "g", epoch(9)));
  EXPECT_FALSE(memory.remember("s", "k", "g", epoch(10, 2)));
  EXPECT_TRUE(memory.remember("s", "k", "g", epoch(11, 2)));
  EXPECT_EQ(load().find("s", "k", "g"), epoch(11, 2));
}

TEST_F(Memory, H5_AFileThatCannotBeWrittenIsAnErrorAndChangesNothing) {
  EpochMemory memory = load();
  ASSERT_TRUE(memory.remember("s", "k", "g", epoch(10)));
  std::filesystem::remove_all(folder_);
  const auto failed = memory.remember("s", "k", "g", epoch(11));
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("state file " + path_));
  EXPECT_EQ(memory.find("s", "k", "g"), epoch(10)) << "what is not on disk is not remembered";
}

TEST_F(Memory, H5_ADamagedFileIsNeverTakenForAnEmptyOne) {
  EpochMemory memory = load();
  ASSERT_TRUE(memory.remember("s", "k", "g", epoch(10)));
  std::ifstream in(path_);
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  // Cut anywhere, and with each of its parts spoilt.
  for (std::size_t size = 0; size + 2 < whole.size(); ++size) {
    std::ofstream(path_, std::ios::trunc) << whole.substr(0, size);
    const auto loaded = EpochMemory::load(path_);
    ASSERT_FALSE(loaded) << "cut to " << size << " bytes";
    EXPECT_THAT(loaded.error().message, HasSubstr("is damaged"));
  }
  for (const auto& [from, to] : {std::pair("\"version\": 1", "\"version\": 2"), std::pair("\"epoch\"", "\"epoche\""),
                                 std::pair(": 10", ": -10"), std::pair(": 10", ": \"10\""), std::pair("0101", "01x1"),
                                 std::pair("0101", "01"), std::pair("\"g\"", "7"), std::pair("[", "{")}) {
    std::string bent = whole;
    ASSERT_NE(bent.find(from), std::string::npos) << from;
    bent.replace(bent.find(from), std::string(from).size(), to);
    std::ofstream(path_, std::ios::trunc) << bent;
    EXPECT_FALSE(EpochMemory::load(path_)) << bent;
  }
  std::filesystem::remove(path_);
  std::filesystem::create_directory(path_);
  EXPECT_FALSE(EpochMemory::load(path_)) << "a folder in its place";
}

TEST_F(Memory, H5_ANewEpochIsOneLineMoreAndTheFileDoesNotGrowForEver) {
  EpochMemory memory = load();
  for (int group = 0; group < 100; ++group)
    ASSERT_TRUE(memory.remember("s", "k", "group " + std::to_string(group), epoch(1)));
  load();
  std::uint64_t lines = 0, largest = 0, whole = 0;
  for (std::uint64_t number = 2; number < 400; ++number) {
    const auto before = std::filesystem::file_size(path_);
    ASSERT_TRUE(memory.remember("s", "k", "group 7", epoch(number)));
    const auto after = std::filesystem::file_size(path_);
    // A full rewrite changes the size by more than a line, or shrinks the file.
    if (after > before && after - before < 200)
      ++lines;
    else
      ++whole;
    largest = std::max<std::uint64_t>(largest, after);
  }
  EXPECT_GE(lines, 390u) << "epochs that cost less than 200 bytes";
  EXPECT_LE(whole, 5u) << "times that all 100 groups were written";
  EXPECT_GE(whole, 2u);
  EXPECT_LT(largest, 50'000u);
  EXPECT_EQ(load().find("s", "k", "group 7"), epoch(399));
  EXPECT_EQ(load().find("s", "k", "group 99"), epoch(1));
}

TEST_F(Memory, H5_ALineCutOffByACrashIsForgottenAndNothingElse) {
  EpochMemory memory = load();
  ASSERT_TRUE(memory.remember("s", "k", "g", epoch(10)));
  const auto document = std::filesystem::file_size(path_);
  ASSERT_TRUE(memory.remember("s", "k", "g", epoch(11)));
  std::ifstream in(path_);
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  for (std::size_t size = document; size < whole.size(); ++size) {
    std::ofstream(path_, std::ios::trunc) << whole.substr(0, size);
    EpochMemory cut = load();
    EXPECT_EQ(cut.find("s", "k", "g"), epoch(10)) << size;
    ASSERT_TRUE(cut.remember("s", "k", "g", epoch(12)));
    ASSERT_TRUE(cut.remember("s", "k", "g", epoch(13)));
    EXPECT_EQ(load().find("s", "k", "g"), epoch(13)) << size;
  }
  // A whole line that is not as written is damage: it may have been remembered.
  for (const auto& [from, to] : {std::pair("\"epoch\"", "\"epoche\""), std::pair(":11", ":10"),
                                 std::pair(":11", ":-11"), std::pair("0101", "01x1"), std::pair("\"g\"", "7")}) {
    std::string bent = whole;
    const auto at = bent.find(from, document);
    ASSERT_NE(at, std::string::npos) << from;
    bent.replace(at, std::string(from).size(), to);
    std::ofstream(path_, std::ios::trunc) << bent;
    EXPECT_FALSE(EpochMemory::load(path_)) << bent;
  }
}

TEST_F(Memory, H5_AFileThatWasChangedFromOutsideIsWrittenWhole) {
  EpochMemory memory = load();
  ASSERT_TRUE(memory.remember("s", "k", "g", epoch(10)));
  ASSERT_TRUE(memory.remember("s", "k", "h", epoch(11)));
  std::ofstream(path_, std::ios::trunc) << "{";
  ASSERT_TRUE(memory.remember("s", "k", "g", epoch(12)));
  EXPECT_EQ(load().find("s", "k", "g"), epoch(12));
  EXPECT_EQ(load().find("s", "k", "h"), epoch(11));
}

TEST(Backoff, GrowsToItsBoundAndJittersOverAllOfIt) {
  Backoff backoff(100ms, 10s);
  std::chrono::milliseconds expected = 100ms;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(backoff.upper_bound(), std::min<std::chrono::milliseconds>(expected, 10s));
    EXPECT_EQ(backoff.next(static_cast<std::uint64_t>(backoff.upper_bound().count())), backoff.upper_bound());
    expected = std::min<std::chrono::milliseconds>(expected * 2, 20s);
  }
  backoff.reset();
  EXPECT_EQ(backoff.upper_bound(), 100ms);
  std::mt19937_64 random(1);
  Backoff last(10s, 10s);
  std::chrono::milliseconds least = 10s, most = 0ms;
  for (int i = 0; i < 1000; ++i) {
    const auto wait = last.next(random());
    least = std::min(least, wait);
    most = std::max(most, wait);
  }
  EXPECT_LT(least, 200ms);
  EXPECT_GT(most, 9800ms);
  EXPECT_LE(most, 10s);
}

handshake::HandshakeError refused_by_peer(handshake::Alert alert) {
  handshake::HandshakeError cause;
  cause.from_peer = true;
  cause.alert = alert;
  return cause;
}

TEST(Attempts, GoThroughTheListAtOnceAndWaitBeforeItBeginsAnew) {
  AgentTiming timing;
  Attempts attempts(3, timing);
  const std::uint64_t random = 0xffff'ffff'ffff'ffff;
  EXPECT_EQ(attempts.server(), 0u);
  EXPECT_EQ(attempts.failed(false, nullptr, random).wait, 0ms);
  EXPECT_EQ(attempts.failed(false, nullptr, random).wait, 0ms);
  EXPECT_EQ(attempts.server(), 2u);
  const auto round = attempts.failed(false, nullptr, static_cast<std::uint64_t>(timing.backoff_first.count()));
  EXPECT_EQ(attempts.server(), 0u);
  EXPECT_EQ(round.wait, timing.backoff_first);
  EXPECT_FALSE(round.penalty);
  EXPECT_LE(attempts.lost(false, true, random), timing.backoff_first) << "a connection that held begins anew";
  EXPECT_EQ(attempts.server(), 1u) << "the one that was lost may be silent for long";
}

TEST(Attempts, AProvedHandshakeEndsTheBackOffAndTamperingAfterItPinsNoMember) {
  AgentTiming timing;
  Attempts attempts(1, timing);
  const auto longest = [](std::chrono::milliseconds bound) { return static_cast<std::uint64_t>(bound.count()); };
  for (int i = 0; i < 20; ++i)
    attempts.failed(false, nullptr, 0);
  EXPECT_EQ(attempts.failed(false, nullptr, longest(timing.backoff_max)).wait, timing.backoff_max);
  attempts.joined();
  EXPECT_EQ(attempts.failed(false, nullptr, longest(timing.backoff_first)).wait, timing.backoff_first);
  // Every connection is broken as soon as it is there: the wait does not grow to that of a failed handshake.
  for (int i = 0; i < 20; ++i) {
    attempts.joined();
    EXPECT_LE(attempts.lost(false, false, longest(longest_after_proof)), longest_after_proof);
  }
  EXPECT_EQ(attempts.lost(false, false, longest(longest_after_proof)), longest_after_proof) << "nor is it a storm";
  EXPECT_LE(attempts.lost(false, true, longest(timing.backoff_first)), timing.backoff_first) << "it held";
  // A key server that ends each connection itself is not asked again and again.
  for (int i = 0; i < 20; ++i) {
    attempts.joined();
    attempts.lost(true, false, 0);
  }
  EXPECT_EQ(attempts.lost(true, false, longest(timing.backoff_max)), timing.backoff_max);
}

TEST(Attempts, H6_H7_WhatWasRefusedIsNotRepeatedSoon) {
  AgentTiming timing;
  Attempts attempts(2, timing);
  const auto denied = refused_by_peer(handshake::Alert::access_denied);
  EXPECT_FALSE(attempts.failed(false, &denied, 0).penalty) << "no password was shown";
  const auto first = attempts.failed(true, &denied, 0);
  EXPECT_TRUE(first.penalty);
  EXPECT_EQ(first.wait, timing.refused_password);
  EXPECT_EQ(attempts.failed(true, &denied, 0).wait, 2 * timing.refused_password);
  attempts.joined();
  EXPECT_EQ(attempts.failed(true, &denied, 0).wait, timing.refused_password);
  handshake::HandshakeError material;
  material.reason = handshake::Reason::key_material_refused;
  EXPECT_EQ(attempts.failed(false, &material, 0).wait, timing.refused_key);
}

TEST(Keepalives, LEASE1_AnAnswerProvesTheMomentOfItsQuestion) {
  const SteadyTime start{1000s};
  Keepalives asked;
  asked.joined(start - 1s, start);
  EXPECT_EQ(asked.proven(), start - 1s);
  EXPECT_TRUE(asked.due(start));
  EXPECT_EQ(asked.ask(start, start + 5s), 1u);
  EXPECT_FALSE(asked.due(start + 4s));
  EXPECT_EQ(asked.ask(start + 5s, start + 10s), 2u);
  EXPECT_FALSE(asked.answered(3).expected) << "it was never sent";
  EXPECT_TRUE(asked.answered(1).expected);
  EXPECT_EQ(asked.proven(), start) << "whenever the answer came";
  EXPECT_TRUE(asked.answered(1).expected);
  EXPECT_EQ(asked.proven(), start) << "twice proves no more";
  // Sixteen are remembered; the answer to an older one proves nothing new.
  for (int i = 0; i < 17; ++i)
    asked.ask(start + std::chrono::seconds(20 + i), start);
  EXPECT_TRUE(asked.answered(3).expected);
  EXPECT_EQ(asked.proven(), start);
  EXPECT_TRUE(asked.answered(4).expected);
  EXPECT_EQ(asked.proven(), start + 21s);
  asked.joined(start, start + 60s);
  EXPECT_EQ(asked.proven(), start + 21s) << "it never goes back";
  EXPECT_FALSE(asked.answered(1).expected) << "numbers begin anew";
}

TEST(SharedKeepalives, OneQuestionATurnAnswersAllThatAsked) {
  struct Group {};
  const auto tv = std::make_shared<Group>();
  auto radio = std::make_shared<Group>();
  SharedKeepalives<Group> shared;
  EXPECT_FALSE(shared.take_next(true)) << "nothing waits";
  EXPECT_TRUE(shared.add(tv, 7));
  EXPECT_FALSE(shared.add(radio, 3)) << "it leaves with the first";
  EXPECT_EQ(shared.take_next(true), 1u);
  EXPECT_TRUE(shared.add(tv, 8));
  EXPECT_EQ(shared.take_next(true), 2u);
  EXPECT_TRUE(shared.add(tv, 9));
  EXPECT_FALSE(shared.take_next(false)) << "the connection is gone";
  EXPECT_EQ(shared.sent(), 2u);
  EXPECT_FALSE(shared.answered(3));
  radio.reset();
  const auto answered = shared.answered(2);
  ASSERT_TRUE(answered);
  ASSERT_EQ(answered->size(), 2u) << "the one that left is not answered";
  EXPECT_EQ((*answered)[0], std::pair(tv, std::uint64_t{7}));
  EXPECT_EQ((*answered)[1], std::pair(tv, std::uint64_t{8}));
  EXPECT_EQ(shared.answered(2)->size(), 0u) << "once";
}

TEST(FailureLog, SaysEachFailureOnceAndHowOftenItCameBack) {
  FailureLog log(60s);
  const SteadyTime start{1h};
  EXPECT_EQ(log.line("refused", start), "refused");
  EXPECT_EQ(log.line("no route", start + 1s), "no route");
  for (int i = 0; i < 57; ++i)
    EXPECT_FALSE(log.line("refused", start + 2s));
  EXPECT_EQ(log.line("refused", start + 60s), "refused (57 times more since the last such line)");
  EXPECT_FALSE(log.line("refused", start + 61s));
  log.clear();
  EXPECT_EQ(log.line("refused", start + 62s), "refused");
  for (int i = 0; i < 1000; ++i)
    EXPECT_TRUE(log.line(std::to_string(i), start));
}

TEST(ClockWatch, H9_NoticesWhatAResumedMachineSees) {
  ClockWatch watch(2s);
  EXPECT_FALSE(watch.jumped(100s, 1'800'000'000s)) << "the first look knows nothing";
  EXPECT_FALSE(watch.jumped(101s, 1'800'000'001s));
  EXPECT_FALSE(watch.jumped(102s, 1'800'000'003s)) << "slewing by an NTP client";
  EXPECT_TRUE(watch.jumped(103s, 1'800'003'600s)) << "resumed an hour later";
  EXPECT_FALSE(watch.jumped(104s, 1'800'003'601s));
  EXPECT_TRUE(watch.jumped(105s, 1'800'000'000s)) << "and backwards";
  EXPECT_FALSE(watch.jumped(106s + 5min, 1'800'000'001s + 5min)) << "asleep: both clocks count that";
}

}  // namespace
}  // namespace sealcast::member
