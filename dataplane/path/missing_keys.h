// ESP under a slot that has no key here yet. The key is asked for. The frames are parked until it comes, and then come
// back in the order of their arrival.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/packet/frame.h"
#include "dataplane/path/parking_lot.h"
#include "dataplane/path/path_settings.h"
#include "dataplane/path/tally.h"
#include "dataplane/sa/event_ring.h"
#include "dataplane/sa/snapshot.h"

namespace sealcast::dataplane {

// One worker's.
class MissingKeys {
 public:
  // settings and tally outlive it. worker: the index of its worker.
  MissingKeys(std::uint32_t worker, const PathSettings& settings, Tally& tally)
      : worker_(worker), settings_(settings), scale_(settings.tsc_hz), tally_(tally) {}

  // A frame of ESP under an SPI that is in no table; time: its number's. Returns none: the frame has its verdict. It is
  // parked, or it is handed to the worker that the slot will belong to, or the parameter now holds another frame,
  // dropped, that made room for it.
  DropReason take_in(Frame& frame, std::uint32_t spi, std::uint32_t time, std::uint64_t now_tsc,
                     const Snapshot& snapshot) noexcept;

  bool empty() const noexcept { return parking_.size() == 0; }
  // Parked frames that the snapshot decides about: the key came, the slot is this gateway's own, or its epoch ended.
  // Returns how many frames it put into out.
  std::size_t take_decided(std::span<Frame> out, const Snapshot& snapshot) noexcept;
  // Parked frames that waited too long, as dropped.
  std::size_t take_late(std::span<Frame> out, std::uint64_t now_tsc) noexcept;
  // Any parked frames, as dropped.
  std::size_t give_back(std::span<Frame> out) noexcept;

  // For the control thread.
  SpiRing& slots_wanted() { return slots_wanted_; }

 private:
  struct Asked {
    std::uint32_t spi = 0;
    std::uint64_t at_tsc = 0;
  };
  // The slots asked for lately, so that a stream under one unknown slot asks a few times a second only. There is a
  // place for every slot of a window, for so many epochs. If two slots shared one place, a flood of both would ask with
  // every packet and fill the ring (DATA-2).
  static constexpr std::uint32_t asked_epochs = 16;

  const std::uint32_t worker_;
  const PathSettings& settings_;
  const TickScale scale_;
  Tally& tally_;
  std::uint64_t looked_version_ = 0;  // of the snapshot that was searched for keys
  std::uint64_t looked_tsc_ = 0;      // for frames that waited too long
  ParkingLot parking_;
  std::array<Asked, asked_epochs * slot_window> asked_{};
  SpiRing slots_wanted_;
};

}  // namespace sealcast::dataplane
