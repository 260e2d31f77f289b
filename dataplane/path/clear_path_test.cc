// What crosses in clear, by itself and through whole workers: gateways in a ring, reports of fixed tunnels, the
// listener on black.
#include "dataplane/path/clear_path.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "dataplane/membership/black_listener.h"
#include "dataplane/packet/packet.h"
#include "dataplane/testing/clear_packets.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// So high a rate that none of these tests meets it.
BypassRule unmetered_rule(BypassProtocol protocol, BypassDirection direction = BypassDirection::both) {
  BypassRule made = bypass_rule(protocol, direction);
  made.rate = 100'000;
  return made;
}

PathSettings settings_with(std::vector<BypassRule> rules) {
  PathSettings settings;
  settings.bypass = std::move(rules);
  return settings;
}

// ---- The part by itself.

TEST(HeardFrames, AreBoundedInSizeAndNumber) {
  constexpr std::uint64_t hz = 1'000'000;
  const auto heard = std::make_unique<HeardFrames<EventRing<HostFrame, 1024>>>();
  const BufferedFrame longest{Bytes(HostFrame::most_bytes)}, too_long{Bytes(HostFrame::most_bytes + 1)};
  heard->hear(too_long.frame, hz, hz);
  HostFrame copy;
  EXPECT_FALSE(heard->ring().pop(copy));
  heard->hear(longest.frame, hz, hz);
  ASSERT_TRUE(heard->ring().pop(copy));
  EXPECT_EQ(copy.length, HostFrame::most_bytes);

  const BufferedFrame report(pattern(60));
  std::size_t passed = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    heard->hear(report.frame, hz, 10 * hz + i);
    while (heard->ring().pop(copy))
      ++passed;
  }
  EXPECT_EQ(passed, heard_per_second);
  EXPECT_EQ(Bytes(copy.bytes.begin(), copy.bytes.begin() + copy.length), pattern(60));
}

TEST(ClearPath, WhatRidesBehindAPacketIsCutOffAndTheRestCounted) {
  PathSettings settings;
  settings.tsc_hz = 1'000'000;
  Tally tally(0);
  const auto path = std::make_unique<ClearPath>(settings, tally);
  Ipv4Fields fields;
  fields.protocol = protocol_igmp;
  fields.ttl = 1;
  fields.options = router_alert;
  const Bytes report = ethernet(ipv4(fields, igmp(igmp_report_v2, 0, "239.1.1.5")));
  BufferedFrame buffered(report + pattern(9));
  Packet packet{};
  packet.ip_offset = ethernet_bytes;
  packet.ether_type = ether_type_ipv4;
  EXPECT_EQ(path->from_red(buffered.frame, packet, DropReason::igmp_not_allowed, settings.tsc_hz, Snapshot{}),
            DropReason::none);
  EXPECT_EQ(buffered.frame.verdict, Verdict::forward);
  EXPECT_EQ(buffered.bytes(), report);
  EXPECT_EQ(tally.counters().bypassed_bytes.get(), report.size());
  HostFrame heard;
  EXPECT_TRUE(path->reports_heard().pop(heard));
  EXPECT_FALSE(path->queries_heard().pop(heard));
}

// ---- Through whole workers.

// Gateways between the same two networks, and optionally a plain cable between those. Each network hands a frame to all
// gateways on it but its sender.
class Ring {
 public:
  Ring(std::size_t gateways, bool cable, const std::vector<BypassRule>& rules, std::uint64_t order) : order_(order) {
    for (std::size_t i = 0; i < gateways; ++i)
      planes_.push_back(std::make_unique<Harness>(Harness::Options{.path = settings_with(rules)}));
    cable_ = cable;
  }

