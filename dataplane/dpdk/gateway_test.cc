// The data plane between real DPDK ports, in one process: recorded frames in, recorded frames out, with known keys.
// Needs hugepages (label virtio).
#include "dataplane/dpdk/gateway.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <thread>

#include "dataplane/dpdk/testing/pcap_file.h"
#include "dataplane/packet/packet.h"
#include "dataplane/sa/sa.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::key_of;
using testing::read_pcap;
using testing::selector;
using testing::udp_frame;
using testing::write_pcap;

constexpr std::uint32_t prefix = 0x10000000;

class Gateway : public ::testing::Test {
 protected:
  Gateway() {
    char name[] = "/tmp/sealcast-gateway-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  ~Gateway() override { std::filesystem::remove_all(folder_); }
  std::string at(const std::string& name) const { return folder_ + "/" + name; }

  static GatewayOptions options(const std::string& red, const std::string& black) {
    GatewayOptions made;
    made.red.device = red;
    made.black = {black, 1600};
    made.memory_mb = 128;
    return made;
  }

  // A gateway that seals 239.1.1.0/24 under own_slot and opens what peer_slot sealed.
  static std::unique_ptr<GatewayDataPlane> gateway(const GatewayOptions& options, std::uint32_t own_slot,
                                                   std::uint32_t peer_slot,
                                                   std::optional<PortRange> ports = std::nullopt) {
    auto made = GatewayDataPlane::create(options);
    EXPECT_TRUE(made) << made.error().message;
    if (!made) return nullptr;
    key(**made, own_slot, peer_slot, ports);
    return std::move(*made);
  }
  static void key(GatewayDataPlane& gateway, std::uint32_t own_slot, std::uint32_t peer_slot,
                  std::optional<PortRange> ports = std::nullopt) {
    const std::vector<Selector> selectors{selector("239.1.1.0/24", ports)};
    ASSERT_TRUE(gateway.control().protect("tv", {selectors}));
    GroupEpoch epoch;
    epoch.group_id = "tv";
    epoch.epoch = 1;
    epoch.selectors = selectors;
    epoch.spi_prefix = prefix;
    epoch.active = true;
    epoch.expires = std::chrono::steady_clock::now() + 1h;
    epoch.lease_until = epoch.expires;
    for (std::uint32_t worker = 0; worker < gateway.control().workers(); ++worker)
      epoch.outbound.push_back({key_of(prefix + own_slot + worker)});
    for (std::uint32_t worker = 0; worker < gateway.control().workers(); ++worker)
      epoch.inbound.push_back({key_of(prefix + peer_slot + worker), 0});
    const auto installed = gateway.control().install(std::move(epoch));
    ASSERT_TRUE(installed) << installed.error().message;
  }

  template <typename Condition>
  static bool eventually(Condition condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }
  static std::uint64_t drops(GatewayDataPlane& gateway, const std::string& reason) {
    for (const DropCount& drop : gateway.control().statistics().drops)
      if (drop.reason == reason) return drop.packets;
    ADD_FAILURE() << "no such reason: " << reason;
    return 0;
  }

  static std::string all_drops(GatewayDataPlane& gateway) {
    std::string text;
    const auto statistics = gateway.control().statistics();
    for (const DropCount& drop : statistics.drops)
      if (drop.packets != 0) text += drop.reason + "=" + std::to_string(drop.packets) + " ";
    for (const PortStatistics& port : statistics.ports)
      text += port.name + " rx " + std::to_string(port.rx_packets) + " tx " + std::to_string(port.tx_packets) +
              " dropped " + std::to_string(port.tx_dropped) + " ";
    return text;
  }

  std::string folder_;
};

std::vector<Bytes> frames_of_many_sizes() {
  std::vector<Bytes> frames;
  for (std::size_t size = 0; size <= 1472; size += 7)
    frames.push_back(udp_frame(size));
  return frames;
}

TEST_F(Gateway, RecordedStreamIsSealedAndOpenedByteForByte) {
  const std::vector<Bytes> plain = frames_of_many_sizes();
  ASSERT_TRUE(write_pcap(at("in.pcap"), plain));
  {
    auto sender = gateway(options("pcap:" + at("in.pcap"), "pcap:," + at("black.pcap")), 0, 8);
    ASSERT_TRUE(sender);
    const auto started = sender->start();
    ASSERT_TRUE(started) << started.error().message;
    EXPECT_TRUE(eventually([&] { return sender->control().statistics().sealed == plain.size(); }));
    sender->stop();
    const auto statistics = sender->control().statistics();
    ASSERT_EQ(statistics.ports.size(), 2U);
    EXPECT_EQ(statistics.ports[0].name, "red");
    EXPECT_EQ(statistics.ports[0].rx_packets, plain.size());
    EXPECT_EQ(statistics.ports[1].name, "black");
    EXPECT_EQ(statistics.ports[1].tx_packets, plain.size());
    EXPECT_EQ(statistics.ports[1].tx_dropped, 0U);
    EXPECT_FALSE(statistics.ports[1].link_up) << "stopped";
  }
  const auto sealed = read_pcap(at("black.pcap"));
  ASSERT_TRUE(sealed);
  ASSERT_EQ(sealed->size(), plain.size());
  for (const Bytes& frame : *sealed)
    EXPECT_EQ(frame[14 + 9], 50) << "nothing but ESP on black";

  auto receiver = gateway(options("pcap:," + at("out.pcap"), "pcap:" + at("black.pcap")), 8, 0);
  ASSERT_TRUE(receiver);
  ASSERT_TRUE(receiver->start());
  EXPECT_TRUE(eventually([&] { return receiver->control().statistics().opened == plain.size(); }));
  receiver->stop();
  EXPECT_EQ(read_pcap(at("out.pcap")), plain);
}

// 802.1Q, and 802.1ad outside it (QinQ): the tags stay in front of ESP and behind opening.
TEST_F(Gateway, RecordedTaggedStreamKeepsItsTags) {
  std::vector<Bytes> plain;
  const std::vector<std::vector<std::uint16_t>> tags = {{}, {7}, {100, 7}, {0xe00 + 1}, {4094, 4095}};
  for (const auto& vlans : tags)
    for (const std::size_t bytes : {0, 18, 400, 1400}) {
      plain.push_back(testing::ethernet(testing::ipv4({}, testing::udp(1, 5000, testing::pattern(bytes))), vlans));
      plain.push_back(testing::ethernet(testing::ipv4({}, testing::udp(2, 5000, testing::pattern(bytes))), vlans));
    }
  ASSERT_TRUE(write_pcap(at("in.pcap"), plain));
  {
    auto sender = gateway(options("pcap:" + at("in.pcap"), "pcap:," + at("black.pcap")), 0, 8);
    ASSERT_TRUE(sender);
    ASSERT_TRUE(sender->start());
    EXPECT_TRUE(eventually([&] { return sender->control().statistics().sealed == plain.size(); }))
        << all_drops(*sender);
    sender->stop();
  }
  const auto sealed = read_pcap(at("black.pcap"));
  ASSERT_TRUE(sealed);
  ASSERT_EQ(sealed->size(), plain.size());
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const Bytes &before = plain[i], &after = (*sealed)[i];
    const std::size_t link = 14 + 4 * tags[i / 8].size();
    EXPECT_EQ(Bytes(after.begin(), after.begin() + static_cast<std::ptrdiff_t>(link)),
              Bytes(before.begin(), before.begin() + static_cast<std::ptrdiff_t>(link)))
        << i;
    EXPECT_EQ(after[link + 9], 50) << i;
  }
  auto receiver = gateway(options("pcap:," + at("out.pcap"), "pcap:" + at("black.pcap")), 8, 0);
  ASSERT_TRUE(receiver);
  ASSERT_TRUE(receiver->start());
  EXPECT_TRUE(eventually([&] { return receiver->control().statistics().opened == plain.size(); }))
      << all_drops(*receiver);
  receiver->stop();
  EXPECT_EQ(read_pcap(at("out.pcap")), plain);
}

