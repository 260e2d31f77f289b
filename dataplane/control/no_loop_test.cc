// H18: whatever is wired how, no datagram goes round, and none comes back to the red segment that it began on. A
// laboratory of up to four gateways between two red and two black segments, in every wiring.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dataplane/neighbours/red_beacon.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

using namespace std::chrono_literals;

struct Place {
  int red = 0, black = 0;  // its segments, 0 or 1
  std::string text() const { return "r" + std::to_string(red) + "b" + std::to_string(black); }
};

// Which of the frames on their way arrives next. Each gateway gets its own copy, so that one may be far behind.
enum class Order : std::uint8_t { as_sent, black_first, red_first, last_first };

struct LabOptions {
  bool beacons = true;
  bool guards = true;  // marks on red, and sources that are at home there
  bool named = true;   // both gateways of a red segment bear its site's name
  Order order = Order::as_sent;
  std::vector<BypassRule> bypass = default_bypass_rules();
};

class Lab {
 public:
  Lab(const std::vector<Place>& places, LabOptions options) : places_(places), options_(std::move(options)) {
    for (std::size_t i = 0; i < places_.size(); ++i) {
      Harness::Options each{.engine = "openssl", .path = {.bypass = options_.bypass, .learn_sources = options_.guards}};
      if (options_.guards) each.path.red_mac = {0x0a, 0x53, 0x43, 0, 0, static_cast<std::uint8_t>(i)};
      const std::string name = "gateway-" + std::to_string(i);
      if (options_.beacons)
        each.beacon = {
            .name = name, .site = options_.named ? "site-" + std::to_string(places_[i].red) : name, .nonce = i + 1};
      gateways_.push_back(std::make_unique<Harness>(std::move(each)));
      install(i);
    }
    for (std::size_t i = 0; i < places_.size(); ++i)
      plane(i).beacon().start({2, 0, 0, 0, 1, static_cast<std::uint8_t>(i)}, gateways_[i]->now());
    if (options_.beacons) pass(500ms);
  }

  // Time goes by, and the control threads run every 50 ms.
  void pass(std::chrono::milliseconds time) {
    for (; time > 0ms; time -= 50ms) {
      for (std::size_t i = 0; i < places_.size(); ++i) {
        if (dead_.count(i) != 0) continue;
        gateways_[i]->advance(50ms);
        plane(i).take_events();
        HostFrame beacon;
        while (plane(i).worker(0).to_red().pop(beacon))
          put(true, places_[i].red, Bytes(beacon.bytes.begin(), beacon.bytes.begin() + beacon.length), i);
      }
      run();
    }
  }
  // A host on a red segment, or something on a black one, sends. Returns how many frames crossed a gateway for it, at
  // most `limit`.
  std::size_t send(bool red, int segment, const Bytes& frame) {
    seen_.clear();
    crossed_ = 0;
    put(red, segment, frame, none);
    run();
    return crossed_;
  }
  // What hosts on that segment saw of the last send(), without beacons: copies of that frame as it was sent, but for
  // the sender's MAC address.
  std::size_t copies(bool red, int segment, const Bytes& frame) const {
    const auto found = seen_.find({red, segment});
    if (found == seen_.end()) return 0;
    return static_cast<std::size_t>(
        std::count_if(found->second.begin(), found->second.end(), [&](const Bytes& one) { return same(one, frame); }));
  }
  static bool same(const Bytes& a, const Bytes& b) {
    return a.size() == b.size() && std::equal(a.begin(), a.begin() + 6, b.begin()) &&
           std::equal(a.begin() + 12, a.end(), b.begin() + 12);
  }
  std::size_t frames_on_black() const {
    std::size_t sum = 0;
    for (const auto& [where, frames] : seen_)
      sum += where.first ? 0 : frames.size();
    return sum;
  }
  bool works(std::size_t i) const {
    return dead_.count(i) == 0 && gateways_[i]->snapshot().standing == Standing::works;
  }
  // Whether gateways that work join the two red segments.
  bool joined() const {
    for (std::size_t a = 0; a < places_.size(); ++a)
      for (std::size_t b = 0; b < places_.size(); ++b)
        if (works(a) && works(b) && places_[a].red == 0 && places_[b].red == 1 && places_[a].black == places_[b].black)
          return true;
    return false;
  }
  Harness& gateway(std::size_t i) { return *gateways_[i]; }
  DataPlane& plane(std::size_t i) { return gateways_[i]->plane(); }
  void kill(std::size_t i) { dead_.insert(i); }
  // Nothing that is sent on black arrives there.
  void lose_on_black(std::optional<std::size_t> i) { loses_ = i; }
  // It ends and says so.
  void stop(std::size_t i) {
    plane(i).beacon().stop();
    HostFrame beacon;
    while (plane(i).worker(0).to_red().pop(beacon))
      put(true, places_[i].red, Bytes(beacon.bytes.begin(), beacon.bytes.begin() + beacon.length), i);
    kill(i);
    run();
  }
  static constexpr std::size_t limit = 500;