  // A host speaks on red; runs until nothing moves or `most` frames were put on a network.
  void say(const Bytes& frame, std::size_t most) {
    send(Side::red, outside, frame);
    while (!queue_.empty() && on_red + on_black < most) {
      // Any order of arrival may happen.
      order_ = order_ * 6364136223846793005 + 1442695040888963407;
      const std::size_t pick = static_cast<std::size_t>(order_ >> 33) % queue_.size();
      const Arrival arrival = queue_[pick];
      queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(pick));
      if (arrival.to == planes_.size()) {
        send(other(arrival.side), arrival.to, arrival.frame);
        continue;
      }
      Harness& plane = *planes_[arrival.to];
      const Outcome outcome = arrival.side == Side::red ? plane.red(arrival.frame) : plane.black(arrival.frame);
      if (outcome.verdict == Verdict::forward) send(other(arrival.side), arrival.to, outcome.frame);
    }
  }
  void advance(std::chrono::milliseconds time) {
    for (auto& plane : planes_)
      plane->advance(time);
  }
  std::uint64_t alarms() const {
    std::uint64_t all = 0;
    for (const auto& plane : planes_)
      all += plane->dropped(DropReason::bypass_loop);
    return all;
  }
  bool quiet() const { return queue_.empty(); }

  std::size_t on_red = 0, on_black = 0;  // frames, the host's own included

 private:
  static constexpr std::size_t outside = ~std::size_t{0};
  struct Arrival {
    std::size_t to;
    Side side;
    Bytes frame;
  };
  void send(Side network, std::size_t from, const Bytes& frame) {
    ++(network == Side::red ? on_red : on_black);
    for (std::size_t i = 0; i < planes_.size() + (cable_ ? 1 : 0); ++i)
      if (i != from) queue_.push_back({i, network, frame});
  }

  std::vector<std::unique_ptr<Harness>> planes_;
  bool cable_ = false;
  std::uint64_t order_;
  std::deque<Arrival> queue_;
};

struct RingCase {
  std::size_t gateways;
  bool cable;
};

TEST(BypassRing, TwoGatewaysSideBySideDoNotStorm) {
  for (const auto& [gateways, cable] : {RingCase{1, true}, RingCase{2, false}, RingCase{3, false}, RingCase{2, true}}) {
    std::size_t delivered = 0;
    for (std::uint64_t order = 0; order < 200; ++order) {
      Ring ring(gateways, cable, {unmetered_rule(BypassProtocol::arp)}, order);
      // Every way around may carry a frame once each way; a storm would run into the limit.
      const std::size_t ways = gateways + (cable ? 1 : 0);
      ring.say(arp_frame(1, "10.0.0.1", "10.0.0.2"), 1000);
      EXPECT_TRUE(ring.quiet()) << gateways << " gateways, cable " << cable << ", order " << order;
      EXPECT_LE(ring.on_red + ring.on_black, 4 * ways * ways) << gateways << " gateways, cable " << cable;
      EXPECT_GE(ring.alarms(), 1U);
      delivered += ring.on_black >= 1 ? 1 : 0;
      // The host goes on: a frame a second, and each dies down.
      for (int i = 0; i < 3; ++i) {
        ring.on_red = ring.on_black = 0;
        ring.advance(std::chrono::milliseconds(1000));
        ring.say(arp_frame(1, "10.0.0.1", "10.0.0.2"), 1000);
        EXPECT_TRUE(ring.quiet());
        EXPECT_LE(ring.on_red + ring.on_black, 4 * ways * ways);
      }
    }
    EXPECT_EQ(delivered, 200U) << "a loop costs copies, not the frame";
  }
}

TEST(BypassRing, OneGatewayAloneRaisesNoAlarm) {
  Ring ring(1, false, {unmetered_rule(BypassProtocol::arp)}, 1);
  for (int i = 0; i < 10; ++i)
    ring.say(arp_frame(1, "10.0.0.1", "10.0.0.2"), 100);
  EXPECT_EQ(ring.on_black, 10U);
  EXPECT_EQ(ring.alarms(), 0U);
}

TEST(BypassRing, ReportsOfTwoGatewaysRaiseTheAlarm) {
  Ring ring(2, false, default_bypass_rules(), 1);
  ring.say(ethernet(ipv4({.destination = "239.1.1.5", .protocol = 2, .ttl = 1, .options = router_alert},
                         igmp(0x16, 0, "239.1.1.5"))),
           100);
  EXPECT_EQ(ring.on_black, 2U);
  EXPECT_EQ(ring.on_red, 1U);
  EXPECT_GE(ring.alarms(), 1U);
}

// ------------------------------------------------------------------------------------------------------------------

