// The packet path of one worker: bursts of frames in, verdicts out. Run to completion, no allocation, lock, log,
// exception, system call or store to a shared line per packet. Knows no device and no clock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/aead/engine.h"
#include "dataplane/packet/fragment_table.h"
#include "dataplane/packet/frame.h"
#include "dataplane/path/bypass.h"
#include "dataplane/path/drop_sample.h"
#include "dataplane/path/group_datagram.h"
#include "dataplane/path/host_frame.h"
#include "dataplane/sa/counter.h"
#include "dataplane/sa/event_ring.h"
#include "dataplane/sa/snapshot.h"

namespace sealcast::dataplane {

class HostFilter;
struct Packet;
class ParkingLot;

// Frames processed together; longer bursts are cut.
inline constexpr std::size_t max_burst = 64;

// Fixed at start-up; the same for all workers.
struct PathSettings {
  std::uint32_t black_mtu = 1500;                           // largest IP packet on black, bytes
  std::uint32_t red_mtu = 65535;                            // ... on red
  std::uint64_t tsc_hz = 0;                                 // ticks per second of now_tsc
  std::vector<BypassRule> bypass = default_bypass_rules();  // in force, validated; what passes in clear
  std::uint64_t bypass_seed = 0;                            // random (RecentFrames)
  std::uint64_t soft_block_limit = std::uint64_t{1} << 42;  // AES blocks under one SPI: ask for a rekey
  std::uint64_t hard_block_limit = std::uint64_t{1} << 44;  // ... stop
  std::array<std::uint8_t, 16> red_address6{};              // source of Packet Too Big on red; zeros: none is sent
  bool reassemble = false;                                  // fragments of ESP packets: put together, not dropped
  std::vector<Prefix> local_red_sources = {};               // an opened packet from one of these is a loop
  const HostFilter* host = nullptr;                         // of the gateway's own interface on black, if it has one
};

// Written by the worker alone.
struct alignas(cache_line) WorkerCounters {
  Counter sealed, opened, bypassed;
  Counter bypassed_bytes;                        // of frames
  Counter parked;                                // waited for the key of their slot, whatever became of them then
  std::array<Counter, drop_reason_count> drops;  // by DropReason
};

class Worker {
 public:
  // settings and engine outlive the worker. index is this worker's place: 0 .. workers-1.
  Worker(std::uint32_t index, const PathSettings& settings, const aead::Engine& engine);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Frames received on red; those with Verdict::forward are to be sent on black, in order. now_tsc is read once per
  // burst. The snapshot is the one the worker obtained since its last quiescent point.
  void red_burst(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot);
  // Frames received on black (or handed over by another worker); those with Verdict::forward go to red.
  void black_burst(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot);

