// Mutated frames by the ten thousand: whatever comes in, what goes out keeps the two promises of a gateway. Under
// AddressSanitizer the exactly sized buffers also show every byte read or written beyond a frame.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

class Mutator {
 public:
  explicit Mutator(std::uint32_t seed) : random_(seed) {}
  std::size_t below(std::size_t n) { return random_() % n; }

  Bytes mutate(Bytes frame) {
    for (std::size_t n = below(4); n > 0 && !frame.empty(); --n) {
      // Headers are where decisions are made.
      const std::size_t at = below(3) == 0 ? below(frame.size()) : below(std::min<std::size_t>(frame.size(), 64));
      switch (below(6)) {
        case 0:
          frame[at] = static_cast<std::uint8_t>(random_());
          break;
        case 1:
          frame[at] ^= static_cast<std::uint8_t>(1U << below(8));
          break;
        case 2:
          frame.resize(at);
          break;
        case 3:
          frame.resize(frame.size() + below(30), static_cast<std::uint8_t>(random_()));
          break;
        case 4:
          frame.insert(frame.begin() + static_cast<std::ptrdiff_t>(at), static_cast<std::uint8_t>(random_()));
          break;
        default: {
          static constexpr std::uint8_t interesting[] = {0, 1, 2, 4, 17, 50, 0x40, 0x45, 0x46, 0x4f, 0x7f, 0x80, 0xff};
          frame[at] = interesting[below(std::size(interesting))];
          break;
        }
      }
    }
    const std::size_t ip = 14;
    if (below(4) != 0 && frame.size() >= ip + 20) {
      const std::size_t header = (frame[ip] & 0x0fU) * 4;
      if (header >= 20 && frame.size() >= ip + header) {
        if (below(2) == 0) store_be(&frame[ip + 2], static_cast<std::uint16_t>(frame.size() - ip));
        mend_checksum(frame, ip);
      }
    }
    return frame;
  }

 private:
  std::mt19937 random_;
};

std::vector<Bytes> seeds() {
  Ipv4Fields report;
  report.protocol = 2;
  report.ttl = 1;
  report.options = router_alert;
  Ipv4Fields query = report;
  query.destination = "224.0.0.1";
  Ipv4Fields options;
  options.options = Bytes{1, 1, 1, 0};
  return {udp_frame(0),
          udp_frame(100),
          udp_frame(40, options),
          ethernet(ipv4({}, udp(1, 2, pattern(50))), {7}),
          ethernet(ipv4({}, udp(1, 2, pattern(50))), {100, 7}),
          ethernet(ipv4(report, igmp(0x16, 0, "239.1.1.5"))),
          ethernet(ipv4(query, igmp(0x11, 100, "0.0.0.0"))),
          ethernet(ipv4(query, igmp(0x11, 100, "0.0.0.0", {2, 125, 0, 0})))};
}

// Offset of the IPv4 header behind the tags of a frame that a worker let through.
std::size_t ip_offset(const Bytes& frame) {
  std::size_t at = 12;
  while (load_be<std::uint16_t>(&frame[at]) == 0x8100 || load_be<std::uint16_t>(&frame[at]) == 0x88a8)
    at += 4;
  return at + 2;
}