 private:
  static constexpr std::size_t none = 99;
  struct Arrival {
    bool red = false;
    std::size_t at = 0;  // the gateway
    Bytes frame;
  };

  void install(std::size_t i) {
    ASSERT_TRUE(plane(i).protect("tv", {.selectors = {selector("239.1.1.0/24"), selector("ff1e::1:0/112")}}));
    GroupEpoch epoch = gateways_[i]->epoch("tv", 1, 0x10000000, {selector("239.1.1.0/24"), selector("ff1e::1:0/112")});
    for (std::size_t slot = 0; slot < places_.size(); ++slot) {
      SaKey key = key_of(0x10000000 + static_cast<std::uint32_t>(slot));
      if (slot == i) {
        epoch.outbound.push_back({std::move(key)});
      } else {
        epoch.inbound.push_back({std::move(key), 0});
      }
    }
    ASSERT_TRUE(plane(i).install(std::move(epoch)));
  }

  void put(bool red, int segment, const Bytes& frame, std::size_t from) {
    const bool beacon = frame[12] == 0x88 && frame[13] == 0xb5;
    if (from != none && !beacon) ++crossed_;
    if (from != none && !beacon) seen_[{red, segment}].push_back(frame);
    for (std::size_t i = 0; i < places_.size(); ++i)
      if (i != from && dead_.count(i) == 0 && (red || loses_ != i) &&
          (red ? places_[i].red : places_[i].black) == segment)
        on_the_way_.push_back({red, i, frame});
  }
  std::deque<Arrival>::iterator next() {
    const auto of = [&](bool red) {
      return std::find_if(on_the_way_.begin(), on_the_way_.end(), [&](const Arrival& one) { return one.red == red; });
    };
    if (options_.order == Order::last_first) return std::prev(on_the_way_.end());
    if (options_.order == Order::as_sent) return on_the_way_.begin();
    const auto preferred = of(options_.order == Order::red_first);
    return preferred == on_the_way_.end() ? on_the_way_.begin() : preferred;
  }
  void run() {
    while (!on_the_way_.empty() && crossed_ < limit) {
      const auto at = next();
      const Arrival arrival = std::move(*at);
      on_the_way_.erase(at);
      Harness& gateway = *gateways_[arrival.at];
      const Outcome outcome = arrival.red ? gateway.red(arrival.frame) : gateway.black(arrival.frame);
      if (outcome.verdict != Verdict::forward) continue;
      const Place& place = places_[arrival.at];
      put(!arrival.red, arrival.red ? place.black : place.red, outcome.frame, arrival.at);
    }
    on_the_way_.clear();
  }

  const std::vector<Place> places_;
  const LabOptions options_;
  std::vector<std::unique_ptr<Harness>> gateways_;
  std::set<std::size_t> dead_;
  std::optional<std::size_t> loses_;
  std::deque<Arrival> on_the_way_;
  std::map<std::pair<bool, int>, std::vector<Bytes>> seen_;  // what gateways put on a segment
  std::size_t crossed_ = 0;
};

constexpr Order orders[] = {Order::as_sent, Order::black_first, Order::red_first, Order::last_first};