TEST(WorkerBypass, UnicastArpAndLinkLocalPassByRuleOnlyAndPaddingStaysBehind) {
  BypassRule ssh = unmetered_rule(BypassProtocol::ip);
  ssh.name = "ssh";
  ssh.ip_protocol = 6;
  ssh.destination = Prefix::parse("10.0.0.0/8").value();
  ssh.ports = PortRange{22, 22};
  Harness closed;
  Harness open(Harness::Options{.path = settings_with(with_defaults({ssh, unmetered_rule(BypassProtocol::arp)}))});
  closed.install_tv();
  open.install_tv();
  Bytes tcp = udp(40000, 22, pattern(12));  // as far as ports go TCP looks the same
  Bytes frame = ethernet(ipv4({.destination = "10.0.0.7", .protocol = 6}, tcp));
  const Bytes exact = frame;
  frame = frame + Bytes{'s', 'e', 'c', 'r', 'e', 't'};
  EXPECT_EQ(closed.red(frame).reason, DropReason::not_multicast);
  const Outcome passed = open.red(frame);
  EXPECT_EQ(passed.verdict, Verdict::forward);
  EXPECT_EQ(passed.frame, exact) << "nothing rides along behind the packet";
  EXPECT_EQ(closed.red(arp_frame(1, "10.0.0.1", "10.0.0.2")).reason, DropReason::not_ip);
  EXPECT_EQ(open.black(arp_frame(1, "10.0.0.3", "10.0.0.2")).verdict, Verdict::forward);

  const DataPlaneStatistics all = open.statistics();
  const auto of = [&](const std::string& rule_name, const std::string& direction) {
    for (const BypassStatistics& entry : all.bypass)
      if (entry.rule == rule_name && entry.direction == direction) return entry;
    ADD_FAILURE() << "no figures of " << rule_name;
    return BypassStatistics{};
  };
  EXPECT_EQ(of("ssh", "red-to-black").passed, 1U);
  EXPECT_EQ(of("ssh", "red-to-black").passed_bytes, exact.size());
  EXPECT_EQ(of("arp", "red-to-black").passed, 0U);
  EXPECT_EQ(of("arp", "black-to-red").passed, 1U);
}

TEST(WorkerBypass, H10_AProtectedGroupLeavesSealedOrNotAtAllWhateverTheRules) {
  BypassRule all = unmetered_rule(BypassProtocol::ip);
  all.ip_protocol = 17;
  all.destination = Prefix::parse("0.0.0.0/0").value();  // the configuration refuses it beside the group
  Harness path(Harness::Options{.path = settings_with({all})});
  path.install_tv();
  EXPECT_EQ(path.black(udp_frame(10)).reason, DropReason::clear_on_black);
  path.plane().drop_all_outbound();
  EXPECT_EQ(path.red(udp_frame(10)).reason, DropReason::no_sa);
  // A later fragment, too, and what only looks like IGMP.
  EXPECT_EQ(path.red(udp_frame(64, {.fragment = 0x0010})).reason, DropReason::no_sa);
  EXPECT_EQ(path.red(ethernet(ipv4({.protocol = 2, .ttl = 1}, pattern(64)))).reason, DropReason::igmp_not_allowed);
  // Another group passes by the rule.
  EXPECT_EQ(path.red(udp_frame(10, {.destination = "239.200.0.1"})).verdict, Verdict::forward);
}

TEST(WorkerBypass, ALoopIsTracedToItsSource) {
  Harness path(Harness::Options{.path = settings_with({unmetered_rule(BypassProtocol::arp)})});
  const Bytes request = arp_frame(1, "10.0.0.1", "10.0.0.2");
  EXPECT_EQ(path.red(request).verdict, Verdict::forward);
  EXPECT_EQ(path.black(request).reason, DropReason::bypass_loop);
  path.plane().take_events();
  const auto all = path.statistics().bypass;
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[1].looped, 1U);
  EXPECT_EQ(all[1].last_loop, "02:00:00:00:00:01 on black");
}

// ------------------------------------------------------------------------------------------------------------------