TEST_F(Gateway, H10_WithoutKeysNothingLeavesInClear) {
  ASSERT_TRUE(write_pcap(at("in.pcap"), {100, udp_frame(200)}));
  auto made = GatewayDataPlane::create(options("pcap:" + at("in.pcap"), "pcap:," + at("black.pcap")));
  ASSERT_TRUE(made);
  ASSERT_TRUE((*made)->control().protect("tv", {{selector("239.1.1.0/24")}}));
  ASSERT_TRUE((*made)->start());
  EXPECT_TRUE(eventually([&] { return drops(**made, "no_sa") == 100; }));
  (*made)->stop();
  EXPECT_EQ(read_pcap(at("black.pcap")), std::vector<Bytes>{});
}

// Two gateways in one process, black sides joined by a ring, with rekeys while the stream runs.
TEST_F(Gateway, JoinsOnBlackWhileThereIsAKeyAndLeavesAtTheEnd) {
  auto made = GatewayDataPlane::create([&] {
    GatewayOptions options = Gateway::options("null", "pcap:," + at("black.pcap"));
    options.black_address4 = IpAddress::parse("10.9.0.2").value();
    return options;
  }());
  ASSERT_TRUE(made) << made.error().message;
  GatewayDataPlane& gateway = **made;
  GroupProtection protection;
  protection.selectors = {selector("239.1.1.5")};
  protection.join = true;
  ASSERT_TRUE(gateway.control().protect("tv", protection));
  ASSERT_TRUE(gateway.start());
  gateway.control().take_events();
  GroupEpoch epoch;
  epoch.group_id = "tv";
  epoch.epoch = 1;
  epoch.selectors = protection.selectors;
  epoch.spi_prefix = prefix;
  epoch.expires = epoch.lease_until = std::chrono::steady_clock::now() + 1h;
  ASSERT_TRUE(gateway.control().install(std::move(epoch)));
  const auto sent = [&] {
    gateway.control().take_events();  // as the member agent does several times a second
    return gateway.control().statistics().ports[1].tx_packets;
  };
  EXPECT_TRUE(eventually([&] { return sent() == 2; })) << all_drops(gateway);
  gateway.stop();
  const auto black = read_pcap(at("black.pcap"));
  ASSERT_TRUE(black);
  ASSERT_EQ(black->size(), 3U) << "a join, told twice; and the leave";
  for (const Bytes& frame : *black) {
    ASSERT_EQ(frame.size(), 14U + 24 + 16);
    EXPECT_EQ(frame[14 + 9], 2);
    EXPECT_EQ(Bytes(frame.begin() + 26, frame.begin() + 34), (Bytes{10, 9, 0, 2, 224, 0, 0, 22}));
    EXPECT_EQ(Bytes(frame.begin() + 50, frame.end()), (Bytes{239, 1, 1, 5}));
  }
  EXPECT_EQ(black->at(0)[46], 4) << "CHANGE_TO_EXCLUDE_MODE";
  EXPECT_EQ(black->at(1)[46], 4);
  EXPECT_EQ(black->at(2)[46], 3) << "CHANGE_TO_INCLUDE_MODE";
}

