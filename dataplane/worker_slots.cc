// ESP under an SPI that no installed key opens: asking for the keys of slots that came into use.
#include "dataplane/worker.h"

namespace sealcast::dataplane {
namespace {

// Asks for one slot at most this often.
constexpr std::uint64_t asks_per_second = 10;

}  // namespace

// Parking packets of a slot while its key is derived will stand here; until then they are dropped.
DropReason Worker::unknown_spi(Frame&, std::uint32_t spi, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept {
  const SpiRange* range = snapshot.range_of(spi);
  if (range == nullptr) return DropReason::unknown_spi;
  if (spi > range->window_last) return DropReason::slot_out_of_window;
  const auto epoch = static_cast<std::uint32_t>(range - snapshot.ranges.data());
  AskedSlot& asked = asked_[(epoch % asked_epochs) * slot_window + spi % slot_window];
  const bool lately = asked.spi == spi && now_tsc - asked.at_tsc < settings_.tsc_hz / asks_per_second;
  if (!lately && slots_wanted_.push(spi)) asked = {spi, now_tsc};
  return DropReason::slot_pending;
}

}  // namespace sealcast::dataplane
