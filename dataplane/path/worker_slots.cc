// ESP under a slot whose key is not there yet: asked for, parked meanwhile, opened in the order of arrival when the key
// comes.
#include "dataplane/path/parking_lot.h"
#include "dataplane/path/worker_scratch.h"

namespace sealcast::dataplane {
namespace {

// Asks for one slot at most this often.
constexpr std::uint64_t asks_per_second = 10;
// A frame waits so long. The control thread looks for questions twenty times a second and answers within a few
// milliseconds; what has not come after a second, nobody waits for any more.
constexpr std::uint64_t parked_seconds = 1;
// Looks for frames that waited too long: so often a second.
constexpr std::uint64_t expiry_looks_per_second = 50;

}  // namespace

// Slots in no table belong to the worker they will belong to: all packets of one are parked in one place, in their
// order, whichever queue brought them.
DropReason Worker::unknown_spi(Frame& frame, std::uint32_t spi, std::uint64_t now_tsc,
                               const Snapshot& snapshot) noexcept {
  const SpiRange* range = snapshot.range_of(spi);
  if (range == nullptr) return DropReason::unknown_spi;
  if (spi > range->window_last) return DropReason::slot_out_of_window;
  if (const std::uint32_t owner = worker_of_spi(spi, snapshot.workers); owner != index_) {
    frame.verdict = Verdict::hand_off;
    frame.target = static_cast<std::uint16_t>(owner);
    return DropReason::none;
  }
  const auto epoch = static_cast<std::uint32_t>(range - snapshot.ranges.data());
  AskedSlot& asked = asked_[(epoch % asked_epochs) * slot_window + spi % slot_window];
  const bool lately = asked.spi == spi && now_tsc - asked.at_tsc < settings_.tsc_hz / asks_per_second;
  if (!lately && slots_wanted_.push(spi)) asked = {spi, now_tsc};

  switch (parking_->park(spi, frame, now_tsc)) {
    case ParkingLot::Place::kept:
      frame.verdict = Verdict::park;
      break;
    case ParkingLot::Place::swapped:  // the burst's place holds the frame that made room
      drop(frame, DropReason::slot_pending);
      break;
    case ParkingLot::Place::no_place:
      return DropReason::slot_pending;
  }
  counters_.parked.add(1);
  waiting_ = true;
  return DropReason::none;
}

std::size_t Worker::unpark(std::span<Frame> out, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept {
  if (!waiting_) return 0;
  if (out.size() > max_burst) out = out.first(max_burst);
  std::uint32_t spi = 0;
  std::size_t n = 0;
  // The key came, the slot turned out to be our own, or its epoch ended: black_chunk says which.
  if (snapshot.version != looked_version_) {
    const auto decided = [&](std::uint32_t candidate, std::uint64_t) {
      return snapshot.spis.find(candidate) != nullptr || snapshot.range_of(candidate) == nullptr;
    };
    while (n < out.size() && parking_->take(decided, out[n], spi))
      ++n;
    if (n != 0) {
      black_chunk(out.first(n), now_tsc, snapshot);
    } else {
      looked_version_ = snapshot.version;
    }
  }
  if (n == 0 && now_tsc - looked_tsc_ >= settings_.tsc_hz / expiry_looks_per_second) {
    const std::uint64_t longest = parked_seconds * settings_.tsc_hz;
    const auto late = [&](std::uint32_t, std::uint64_t arrived) { return now_tsc - arrived >= longest; };
    for (; n < out.size() && parking_->take(late, out[n], spi); ++n)
      drop(out[n], DropReason::slot_timeout);
    if (n == 0) looked_tsc_ = now_tsc;
  }
  waiting_ = parking_->size() != 0;
  return n;
}

std::size_t Worker::give_back(std::span<Frame> out) noexcept {
  std::size_t n = 0;
  for (; n < out.size() && parking_->take_any(out[n]); ++n)
    drop(out[n], DropReason::slot_pending);
  waiting_ = parking_->size() != 0;
  return n;
}

}  // namespace sealcast::dataplane
