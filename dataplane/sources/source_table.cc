#include "dataplane/sources/source_table.h"

#include <algorithm>

#include "dataplane/packet/mix.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint64_t source_odd1 = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio
constexpr std::uint64_t source_odd2 = 0xd1b54a32d192ed03;

std::uint64_t tag_of(std::uint64_t high, std::uint64_t low, std::uint64_t seed) noexcept {
  const std::uint64_t tag = mix(mix(high ^ seed, source_odd1) ^ low ^ (seed >> 32), source_odd2 ^ seed);
  return tag == 0 ? 1 : tag;
}

}  // namespace

bool SourceTable::may_begin(std::uint32_t now_ms) noexcept {
  // A credit a millisecond: new_per_second of them in a second.
  static_assert(new_per_second == 1000);
  credit_ = std::min(credit_ + std::min(now_ms - credited_ms_, new_per_second), new_per_second);
  credited_ms_ = now_ms;
  if (credit_ == 0) return false;
  --credit_;
  return true;
}

bool SourceTable::note(std::uint64_t tag, std::uint32_t now_ms) noexcept {
  Entry* place = nullptr;
  for (Entry& entry : sets_[tag % sets]) {
    const std::uint64_t its = entry.tag.load(std::memory_order_relaxed);
    const std::uint32_t seen_ms = entry.seen_ms.load(std::memory_order_relaxed);
    const bool lives = its != 0 && live(seen_ms, now_ms);
    if (its == tag && lives) {
      const std::uint32_t age = now_ms - seen_ms;
      if (age < refresh_ms) return false;
      entry.seen_ms.store(now_ms, std::memory_order_relaxed);
      if (age >= renew_ms)
        generation_.store(generation_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
      return false;
    }
    if (!lives && (place == nullptr || its == tag)) place = &entry;
  }
  if (place == nullptr || !may_begin(now_ms)) {
    left_out_.add(1);
    return false;
  }
  place->tag.store(0, std::memory_order_relaxed);
  place->seen_ms.store(now_ms, std::memory_order_relaxed);
  place->tag.store(tag, std::memory_order_release);
  generation_.store(generation_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  return true;
}

std::uint64_t Sources::tag(Address4 source) const noexcept {
  return tag_of(0, source, seed_);
}

std::uint64_t Sources::tag(const Address6& source) const noexcept {
  return tag_of(source.high, source.low, ~seed_);
}

bool Sources::on_red(std::uint64_t tag, std::uint32_t now_ms) const noexcept {
  return std::any_of(&tables_[0], &tables_[0] + workers_, [&](const Tables& one) { return one.red.has(tag, now_ms); });
}

bool Sources::from_black(std::uint64_t tag, std::uint32_t now_ms) const noexcept {
  return std::any_of(&tables_[0], &tables_[0] + workers_,
                     [&](const Tables& one) { return one.black.has(tag, now_ms); });
}

std::uint32_t Sources::generation() const noexcept {
  std::uint32_t sum = 0;
  for (std::uint32_t i = 0; i < workers_; ++i)
    sum += tables_[i].red.generation();
  return sum;
}

std::uint64_t Sources::left_out() const noexcept {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < workers_; ++i)
    sum += tables_[i].red.left_out();
  return sum;
}

}  // namespace sealcast::dataplane
