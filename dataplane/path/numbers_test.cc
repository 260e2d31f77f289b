// Numbers that carry time (H17): what senders put into the IV, which numbers receivers take, and what becomes of
// recordings; and foreign numbers, of which the sequence alone counts.
#include <gtest/gtest.h>

#include "dataplane/packet/headers.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr std::uint32_t own_spi = 0x10000000, other_spi = 0x10000008;
constexpr auto age = 60s;  // of the epoch when the tests begin

std::uint64_t number_of(std::uint64_t time_ms, std::uint64_t sequence) {
  return (time_ms << 32) | (sequence & 0xffff'ffff);
}

std::uint64_t iv_of(const Bytes& frame) {
  return load64(frame.data() + ethernet_bytes + min_ipv4_bytes + esp::iv);
}
std::uint32_t sequence_of(const Bytes& frame) {
  return load32(frame.data() + ethernet_bytes + min_ipv4_bytes + esp::sequence);
}

// A gateway whose epoch began a minute ago.
class Gateway {
 public:
  explicit Gateway(std::uint32_t slot = 0, std::vector<std::uint32_t> heard = {8, 9})
      : slot_(slot), heard_(std::move(heard)) {
    EXPECT_TRUE(path.plane().protect("tv", {tv_selectors()}));
  }
  // error: of its clock, in either direction; off: by how much it is wrong.
  Result<void> join(milliseconds error = 0ms, milliseconds off = 0ms, Numbers numbers = Numbers::timed) {
    GroupEpoch epoch = path.epoch("tv", 1, own_spi, tv_selectors());
    epoch.lease_until = epoch.expires;
    epoch.numbers = numbers;
    if (numbers == Numbers::timed) epoch.clock = clock(error, off);
    if (!sealed_before_) epoch.outbound.push_back({key_of(own_spi + slot_)});
    sealed_before_ = true;
    for (const std::uint32_t slot : heard_)
      epoch.inbound.push_back({key_of(own_spi + slot), 0});
    return path.plane().install(std::move(epoch));
  }
  EpochClock clock(milliseconds error = 0ms, milliseconds off = 0ms) const { return {zero + off, error, error}; }
  std::uint64_t time_ms() const {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(path.now() - zero).count());
  }
  Bytes seal() {
    const Outcome outcome = path.red(udp_frame(100));
    EXPECT_EQ(outcome.verdict, Verdict::forward) << name(outcome.reason);
    return outcome.frame;
  }
  Outcome hear(std::uint64_t number, std::uint32_t spi = other_spi) { return path.black(sealed(number, spi)); }
  static Bytes sealed(std::uint64_t number, std::uint32_t spi = other_spi) {
    EspFields fields;
    fields.spi = spi;
    fields.number = number;
    return esp_frame(fields, ipv4({}, udp(5000, 5000, pattern(40))));
  }

  Harness path;
  const SteadyTime zero = path.now() - age;

 private:
  std::uint32_t slot_;
  std::vector<std::uint32_t> heard_;
  bool sealed_before_ = false;
};

TEST(Numbers, H17_TheIvIsTimeAndSequenceAndOnlyRises) {
  Gateway sender;
  ASSERT_TRUE(sender.join());
  std::uint64_t before = 0;
  std::uint32_t sequence = 0;
  for (int i = 0; i < 300; ++i) {
    if (i % 3 == 0) sender.path.advance(milliseconds(i % 7));
    const Bytes frame = sender.seal();
    EXPECT_GT(iv_of(frame), before);
    before = iv_of(frame);
    EXPECT_EQ(iv_of(frame), number_of(sender.time_ms(), ++sequence));
    EXPECT_EQ(sequence_of(frame), sequence);
  }
  EXPECT_EQ(sender.path.sa(own_spi)->packets, 300U);

  // A clock that goes back does not take the numbers with it.
  ASSERT_TRUE(sender.path.plane().set_clock("tv", 1, sender.clock(0ms, 3s)));
  EXPECT_EQ(iv_of(sender.seal()), before + 1);
  sender.path.advance(3s);
  EXPECT_EQ(iv_of(sender.seal()), before + 2);
  sender.path.advance(1ms);
  EXPECT_EQ(iv_of(sender.seal()), before + (std::uint64_t{1} << 32) + 3);
}