TEST_F(Gateway, RekeysWhileTheStreamRuns) {
  ASSERT_TRUE(write_pcap(at("in.pcap"), {64, udp_frame(300)}));
  auto receiver = gateway(options("null", "ring:rekey"), 8, 0);
  ASSERT_TRUE(receiver && receiver->start());
  auto sender = gateway(options("pcap:" + at("in.pcap") + "?infinite=1", "ring:rekey"), 0, 8);
  ASSERT_TRUE(sender && sender->start());
  const auto epoch = [](std::uint64_t number) {
    GroupEpoch made;
    made.group_id = "tv";
    made.epoch = number;
    made.selectors = {selector("239.1.1.0/24")};
    made.spi_prefix = prefix + static_cast<std::uint32_t>(number << 16);
    made.expires = made.lease_until = std::chrono::steady_clock::now() + 1h;
    return made;
  };
  const auto opened = [&] { return receiver->control().statistics().opened; };
  ASSERT_TRUE(eventually([&] { return opened() > 0; }));
  constexpr std::uint64_t last = 20;
  for (std::uint64_t number = 2; number <= last; ++number) {
    GroupEpoch at_receiver = epoch(number);
    GroupEpoch at_sender = epoch(number);
    at_receiver.inbound.push_back({key_of(at_receiver.spi_prefix), 0});
    at_sender.outbound.push_back({key_of(at_sender.spi_prefix)});
    ASSERT_TRUE(receiver->control().install(std::move(at_receiver)));
    ASSERT_TRUE(sender->control().install(std::move(at_sender)));
    ASSERT_TRUE(sender->control().activate("tv", number));
    ASSERT_TRUE(sender->control().retire("tv", number - 1));
    // The ring may still be full of packets of the former epoch.
    const std::uint64_t before = opened();
    ASSERT_TRUE(eventually([&] { return opened() > before + 2000; })) << "epoch " << number;
  }
  sender->stop();
  const auto sent = sender->control().statistics();
  EXPECT_TRUE(eventually([&] { return opened() == sent.sealed - sent.ports[1].tx_dropped; }))
      << "sealed " << sent.sealed << ", ring full for " << sent.ports[1].tx_dropped << ", opened " << opened()
      << "; receiver: " << all_drops(*receiver) << "; sender: " << all_drops(*sender);
  const auto sas = receiver->control().statistics().sas;
  EXPECT_EQ(std::count_if(sas.begin(), sas.end(), [](const auto& sa) { return !sa.outbound && sa.packets > 0; }),
            static_cast<std::ptrdiff_t>(last));
  for (const char* reason : {"unknown_spi", "bad_tag", "replay", "no_sa", "sa_expired"}) {
    EXPECT_EQ(drops(*receiver, reason), 0U) << reason;
    EXPECT_EQ(drops(*sender, reason), 0U) << reason;
  }
}