  // Some frames wait for the key of their slot (Verdict::park): unpark() has to be called before every black_burst.
  bool parks() const { return waiting_; }
  // Parked frames whose wait is over, with their verdicts as after black_burst: opened where the snapshot brought the
  // key, in the order they arrived, or dropped. Returns how many; to be called until 0, so that no later packet of a
  // slot overtakes them.
  std::size_t unpark(std::span<Frame> out, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;
  // When the worker ends: parked frames, as dropped. Returns how many; 0: there are no more.
  std::size_t give_back(std::span<Frame> out) noexcept;

  const WorkerCounters& counters() const { return counters_; }

  // Events for the control thread, as SPIs: the control thread knows whose they are.
  using SpiRing = EventRing<std::uint32_t, 256>;
  SpiRing& slots_wanted() { return slots_wanted_; }
  SpiRing& counter_limits() { return counter_limits_; }
  // Control thread: keeps the stock of drop counters filled; headers of dropped packets.
  DropStock& drop_stock() { return drop_stock_; }
  DropSampler& sampler() { return sampler_; }
  const Bypass& bypass() const { return bypass_; }
  BypassLoopRing& bypass_loops() { return bypass_loops_; }
  // Queries from black, for the gateway's own listener there; and what the listener has to say on black, which the
  // packet layer fetches and sends.
  HostFrameRing& queries_heard() { return queries_heard_; }
  HostFrameRing& to_black() { return to_black_; }
  // Reports and queries that came in on red.
  ReportRing& reports_heard() { return reports_heard_; }
  // What came for the gateways themselves, of any group.
  TakenDatagramRing& datagrams() { return datagrams_; }

 private:
  struct Scratch;
  struct Opened;
  struct SealRun;
  struct OpenRun;
  struct StripRun;
  struct AskedSlot {
    std::uint32_t spi = 0;
    std::uint64_t at_tsc = 0;
  };

  // At most max_burst frames.
  void red_chunk(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;
  void black_chunk(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;

  // worker_lean.h: the packets that nearly all are. False: nothing was done, the general path decides.
  bool seal_lean(Frame& frame, std::uint64_t now_tsc, const Snapshot& snapshot, SealRun& run) noexcept;
  SealingSa* sa_of_flow(const std::uint8_t* ip, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;
  void settle(SealRun& run) noexcept;
  bool admit_lean(Frame& frame, std::uint64_t now_tsc, const Snapshot& snapshot, OpenRun& run) noexcept;
  OpenRun begin_sender(const std::uint8_t* ip, std::uint32_t spi, std::uint64_t now_tsc,
                       const Snapshot& snapshot) noexcept;
  bool strip_lean(Frame& frame, std::uint32_t item, StripRun& run) noexcept;
  void settle(StripRun& run) noexcept;
  void fetch_for_sealing(std::span<const Frame> frames, const Snapshot& snapshot) const noexcept;
  void fetch_for_opening(std::span<const Frame> frames, const Snapshot& snapshot) const noexcept;

  // Red: none = a seal item was added, or the frame bypasses and has its verdict already.
  DropReason admit_red(Frame& frame, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;
  DropReason admit_red_other(Frame& frame, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;
  template <typename Family>
  DropReason admit_protected(Frame& frame, const Packet& packet, std::uint64_t now_tsc,
                             const Snapshot& snapshot) noexcept;
  DropReason check_outbound(const SealingSa& sa, std::uint64_t now_tsc) const noexcept;
  template <typename Family>
  void note_checksum(const std::uint8_t* ip, const Packet& packet, SealingSa& sa) noexcept;
  template <typename Family>
  void encapsulate(Frame& frame, const Packet& packet, SealingSa& sa) noexcept;
  // worker_seal.h, worker_modes.cc
  std::uint64_t take_number(SealingSa& sa, std::uint32_t plaintext_bytes) noexcept;
  void count_blocks(SealingSa& sa, std::uint64_t blocks) noexcept;
  void add_seal_item(SealingSa& sa, std::uint64_t number, std::uint8_t* esp, std::uint32_t payload_bytes,
                     std::uint32_t plaintext_bytes, std::uint8_t next_header) noexcept;
  void push_seal_item(SealingSa& sa, std::uint64_t number, std::uint8_t* esp, std::uint32_t plaintext_bytes) noexcept;
  void seal_fixed(Frame& frame, const Packet& packet, SealingSa& sa) noexcept;
  void seal_transport(Frame& frame, const Packet& packet, SealingSa& sa) noexcept;

  // Black: likewise with an open item, a bypass or a hand-off.
  DropReason admit_black(Frame& frame, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;
  DropReason admit_black_other(Frame& frame, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;
  template <typename Family>
  DropReason admit_esp(Frame& frame, const Packet& packet, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;
  template <typename Family>
  DropReason admit_clear(Frame& frame, const Packet& packet, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;
  // length: of the ciphertext.
  void push_open_item(OpeningSa& sa, std::uint8_t* esp, std::uint32_t length, const Opened& opened) noexcept;
  DropReason decapsulate(Frame& frame, std::uint32_t item) noexcept;
  // What stands behind the tag, the window and the padding; text_bytes: without padding and trailer.
  template <typename Family>
  DropReason open_tunnel(Frame& frame, std::uint32_t item, std::uint32_t text_bytes) noexcept;
  template <typename Family>
  DropReason open_transport(Frame& frame, std::uint32_t item, std::uint32_t text_bytes) noexcept;
  // group_datagram.cc: next header group_datagram_next_header.
  DropReason take_datagram(std::uint32_t item, std::uint32_t text_bytes) noexcept;
  // H16 and the loop guards, for the packet that would leave on red.
  template <typename Family>
  DropReason check_opened(const EpochRules& rules, const std::uint8_t* ip, const Packet& packet) noexcept;

  // worker_bypass.cc: what is neither ESP nor multicast that a group protects. why: what it is dropped for if nothing
  // lets it pass: not_ip (packet.family is 0), not_multicast, no_policy; igmp_not_allowed (an IGMP or MLD message,
  // whatever its group) and, on black, clear_on_black (what must never pass). none: the frame has its verdict.
  DropReason other_from_red(Frame& frame, const Packet& packet, DropReason why, std::uint64_t now_tsc,
                            const Snapshot& snapshot) noexcept;
  DropReason other_from_black(Frame& frame, const Packet& packet, DropReason why, std::uint64_t now_tsc,
                              const Snapshot& snapshot) noexcept;

  // worker_slots.cc: ESP under an SPI that is not in the table.
  DropReason unknown_spi(Frame& frame, std::uint32_t spi, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;

  // worker_size.cc: a protected packet whose sealed form would exceed the black MTU. none: it has its verdict.
  DropReason too_big_to_seal(Frame& frame, const Packet& packet, const SealingSa& sa, std::uint64_t now_tsc) noexcept;
  DropReason answer_too_big(Frame& frame, const Packet& packet, std::uint32_t limit, std::uint64_t now_tsc) noexcept;
  // A fragment from red, or out of ESP, that matches the selectors or would but for the ports it does not show. none:
  // it may pass; a later fragment's key then has its first's ports, and group is set.
  template <typename Address>
  DropReason red_fragment(const std::uint8_t* ip, const Packet& packet, PacketKeyOf<Address>& key,
                          std::uint64_t now_tsc, const Policy& policy, std::uint32_t& group) noexcept;
  template <typename Address>
  DropReason opened_fragment(const std::uint8_t* ip, const Packet& packet, PacketKeyOf<Address>& key,
                             const std::vector<RuleOf<Address>>& rules) noexcept;
  // A fragment of an ESP packet on black. none: it has its verdict.
  DropReason black_fragment(Frame& frame, const Packet& packet) noexcept;

  void hear_on_red(const Frame& frame, const ClearPacket& clear, std::uint64_t now_tsc) noexcept;
  DropReason bypass(Frame& frame, Side from, const ClearPacket& clear, DropReason why, std::uint64_t now_tsc) noexcept;
  void drop(Frame& frame, DropReason reason, Side from = Side::black) noexcept {
    frame.verdict = Verdict::drop;
    frame.reason = reason;
    count(reason);
    sampler_.drop(from, reason, frame);
  }
  // A drop whose SA or group is known counts there, too. Returns it; none counts nowhere.
  // Out of line: the good path keeps its registers.
  template <typename Sa>
  [[gnu::noinline, gnu::cold]] DropReason charge(Sa& sa, DropReason reason) noexcept {
    if (reason != DropReason::none) sa.drops.add(reason, drop_stock_);
    return reason;
  }
  [[gnu::noinline, gnu::cold]] DropReason charge_group(const Snapshot& snapshot, std::uint32_t group,
                                                       DropReason reason) noexcept {
    (*snapshot.group_drops)[group][index_].add(reason, drop_stock_);
    return reason;
  }
  void count(DropReason reason) noexcept { counters_.drops[static_cast<std::size_t>(reason)].add(1); }

  const std::uint32_t index_;
  const PathSettings& settings_;
  const aead::Engine& engine_;
  const bool keys_together_;       // engine_ wants it
  std::vector<Rule> local_red_;    // sources only
  std::vector<Rule6> local_red6_;  // ...
  std::unique_ptr<Scratch> scratch_;
  // What a sealed packet may have: the black MTU; 0 behind a packet of the burst that has to be cut first, so that no
  // later packet of its sender takes a number before its fragments do.
  std::uint32_t black_limit_;
  FragmentTable red_fragments_, opened_fragments_;
  std::uint64_t next_answer_tsc_ = 0;  // when the next Packet Too Big is due at an even pace
  // The slots asked for lately, so that a stream under one unknown slot asks a few times a second only. A place for
  // every slot of a window and of so many epochs: where two shared one, a flood of both would ask with every packet and
  // fill the ring (DATA-2).
  static constexpr std::uint32_t asked_epochs = 16;
  std::array<AskedSlot, asked_epochs * slot_window> asked_{};
  std::unique_ptr<ParkingLot> parking_;
  bool waiting_ = false;              // parking_ is not empty
  std::uint64_t looked_version_ = 0;  // of the snapshot whose keys were looked for
  std::uint64_t looked_tsc_ = 0;      // for frames that waited too long
  WorkerCounters counters_;
  DropStock drop_stock_;
  DropSampler sampler_;
  SpiRing slots_wanted_;
  SpiRing counter_limits_;
  Bypass bypass_;
  TokenBucket heard_bucket_;
  HostFrame heard_frame_;
  BypassLoopRing bypass_loops_;
  HostFrameRing queries_heard_, to_black_;
  TokenBucket heard_on_red_;
  ReportRing reports_heard_;
  TakenDatagram taken_datagram_;
  TakenDatagramRing datagrams_;
};

}  // namespace sealcast::dataplane
