// Red to black. Packets take their numbers and are sealed here, and nowhere else.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/aead/engine.h"
#include "dataplane/packet/packet.h"
#include "dataplane/path/aead_batch.h"
#include "dataplane/path/clear_path.h"
#include "dataplane/path/fragment_matcher.h"
#include "dataplane/path/path_settings.h"
#include "dataplane/path/size_limit.h"
#include "dataplane/path/source_guard.h"
#include "dataplane/path/tally.h"
#include "dataplane/sa/event_ring.h"
#include "dataplane/sa/snapshot.h"

namespace sealcast::dataplane {

// AES blocks that one sealed packet takes: its counter blocks and the tag's mask.
constexpr std::uint64_t blocks_of(std::uint32_t plaintext_bytes) {
  return (plaintext_bytes + 15) / 16 + 1;
}

// With foreign numbers a sequence must not come round (RFC 4303 §3.3.3): the last one, and the one at which the control
// thread is told to ask for a rekey.
inline constexpr std::uint64_t last_foreign_number = 0xffff'ffff, soft_foreign_limit = 0xc000'0000;

// One worker's. For each frame of a burst it reads the headers, looks up policy and SA, checks limits and size, and
// encapsulates the packet. Then it seals all of the burst in one call of the engine.
//
// There are two ways through it. The lean way (sealer_lean.h) takes nearly all packets and leaves those it does not
// know untouched. The general way (sealer.cc) takes these, decides, and gives the reason. Both make the same bytes,
// verdicts and counts: Property.TheLeanWayOutDecidesAsTheGeneralOne (property_test.cc) holds seal_lean() against
// encapsulate().
class Sealer {
 public:
  // All that it is given outlives the sealer. worker: the index of its worker.
  Sealer(std::uint32_t worker, const PathSettings& settings, const aead::Engine& engine, Tally& tally,
         ClearPath& clear_path, SourceGuard& source_guard);

  // Sets the verdict of every frame. forward: the frame as it is now goes to black.
  void burst(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;

  // For the control thread: SPIs that reached the soft limit of blocks.
  SpiRing& counter_limits() { return counter_limits_; }

 private:
  friend class Intake;
  struct Run;

  // At most max_burst frames.
  void seal_chunk(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;

  // sealer_lean.h. False: nothing was done, the general way decides.
  bool seal_lean(Frame& frame, std::uint64_t now_tsc, const Snapshot& snapshot, Run& run) noexcept;
  SealingSa* sa_of_flow(const std::uint8_t* ip, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;
  void settle(Run& run) noexcept;
  void fetch(std::span<const Frame> frames, const Snapshot& snapshot) const noexcept;

  // The general way. none: an item was added to the batch, or the frame has its verdict already.
  template <typename Family>
  DropReason admit_multicast(Frame& frame, const Packet& packet, std::uint64_t now_tsc,
                             const Snapshot& snapshot) noexcept;
  DropReason admit_other(Frame& frame, const Packet& packet, DropReason why, std::uint64_t now_tsc,
                         const Snapshot& snapshot) noexcept {
    return clear_path_.from_red(frame, packet, why, now_tsc, snapshot);
  }
  DropReason check_limits(const SealingSa& sa, std::uint64_t now_tsc) const noexcept;
  template <typename Family>
  void note_checksum(const std::uint8_t* ip, const Packet& packet, SealingSa& sa) noexcept;
  // One for each mode: tunnel_preserve, tunnel_fixed, transport.
  template <typename Family>
  void encapsulate(Frame& frame, const Packet& packet, SealingSa& sa) noexcept;
  void encapsulate_fixed(Frame& frame, const Packet& packet, SealingSa& sa) noexcept;
  void insert_esp(Frame& frame, const Packet& packet, SealingSa& sa) noexcept;

  std::uint64_t take_number(SealingSa& sa, std::uint32_t plaintext_bytes) noexcept;
  void count_blocks(SealingSa& sa, std::uint64_t blocks) noexcept;
  void add_esp(SealingSa& sa, std::uint64_t number, std::uint8_t* esp, std::uint32_t payload_bytes,
               std::uint32_t plaintext_bytes, std::uint8_t next_header) noexcept;
  void add_item(SealingSa& sa, std::uint64_t number, std::uint8_t* esp, std::uint32_t plaintext_bytes) noexcept;

  void note_sequence(SealingSa& sa) noexcept;

  const std::uint32_t worker_;
  const PathSettings& settings_;
  const TickScale scale_;
  std::uint32_t now_ms_ = 0;  // of the burst
  Tally& tally_;
  ClearPath& clear_path_;
  SourceGuard& source_guard_;
  SizeLimit size_limit_;
  FragmentMatcher fragments_;
  AeadBatch<aead::SealItem, SealingSa> batch_;
  SpiRing counter_limits_;
};

}  // namespace sealcast::dataplane
