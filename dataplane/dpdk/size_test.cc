// Fragments, reassembly and buffers of every kind with real mbufs. Needs hugepages (label virtio), no device.
#include <gtest/gtest.h>
#include <rte_errno.h>

#include <random>

#include "base/esp_overhead.h"
#include "dataplane/dpdk/cut.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/lane.h"
#include "dataplane/dpdk/reassembly.h"
#include "dataplane/packet/packet.h"
#include "dataplane/testing/packets.h"

namespace sealcast::dataplane {
namespace {

using testing::operator+;
using testing::ethernet;
using testing::ipv4;
using testing::Ipv4Fields;
using testing::may_be_cut;
using testing::pattern;
using testing::udp_frame;

constexpr std::uint32_t room = 2048 + RTE_PKTMBUF_HEADROOM;
constexpr std::uint32_t jumbo_room = 9216 + 64 + RTE_PKTMBUF_HEADROOM;

class Size : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (pool_ != nullptr) return;  // once for all suites: the environment lives as long as the process
    EalOptions options;
    options.memory_mb = 128;
    const auto started = Eal::start(options);
    ASSERT_TRUE(started) << started.error().message;
    pool_ = rte_pktmbuf_pool_create("size_test", 511, 0, 0, room, SOCKET_ID_ANY);
    jumbo_ = rte_pktmbuf_pool_create("size_test_jumbo", 127, 0, 0, jumbo_room, SOCKET_ID_ANY);
    tiny_ = rte_pktmbuf_pool_create("size_test_tiny", 63, 0, 0, 0, SOCKET_ID_ANY);  // for indirect buffers
    ASSERT_TRUE(pool_ != nullptr && jumbo_ != nullptr && tiny_ != nullptr);
  }
  void SetUp() override { ASSERT_NE(pool_, nullptr); }
  void TearDown() override {
    EXPECT_EQ(rte_mempool_in_use_count(pool_), 0U) << "buffers leaked";
    EXPECT_EQ(rte_mempool_in_use_count(jumbo_), 0U) << "buffers leaked";
    EXPECT_EQ(rte_mempool_in_use_count(tiny_), 0U) << "buffers leaked";
  }

  static rte_mbuf* buffer(const Bytes& content, rte_mempool* pool = jumbo_) {
    rte_mbuf* const made = rte_pktmbuf_alloc(pool);
    char* const to = rte_pktmbuf_append(made, static_cast<std::uint16_t>(content.size()));
    if (to != nullptr) std::memcpy(to, content.data(), content.size());
    EXPECT_NE(to, nullptr);
    return made;
  }
  static Bytes content(const rte_mbuf* m) {
    Bytes out;
    for (; m != nullptr; m = m->next) {
      const auto* const data = rte_pktmbuf_mtod(m, const std::uint8_t*);
      out.insert(out.end(), data, data + m->data_len);
    }
    return out;
  }
  // Cuts frame, checks every fragment, frees all; returns the fragments' bytes.
  static std::vector<Bytes> cut(const Bytes& frame, std::uint32_t max_bytes, rte_mempool* from = nullptr) {
    rte_mbuf* const whole = buffer(frame);
    Fragments fragments;
    const CutResult result = cut_ipv4(frame_of(whole), max_bytes, from == nullptr ? pool_ : from, fragments);
    EXPECT_EQ(result, CutResult::done);
    std::vector<Bytes> out;
    for (std::uint16_t i = 0; i < fragments.count; ++i) {
      rte_mbuf* const m = fragments.buffers[i];
      EXPECT_EQ(m->nb_segs, 1);
      EXPECT_EQ(rte_mbuf_refcnt_read(m), 1);
      EXPECT_TRUE(RTE_MBUF_DIRECT(m));
      EXPECT_EQ(m->pkt_len, m->data_len);
      EXPECT_GE(m->data_off, 40U + 16U) << "room for the outer header, IPv6's too";
      EXPECT_GE(rte_pktmbuf_tailroom(m), seal_tailroom);
      out.push_back(content(m));
      rte_pktmbuf_free(m);
    }
    rte_pktmbuf_free(whole);
    return out;
  }