TEST(Property, H10_NothingButEspAndReportsLeavesOnBlack) {
  // No more room than sealing needs: a step beyond it is a step out of the buffer.
  Harness path(
      Harness::Options{.path = {.bypass = bypass_at(1'000'000)}, .headroom = seal_headroom, .tailroom = seal_tailroom});
  path.install_tv();
  const std::vector<Bytes> base = seeds();
  Mutator mutator(1);
  std::map<DropReason, int> drops;
  std::set<std::pair<std::uint32_t, std::uint64_t>> nonces;
  std::size_t sealed = 0, bypassed = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<Bytes> burst;
    for (std::size_t n = 1 + mutator.below(40); n > 0; --n)
      burst.push_back(mutator.mutate(base[mutator.below(base.size())]));
    for (const Outcome& outcome : path.red(burst)) {
      if (outcome.verdict == Verdict::drop) {
        ++drops[outcome.reason];
        continue;
      }
      ASSERT_EQ(outcome.verdict, Verdict::forward);
      const std::uint8_t* ip = &outcome.frame[ip_offset(outcome.frame)];
      if (ip[9] == 50) {
        ++sealed;
        ASSERT_EQ(load_be<std::uint32_t>(ip + 20), 0x10000000U);
        ASSERT_TRUE(nonces.emplace(load_be<std::uint32_t>(ip + 20), load_be<std::uint64_t>(ip + 28)).second);
        ASSERT_EQ(load_be<std::uint32_t>(ip + 16) >> 8, 0xef0101U);  // 239.1.1.0/24
      } else {
        ++bypassed;
        ASSERT_EQ(ip[9], 2);
        ASSERT_EQ(ip[8], 1);
      }
    }
  }
  EXPECT_GT(sealed, 2000U);
  EXPECT_GT(bypassed, 500U);
  EXPECT_GE(drops.size(), 9U);
  EXPECT_EQ(drops.count(DropReason::none), 0U);
}

TEST(Property, OnlyWhatAMemberSealedAndQueriesComeOutOnRed) {
  // Opening needs no room at all.
  Harness path(Harness::Options{.path = {.bypass = bypass_at(1'000'000)}, .headroom = 0, .tailroom = 0});
  path.install_tv();
  Sender sender(0x10000008, {selector("239.1.1.0/24")});
  const std::vector<Bytes> base = seeds();
  Mutator mutator(2);
  std::map<DropReason, int> drops;
  std::set<Bytes> sealed_inside;  // inner packets without the ECN bits and the checksum over them
  const auto essence = [](Bytes packet) {
    packet[1] = 0;
    packet[10] = packet[11] = 0;
    return packet;
  };
  std::size_t opened = 0, bypassed = 0, total = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<Bytes> burst;
    for (std::size_t n = 1 + mutator.below(40); n > 0; --n) {
      if (mutator.below(2) == 0) {
        const Bytes inner = ipv4({}, udp(1, 2, pattern(mutator.below(120), static_cast<std::uint8_t>(total))));
        sealed_inside.insert(essence(inner));
        burst.push_back(mutator.mutate(sender.seal(ethernet(inner))));
        ++total;
      } else {
        burst.push_back(mutator.mutate(base[mutator.below(base.size())]));
      }
    }
    for (const Outcome& outcome : path.black(burst)) {
      if (outcome.verdict == Verdict::park) continue;
      if (outcome.verdict == Verdict::drop) {
        ++drops[outcome.reason];
        continue;
      }
      ASSERT_EQ(outcome.verdict, Verdict::forward);
      const Bytes packet(outcome.frame.begin() + static_cast<std::ptrdiff_t>(ip_offset(outcome.frame)),
                         outcome.frame.end());
      if (packet[9] == 2) {
        ++bypassed;
        ASSERT_EQ(packet[8], 1);
        ASSERT_EQ(packet[(packet[0] & 0x0fU) * 4], 0x11);
      } else {
        ++opened;
        ASSERT_EQ(sealed_inside.count(essence(packet)), 1U);
      }
    }
  }
  EXPECT_GT(opened, total / 8);
  EXPECT_GT(bypassed, 500U);
  EXPECT_GT(drops.size(), 12U);
}

// ---- The two ways of the path, lean and general: Sealer::seal_lean() against encapsulate(), Opener::admit_lean() and
// strip_lean() against admit_multicast() and strip_tunnel(). A frame with a VLAN tag never goes the lean way, the same
// frame without it mostly does. Both must get the same verdict, bytes and counts.

Bytes tagged(Bytes frame) {
  const Bytes tag = {0x81, 0x00, 0x00, 0x07};
  frame.insert(frame.begin() + 12, tag.begin(), tag.end());
  return frame;
}
bool can_be_tagged(const Bytes& frame) {
  if (frame.size() < 14) return false;
  const auto type = load_be<std::uint16_t>(&frame[12]);
  return type != 0x8100 && type != 0x88a8;
}