class Alone {
 public:
  explicit Alone(PathSettings given) : settings(std::move(given)) {
    settings.tsc_hz = 1'000'000'000;
    engine = aead::create_engine("openssl").value();
    worker = std::make_unique<Worker>(0, settings, *engine, sources);
    snapshot.policy = std::make_shared<const Policy>(std::vector<Rule>{});
    listener = std::make_unique<BlackListener>(std::vector<Worker*>{worker.get()}, settings);
  }
  Outcome red(Bytes frame) { return run(std::move(frame), true); }
  Outcome black(Bytes frame) { return run(std::move(frame), false); }
  std::vector<Bytes> said() {
    listener->tick(now);
    std::vector<Bytes> out;
    HostFrame frame;
    while (worker->to_black().pop(frame))
      out.emplace_back(frame.bytes.begin(), frame.bytes.begin() + frame.length);
    return out;
  }
  void start(std::uint8_t last_mac = 1) {
    membership::Listener::Options options;
    options.mac = {2, 0, 0, 0, 0, last_mac};
    options.random = [](std::uint32_t bound) { return bound; };
    listener->start(options);
  }

  PathSettings settings;
  std::unique_ptr<aead::Engine> engine;
  Sources sources{1, 0};
  std::unique_ptr<Worker> worker;
  Snapshot snapshot;
  std::unique_ptr<BlackListener> listener;
  SteadyTime now = SteadyTime(std::chrono::hours(1));

 private:
  Outcome run(Bytes bytes, bool from_red) {
    Frame frame;
    frame.data = bytes.data();
    frame.length = static_cast<std::uint32_t>(bytes.size());
    const auto tsc = static_cast<std::uint64_t>(now.time_since_epoch().count());
    if (from_red)
      worker->red_burst({&frame, 1}, tsc, snapshot);
    else
      worker->black_burst({&frame, 1}, tsc, snapshot);
    return {frame.verdict, frame.reason, 0, Bytes(frame.data, frame.data + frame.length)};
  }
};

GroupProtection fixed_tunnel() {
  GroupProtection protection;
  protection.selectors = {selector("239.1.1.0/24")};
  protection.mode = EspMode::tunnel_fixed;
  protection.outer = OuterTunnel{IpAddress::parse("239.9.9.9").value(), IpAddress::parse("10.9.0.2").value(), {}, {}};
  protection.join = true;
  return protection;
}

TEST(FixedTunnel, InnerReportsStopAtTheGateway) {
  Alone gateway(settings_with(default_bypass_rules()));
  ASSERT_TRUE(gateway.listener->protect("tv", fixed_tunnel()));
  gateway.snapshot.stopped_reports = gateway.listener->stopped_reports();
  const Bytes fixed = {4, 0, 0, 0, 239, 1, 1, 5}, other_group = {4, 0, 0, 0, 239, 2, 1, 5};
  EXPECT_EQ(gateway.red(report4(1, fixed)).reason, DropReason::report_stopped);
  EXPECT_EQ(gateway.red(report4(2, fixed + other_group)).frame, report4(1, other_group));
  EXPECT_EQ(gateway.red(report4(1, other_group)).frame, report4(1, other_group));
  const Bytes v2 = ethernet(
      ipv4({.destination = "239.1.1.5", .protocol = 2, .ttl = 1, .options = router_alert}, igmp(0x16, 0, "239.1.1.5")));
  EXPECT_EQ(gateway.red(v2).reason, DropReason::report_stopped);
  EXPECT_TRUE(gateway.listener->red_filter().all_multicast);  // 256 groups and what reports are sent to
  EXPECT_EQ(text(gateway.listener->black_filter().multicast.at(1)), "01:00:5e:09:09:09");
}