  static rte_mempool* pool_;
  static rte_mempool* jumbo_;
  static rte_mempool* tiny_;
};
rte_mempool* Size::pool_ = nullptr;
rte_mempool* Size::jumbo_ = nullptr;
rte_mempool* Size::tiny_ = nullptr;

// A receiver's reassembly, written from RFC 791 for this test: places every payload byte exactly once.
Bytes put_together(const std::vector<Bytes>& frames, std::size_t link, std::uint32_t first_offset = 0,
                   bool more_at_end = false) {
  Bytes payload;
  std::vector<bool> filled;
  bool last = false;
  for (const Bytes& frame : frames) {
    const std::uint8_t* const ip = &frame[link];
    const std::size_t header = (ip[0] & 0x0fU) * 4;
    const std::size_t total = load16(ip + 2);
    EXPECT_EQ(link + total, frame.size());
    EXPECT_EQ(fold16(sum_words(ip, static_cast<std::uint32_t>(header))), 0xffff) << "header checksum";
    const std::uint16_t place = load16(ip + 6);
    const std::size_t offset = (place & 0x1fffU) * 8 - first_offset;
    const bool more = (place & 0x2000) != 0;
    EXPECT_EQ(place & 0xc000, 0) << "reserved bit, DF";
    EXPECT_TRUE(!more || (total - header) % 8 == 0);
    const bool final_one = &frame == &frames.back();
    EXPECT_EQ(more, !final_one || more_at_end);
    last = last || !more;
    if (payload.size() < offset + total - header) {
      payload.resize(offset + total - header);
      filled.resize(payload.size());
    }
    for (std::size_t i = 0; i < total - header; ++i) {
      EXPECT_FALSE(filled[offset + i]) << "overlap at " << offset + i;
      filled[offset + i] = true;
      payload[offset + i] = ip[header + i];
    }
  }
  EXPECT_TRUE(std::all_of(filled.begin(), filled.end(), [](bool there) { return there; })) << "a hole";
  return payload;
}

TEST_F(Size, FragmentsByteForByte) {
  const Bytes payload = pattern(3000, 9);
  Ipv4Fields fields = may_be_cut();
  fields.tos = 0xb8;
  fields.ttl = 1;
  const Bytes packet = ipv4(fields, payload);
  for (const auto& vlans : {std::vector<std::uint16_t>{}, {7}, {7, 8}}) {
    const auto fragments = cut(ethernet(packet, vlans), 1446);
    ASSERT_EQ(fragments.size(), 3U);
    // 1446 - 20 = 1426, rounded down to 8: 1424.
    const std::size_t begins[] = {0, 1424, 2848};
    const std::size_t ends[] = {1424, 2848, 3000};
    for (std::size_t i = 0; i < 3; ++i) {
      Ipv4Fields expected = fields;
      expected.fragment = static_cast<std::uint16_t>((i < 2 ? 0x2000 : 0) | (begins[i] / 8));
      const auto at = payload.begin();
      EXPECT_EQ(fragments[i], ethernet(ipv4(expected, Bytes(at + static_cast<std::ptrdiff_t>(begins[i]),
                                                            at + static_cast<std::ptrdiff_t>(ends[i]))),
                                       vlans))
          << "fragment " << i << " behind " << vlans.size() << " tags";
    }
  }
}

