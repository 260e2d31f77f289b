#include "dataplane/path/parking_lot.h"

#include <bit>

namespace sealcast::dataplane {

ParkingLot::ParkingLot() {
  heads_.fill(none);
  for (std::uint16_t i = 0; i < parked_frames; ++i) {
    places_[i].next = slots_[i].next = static_cast<std::uint16_t>(i + 1 == parked_frames ? none : i + 1);
  }
}

ParkingLot::Place ParkingLot::park(std::uint32_t spi, Frame& frame, std::uint64_t now_tsc) noexcept {
  std::uint16_t slot = find(spi);
  const std::uint32_t mine = slot == none ? 0 : slots_[slot].count;
  if (mine == parked_per_slot) return Place::no_place;
  if (size_ < parked_frames) {
    if (slot == none) slot = make_slot(spi);
    append(slot, frame, now_tsc);
    return Place::kept;
  }
  // The lot is full. A slot gives up a frame only if it then still has as many as this one gets. But a newcomer's first
  // frame counts for more than another slot's last.
  const auto most =
      (counts_[1] & 1) != 0 ? parked_per_slot : static_cast<std::uint32_t>(std::bit_width(counts_[0]) - 1);
  if (most < mine + (mine == 0 ? 1 : 2)) return Place::no_place;
  const std::uint16_t fullest = by_count_[most].first;
  const Frame evicted = take(fullest, slots_[fullest].last);
  if (slot == none) slot = make_slot(spi);
  append(slot, frame, now_tsc);
  frame = evicted;
  return Place::swapped;
}

std::uint32_t ParkingLot::of_slot(std::uint32_t spi) const noexcept {
  const std::uint16_t slot = find(spi);
  return slot == none ? 0 : slots_[slot].count;
}

std::uint16_t ParkingLot::find(std::uint32_t spi) const noexcept {
  std::uint16_t slot = heads_[hash(spi)];
  while (slot != none && slots_[slot].spi != spi)
    slot = slots_[slot].next;
  return slot;
}

// There are as many slots as places, so a slot is free whenever a place is.
std::uint16_t ParkingLot::make_slot(std::uint32_t spi) noexcept {
  const std::uint16_t i = free_slot_;
  Slot& slot = slots_[i];
  free_slot_ = slot.next;
  slot = Slot{};
  slot.spi = spi;
  slot.next = heads_[hash(spi)];
  heads_[hash(spi)] = i;
  slot.use = static_cast<std::uint16_t>(slots_in_use_);
  in_use_[slots_in_use_++] = i;
  return i;
}

void ParkingLot::end_slot(std::uint16_t i) noexcept {
  Slot& slot = slots_[i];
  std::uint16_t* link = &heads_[hash(slot.spi)];
  while (*link != i)
    link = &slots_[*link].next;
  *link = slot.next;
  const std::uint16_t moved = in_use_[--slots_in_use_];
  in_use_[slot.use] = moved;
  slots_[moved].use = slot.use;
  slot.next = free_slot_;
  free_slot_ = i;
}

// Moves the slot from the list of its old count to the young end of the list of its new one. A count of 0 has no list.
void ParkingLot::set_count(std::uint16_t i, std::uint16_t count) noexcept {
  Slot& slot = slots_[i];
  const auto mark = [this](std::uint32_t n, bool some) {
    const std::uint64_t bit = std::uint64_t{1} << (n & 63);
    counts_[n / 64] = some ? counts_[n / 64] | bit : counts_[n / 64] & ~bit;
  };
  if (slot.count != 0) {
    ByCount& list = by_count_[slot.count];
    (slot.shorter == none ? list.first : slots_[slot.shorter].longer) = slot.longer;
    (slot.longer == none ? list.last : slots_[slot.longer].shorter) = slot.shorter;
    if (list.first == none) mark(slot.count, false);
  }
  slot.count = count;
  if (count == 0) return;
  ByCount& list = by_count_[count];
  slot.shorter = list.last;
  slot.longer = none;
  (list.last == none ? list.first : slots_[list.last].longer) = i;
  list.last = i;
  mark(count, true);
}

void ParkingLot::append(std::uint16_t i, const Frame& frame, std::uint64_t now_tsc) noexcept {
  Slot& slot = slots_[i];
  const std::uint16_t p = free_place_;
  Parked& place = places_[p];
  free_place_ = place.next;
  place.frame = frame;
  place.arrived_tsc = now_tsc;
  place.previous = slot.last;
  place.next = none;
  (slot.last == none ? slot.first : places_[slot.last].next) = p;
  slot.last = p;
  set_count(i, static_cast<std::uint16_t>(slot.count + 1));
  ++size_;
}

Frame ParkingLot::take(std::uint16_t i, std::uint16_t p) noexcept {
  Slot& slot = slots_[i];
  Parked& place = places_[p];
  (place.previous == none ? slot.first : places_[place.previous].next) = place.next;
  (place.next == none ? slot.last : places_[place.next].previous) = place.previous;
  place.next = free_place_;
  free_place_ = p;
  --size_;
  set_count(i, static_cast<std::uint16_t>(slot.count - 1));
  if (slot.count == 0) end_slot(i);
  return place.frame;
}

}  // namespace sealcast::dataplane