TEST(BlackListenerTest, JoinsTheTunnelsGroupWhileThereIsAKeyAndAnswersQueries) {
  Alone gateway(settings_with(default_bypass_rules()));
  ASSERT_TRUE(gateway.listener->protect("tv", fixed_tunnel()));
  gateway.start();
  EXPECT_THAT(gateway.said(), IsEmpty()) << "no key yet";
  gateway.listener->keyed("tv", true);
  membership::Sender sender;
  sender.mac = {2, 0, 0, 0, 0, 1};
  sender.source = IpAddress::v4(0);
  const auto record = [](membership::RecordType type) {
    return std::vector<membership::Record>{{type, IpAddress::parse("239.9.9.9").value(), {}}};
  };
  EXPECT_THAT(gateway.said(), ElementsAre(report(sender, record(membership::RecordType::change_to_exclude))));
  gateway.now += std::chrono::seconds(2);
  EXPECT_THAT(gateway.said(), SizeIs(1));

  const Bytes query = ethernet(
      ipv4({.source = "10.0.0.254", .destination = "224.0.0.1", .protocol = 2, .ttl = 1, .options = router_alert},
           igmp(0x11, 100, "0.0.0.0", {2, 125, 0, 0})));
  EXPECT_EQ(gateway.black(query).verdict, Verdict::forward) << "red's hosts hear it as well";
  EXPECT_THAT(gateway.said(), IsEmpty());
  gateway.now += std::chrono::seconds(10);
  EXPECT_THAT(gateway.said(), ElementsAre(report(sender, record(membership::RecordType::mode_is_exclude))));

  gateway.listener->stop();
  EXPECT_THAT(gateway.said(), ElementsAre(report(sender, record(membership::RecordType::change_to_include))));
}

TEST(BlackListenerTest, QueriesAreHeardEvenWhereTheyMayNotPass) {
  BypassRule closed = unmetered_rule(BypassProtocol::igmp_query, BypassDirection::black_to_red);
  closed.rate = 0;
  Alone gateway(settings_with({closed}));
  GroupProtection keyed_group;
  keyed_group.selectors = {selector("239.1.1.4/31")};
  keyed_group.join = true;
  ASSERT_TRUE(gateway.listener->protect("tv", keyed_group));
  gateway.start();
  gateway.listener->keyed("tv", true);
  ASSERT_THAT(gateway.said(), SizeIs(1));
  gateway.now += std::chrono::seconds(2);
  gateway.said();
  const Bytes query = ethernet(
      ipv4({.source = "10.0.0.254", .destination = "224.0.0.1", .protocol = 2, .ttl = 1, .options = router_alert},
           igmp(0x11, 1, "0.0.0.0", {2, 125, 0, 0})));
  EXPECT_EQ(gateway.black(query).reason, DropReason::rate_limited);
  gateway.said();
  gateway.now += std::chrono::seconds(1);
  EXPECT_THAT(gateway.said(), SizeIs(1));
}

TEST(BlackListenerTest, TooManyGroupsToJoinAreRefused) {
  Alone gateway(settings_with(default_bypass_rules()));
  GroupProtection wide;
  wide.selectors = {selector("239.1.0.0/16")};
  EXPECT_TRUE(gateway.listener->protect("not joined", wide));
  wide.join = true;
  EXPECT_FALSE(gateway.listener->protect("joined", wide));
  wide.selectors = {selector("239.1.0.0/24")};
  std::size_t groups = 0;
  while (gateway.listener->protect("g" + std::to_string(groups), wide))
    ++groups;
  EXPECT_EQ(groups, max_joined / 256);
}

TEST(BlackListenerTest, SourcesOfSelectorsAreAskedForAlone) {
  Alone gateway(settings_with(default_bypass_rules()));
  GroupProtection ssm;
  ssm.selectors = {selector("232.1.1.1", {}, "10.0.0.1"), selector("232.1.1.1", {}, "10.0.0.2"),
                   selector("239.1.1.1", {}, "10.0.0.0/8")};
  ssm.join = true;
  ASSERT_TRUE(gateway.listener->protect("tv", ssm));
  gateway.start();
  gateway.listener->keyed("tv", true);
  membership::Sender sender;
  sender.mac = {2, 0, 0, 0, 0, 1};
  sender.source = IpAddress::v4(0);
  const auto ip = [](const char* text) { return IpAddress::parse(text).value(); };
  const std::vector<membership::Record> records = {
      {membership::RecordType::allow_new_sources, ip("232.1.1.1"), {ip("10.0.0.1"), ip("10.0.0.2")}},
      {membership::RecordType::change_to_exclude, ip("239.1.1.1"), {}}};
  EXPECT_THAT(gateway.said(), ElementsAre(report(sender, records)));
}

}  // namespace
}  // namespace sealcast::dataplane::testing