// RFC 791 §3.1: options with the copied flag are in all fragments, the others in the first alone.
TEST_F(Size, OptionsAreCopiedWhereTheyMustBe) {
  const Bytes router_alert = {148, 4, 0, 0};                         // copied
  const Bytes record_route = {7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 1};  // not copied; padded by a NOP
  const Bytes strict_route = {137, 7, 4, 10, 0, 0, 9, 0};            // copied; end of list behind it
  const Bytes payload = pattern(2000);
  struct {
    const char* what;
    Bytes options, later;
  } const cases[] = {
      {"copied", router_alert, router_alert},
      {"not copied", record_route, {}},
      {"mixed", record_route + router_alert, router_alert},
      {"not a multiple of 4 alone", strict_route, {137, 7, 4, 10, 0, 0, 9, 0}},
      {"only NOPs", {1, 1, 1, 1}, {}},
      {"end of list first", {0, 0, 0, 0}, {}},
      {"a lying length ends the list", {148, 200, 0, 0}, {}},
      {"a zero length ends the list", {148, 0, 0, 0}, {}},
  };
  for (const auto& c : cases) {
    Ipv4Fields fields = may_be_cut();
    fields.options = c.options;
    const auto fragments = cut(ethernet(ipv4(fields, payload)), 1000);
    ASSERT_EQ(fragments.size(), 3U) << c.what;
    const auto options = [](const Bytes& frame) {
      return Bytes(frame.begin() + 34, frame.begin() + 14 + (frame[14] & 0x0f) * 4);
    };
    EXPECT_EQ(options(fragments[0]), c.options) << c.what;
    EXPECT_EQ(options(fragments[1]), c.later) << c.what;
    EXPECT_EQ(options(fragments[2]), c.later) << c.what;
    EXPECT_EQ(put_together(fragments, 14), payload) << c.what;
  }
}

TEST_F(Size, EverySizeAroundTheLimitIsPutTogetherAgain) {
  for (const std::uint32_t limit : {1426U, 1446U, 1447U, 1448U}) {
    for (std::uint32_t size = limit - 30; size <= limit * 2 + 30; ++size) {
      const Bytes payload = pattern(size - 20);
      const auto fragments = cut(ethernet(ipv4(may_be_cut(), payload)), limit);
      ASSERT_EQ(put_together(fragments, 14), payload) << size << " bytes into " << limit;
      for (const Bytes& fragment : fragments)
        ASSERT_LE(fragment.size() - 14, limit);
    }
  }
}

// Any size, options and limit: nothing lost, nothing twice, every fragment fits, and sealed it fits the black MTU.
TEST_F(Size, PropertyFragmentsArePutTogetherToTheOriginal) {
  std::mt19937 random(20);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  for (int round = 0; round < 3000; ++round) {
    const std::uint32_t black = 576 + below(1500);
    const std::uint32_t limit = largest_inner_bytes(EspMode::tunnel_preserve, round % 2 == 0 ? 4 : 6, black);
    Ipv4Fields fields = may_be_cut();
    for (std::uint32_t words = below(11); words != 0; --words)
      for (int i = 0; i < 4; ++i)
        fields.options.push_back(static_cast<std::uint8_t>(random()));
    const Bytes payload = pattern(below(9000 - 60), static_cast<std::uint8_t>(round));
    const auto fragments = cut(ethernet(ipv4(fields, payload), {7}), limit);
    if (payload.empty()) continue;
    ASSERT_EQ(put_together(fragments, 18), payload) << "round " << round;
    for (const Bytes& fragment : fragments)
      ASSERT_LE(sealed_bytes(EspMode::tunnel_preserve, round % 2 == 0 ? 4 : 6,
                             static_cast<std::uint32_t>(fragment.size()) - 18),
                black);
  }
}

TEST_F(Size, AFragmentThatIsTooLongIsCutAgain) {
  const Bytes payload = pattern(2000);
  Ipv4Fields fields = may_be_cut();
  fields.fragment = 0x2000 | (1480 / 8);  // in the middle of a datagram
  EXPECT_EQ(put_together(cut(ethernet(ipv4(fields, payload)), 1446), 14, 1480, true), payload);
  fields.fragment = 1480 / 8;  // its end
  EXPECT_EQ(put_together(cut(ethernet(ipv4(fields, payload)), 1446), 14, 1480, false), payload);
  // A later fragment has only options that were copied: they stay in all of its parts.
  fields.options = {148, 4, 0, 0};
  for (const Bytes& fragment : cut(ethernet(ipv4(fields, payload)), 1446))
    EXPECT_EQ(Bytes(fragment.begin() + 34, fragment.begin() + 38), fields.options);
}