// Both ways through the sealer, in bursts in which the sequence comes round.
TEST(Numbers, H17_AWrapWithinABurstCarriesIntoTheTime) {
  for (const bool tagged : {false, true}) {
    Gateway sender;
    ASSERT_TRUE(sender.join());
    SealingSa* const sa = sender.path.snapshot().outbound[0];
    sa->next_number.set(number_of(1, 0xffff'fff0));
    Bytes frame = udp_frame(100);
    if (tagged) frame.insert(frame.begin() + 12, {0x81, 0x00, 0x00, 0x07});
    const auto outcomes = sender.path.red(std::vector<Bytes>(40, frame));
    std::uint64_t expected = number_of(sender.time_ms(), 0xffff'fff0);
    for (const Outcome& outcome : outcomes) {
      ASSERT_EQ(outcome.verdict, Verdict::forward);
      EXPECT_EQ(load64(outcome.frame.data() + (tagged ? 4 : 0) + ethernet_bytes + min_ipv4_bytes + esp::iv),
                expected++);
    }
    EXPECT_EQ(time_of(expected), sender.time_ms() + 1);
    EXPECT_EQ(sender.path.sa(own_spi)->packets, (std::uint64_t{1} << 32) + 0x17);
  }
}

TEST(Numbers, H17_OnlyFreshTimesAreOpened) {
  Gateway receiver;
  ASSERT_TRUE(receiver.join());
  receiver.path.advance(1min);
  const std::uint64_t now = receiver.time_ms();
  std::uint64_t sequence = 0;
  const auto of_time = [&](std::uint64_t time) { return receiver.hear(number_of(time, ++sequence)); };
  EXPECT_EQ(of_time(now - 5001).reason, DropReason::stale);
  EXPECT_EQ(receiver.path.snapshot().spis.find(other_spi)->sa->last_distance_ms.load(), -1);
  EXPECT_EQ(of_time(now - 5000).verdict, Verdict::forward);
  EXPECT_EQ(of_time(now).verdict, Verdict::forward);
  EXPECT_EQ(of_time(now + 501).reason, DropReason::early);
  EXPECT_EQ(receiver.path.snapshot().spis.find(other_spi)->sa->last_distance_ms.load(), 1);
  EXPECT_EQ(of_time(0xffff'ffff).reason, DropReason::early);
  EXPECT_EQ(of_time(now + 500).verdict, Verdict::forward);
  EXPECT_EQ(receiver.path.dropped(DropReason::stale), 1U);
  EXPECT_EQ(receiver.path.dropped(DropReason::early), 2U);

  // The clock's error widens both sides.
  ASSERT_TRUE(receiver.path.plane().set_clock("tv", 1, {receiver.zero, 20ms, 300ms}));
  EXPECT_EQ(receiver.hear(number_of(now - 5301, 1), other_spi + 1).reason, DropReason::stale);
  EXPECT_EQ(receiver.hear(number_of(now - 5300, 1), other_spi + 1).verdict, Verdict::forward);
  EXPECT_EQ(receiver.hear(number_of(now + 801, 2), other_spi + 1).reason, DropReason::early);
  EXPECT_EQ(receiver.hear(number_of(now + 800, 2), other_spi + 1).verdict, Verdict::forward);
}

// H19: a working stream does not end because the key server is away.
TEST(Numbers, H19_AClockThatIsUnsureJudgesNoTimes) {
  Gateway receiver;
  ASSERT_TRUE(receiver.join());
  receiver.path.advance(1min);
  ASSERT_TRUE(receiver.path.plane().set_clock("tv", 1, {receiver.zero, 5001ms, 6000ms}));
  EXPECT_EQ(receiver.hear(number_of(receiver.time_ms() - 50'000, 1)).verdict, Verdict::forward);
  EXPECT_EQ(receiver.hear(number_of(receiver.time_ms() - 50'000, 1)).reason, DropReason::replay);
  EXPECT_EQ(receiver.hear(number_of(receiver.time_ms() + 50'000, 2)).verdict, Verdict::forward);
  ASSERT_TRUE(receiver.path.plane().set_clock("tv", 1, receiver.clock()));
  EXPECT_EQ(receiver.hear(number_of(receiver.time_ms() + 60'000, 3)).reason, DropReason::early);
}

// N1: a recording of ten minutes, played to a gateway that has just joined, that has left and joined again, and that
// was there all the time. The last packets are as young as can be.
TEST(Numbers, H17_OfARecordingNothingIsOpened) {
  Gateway sender(8, {});
  Gateway listener, newcomer, returner;
  ASSERT_TRUE(sender.join());
  ASSERT_TRUE(listener.join());
  ASSERT_TRUE(returner.join());
  std::vector<Bytes> recording;
  std::uint64_t heard = 0;
  const auto advance = [&](milliseconds time) {
    for (Gateway* one : {&sender, &listener, &newcomer, &returner})
      one->path.advance(time);
  };
  for (int i = 0; i < 60'000; ++i) {
    advance(10ms);
    if (i % 3000 == 0) recording.push_back(recording.empty() ? sender.seal() : recording.front());  // twice in the tape
    recording.push_back(sender.seal());
    heard += listener.path.black(recording.back()).verdict == Verdict::forward ? 1 : 0;
    if (i < 59'900) returner.path.black(recording.back());
  }
  EXPECT_EQ(heard, 60'000U) << "the recording is good";
  ASSERT_TRUE(returner.path.plane().retire("tv", 1));
  advance(1ms);
  ASSERT_TRUE(newcomer.join());
  ASSERT_TRUE(returner.join());
  std::uint64_t opened = 0;
  for (Gateway* one : {&listener, &newcomer, &returner})
    for (const Bytes& frame : recording)
      opened += one->path.black(frame).verdict == Verdict::forward ? 1 : 0;
  EXPECT_EQ(opened, 0U);

  // What is sent from now on is heard by all.
  advance(1ms);
  const Bytes next = sender.seal();
  for (Gateway* one : {&listener, &newcomer, &returner})
    EXPECT_EQ(one->path.black(next).verdict, Verdict::forward);
}

// The clocks' errors are all that a newcomer cannot tell.
TEST(Numbers, H17_ANewcomersFloorIsItsOwnClockAndThatOfSlotsDerivedLater) {
  Gateway newcomer(0, {8});
  ASSERT_TRUE(newcomer.join(40ms));
  const std::uint64_t joined = newcomer.time_ms();
  EXPECT_EQ(newcomer.hear(number_of(joined - 1000, 1)).reason, DropReason::replay);
  EXPECT_EQ(newcomer.hear(number_of(joined + 39, 2)).reason, DropReason::replay);
  EXPECT_EQ(newcomer.hear(number_of(joined + 40, 3)).verdict, Verdict::forward);
  newcomer.path.advance(3s);
  std::vector<sealcast::InboundSa> later;
  later.push_back({key_of(own_spi + 9), 0});
  ASSERT_TRUE(newcomer.path.plane().add_inbound("tv", 1, std::move(later)));
  EXPECT_EQ(newcomer.hear(number_of(joined + 39, 1), own_spi + 9).reason, DropReason::replay);
  EXPECT_EQ(newcomer.hear(number_of(joined + 40, 1), own_spi + 9).verdict, Verdict::forward);
}

// A member that is there all the time installs an epoch before its senders use it: nothing that they send then may be
// lost to the clocks' errors.
TEST(Numbers, H17_AnEpochThatIsNotInUseYetHasAFloorBelowEverySendersClock) {
  Gateway receiver;
  GroupEpoch epoch = receiver.path.epoch("tv", 1, own_spi, tv_selectors(), false);
  epoch.in_use = false;
  epoch.clock = receiver.clock(30ms);
  epoch.inbound.push_back({key_of(other_spi), 0});
  ASSERT_TRUE(receiver.path.plane().install(std::move(epoch)));
  const std::uint64_t now = receiver.time_ms();
  EXPECT_EQ(receiver.hear(number_of(now - 431, 1)).reason, DropReason::replay);
  EXPECT_EQ(receiver.hear(number_of(now - 430, 2)).verdict, Verdict::forward);
}

// Also with foreign numbers, which carry no time.
TEST(Numbers, WhatWasAcceptedIsRefusedAfterLeavingAndJoiningAgain) {
  for (const Numbers numbers : {Numbers::timed, Numbers::foreign}) {
    Gateway gateway;
    ASSERT_TRUE(gateway.join(0ms, 0ms, numbers));
    const std::uint64_t now = gateway.time_ms();
    EXPECT_EQ(gateway.hear(number_of(now + 400, 7)).verdict, Verdict::forward);
    ASSERT_TRUE(gateway.path.plane().retire("tv", 1));
    ASSERT_TRUE(gateway.join(0ms, 0ms, numbers));
    EXPECT_EQ(gateway.hear(number_of(now + 400, 7)).reason, DropReason::replay);
    EXPECT_EQ(gateway.hear(number_of(now + 399, 6)).reason, DropReason::replay);
    EXPECT_EQ(gateway.hear(number_of(now + 400, 8)).verdict, Verdict::forward);

    // And after the whole group went and came, as on demand.
    ASSERT_TRUE(gateway.path.plane().unprotect("tv"));
    ASSERT_TRUE(gateway.path.plane().protect("tv", {tv_selectors()}));
    ASSERT_TRUE(gateway.join(0ms, 0ms, numbers));
    EXPECT_EQ(gateway.hear(number_of(now + 400, 8)).reason, DropReason::replay);
    EXPECT_EQ(gateway.hear(number_of(now + 401, 9)).verdict, Verdict::forward);
  }
}

TEST(Numbers, AParkedPacketIsJudgedWhenItArrives) {
  Gateway receiver;
  ASSERT_TRUE(receiver.join());
  receiver.path.advance(1min);
  const std::uint64_t now = receiver.time_ms();
  constexpr std::uint32_t new_spi = own_spi + 10;
  EXPECT_EQ(receiver.hear(number_of(now - 5001, 1), new_spi).reason, DropReason::stale);
  EXPECT_EQ(receiver.hear(number_of(now + 501, 1), new_spi).reason, DropReason::early);
  EXPECT_EQ(receiver.hear(number_of(now - 4900, 1), new_spi).verdict, Verdict::park);
  receiver.path.advance(900ms);
  std::vector<sealcast::InboundSa> keys;
  keys.push_back({key_of(new_spi), 0});
  ASSERT_TRUE(receiver.path.plane().add_inbound("tv", 1, std::move(keys)));
  const auto opened = receiver.path.unpark();
  ASSERT_EQ(opened.size(), 1U);
  EXPECT_EQ(opened[0].verdict, Verdict::forward) << name(opened[0].reason);
}

// N2, with an honest sender and a member that seals one packet under the sender's SPI.
TEST(Numbers, H17_AForgedNumberSilencesItsSenderNoLongerThanItMayBeAhead) {
  for (const std::uint64_t sequence_ahead : {1ULL, 5000ULL, (1ULL << 31) - 1, (1ULL << 32) - 1}) {
    for (const std::uint64_t time_ahead : {0, 500, 100'000}) {
      Gateway sender(8, {}), receiver;
      ASSERT_TRUE(sender.join());
      ASSERT_TRUE(receiver.join());
      std::uint64_t last = 0;
      for (int i = 0; i < 20; ++i) {
        sender.path.advance(1ms);
        receiver.path.advance(1ms);
        const Bytes frame = sender.seal();
        last = iv_of(frame);
        ASSERT_EQ(receiver.path.black(frame).verdict, Verdict::forward);
      }
      const Outcome forged = receiver.hear(number_of(time_of(last) + time_ahead, last + sequence_ahead));
      EXPECT_EQ(forged.verdict == Verdict::forward,
                time_ahead <= 500 && (sequence_ahead < 1ULL << 31 || time_ahead > 0));
      sender.path.advance(501ms);
      receiver.path.advance(501ms);
      for (int i = 0; i < 3000; ++i)
        ASSERT_EQ(receiver.path.black(sender.seal()).verdict, Verdict::forward) << sequence_ahead << " " << time_ahead;
    }
  }
}

TEST(Numbers, AClockMustBeOneOfAnEpochThatRuns) {
  Gateway gateway;
  EXPECT_EQ(gateway.join(0ms, 61s).error().message,
            "group tv epoch 1: expected an epoch's clock with its zero in the past, got one to come");
  ASSERT_TRUE(gateway.join());
  EXPECT_FALSE(gateway.path.plane().set_clock("tv", 1, {gateway.zero - 24h * 46, 0ms, 0ms}));
  EXPECT_FALSE(gateway.path.plane().set_clock("tv", 1, {gateway.zero, 2ms, 1ms}));
  EXPECT_FALSE(gateway.path.plane().set_clock("tv", 1, {gateway.zero, -1ms, 1ms}));
  EXPECT_FALSE(gateway.path.plane().set_clock("tv", 2, gateway.clock()));
  Gateway foreign;
  ASSERT_TRUE(foreign.join(0ms, 0ms, Numbers::foreign));
  EXPECT_FALSE(foreign.path.plane().set_clock("tv", 1, foreign.clock()));
}

// RFC 4303 §3.4.3 over the sequence alone; the IV is whatever the sender likes (RFC 4106 §3.1).
TEST(Numbers, ForeignSendersChooseTheirIvs) {
  Gateway gateway;
  ASSERT_TRUE(gateway.join(0ms, 0ms, Numbers::foreign));
  const auto hear = [&](std::uint64_t iv, std::uint32_t sequence, bool tagged = false) {
    EspFields fields;
    fields.number = iv;
    fields.sequence = sequence;
    Bytes frame = esp_frame(fields, ipv4({}, udp(5000, 5000, pattern(40))));
    if (tagged) frame.insert(frame.begin() + 12, {0x81, 0x00, 0x00, 0x07});
    return gateway.path.black(frame);
  };
  for (const bool tagged : {false, true}) {
    const std::uint32_t base = tagged ? 5000 : 0;
    EXPECT_EQ(hear(0xdead'beef'0000'0001, base + 2, tagged).verdict, Verdict::forward);
    EXPECT_EQ(hear(3, base + 1, tagged).verdict, Verdict::forward);
    EXPECT_EQ(hear(~0ULL, base + 2, tagged).reason, DropReason::replay);
    EXPECT_EQ(hear(0, base + 3, tagged).verdict, Verdict::forward);
    EXPECT_EQ(hear(0, base + 1500, tagged).verdict, Verdict::forward);
    EXPECT_EQ(hear(7, base + 3, tagged).reason, DropReason::replay) << "left of the window";
    EXPECT_EQ(hear(7, base + 1400, tagged).verdict, Verdict::forward);
  }
  EXPECT_EQ(hear(1, 0).reason, DropReason::replay);
  EXPECT_EQ(hear(1, 0xffff'ffff).verdict, Verdict::forward);
  EXPECT_EQ(hear(1, 1).reason, DropReason::replay) << "no sequence comes round (RFC 4303 §3.3.3)";
  EXPECT_EQ(gateway.path.dropped(DropReason::iv_sequence_mismatch), 0U);
}

TEST(Numbers, WithForeignNumbersTheIvIsACounterThatStopsBeforeTheSequenceComesRound) {
  Gateway gateway;
  ASSERT_TRUE(gateway.join(0ms, 0ms, Numbers::foreign));
  for (std::uint64_t i = 1; i <= 70; ++i) {
    gateway.path.advance(1s);
    EXPECT_EQ(iv_of(gateway.seal()), i);
  }
  SealingSa* const sa = gateway.path.snapshot().outbound[0];
  sa->next_number.set(soft_foreign_limit - 1);
  EXPECT_TRUE(gateway.path.plane().take_events().counter_limits.empty());
  gateway.seal();
  ASSERT_EQ(gateway.path.plane().take_events().counter_limits.size(), 1U);
  sa->next_number.set(last_foreign_number - 2);
  const auto outcomes = gateway.path.red(std::vector<Bytes>(5, udp_frame(100)));
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(iv_of(outcomes[i].frame), last_foreign_number - 2 + i);
  EXPECT_EQ(outcomes[3].reason, DropReason::counter_exhausted);
  EXPECT_EQ(outcomes[4].reason, DropReason::counter_exhausted);
}

}  // namespace
}  // namespace sealcast::dataplane::testing
