#include "dataplane/path/missing_keys.h"

namespace sealcast::dataplane {
namespace {

// How often one slot is asked for at most.
constexpr std::uint64_t asks_per_second = 10;
// How long a frame waits. The control thread looks for questions twenty times a second and answers within a few
// milliseconds: what has not come after a second will not come.
constexpr std::uint64_t parked_seconds = 1;
// How often frames are looked for that waited too long.
constexpr std::uint64_t expiry_looks_per_second = 50;

}  // namespace

// A slot that is in no table yet already belongs to the worker that will have it. So all packets of one slot are parked
// in one place, in their order, whichever queue brought them.
DropReason MissingKeys::take_in(Frame& frame, std::uint32_t spi, std::uint32_t time, std::uint64_t now_tsc,
                                const Snapshot& snapshot) noexcept {
  const SpiRange* range = snapshot.range_of(spi);
  if (range == nullptr) return DropReason::unknown_spi;
  if (spi > range->window_last) return DropReason::slot_out_of_window;
  // Its time counts as of its arrival, and it is not worth a place if that is not fresh.
  if (range->fresh != nullptr) {
    const std::uint32_t now_ms = scale_.milliseconds(now_tsc);
    const FreshTimes::Bounds bounds = range->fresh->get();
    if (!bounds.has(time, now_ms)) return bounds.distance(time, now_ms) < 0 ? DropReason::stale : DropReason::early;
  }
  if (const std::uint32_t owner = worker_of_spi(spi, snapshot.workers); owner != worker_) {
    frame.verdict = Verdict::hand_off;
    frame.target = static_cast<std::uint16_t>(owner);
    return DropReason::none;
  }
  const auto epoch = static_cast<std::uint32_t>(range - snapshot.ranges.data());
  Asked& asked = asked_[(epoch % asked_epochs) * slot_window + spi % slot_window];
  const bool lately = asked.spi == spi && now_tsc - asked.at_tsc < settings_.tsc_hz / asks_per_second;
  if (!lately && slots_wanted_.push(spi)) asked = {spi, now_tsc};

  switch (parking_.park(spi, frame, now_tsc)) {
    case ParkingLot::Place::kept:
      frame.verdict = Verdict::park;
      break;
    case ParkingLot::Place::swapped:  // frame is now the one that made room
      tally_.drop(frame, DropReason::slot_pending, Side::black);
      break;
    case ParkingLot::Place::no_place:
      return DropReason::slot_pending;
  }
  tally_.parked();
  return DropReason::none;
}

std::size_t MissingKeys::take_decided(std::span<Frame> out, const Snapshot& snapshot) noexcept {
  if (snapshot.version == looked_version_) return 0;
  const auto decided = [&](std::uint32_t spi, std::uint64_t) {
    return snapshot.spis.find(spi) != nullptr || snapshot.range_of(spi) == nullptr;
  };
  std::uint32_t spi = 0;
  std::size_t n = 0;
  while (n < out.size() && parking_.take(decided, out[n], spi))
    ++n;
  if (n == 0) looked_version_ = snapshot.version;
  return n;
}

std::size_t MissingKeys::take_late(std::span<Frame> out, std::uint64_t now_tsc) noexcept {
  if (now_tsc - looked_tsc_ < settings_.tsc_hz / expiry_looks_per_second) return 0;
  const std::uint64_t longest = parked_seconds * settings_.tsc_hz;
  const auto late = [&](std::uint32_t, std::uint64_t arrived) { return now_tsc - arrived >= longest; };
  std::uint32_t spi = 0;
  std::size_t n = 0;
  for (; n < out.size() && parking_.take(late, out[n], spi); ++n)
    tally_.drop(out[n], DropReason::slot_timeout, Side::black);
  if (n == 0) looked_tsc_ = now_tsc;
  return n;
}

std::size_t MissingKeys::give_back(std::span<Frame> out) noexcept {
  std::size_t n = 0;
  for (; n < out.size() && parking_.take_any(out[n]); ++n)
    tally_.drop(out[n], DropReason::slot_pending, Side::black);
  return n;
}

}  // namespace sealcast::dataplane