TEST_F(Size, WhatCannotBeCutIsSaidAndLeavesNothing) {
  Fragments fragments;
  const auto attempt = [&](const Bytes& frame, std::uint32_t limit, rte_mempool* pool) {
    rte_mbuf* const whole = buffer(frame);
    const CutResult result = cut_ipv4(frame_of(whole), limit, pool, fragments);
    EXPECT_EQ(fragments.count, 0);
    rte_pktmbuf_free(whole);
    return result;
  };
  EXPECT_EQ(attempt(udp_frame(3000), 1446, pool_), CutResult::impossible) << "DF";
  EXPECT_EQ(attempt(ethernet(ipv4(may_be_cut(), pattern(8900))), 80, pool_), CutResult::impossible) << "too many";
  EXPECT_EQ(attempt(ethernet(ipv4(may_be_cut(), pattern(8900))), 8000, pool_), CutResult::impossible) << "buffers";
  std::vector<rte_mbuf*> all;
  while (rte_mbuf* const m = rte_pktmbuf_alloc(pool_))
    all.push_back(m);
  EXPECT_EQ(attempt(ethernet(ipv4(may_be_cut(), pattern(3000))), 1446, pool_), CutResult::no_buffer);
  rte_pktmbuf_free(all.back());
  all.pop_back();
  EXPECT_EQ(attempt(ethernet(ipv4(may_be_cut(), pattern(3000))), 1446, pool_), CutResult::no_buffer)
      << "one buffer for two fragments";
  rte_pktmbuf_free_bulk(all.data(), static_cast<unsigned>(all.size()));
}

// Reassembly of fragments from black.
class Reassembly : public Size {
 protected:
  static constexpr std::uint64_t hz = 1'000'000;
  static constexpr std::uint64_t start = 5 * hz;

  void SetUp() override {
    Size::SetUp();
    static unsigned number = 9000;
    auto made = Reassembler::create(number++, hz);
    ASSERT_TRUE(made) << made.error().message;
    reassembler_ = std::move(*made);
  }
  void TearDown() override {
    reassembler_.reset();
    Size::TearDown();
  }
  // The reassembled packet's bytes; nothing if there is none.
  Bytes add(const Bytes& frame, std::uint64_t now = start) {
    rte_mbuf* const out = reassembler_->add(frame_of(buffer(frame, pool_)), now);
    if (out == nullptr) return {};
    EXPECT_EQ(out->nb_segs, 1);
    EXPECT_EQ(rte_mbuf_refcnt_read(out), 1);
    const Bytes bytes = content(out);
    rte_pktmbuf_free(out);
    return bytes;
  }
  static Bytes part(const Bytes& payload, std::size_t begin, std::size_t end, Ipv4Fields fields = may_be_cut(),
                    const std::vector<std::uint16_t>& vlans = {}) {
    fields.protocol = protocol_esp;
    fields.fragment = static_cast<std::uint16_t>((end < payload.size() ? 0x2000 : 0) | (begin / 8));
    return ethernet(ipv4(fields, Bytes(payload.begin() + static_cast<std::ptrdiff_t>(begin),
                                       payload.begin() + static_cast<std::ptrdiff_t>(end))),
                    vlans);
  }
  static Bytes part6(const Bytes& payload, std::size_t begin, std::size_t end, std::uint32_t id = 77) {
    Bytes ip(48);
    ip[0] = 0x60;
    store_be(&ip[4], static_cast<std::uint16_t>(8 + end - begin));
    ip[6] = 44;
    ip[7] = 9;
    ip[8] = 0x20;
    ip[23] = 1;
    ip[24] = 0xff;
    ip[25] = 0x3e;
    ip[40] = protocol_esp;
    store_be(&ip[42], static_cast<std::uint16_t>(begin | (end < payload.size() ? 1 : 0)));
    store_be(&ip[44], id);
    return ethernet(ip + Bytes(payload.begin() + static_cast<std::ptrdiff_t>(begin),
                               payload.begin() + static_cast<std::ptrdiff_t>(end)),
                    {7}, 0x86dd);
  }

  std::unique_ptr<Reassembler> reassembler_;
  const Bytes payload_ = pattern(3000, 3);
};