TEST_F(Gateway, AFrameLargerThanABufferIsCopiedOrDroppedNeverCut) {
  // pcap hands frames over in several segments when they exceed a buffer (here 2048 + headroom).
  ASSERT_TRUE(write_pcap(at("in.pcap"), {udp_frame(1000), udp_frame(4000), udp_frame(1000)}));
  auto sender = gateway(options("pcap:" + at("in.pcap"), "pcap:," + at("black.pcap")), 0, 8);
  ASSERT_TRUE(sender && sender->start());
  EXPECT_TRUE(eventually([&] { return sender->control().statistics().sealed == 2; }));
  EXPECT_EQ(drops(*sender, "not_contiguous"), 1U);
}

TEST_F(Gateway, JumboFramesStayInOneBuffer) {
  const std::vector<Bytes> plain{udp_frame(8900), udp_frame(100), udp_frame(8000)};
  ASSERT_TRUE(write_pcap(at("in.pcap"), plain));
  GatewayOptions jumbo = options("pcap:" + at("in.pcap"), "pcap:," + at("black.pcap"));
  jumbo.red.mtu = 8928;
  jumbo.black.mtu = 9000;
  auto sender = gateway(jumbo, 0, 8);
  ASSERT_TRUE(sender && sender->start());
  EXPECT_TRUE(eventually([&] { return sender->control().statistics().sealed == 3; }));
  EXPECT_EQ(drops(*sender, "not_contiguous"), 0U);
}

// Reassembles one sender's IPv4 fragments, in order; other frames stay as they are.
std::vector<Bytes> put_together(const std::vector<Bytes>& frames) {
  std::vector<Bytes> whole;
  bool open = false;
  for (const Bytes& frame : frames) {
    const std::uint16_t place = load16(&frame[20]);
    const std::size_t offset = (place & 0x1fffU) * 8;
    if (offset == 0) {
      EXPECT_FALSE(open) << "the one before has no end";
      whole.push_back(frame);
    } else {
      EXPECT_EQ(load16(&frame[18]), load16(&whole.back()[18])) << "identification";
      EXPECT_EQ(offset, whole.back().size() - 34) << "in order, without a hole";
      whole.back().insert(whole.back().end(), frame.begin() + 34, frame.end());
    }
    open = (place & 0x2000) != 0;
    if (open) continue;
    Bytes& done = whole.back();
    store_be(&done[16], static_cast<std::uint16_t>(done.size() - 14));
    store_be(&done[20], static_cast<std::uint16_t>(place & 0x4000));
    testing::mend_checksum(done);
  }
  EXPECT_FALSE(open);
  return whole;
}

