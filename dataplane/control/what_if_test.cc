// The dry run predicts what the worker then does, and changes nothing.
#include "dataplane/control/what_if.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>

#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

using ::testing::HasSubstr;

std::string all_text(const WhatIfAnswer& answer) {
  std::string text;
  for (const WhatIfStep& step : answer.steps)
    text += step.name + ": " + step.text + "\n";
  return text;
}

// Everything in statistics(), as one text.
std::string fingerprint(const Harness& plane) {
  const auto all = plane.statistics();
  std::string text;
  const auto add = [&](auto... values) { ((text += std::to_string(values) + " "), ...); };
  add(all.sealed, all.opened, all.bypassed);
  for (const SaStatistics& sa : all.sas) {
    add(sa.spi, sa.packets, sa.bytes, sa.next_number);
    if (sa.sender) add(sa.sender->lost, sa.sender->missing, sa.sender->duplicates, sa.sender->late, sa.sender->last);
    for (const DropCount& drop : sa.drops)
      add(drop.packets);
  }
  for (const DropCount& drop : all.drops)
    add(drop.packets);
  for (const GroupStatistics& group : all.groups)
    for (const DropCount& drop : group.drops)
      add(drop.packets);
  return text;
}

WhatIfAnswer ask(const Harness& plane, Side side, const Bytes& frame) {
  WhatIfQuestion question;
  question.side = side;
  question.frame = frame;
  auto answer = const_cast<Harness&>(plane).plane().what_if(question);
  if (!answer) ADD_FAILURE() << answer.error().message;
  return answer.value_or(WhatIfAnswer{});
}

TEST(WhatIf, SaysWhatSealsAPacketAndTakesNoNumber) {
  Harness plane;
  plane.install_tv();
  const Bytes frame = udp_frame(100);
  const std::string before = fingerprint(plane);
  WhatIfAnswer answer;
  for (int i = 0; i < 10; ++i)
    answer = ask(plane, Side::red, frame);
  EXPECT_EQ(fingerprint(plane), before);
  EXPECT_EQ(answer.verdict, Verdict::forward);
  EXPECT_EQ(answer.group, "tv");
  EXPECT_EQ(answer.selector, "239.1.1.0/24");
  EXPECT_EQ(answer.spi, 0x10000000U);
  EXPECT_EQ(answer.epoch, 1U);
  EXPECT_EQ(answer.number, 1U);
  const Outcome real = plane.red(frame);
  EXPECT_EQ(answer.bytes_out, real.frame.size());
  EXPECT_THAT(all_text(answer), HasSubstr("ESP SPI 0x10000000 sequence 1 IV 1"));
  EXPECT_EQ(plane.sa(0x10000000)->next_number, 2U);
}

TEST(WhatIf, NamesTheGroupThatHasNoSaAndTheReasonOfEveryOtherDrop) {
  Harness plane;
  ASSERT_TRUE(plane.plane().protect("radio", {{selector("239.2.2.0/24", PortRange{5000, 5010})}}));
  plane.install_tv();
  Ipv4Fields radio;
  radio.destination = "239.2.2.7";
  const WhatIfAnswer answer = ask(plane, Side::red, udp_frame(50, radio));
  EXPECT_EQ(answer.reason, DropReason::no_sa);
  EXPECT_EQ(answer.group, "radio");
  EXPECT_THAT(answer.selector, HasSubstr("239.2.2.0/24"));
  EXPECT_THAT(all_text(answer), HasSubstr(std::string(text(DropReason::no_sa))));
  EXPECT_EQ(ask(plane, Side::red, udp_frame(50, radio, 80)).reason, DropReason::no_policy);
  EXPECT_EQ(ask(plane, Side::black, udp_frame(50, radio)).reason, DropReason::clear_on_black);
  EXPECT_EQ(ask(plane, Side::black, udp_frame(50, radio)).group, "radio");
}

// A packet from black, given by its content: the dry key plays the sender's sealing, so that the whole path runs.
TEST(WhatIf, OpensWhatASenderWouldSeal) {
  Harness plane;
  plane.install_tv();
  Sender sender(0x10000008, tv_selectors());
  plane.black(sender.seal(udp_frame(64)));
  WhatIfQuestion question;
  question.side = Side::black;
  question.frame = udp_frame(64);
  question.spi = 0x10000008;
  const std::string before = fingerprint(plane);
  auto answer = plane.plane().what_if(question).value();
  EXPECT_EQ(answer.verdict, Verdict::forward) << all_text(answer);
  EXPECT_EQ(answer.number, 2U);
  EXPECT_EQ(answer.bytes_out, udp_frame(64).size());
  question.number = 1;
  EXPECT_EQ(plane.plane().what_if(question)->reason, DropReason::replay);
  question.number.reset();
  question.spi = 0x10000000;
  EXPECT_EQ(plane.plane().what_if(question)->reason, DropReason::own_spi);
  question.spi = 0x77777777;
  EXPECT_EQ(plane.plane().what_if(question)->reason, DropReason::unknown_spi);
  question.spi = 0x10000010;
  EXPECT_EQ(plane.plane().what_if(question)->verdict, Verdict::park);
  EXPECT_EQ(fingerprint(plane), before);
  EXPECT_FALSE(plane.plane().take_events().slots_wanted.size()) << "a dry run asks for no key";
}

// DATA-1: a member of tv seals a packet of radio.
TEST(WhatIf, DATA1_AnotherGroupsPacketUnderThisGroupsKeyIsRefused) {
  Harness plane;
  ASSERT_TRUE(plane.plane().protect("radio", {{selector("239.2.2.0/24")}}));
  plane.install_tv();
  Ipv4Fields radio;
  radio.destination = "239.2.2.7";
  WhatIfQuestion question;
  question.side = Side::black;
  question.frame = udp_frame(64, radio);
  question.spi = 0x10000008;
  EXPECT_EQ(plane.plane().what_if(question)->reason, DropReason::selector_mismatch);
}