TEST_F(Reassembly, InAnyOrderTheWholePacketComesOut) {
  Ipv4Fields fields = may_be_cut();
  fields.protocol = protocol_esp;
  for (const auto& vlans : {std::vector<std::uint16_t>{}, {7}, {7, 8}}) {
    const std::vector<Bytes> parts = {part(payload_, 0, 1000, fields, vlans), part(payload_, 1000, 2000, fields, vlans),
                                      part(payload_, 2000, 3000, fields, vlans)};
    std::vector<std::size_t> order = {0, 1, 2};
    do {
      EXPECT_EQ(add(parts[order[0]]), Bytes{});
      EXPECT_EQ(add(parts[order[1]]), Bytes{});
      EXPECT_EQ(add(parts[order[2]]), ethernet(ipv4(fields, payload_), vlans));
    } while (std::next_permutation(order.begin(), order.end()));
  }
  EXPECT_EQ(reassembler_->counters().packets.get(), 18U);
}

TEST_F(Reassembly, Ipv6LosesItsFragmentHeader) {
  EXPECT_EQ(add(part6(payload_, 1448, 3000)), Bytes{});
  const Bytes whole = add(part6(payload_, 0, 1448));
  ASSERT_EQ(whole.size(), 18 + 40 + payload_.size());
  EXPECT_EQ(whole[18 + 6], protocol_esp);
  EXPECT_EQ(load16(&whole[18 + 4]), payload_.size());
  EXPECT_EQ(Bytes(whole.begin() + 58, whole.end()), payload_);
  EXPECT_EQ(load16(&whole[16]), 0x86dd);
}

TEST_F(Reassembly, HostileFragmentsComeToNothing) {
  struct {
    const char* what;
    std::vector<std::pair<std::size_t, std::size_t>> parts;
  } const cases[] = {
      {"overlap by 8", {{0, 1008}, {1000, 2000}, {2000, 3000}}},
      {"a part inside another", {{0, 2000}, {1000, 1008}, {2000, 3000}}},
      {"the same middle twice", {{0, 1000}, {1000, 2000}, {1000, 2000}, {2000, 3000}}},
      {"two firsts", {{0, 1000}, {0, 2000}, {2000, 3000}}},
      {"two lasts", {{0, 1000}, {2000, 3000}, {1992, 3000}, {1000, 2000}}},
      {"a hole", {{0, 1000}, {2000, 3000}}},
      {"too many",
       {{0, 8},
        {8, 16},
        {16, 24},
        {24, 32},
        {32, 40},
        {40, 48},
        {48, 56},
        {56, 64},
        {64, 72},
        {72, 1000},
        {1000, 2000},
        {2000, 3000}}},
  };
  for (const auto& c : cases) {
    Ipv4Fields fields = may_be_cut();
    fields.id = static_cast<std::uint16_t>(&c - cases);
    fields.source = "10.0.1." + std::to_string(&c - cases);
    for (const auto& [begin, end] : c.parts)
      EXPECT_EQ(add(part(payload_, begin, end, fields)), Bytes{}) << c.what;
  }
  EXPECT_EQ(reassembler_->counters().packets.get(), 0U);
  EXPECT_GT(reassembler_->counters().refused.get(), 10U);
}

TEST_F(Reassembly, WhatIsLongerThanAJumboPacketIsRefused) {
  const Bytes longer = pattern(9240);
  const Bytes longest = pattern(9216 - 20);
  for (std::size_t at = 0; at < longer.size(); at += 1544)
    EXPECT_EQ(add(part(longer, at, std::min(at + 1544, longer.size()))), Bytes{});
  Bytes whole;
  for (std::size_t at = 0; at < longest.size(); at += 1544) {
    EXPECT_EQ(whole, Bytes{});
    whole = add(part(longest, at, std::min(at + 1544, longest.size())));
  }
  EXPECT_EQ(whole.size(), 14U + 9216U);
}

TEST_F(Reassembly, IsBoundedInTime) {
  EXPECT_EQ(add(part(payload_, 0, 1000)), Bytes{});
  EXPECT_EQ(rte_mempool_in_use_count(pool_), 1U);
  reassembler_->expire(start + hz / 2);
  EXPECT_EQ(rte_mempool_in_use_count(pool_), 1U);
  reassembler_->expire(start + 2 * hz);
  EXPECT_EQ(rte_mempool_in_use_count(pool_), 0U);
  EXPECT_EQ(reassembler_->counters().expired.get(), 1U);
  EXPECT_EQ(add(part(payload_, 1000, 3000), start + 2 * hz), Bytes{}) << "its first is gone";
}