// Packets of every size around the limit, mixed with small ones, selectors with ports: reassembled, the other red side
// receives what was sent, in order, and no packet on black exceeds its MTU.
TEST_F(Gateway, WhatIsTooLongIsCutBeforeItIsSealedAndOrderStays) {
  std::vector<Bytes> plain;
  testing::Ipv4Fields fields;
  fields.fragment = 0;
  for (std::size_t size = 1380; size <= 1600; ++size) {
    fields.id = static_cast<std::uint16_t>(size);
    plain.push_back(udp_frame(size, fields));
    plain.push_back(udp_frame(size % 300));
  }
  ASSERT_TRUE(write_pcap(at("in.pcap"), plain));
  GatewayOptions narrow = options("pcap:" + at("in.pcap"), "pcap:," + at("black.pcap"));
  narrow.black.mtu = 1500;
  {
    auto sender = gateway(narrow, 0, 8, PortRange{5000, 5000});
    ASSERT_TRUE(sender && sender->start());
    const std::uint64_t cut = 1600 - 1418;  // 20 + 8 + 1418 bytes are the longest that fit
    EXPECT_TRUE(eventually([&] { return sender->control().statistics().sealed == plain.size() + cut; }))
        << all_drops(*sender);
    sender->stop();
    const auto statistics = sender->control().statistics();
    EXPECT_EQ(statistics.cut, cut);
    EXPECT_EQ(drops(*sender, "too_big"), 0U);
  }
  const auto sealed = read_pcap(at("black.pcap"));
  ASSERT_TRUE(sealed);
  std::uint64_t number = 0;
  for (const Bytes& frame : *sealed) {
    EXPECT_LE(frame.size(), 14U + 1500U);
    EXPECT_EQ(load64(&frame[14 + 28]), ++number) << "numbers rise in the order in which frames leave";
  }
  GatewayOptions other = options("pcap:," + at("out.pcap"), "pcap:" + at("black.pcap"));
  auto receiver = gateway(other, 8, 0, PortRange{5000, 5000});
  ASSERT_TRUE(receiver && receiver->start());
  EXPECT_TRUE(eventually([&] { return receiver->control().statistics().opened == sealed->size(); }))
      << all_drops(*receiver);
  receiver->stop();
  const auto out = read_pcap(at("out.pcap"));
  ASSERT_TRUE(out);
  EXPECT_EQ(put_together(*out), plain);
}

TEST_F(Gateway, WhatMayNotBeCutIsDroppedAndCounted) {
  ASSERT_TRUE(write_pcap(at("in.pcap"), {udp_frame(1418), udp_frame(1419), udp_frame(100)}));
  GatewayOptions narrow = options("pcap:" + at("in.pcap"), "pcap:," + at("black.pcap"));
  narrow.black.mtu = 1500;
  auto sender = gateway(narrow, 0, 8);
  ASSERT_TRUE(sender && sender->start());
  EXPECT_TRUE(eventually([&] { return sender->control().statistics().sealed == 2; }));
  EXPECT_EQ(drops(*sender, "too_big"), 1U) << "DF";
  EXPECT_EQ(sender->control().statistics().cut, 0U);
}