TEST(WhatIf, WhatOnlyTheKeyDecidesIsSaidSo) {
  Harness plane;
  plane.install_tv();
  Sender sender(0x10000008, tv_selectors());
  const Bytes good = sender.seal(udp_frame(64));
  WhatIfAnswer answer = ask(plane, Side::black, good);
  EXPECT_TRUE(answer.key_decides);
  EXPECT_THAT(all_text(answer), HasSubstr("undecided"));
  plane.black(good);
  answer = ask(plane, Side::black, good);
  EXPECT_FALSE(answer.key_decides);
  EXPECT_EQ(answer.reason, DropReason::replay);
}

TEST(WhatIf, AnotherWorkersSpiIsFollowedThere) {
  Harness plane({.workers = 4});
  plane.install_tv();
  Sender sender(0x10000008, tv_selectors());
  const WhatIfAnswer answer = ask(plane, Side::black, sender.seal(udp_frame(64)));
  EXPECT_EQ(answer.worker, worker_of_spi(0x10000008, 4));
  EXPECT_TRUE(answer.key_decides) << all_text(answer);
}

TEST(WhatIf, RefusesQuestionsThatMakeNoSense) {
  Harness plane;
  WhatIfQuestion question;
  question.worker = 1;
  EXPECT_FALSE(plane.plane().what_if(question));
  question = {};
  question.spi = 1;
  EXPECT_FALSE(plane.plane().what_if(question));
  question = {};
  question.number = 1;
  EXPECT_FALSE(plane.plane().what_if(question));
  question = {};
  question.frame.resize(20'000);
  EXPECT_FALSE(plane.plane().what_if(question));
}

// For any frame: first the dry run, then the packet itself. The answer was right and the dry run changed nothing.
TEST(WhatIf, AgreesWithTheWorkerOnEveryFrame) {
  Harness plane({.path = {.black_mtu = 700, .red_mtu = 600}});
  plane.install_tv();
  ASSERT_TRUE(plane.plane().protect("radio", {{selector("239.2.2.0/24", PortRange{5000, 5010})}}));
  Sender sender(0x10000008, tv_selectors());
  std::mt19937 random(3);
  Bytes last = sender.seal(udp_frame(64));
  Ipv4Fields report;
  report.destination = "224.0.0.22";
  report.protocol = 2;
  report.ttl = 1;
  report.options = router_alert;
  std::map<std::string, int> seen;
  for (int i = 0; i < 4000; ++i) {
    Ipv4Fields fields;
    fields.destination = std::array{"239.1.1.5", "239.2.2.2", "239.3.3.3", "10.0.0.7"}[random() % 4];
    fields.ttl = static_cast<std::uint8_t>(random() % 5);
    fields.fragment = std::array<std::uint16_t, 4>{0x4000, 0, 0x2000, 0x0010}[random() % 4];
    Bytes frame = udp_frame(random() % 900, fields, random() % 2 ? 5000 : 80);
    Side side = random() % 2 ? Side::red : Side::black;
    switch (random() % 6) {
      case 0:
        last = frame = sender.seal(udp_frame(random() % 700));
        break;
      case 1:
        frame = last;
        break;
      case 2:
        frame = ethernet(ipv4(report, igmp(0x16, 0, "239.1.1.5")));
        break;
      default:
        break;
    }
    for (auto flips = random() % 8; flips > 5 && !frame.empty(); --flips)
      frame[random() % std::min<std::size_t>(frame.size(), 60)] ^= static_cast<std::uint8_t>(1U << random() % 8);
    if (random() % 10 == 0) frame.resize(random() % (frame.size() + 1));
    plane.advance(std::chrono::seconds(random() % 40 == 0 ? 2 : 0));
    ASSERT_TRUE(plane.plane().extend_lease("tv", plane.now() + std::chrono::minutes(1)));

    const std::string before = fingerprint(plane);
    const WhatIfAnswer answer = ask(plane, side, frame);
    ASSERT_EQ(fingerprint(plane), before);
    if (answer.verdict == Verdict::park) {  // the worker would keep a buffer that ends with this round
      ++seen["park"];
      continue;
    }
    const Outcome real = side == Side::red ? plane.red(frame) : plane.black(frame);
    if (real.reason == DropReason::bypass_loop || real.reason == DropReason::rate_limited) continue;  // depends on time
    // A later fragment's fate depends on the first one, which a dry run of one frame has not seen.
    if (answer.reason == DropReason::fragment_orphan) {
      ++seen["fragment of something"];
      continue;
    }
    if (answer.key_decides) {
      ++seen["key decides"];
      continue;
    }
    ASSERT_EQ(answer.verdict, real.verdict) << all_text(answer) << name(real.reason);
    if (real.verdict == Verdict::drop) {
      ASSERT_EQ(answer.reason, real.reason) << all_text(answer);
      ++seen[std::string(name(real.reason))];
    } else if (real.verdict == Verdict::forward) {
      ASSERT_EQ(answer.bytes_out, real.frame.size()) << all_text(answer);
      ++seen["forward"];
    }
  }
  EXPECT_GT(seen["forward"], 50);
  EXPECT_GT(seen["key decides"], 50);
  EXPECT_GT(seen["replay"], 50);
  EXPECT_GT(seen["no_sa"], 5);
  EXPECT_GT(seen.size(), 10U);
}

}  // namespace
}  // namespace sealcast::dataplane::testing