// DATA-2 for fragments: memory is bounded whatever comes, and a flood from one source does not shut out the others.
TEST_F(Reassembly, AFloodIsBoundedAndShutsOutNobody) {
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    Ipv4Fields fields = may_be_cut();
    fields.id = static_cast<std::uint16_t>(i);
    EXPECT_EQ(add(part(payload_, 0, 1000, fields)), Bytes{});
  }
  EXPECT_LE(rte_mempool_in_use_count(pool_), Reassembler::datagrams * RTE_LIBRTE_IP_FRAG_MAX_FRAG);
  unsigned whole = 0;
  for (int host = 2; host < 34; ++host) {
    Ipv4Fields fields = may_be_cut();
    fields.source = "10.0.0." + std::to_string(host);
    add(part(payload_, 0, 1000, fields));
    whole += add(part(payload_, 1000, 3000, fields)).empty() ? 0 : 1;
  }
  EXPECT_GE(whole, 24U) << "of 32 sources those not in the flooded table";
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    Ipv4Fields fields = may_be_cut();
    fields.id = static_cast<std::uint16_t>(i);
    fields.source = "10." + std::to_string(i % 200) + "." + std::to_string(i / 200) + ".1";
    EXPECT_EQ(add(part(payload_, 0, 1000, fields)), Bytes{});
  }
  EXPECT_LE(rte_mempool_in_use_count(pool_), Reassembler::buffers_held);
}

TEST_F(Reassembly, WithoutAnOutBufferThePacketIsCountedAndNothingLeaks) {
  std::vector<rte_mbuf*> all;
  const auto one = [&] {
    reassembler_->add(frame_of(buffer(part(payload_, 0, 1000), pool_)), start);
    return reassembler_->add(frame_of(buffer(part(payload_, 1000, 3000), pool_)), start);
  };
  while (rte_mbuf* const m = one())
    all.push_back(m);
  EXPECT_GE(all.size(), Reassembler::packets_out - 64U);
  EXPECT_EQ(reassembler_->counters().no_buffer.get(), 1U);
  rte_pktmbuf_free_bulk(all.data(), static_cast<unsigned>(all.size()));
}

// Buffers that the path may not write to, or not in one piece.
class Buffers : public Size {
 protected:
  LaneCounters counters_;

  // Passes a buffer through the lane, and overwrites the whole frame, head- and tailroom, as the path may. Returns the
  // content before.
  Bytes through_the_lane(rte_mbuf* m) {
    std::array<Frame, 1> frames;
    if (to_frames(&m, 1, frames.data(), counters_) == 0) return {};
    const Frame& f = frames[0];
    const Bytes seen(f.data, f.data + f.length);
    EXPECT_GE(f.headroom, 56U);
    EXPECT_GE(f.tailroom, seal_tailroom);
    std::memset(f.data - f.headroom, 0xdd, std::size_t{f.headroom} + f.length + f.tailroom);
    rte_pktmbuf_free(static_cast<rte_mbuf*>(f.buffer));
    return seen;
  }
};

TEST_F(Buffers, SeveralSegmentsBecomeOne) {
  const Bytes frame = udp_frame(1500);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{13}, std::size_t{700}, std::size_t{1541}}) {
    rte_mbuf* chain = nullptr;
    for (std::size_t at = 0; at < frame.size(); at += piece * (piece < 14 ? 14 : 1)) {
      const std::size_t end = std::min(frame.size(), at + piece * (piece < 14 ? 14 : 1));
      rte_mbuf* const next = buffer(
          Bytes(frame.begin() + static_cast<std::ptrdiff_t>(at), frame.begin() + static_cast<std::ptrdiff_t>(end)),
          pool_);
      if (chain == nullptr)
        chain = next;
      else
        ASSERT_EQ(rte_pktmbuf_chain(chain, next), 0);
    }
    EXPECT_EQ(through_the_lane(chain), frame) << piece;
  }
  EXPECT_EQ(counters_.not_contiguous.get(), 0U);
}