// Three groups: any source and port; two flows of one source and few ports; a fixed tunnel.
void install_three(Harness& path) {
  path.install_tv();
  const Selector ports = selector("239.2.0.0/16", PortRange{5000, 5003}, "10.0.0.1/32");
  const Selector fixed = selector("239.3.0.0/16");
  const auto add = [&](const std::string& group, const GroupProtection& protection, std::uint32_t prefix) {
    ASSERT_TRUE(path.plane().protect(group, protection));
    GroupEpoch made = path.epoch(group, 1, prefix, protection.selectors);
    made.mode = protection.mode;
    made.outbound.push_back({key_of(prefix)});
    made.inbound.push_back({key_of(prefix + 8), 0});
    ASSERT_TRUE(path.plane().install(std::move(made)));
  };
  add("ports", {{ports}}, 0x20000000);
  OuterTunnel outer;
  outer.destination = *IpAddress::parse("239.9.9.9");
  outer.source = *IpAddress::parse("10.9.0.2");
  add("fixed", {{fixed}, EspMode::tunnel_fixed, outer}, 0x30000000);
}

std::vector<Bytes> flows() {
  std::vector<Bytes> all = seeds();
  for (const char* to : {"239.1.1.5", "239.1.1.6", "239.2.0.1", "239.2.0.2", "239.3.0.1", "239.200.0.1"})
    for (const std::uint16_t port : {5000, 5003, 5004})
      for (const std::size_t bytes : {0, 18, 19, 20, 21, 600, 1410, 1426}) {
        Ipv4Fields fields;
        fields.destination = to;
        fields.tos = static_cast<std::uint8_t>(port == 5003 ? 0xba : 0);
        fields.fragment = bytes == 600 ? 0 : 0x4000;
        all.push_back(udp_frame(bytes, fields, port));
      }
  Ipv4Fields partial;
  const Bytes unfinished = udp(1, 5000, pattern(18), 0xfa32);  // the bare sum of the pseudo-header
  all.push_back(ethernet(ipv4(partial, unfinished)));
  return all;
}

void expect_same(const std::vector<Outcome>& lean, const std::vector<Outcome>& general) {
  ASSERT_EQ(lean.size(), general.size());
  for (std::size_t i = 0; i < lean.size(); ++i) {
    ASSERT_EQ(lean[i].verdict, general[i].verdict) << i;
    ASSERT_EQ(lean[i].reason, general[i].reason) << i;
    ASSERT_EQ(lean[i].target, general[i].target) << i;
    if (lean[i].verdict != Verdict::forward) continue;
    ASSERT_EQ(tagged(lean[i].frame), general[i].frame) << i;
  }
}

void expect_same_counts(Harness& lean, Harness& general) {
  const DataPlaneStatistics a = lean.statistics(), b = general.statistics();
  ASSERT_EQ(a.sas.size(), b.sas.size());
  for (std::size_t i = 0; i < a.sas.size(); ++i) {
    EXPECT_EQ(a.sas[i].spi, b.sas[i].spi);
    EXPECT_EQ(a.sas[i].packets, b.sas[i].packets);
    EXPECT_EQ(a.sas[i].bytes, b.sas[i].bytes);
    EXPECT_EQ(a.sas[i].next_number, b.sas[i].next_number);
    EXPECT_EQ(a.sas[i].replays, b.sas[i].replays);
    EXPECT_EQ(a.sas[i].bad_tags, b.sas[i].bad_tags);
    ASSERT_EQ(a.sas[i].drops.size(), b.sas[i].drops.size());
    for (std::size_t n = 0; n < a.sas[i].drops.size(); ++n) {
      EXPECT_EQ(a.sas[i].drops[n].reason, b.sas[i].drops[n].reason);
      EXPECT_EQ(a.sas[i].drops[n].packets, b.sas[i].drops[n].packets) << a.sas[i].drops[n].reason;
    }
  }
  for (std::size_t i = 0; i < lean.snapshot().outbound.size(); ++i) {
    EXPECT_EQ(lean.snapshot().outbound[i]->blocks.get(), general.snapshot().outbound[i]->blocks.get());
  }
  for (std::size_t reason = 0; reason < drop_reason_count; ++reason)
    EXPECT_EQ(lean.dropped(static_cast<DropReason>(reason)), general.dropped(static_cast<DropReason>(reason)))
        << name(static_cast<DropReason>(reason));
  EXPECT_EQ(a.workers.at(0).sealed, b.workers.at(0).sealed);
  EXPECT_EQ(a.workers.at(0).opened, b.workers.at(0).opened);
}

