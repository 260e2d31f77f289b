// Black to red. Packets are opened here, and nowhere else, and judged by what was inside.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/aead/engine.h"
#include "dataplane/packet/packet.h"
#include "dataplane/packet/red_mark.h"
#include "dataplane/path/aead_batch.h"
#include "dataplane/path/clear_path.h"
#include "dataplane/path/fragment_matcher.h"
#include "dataplane/path/group_datagram.h"
#include "dataplane/path/missing_keys.h"
#include "dataplane/path/path_settings.h"
#include "dataplane/path/source_guard.h"
#include "dataplane/path/tally.h"
#include "dataplane/sa/snapshot.h"

namespace sealcast::dataplane {

// One worker's. For each frame of a burst it reads the headers and checks SPI, addresses and replay window. Then it
// opens all of the burst in one call of the engine. Then for each it checks the window again, which takes the number,
// and all that the holder of a key could lie about.
//
// There are two ways through it. The lean way (opener_lean.h) takes nearly all packets and leaves those it does not
// know untouched. The general way (opener.cc) takes these, decides, and gives the reason. Both make the same bytes,
// verdicts and counts: Property.TheLeanWayInDecidesAsTheGeneralOne (property_test.cc) holds strip_lean() against
// strip_tunnel().
class Opener {
 public:
  // All that it is given outlives the opener. worker: the index of its worker.
  Opener(std::uint32_t worker, const PathSettings& settings, const aead::Engine& engine, Tally& tally,
         ClearPath& clear_path, MissingKeys& missing_keys, SourceGuard& source_guard);

  // Sets the verdict of every frame. forward: the frame as it is now goes to red.
  // Frames that were parked have been judged by their time when they arrived.
  enum class Judge : std::uint8_t { time, parked };
  void burst(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot,
             Judge judge = Judge::time) noexcept;

  // For the control thread: what came for the gateways themselves, of any group.
  TakenDatagramRing& datagrams() { return datagrams_.ring(); }

 private:
  friend class Intake;
  struct OpenRun;
  struct StripRun;
  // What an ESP packet looked like when it came in, for when it is open.
  struct Arrival {
    std::uint64_t number = 0;          // OpeningSa::number_of
    std::uint16_t header_bytes = 0;    // of the IP header
    std::uint16_t protocol_field = 0;  // where it names ESP
    std::uint8_t ip_offset = 0;        // of the IP header
    std::uint8_t family = 0;           // ...
    bool lean = false;                 // lean_ipv4.h, in a tunnel that keeps the addresses
  };

  // At most max_burst frames.
  void open_chunk(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;

  // opener_lean.h. False: nothing was done, the general way decides.
  bool admit_lean(Frame& frame, std::uint64_t now_tsc, const Snapshot& snapshot, OpenRun& run) noexcept;
  OpeningSa* sa_of_sender(const std::uint8_t* ip, std::uint32_t spi, std::uint64_t now_tsc,
                          const Snapshot& snapshot) noexcept;
  bool strip_lean(Frame& frame, std::uint32_t item, StripRun& run) noexcept;
  void settle(StripRun& run) noexcept;
  void fetch(std::span<const Frame> frames, const Snapshot& snapshot) const noexcept;

  // The general way. none: an item was added to the batch, or the frame has its verdict already.
  template <typename Family>
  DropReason admit_multicast(Frame& frame, const Packet& packet, std::uint64_t now_tsc,
                             const Snapshot& snapshot) noexcept;
  DropReason admit_other(Frame& frame, const Packet& packet, DropReason why, std::uint64_t now_tsc,
                         const Snapshot& snapshot) noexcept {
    return clear_path_.from_black(frame, packet, why, now_tsc, snapshot);
  }
  template <typename Family>
  DropReason admit_clear(Frame& frame, const Packet& packet, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;
  DropReason admit_fragment(Frame& frame, const Packet& packet) noexcept;
  // Why the number cannot be taken: seen before, or its time is not fresh.
  DropReason judge(OpeningSa& sa, std::uint64_t number) noexcept;
  FreshTimes::Bounds fresh(const OpeningSa& sa) const noexcept {
    return judge_ == Judge::time ? sa.fresh.get() : FreshTimes::Bounds{};
  }
  // length: of the ciphertext.
  void add_item(OpeningSa& sa, std::uint8_t* esp, std::uint32_t length, const Arrival& arrival) noexcept;

  // After the engine. text_bytes: without padding and trailer.
  DropReason strip(Frame& frame, std::uint32_t item) noexcept;
  template <typename Family>
  DropReason strip_tunnel(Frame& frame, std::uint32_t item, std::uint32_t text_bytes) noexcept;
  template <typename Family>
  DropReason strip_transport(Frame& frame, std::uint32_t item, std::uint32_t text_bytes) noexcept;
  DropReason take_datagram(std::uint32_t item, std::uint32_t text_bytes) noexcept;
  // H16 and the loop guards, for the packet that would leave on red.
  template <typename Family>
  DropReason check_inner(const EpochRules& rules, const std::uint8_t* ip, const Packet& packet) noexcept;
  void refuse(Frame& frame, std::uint32_t item, DropReason reason) noexcept;

  const std::uint32_t worker_;
  const PathSettings& settings_;
  const TickScale scale_;
  std::uint32_t now_ms_ = 0;  // of the burst
  Judge judge_ = Judge::time;
  Tally& tally_;
  ClearPath& clear_path_;
  MissingKeys& missing_keys_;
  SourceGuard& source_guard_;
  const RedSignature signature_;
  FragmentMatcher fragments_;
  std::uint64_t burst_tsc_ = 0;
  AeadBatch<aead::OpenItem, OpeningSa> batch_;
  std::array<Arrival, max_burst> arrivals_;  // of the batch's items
  DatagramInbox datagrams_;
};

}  // namespace sealcast::dataplane
