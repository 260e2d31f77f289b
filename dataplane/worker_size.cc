// Packets whose size needs more than sealing: too big for black, and fragments that follow their first.
#include "dataplane/packet.h"
#include "dataplane/worker.h"

namespace sealcast::dataplane {

// Fragmentation before encryption will stand here; until then what does not fit is dropped and said so.
DropReason Worker::too_big_to_seal(Frame&, const Packet&, const SealingSa&, std::uint64_t) noexcept {
  return DropReason::too_big;
}

void Worker::first_fragment(const Packet&, std::uint32_t, std::uint64_t) noexcept {}

Match Worker::later_fragment(const Packet&, std::uint64_t, const Snapshot&, std::uint32_t&) noexcept {
  return Match::needs_ports;
}

}  // namespace sealcast::dataplane