// Sealed packets that a router on black has cut.
TEST_F(Gateway, FragmentsOnBlackAreDroppedUnlessReassemblyIsAskedFor) {
  std::vector<Bytes> plain;
  for (std::size_t size = 0; size <= 1472; size += 31)
    plain.push_back(udp_frame(size));
  ASSERT_TRUE(write_pcap(at("in.pcap"), plain));
  {
    auto sender = gateway(options("pcap:" + at("in.pcap"), "pcap:," + at("black.pcap")), 0, 8);
    ASSERT_TRUE(sender && sender->start());
    EXPECT_TRUE(eventually([&] { return sender->control().statistics().sealed == plain.size(); }));
  }
  const auto sealed = read_pcap(at("black.pcap"));
  ASSERT_TRUE(sealed);
  ASSERT_EQ(sealed->size(), plain.size());
  std::vector<Bytes> cut;
  std::size_t long_ones = 0;
  for (const Bytes& frame : *sealed) {
    const std::size_t payload = frame.size() - 34;
    if (payload <= 800) {
      cut.push_back(frame);
      continue;
    }
    ++long_ones;
    for (const std::size_t begin : {std::size_t{800}, std::size_t{0}}) {  // the second part comes first
      const std::size_t end = begin == 0 ? 800 : payload;
      Bytes part(frame.begin(), frame.begin() + 34);
      part.insert(part.end(), frame.begin() + static_cast<std::ptrdiff_t>(34 + begin),
                  frame.begin() + static_cast<std::ptrdiff_t>(34 + end));
      store_be(&part[16], static_cast<std::uint16_t>(20 + end - begin));
      store_be(&part[20], static_cast<std::uint16_t>(begin == 0 ? 0x2000 : begin / 8));
      testing::mend_checksum(part);
      cut.push_back(part);
    }
  }
  ASSERT_TRUE(write_pcap(at("cut.pcap"), cut));
  for (const bool reassemble : {false, true}) {
    GatewayOptions made = options("pcap:," + at("out.pcap"), "pcap:" + at("cut.pcap"));
    made.reassemble = reassemble;
    auto receiver = gateway(made, 8, 0);
    ASSERT_TRUE(receiver);
    const auto started = receiver->start();
    ASSERT_TRUE(started) << started.error().message;
    const std::size_t expected = plain.size() - (reassemble ? 0 : long_ones);
    EXPECT_TRUE(eventually([&] { return receiver->control().statistics().opened == expected; }))
        << all_drops(*receiver);
    receiver->stop();
    EXPECT_EQ(drops(*receiver, "fragment"), reassemble ? 0U : 2 * long_ones);
    EXPECT_EQ(receiver->control().statistics().reassembled, reassemble ? long_ones : 0U);
    if (!reassemble) continue;
    auto out = read_pcap(at("out.pcap"));
    ASSERT_TRUE(out);
    // Reassembled packets come behind the others of their burst.
    auto sorted = plain;
    std::sort(out->begin(), out->end());
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(*out, sorted);
  }
}

TEST_F(Gateway, CanStopAndStartAgain) {
  const std::vector<Bytes> plain(500, udp_frame(64));
  ASSERT_TRUE(write_pcap(at("in.pcap"), plain));
  auto sender = gateway(options("pcap:" + at("in.pcap"), "null"), 0, 8);
  ASSERT_TRUE(sender);
  for (std::uint64_t round = 1; round <= 3; ++round) {
    const auto started = sender->start();
    ASSERT_TRUE(started) << started.error().message;
    EXPECT_FALSE(sender->start()) << "already running";
    EXPECT_TRUE(eventually([&] { return sender->control().statistics().sealed == round * plain.size(); }));
    sender->stop();
    sender->stop();
  }
}

TEST_F(Gateway, ErrorsSayWhatToDo) {
  const auto creation = [&](GatewayOptions o) {
    auto made = GatewayDataPlane::create(std::move(o));
    return made ? std::string("no error") : made.error().message;
  };
  const auto starting = [&](const std::string& red, const std::string& black, std::uint32_t workers = 1) {
    GatewayOptions o = options(red, black);
    o.workers = workers;
    auto made = GatewayDataPlane::create(o);
    if (!made) return "not created: " + made.error().message;
    auto started = (*made)->start();
    return started ? std::string("no error") : started.error().message;
  };
  EXPECT_THAT(creation(options("nonsense", "null")), HasSubstr("red: port \"nonsense\": unknown kind"));
  GatewayOptions wrong = options("null", "null");
  wrong.engine = "rot13";
  EXPECT_THAT(creation(wrong), HasSubstr("rot13"));
  wrong = options("null", "null");
  wrong.workers = 17;
  EXPECT_THAT(creation(wrong), HasSubstr("workers: expected 1 to 16"));
  wrong = options("null", "null");
  wrong.cores = {4000};
  EXPECT_THAT(creation(wrong), HasSubstr("may not run on CPU 4000"));
  wrong = options("null", "null");
  wrong.black.mtu = 20;
  EXPECT_THAT(creation(wrong), HasSubstr("black: mtu: expected 576 to 9000, got 20"));
  wrong = options("null", "null");
  wrong.idle_nap_us = 1001;
  EXPECT_THAT(creation(wrong), HasSubstr("idle_nap_us: expected 0 to 1000, got 1001"));

  EXPECT_THAT(starting("af_packet:no-such-if", "null"), HasSubstr("no interface no-such-if"));
  EXPECT_THAT(starting("null", "af_xdp:no-such-if"), HasSubstr("no interface no-such-if"));
  EXPECT_THAT(starting("null", "tap:lo"), HasSubstr("an interface lo exists already"));
  EXPECT_THAT(starting("null", "memif:" + at("m") + "?secret_file=" + at("none")), HasSubstr("No such file"));
  EXPECT_THAT(starting("null", "pcap:" + at("missing.pcap")), HasSubstr("black: port"));
  EXPECT_THAT(starting("null", "pcap:" + at("missing.pcap")), HasSubstr("cannot read " + at("missing.pcap")));
  ASSERT_TRUE(write_pcap(at("x.pcap"), {}));
  std::filesystem::resize_file(at("x.pcap"), 5);
  EXPECT_THAT(starting("null", "pcap:" + at("x.pcap")), HasSubstr("opening the device failed"));
  EXPECT_THAT(starting("null", "virtio-user:/no/such/folder/x"), HasSubstr("cannot make a socket"));
  EXPECT_THAT(starting("null", "vhost-user:" + at("x.pcap")), HasSubstr("is not a socket"));
  EXPECT_EQ(starting("null", "ring:r", 2), "no error") << "two workers share one queue";
  EXPECT_EQ(starting("ring:both", "ring:both"), "no error");
  EXPECT_THAT(creation([] {
                auto o = options("null", "null");
                o.memory_mb = 3'000'000;
                return o;
              }()),
              ::testing::AnyOf(HasSubstr("sysctl vm.nr_hugepages="), HasSubstr("restart the process")));
}