TEST_F(Buffers, ASharedBufferIsCopiedAndNeverWritten) {
  const Bytes frame = udp_frame(1000);
  rte_mbuf* const shared = buffer(frame, pool_);
  rte_mbuf_refcnt_update(shared, 1);  // another owner's reference
  const Bytes whole(static_cast<std::uint8_t*>(shared->buf_addr),
                    static_cast<std::uint8_t*>(shared->buf_addr) + shared->buf_len);
  EXPECT_EQ(through_the_lane(shared), frame);
  EXPECT_EQ(rte_mbuf_refcnt_read(shared), 1);
  EXPECT_EQ(Bytes(static_cast<std::uint8_t*>(shared->buf_addr),
                  static_cast<std::uint8_t*>(shared->buf_addr) + shared->buf_len),
            whole)
      << "head- and tailroom too";
  rte_pktmbuf_free(shared);
}

// An indirect buffer's own pool has no room for data: the copy comes from its owner's.
TEST_F(Buffers, AnIndirectBufferIsCopiedAndItsOwnerNeverWritten) {
  const Bytes frame = udp_frame(1000);
  rte_mbuf* const owner = buffer(frame, pool_);
  rte_mbuf* const indirect = rte_pktmbuf_alloc(tiny_);
  ASSERT_NE(indirect, nullptr);
  rte_pktmbuf_attach(indirect, owner);
  const Bytes whole(static_cast<std::uint8_t*>(owner->buf_addr),
                    static_cast<std::uint8_t*>(owner->buf_addr) + owner->buf_len);
  EXPECT_EQ(through_the_lane(indirect), frame);
  EXPECT_EQ(
      Bytes(static_cast<std::uint8_t*>(owner->buf_addr), static_cast<std::uint8_t*>(owner->buf_addr) + owner->buf_len),
      whole);
  rte_pktmbuf_free(owner);
  EXPECT_EQ(counters_.not_contiguous.get(), 0U);
}

TEST_F(Buffers, AnExternalBufferIsCopiedAndNeverWritten) {
  const Bytes frame = udp_frame(1000);
  static Bytes memory;
  memory = Bytes(256, 0xab) + frame + Bytes(256, 0xcd);
  memory.resize(memory.size() / 8 * 8 + 64);
  auto length = static_cast<std::uint16_t>(memory.size());
  static int freed = 0;
  freed = 0;
  rte_mbuf_ext_shared_info* const info = rte_pktmbuf_ext_shinfo_init_helper(
      memory.data(), &length, [](void*, void*) { ++freed; }, nullptr);
  ASSERT_NE(info, nullptr);
  rte_mbuf* const external = rte_pktmbuf_alloc(pool_);
  rte_pktmbuf_attach_extbuf(external, memory.data(), RTE_BAD_IOVA, length, info);
  external->data_off = 256;
  external->data_len = static_cast<std::uint16_t>(frame.size());
  external->pkt_len = external->data_len;
  const Bytes before(memory.begin(), memory.begin() + length);
  EXPECT_EQ(through_the_lane(external), frame);
  EXPECT_EQ(Bytes(memory.begin(), memory.begin() + length), before);
  EXPECT_EQ(freed, 1);
}

TEST_F(Buffers, WhatFitsNoBufferIsCountedAndFreed) {
  rte_mbuf* const chain = buffer(udp_frame(1900), pool_);
  ASSERT_EQ(rte_pktmbuf_chain(chain, buffer(pattern(1900), pool_)), 0);
  EXPECT_EQ(through_the_lane(chain), Bytes{});
  EXPECT_EQ(counters_.not_contiguous.get(), 1U);
}

TEST_F(Buffers, AJumboFrameOfItsOwnIsNotCopied) {
  rte_mbuf* const jumbo = buffer(udp_frame(8972), jumbo_);
  const void* const address = rte_pktmbuf_mtod(jumbo, void*);
  std::array<Frame, 1> frames;
  rte_mbuf* m = jumbo;
  ASSERT_EQ(to_frames(&m, 1, frames.data(), counters_), 1);
  EXPECT_EQ(frames[0].data, address);
  EXPECT_EQ(frames[0].length, 9014U);
  rte_pktmbuf_free(jumbo);
}

}  // namespace
}  // namespace sealcast::dataplane