TEST(Property, TheLeanWayOutDecidesAsTheGeneralOne) {
  const PathSettings settings{.bypass = bypass_at(1'000'000), .red_address6 = {}};
  Harness lean(Harness::Options{.path = settings}), general(Harness::Options{.path = settings});
  install_three(lean);
  install_three(general);
  const std::vector<Bytes> base = flows();
  Mutator mutator(3);
  for (int round = 0; round < 1500; ++round) {
    std::vector<Bytes> plain, with_tag;
    for (std::size_t n = 1 + mutator.below(90); n > 0;) {
      // Runs of one flow, as they come.
      const Bytes& flow = base[mutator.below(base.size())];
      for (std::size_t same = 1 + mutator.below(6); same > 0 && n > 0; --same, --n) {
        const Bytes frame = mutator.below(4) == 0 ? mutator.mutate(flow) : flow;
        if (!can_be_tagged(frame)) continue;
        plain.push_back(frame);
        with_tag.push_back(tagged(frame));
      }
    }
    ASSERT_NO_FATAL_FAILURE(expect_same(lean.red(plain), general.red(with_tag))) << "round " << round;
  }
  expect_same_counts(lean, general);
  EXPECT_GT(lean.statistics().workers.at(0).sealed, 20'000U);
  EXPECT_GT(lean.dropped(DropReason::partial_checksum), 10U);
}

TEST(Property, TheLeanWayInDecidesAsTheGeneralOne) {
  const PathSettings settings{.red_mtu = 1430,
                              .bypass = bypass_at(1'000'000),
                              .local_red_sources = {*Prefix::parse("10.66.0.0/16")},
                              .red_mac = {0x0a, 0x53, 0x43, 1, 2, 3}};
  const PathSettings open_settings{.red_mtu = 1430, .bypass = bypass_at(1'000'000)};
  for (const PathSettings& path : {settings, open_settings}) {
    Harness lean(Harness::Options{.path = path}), general(Harness::Options{.path = path});
    install_three(lean);
    install_three(general);
    Sender tv(0x10000008, {selector("239.1.1.0/24")});
    // A member that lies about what it may send.
    Sender liar(0x20000008, {selector("239.0.0.0/8")});
    const std::vector<Bytes> base = flows();
    Mutator mutator(4);
    const std::vector<Bytes> trailers = {{0, 4}, {1, 1, 4},          {1, 2, 2, 4}, {1, 2, 3, 3, 4}, {1, 2, 4, 3, 4},
                                         {2, 4}, {1, 2, 3, 4, 4, 4}, {0, 41},      {0, 17},         {200, 4}};
    std::uint64_t bent_number = 0;
    std::vector<Bytes> past;
    for (int round = 0; round < 400; ++round) {
      std::vector<Bytes> plain, with_tag;
      for (std::size_t n = 1 + mutator.below(90); n > 0; --n) {
        const Bytes& inner = base[mutator.below(base.size())];
        Bytes frame;
        if (mutator.below(5) == 0) {
          // Whatever the key's holder may put in.
          const Bytes bent = mutator.mutate(inner);
          EspFields fields;
          fields.spi = 0x10000009;
          fields.number = ++bent_number;
          if (mutator.below(3) == 0) fields.trailer = trailers[mutator.below(trailers.size())];
          fields.outer.tos = inner[15];
          frame = esp_frame(fields, Bytes(bent.begin() + std::min<std::ptrdiff_t>(14, std::ssize(bent)), bent.end()));
        } else if (!past.empty() && mutator.below(20) == 0) {
          frame = past[mutator.below(past.size())];
        } else {
          const Outcome sealed = (mutator.below(2) == 0 ? tv : liar).harness().red(inner);
          if (sealed.verdict != Verdict::forward) continue;
          frame = sealed.frame;
        }
        past.push_back(frame);
        if (mutator.below(6) == 0) frame = mutator.mutate(frame);
        if (!can_be_tagged(frame)) continue;
        plain.push_back(frame);
        with_tag.push_back(tagged(frame));
      }
      if (mutator.below(3) == 0 && !plain.empty()) {
        // Reordered, within the window and across bursts.
        std::swap(plain[0], plain[plain.size() - 1]);
        std::swap(with_tag[0], with_tag[with_tag.size() - 1]);
      }
      ASSERT_NO_FATAL_FAILURE(expect_same(lean.black(plain), general.black(with_tag))) << "round " << round;
    }
    expect_same_counts(lean, general);
    EXPECT_GT(lean.statistics().workers.at(0).opened, 2'000U);
    EXPECT_GT(lean.dropped(DropReason::replay), 50U);
    EXPECT_GT(lean.dropped(DropReason::selector_mismatch), 100U);
  }
}

// More groups than stay in the cache by themselves (few_groups in snapshot.h): the path then looks ahead.
TEST(Property, HundredsOfGroupsEachUnderItsOwnKey) {
  constexpr std::uint32_t groups = 700;
  const auto prefix = [](std::uint32_t group) { return 0x01000000U * (1 + group / 256) + 0x10000U * (group % 256); };
  const auto address = [](std::uint32_t group) {
    return "239.4." + std::to_string(group / 256) + "." + std::to_string(group % 256);
  };
  Harness sealing, opening;
  for (std::uint32_t group = 0; group < groups; ++group) {
    const std::string id = "group " + std::to_string(group);
    const std::vector<Selector> selectors = {selector(address(group) + "/32")};
    GroupEpoch ours = sealing.epoch(id, 1, prefix(group), selectors);
    GroupEpoch theirs = opening.epoch(id, 1, prefix(group), selectors);
    ours.outbound.push_back({key_of(prefix(group))});
    theirs.inbound.push_back({key_of(prefix(group)), 0});
    ASSERT_TRUE(sealing.plane().protect(id, {selectors}));
    ASSERT_TRUE(opening.plane().protect(id, {selectors}));
    ASSERT_TRUE(sealing.plane().install(std::move(ours)));
    ASSERT_TRUE(opening.plane().install(std::move(theirs)));
  }
  std::mt19937 random(5);
  for (int round = 0; round < 60; ++round) {
    std::vector<Bytes> plain, sealed;
    std::vector<std::uint32_t> wanted;
    for (int n = 0; n < 64; ++n) {
      wanted.push_back(static_cast<std::uint32_t>(random() % (groups + 1)));  // the last one is no group's
      Ipv4Fields fields;
      fields.destination = address(wanted.back());
      plain.push_back(n % 16 == 0 ? Bytes(random() % 40, 0) : udp_frame(random() % 300, fields));
    }
    const std::vector<Outcome> out = sealing.red(plain);
    for (std::size_t i = 0; i < out.size(); ++i) {
      const bool good = i % 16 != 0 && wanted[i] < groups;
      ASSERT_EQ(out[i].verdict, good ? Verdict::forward : Verdict::drop) << i;
      if (!good) continue;
      ASSERT_EQ(load_be<std::uint32_t>(&out[i].frame[14 + 20]), prefix(wanted[i]));
      sealed.push_back(out[i].frame);
    }
    std::shuffle(sealed.begin(), sealed.end(), random);
    sealed.push_back(Bytes(30, 1));
    for (const Outcome& back : opening.black(sealed))
      if (back.reason != DropReason::short_frame && back.reason != DropReason::not_ip) {
        ASSERT_EQ(back.verdict, Verdict::forward) << name(back.reason);
        ASSERT_EQ(std::count(plain.begin(), plain.end(), back.frame), 1);
      }
  }
  EXPECT_EQ(opening.statistics().workers.at(0).opened, sealing.statistics().workers.at(0).sealed);
  EXPECT_GT(opening.statistics().workers.at(0).opened, 3000U);
}

}  // namespace
}  // namespace sealcast::dataplane::testing