// All frames of one sender arrive on one queue; those with an SPI of the other worker are handed to it.
TEST_F(Gateway, FramesReachTheWorkerTheirSpiBelongsTo) {
  constexpr std::uint32_t senders = 8;
  constexpr std::size_t frames_each = 200;
  ASSERT_TRUE(write_pcap(at("in.pcap"), {frames_each, udp_frame(200)}));
  GatewayOptions two = options("null", "ring:spread?queues=2");
  two.workers = 2;
  auto made = GatewayDataPlane::create(two);
  ASSERT_TRUE(made);
  const std::vector<Selector> selectors{selector("239.1.1.0/24")};
  GroupEpoch epoch;
  epoch.group_id = "tv";
  epoch.epoch = 1;
  epoch.selectors = selectors;
  epoch.spi_prefix = prefix;
  epoch.expires = epoch.lease_until = std::chrono::steady_clock::now() + 1h;
  std::set<std::uint32_t> owners;
  for (std::uint32_t slot = 0; slot < senders; ++slot) {
    epoch.inbound.push_back({key_of(prefix + slot), 0});
    owners.insert(worker_of_spi(prefix + slot, 2));
  }
  ASSERT_EQ(owners.size(), 2U) << "the test needs slots of both workers";
  ASSERT_TRUE((*made)->control().protect("tv", {selectors}));
  ASSERT_TRUE((*made)->control().install(std::move(epoch)));
  const auto started = (*made)->start();
  ASSERT_TRUE(started) << started.error().message;
  for (std::uint32_t slot = 0; slot < senders; ++slot) {
    auto sender = gateway(options("pcap:" + at("in.pcap"), "ring:spread?queues=2"), slot, 8);
    ASSERT_TRUE(sender && sender->start());
    EXPECT_TRUE(eventually([&] { return (*made)->control().statistics().opened == (slot + 1) * frames_each; }))
        << "slot " << slot << " of worker " << worker_of_spi(prefix + slot, 2);
  }
  EXPECT_EQ(drops(**made, "hand_off_full"), 0U);
}

TEST_F(Gateway, TwoWorkersShareTwoQueuesAndGracePeriods) {
  GatewayOptions two = options("null?size=64", "null");
  two.workers = 2;
  auto sender = gateway(two, 0, 8);
  ASSERT_TRUE(sender && sender->start());
  // The frames are zeros and dropped; the sum of two queues shows that both workers run and count.
  EXPECT_TRUE(eventually([&] { return sender->control().statistics().ports[0].rx_packets > 100'000; }));
  EXPECT_TRUE(sender->control().retire("tv", 1)) << "the grace period ends with two workers";
  const auto started = std::chrono::steady_clock::now();
  sender->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - started, 5s);
}

}  // namespace
}  // namespace sealcast::dataplane