// Every wiring of so many gateways, in every order of their names.
template <typename Try>
void each_wiring(std::size_t gateways, Try&& attempt) {
  std::size_t all = 1;
  for (std::size_t i = 0; i < gateways; ++i)
    all *= 4;
  for (std::size_t wiring = 0; wiring < all; ++wiring) {
    std::vector<Place> places;
    std::string text;
    for (std::size_t i = 0, rest = wiring; i < gateways; ++i, rest /= 4) {
      places.push_back({static_cast<int>(rest % 2), static_cast<int>(rest / 2 % 2)});
      text += places.back().text() + " ";
    }
    SCOPED_TRACE(text);
    attempt(places);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

Bytes datagram_of(const char* source, std::uint16_t id) {
  return udp_frame(100, {.source = source, .ttl = 64, .id = id});
}

void expect_no_loop_nor_echo(const std::vector<Place>& places, const LabOptions& options) {
  Lab lab(places, options);
  for (std::uint16_t packet = 0; packet < 3; ++packet) {
    for (const int from : {0, 1}) {
      const Bytes frame = datagram_of(from == 0 ? "10.0.0.1" : "10.0.1.1", packet);
      const std::size_t crossed = lab.send(true, from, frame);
      EXPECT_EQ(lab.copies(true, from, frame), 0U) << "an echo";
      EXPECT_EQ(lab.copies(true, 1 - from, frame), lab.joined() ? 1U : 0U);
      // Sealed once, opened once.
      EXPECT_LE(crossed, 2U);
    }
    if (packet == 1) lab.pass(100ms);
  }
  // One works on each red segment that has any.
  for (const int red : {0, 1}) {
    std::size_t here = 0, working = 0;
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (places[i].red != red) continue;
      ++here;
      working += lab.works(i) ? 1U : 0U;
    }
    EXPECT_EQ(working, std::min<std::size_t>(here, 1));
  }
}

// What the laboratory would see without any of it: two gateways between the same two networks.
TEST(NoLoop, WithoutGuardsOneDatagramGoesRoundForEver) {
  for (const Order order : orders) {
    Lab lab({{0, 0}, {0, 0}}, {.beacons = false, .guards = false, .order = order});
    EXPECT_EQ(lab.send(true, 0, datagram_of("10.0.0.1", 1)), Lab::limit);
  }
}

TEST(NoLoop, H18_InNoWiringOfUpToThreeGatewaysADatagramGoesRoundOrComesBack) {
  for (std::size_t gateways = 1; gateways <= 3; ++gateways)
    each_wiring(gateways, [&](const std::vector<Place>& places) {
      for (const Order order : orders)
        for (const bool named : {true, false})
          expect_no_loop_nor_echo(places, {.named = named, .order = order});
    });
}

TEST(NoLoop, H18_InNoWiringOfFourGatewaysADatagramGoesRoundOrComesBack) {
  each_wiring(4, [&](const std::vector<Place>& places) {
    expect_no_loop_nor_echo(places, {.named = true, .order = Order::as_sent});
    expect_no_loop_nor_echo(places, {.named = false, .order = Order::black_first});
  });
}

// A switch that holds beacons back, or a moment in which they have not come yet. What is left is that a gateway's
// output is never sealed again, and that a source which is heard on red is at home there.
TEST(NoLoop, H18_NothingGoesRoundWhereNoBeaconIsHeard) {
  std::size_t most = 0;
  for (std::size_t gateways = 1; gateways <= 4; ++gateways) {
    each_wiring(gateways, [&](const std::vector<Place>& places) {
      for (const Order order : orders) {
        Lab lab(places, {.beacons = false, .order = order});
        for (std::uint16_t packet = 0; packet < 20; ++packet) {
          const Bytes frame = datagram_of("10.0.0.1", packet);
          most = std::max(most, lab.send(true, 0, frame));
          if (packet > 0) {
            ASSERT_EQ(lab.copies(true, 0, frame), 0U) << "packet " << packet;
          }
          lab.pass(50ms);
        }
        // Four gateways seal the first one, and each of them may open it for the others before it hears it itself.
        ASSERT_LE(most, 16U);
      }
    });
  }
  RecordProperty("most_frames_of_one_datagram", static_cast<int>(most));
}

// Both gateways of a red segment get the stream from black. Only one hands it to red, so that the other does not take
// the source for one of red's.
TEST(NoLoop, H18_ARemoteStreamReachesARedSegmentWithTwoGatewaysOnce) {
  for (const int black : {0, 1}) {
    Lab lab({{0, 0}, {1, 0}, {1, black}}, {});
    std::size_t on_black = 0;
    for (std::uint16_t packet = 0; packet < 100; ++packet) {
      const Bytes frame = datagram_of("10.0.0.1", packet);
      lab.send(true, 0, frame);
      ASSERT_EQ(lab.copies(true, 1, frame), 1U);
      on_black += lab.frames_on_black();
      if (packet % 10 == 9) lab.pass(50ms);
    }
    EXPECT_EQ(on_black, 100U) << "none of it was sealed again";
    EXPECT_EQ(lab.gateway(1).dropped(DropReason::source_moved), 0U);
    EXPECT_EQ(lab.gateway(2).dropped(DropReason::source_moved), 0U);
  }
}

// Where a packet to the one is lost, the other's output is all that it knows of the source.
TEST(NoLoop, H18_AGatewaysOutputIsNoSourceOfRedAndIsNeverSealedAgain) {
  Lab lab({{0, 0}, {1, 0}, {1, 0}}, {.beacons = false});
  for (std::uint16_t packet = 0; packet < 20; ++packet) {
    const Bytes frame = datagram_of("10.0.0.1", packet);
    lab.lose_on_black(packet % 3 == 0 ? std::optional<std::size_t>(2) : std::nullopt);
    lab.send(true, 0, frame);
    EXPECT_EQ(lab.frames_on_black(), 1U);
    EXPECT_EQ(lab.copies(true, 1, frame), packet % 3 == 0 ? 1U : 2U) << "doubled, but never lost";
    lab.pass(50ms);
  }
  EXPECT_EQ(lab.gateway(1).dropped(DropReason::gateway_output), 13U);
  EXPECT_EQ(lab.gateway(2).dropped(DropReason::gateway_output), 20U);
  EXPECT_EQ(lab.gateway(2).dropped(DropReason::source_moved), 0U);
}

TEST(NoLoop, H18_ASourceThatMovesIsHeardAgainWithinTwoSeconds) {
  Lab lab({{0, 0}, {1, 0}}, {});
  const auto send = [&](int red, std::uint16_t packet) {
    const Bytes frame = datagram_of("10.0.0.1", packet);
    lab.send(true, red, frame);
    return lab.copies(true, 1 - red, frame) == 1;
  };
  for (int red = 0; red < 2; ++red) {
    for (std::uint16_t packet = 0; packet < 10; ++packet) {
      ASSERT_TRUE(send(red, packet));
      lab.pass(50ms);
    }
    int silent = 0;
    while (!send(1 - red, 100)) {
      lab.pass(50ms);
      silent += 50;
      ASSERT_LE(silent, 2000);
    }
    EXPECT_GE(silent, 1700) << "until then it could have been an echo";
    // Where it was; and, the second time, where it had come to before.
    EXPECT_EQ(lab.gateway(static_cast<std::size_t>(red)).dropped(DropReason::source_moved), red + 1U);
    lab.pass(2000ms);
  }
  EXPECT_EQ(lab.gateway(1).statistics().red_segment.last_moved, "10.0.0.1 to black");
}

TEST(NoLoop, H18_TheOtherGatewayTakesOverAndNothingGoesRound) {
  for (const bool orderly : {true, false}) {
    Lab lab({{0, 0}, {1, 0}, {1, 0}}, {});
    ASSERT_TRUE(lab.works(1) && !lab.works(2));
    const auto passes = [&](std::uint16_t packet) {
      bool good = true;
      for (const int from : {0, 1}) {
        const Bytes frame = datagram_of(from == 0 ? "10.0.0.1" : "10.0.1.1", packet);
        EXPECT_LE(lab.send(true, from, frame), 2U);
        EXPECT_EQ(lab.copies(true, from, frame), 0U);
        good = good && lab.copies(true, 1 - from, frame) == 1;
      }
      return good;
    };
    for (std::uint16_t packet = 0; packet < 20; ++packet) {
      ASSERT_TRUE(passes(packet));
      lab.pass(50ms);
    }
    orderly ? lab.stop(1) : lab.kill(1);
    int silent = 0;
    while (!passes(100)) {
      lab.pass(50ms);
      silent += 50;
      ASSERT_LT(silent, 5000);
    }
    EXPECT_LE(silent, orderly ? 400 : 2600);
  }
}

TEST(NoLoop, H18_WhatPassesInClearDoesNotGoRoundEither) {
  BypassRule rule = bypass_rule(BypassProtocol::ip);
  rule.name = "mdns";
  rule.ip_protocol = 17;
  rule.destination = *Prefix::parse("224.0.0.251/32");
  rule.rate = 100'000;
  for (std::size_t gateways = 1; gateways <= 4; ++gateways) {
    each_wiring(gateways, [&](const std::vector<Place>& places) {
      Lab lab(places, {.bypass = {rule}});
      const Bytes frame = udp_frame(40, {.destination = "224.0.0.251", .ttl = 64}, 5353);
      const std::size_t crossed = lab.send(true, 0, frame);
      EXPECT_EQ(lab.copies(true, 0, frame), 0U);
      EXPECT_EQ(lab.copies(true, 1, frame), lab.joined() ? 1U : 0U);
      EXPECT_LE(crossed, 2U);
    });
  }
}

TEST(NoLoop, H18_BeaconsStayOnRed) {
  Lab lab({{0, 0}, {1, 0}}, {});
  const Bytes beacon = write_beacon({Standing::works, 77, "x", "y"}, {2, 0, 0, 0, 0, 7}, std::nullopt);
  EXPECT_EQ(lab.gateway(0).red(beacon).reason, DropReason::beacon);
  EXPECT_EQ(lab.gateway(0).black(beacon).reason, DropReason::not_ip);
  const Bytes tagged = write_beacon({Standing::works, 78, "x", "y"}, {2, 0, 0, 0, 0, 7}, 12);
  EXPECT_EQ(lab.gateway(0).red(tagged).reason, DropReason::beacon);
  lab.pass(50ms);
  EXPECT_EQ(lab.gateway(0).statistics().red_segment.neighbours.size(), 2U);
  EXPECT_EQ(lab.gateway(0).statistics().red_segment.state, "works") << "its name is the lower one";
}

// It still opens, so that windows and figures are right when it has to take over; but nothing leaves.
TEST(NoLoop, H18_OneThatStandsByPassesNothingAndKeepsItsWindows) {
  Harness path(Harness::Options{.path = {.learn_sources = true},
                                .beacon = NeighbourSettings{.name = "b", .site = "hq", .nonce = 2}});
  path.install_tv();
  Sender sender(0x10000008, tv_selectors());
  const auto tick = [&](int times) {
    for (; times > 0; --times) {
      path.advance(50ms);
      path.plane().take_events();
    }
  };
  EXPECT_EQ(path.red(udp_frame(10)).reason, DropReason::standing_by) << "before its port is open";
  path.plane().beacon().start({2, 0, 0, 0, 0, 1}, path.now());
  tick(2);
  EXPECT_EQ(path.black(sender.seal(udp_frame(10, {.source = "10.0.9.9"}))).reason, DropReason::standing_by);
  tick(5);
  EXPECT_EQ(path.red(udp_frame(10)).verdict, Verdict::forward);
  const Bytes first = sender.seal(udp_frame(10, {.source = "10.0.9.9"}));
  EXPECT_EQ(path.black(first).verdict, Verdict::forward);
  path.red(write_beacon({Standing::works, 1, "a", "hq"}, {2, 0, 0, 0, 0, 7}, std::nullopt));
  tick(1);
  EXPECT_EQ(path.red(udp_frame(10)).reason, DropReason::standing_by);
  EXPECT_EQ(path.red(udp6_frame(10)).reason, DropReason::no_policy);
  const Bytes second = sender.seal(udp_frame(10, {.source = "10.0.9.9"}));
  EXPECT_EQ(path.black(second).reason, DropReason::standing_by) << "a flow that was remembered as good";
  tick(50);
  EXPECT_EQ(path.red(udp_frame(10)).verdict, Verdict::forward) << "the other one is gone";
  EXPECT_EQ(path.black(second).reason, DropReason::replay) << "its number was taken";
  EXPECT_EQ(path.black(sender.seal(udp_frame(10, {.source = "10.0.9.9"}))).verdict, Verdict::forward);
}

}  // namespace
}  // namespace sealcast::dataplane::testing
