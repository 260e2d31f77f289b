#include "dataplane/path/recent_frames.h"

#include <algorithm>
#include <cstring>

#include "dataplane/packet/mix.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint64_t odd1 = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio
constexpr std::uint64_t odd2 = 0xd1b54a32d192ed03;

}  // namespace

std::uint64_t RecentFrames::hash(const std::uint8_t* data, std::uint32_t bytes) const noexcept {
  while (bytes != 0 && data[bytes - 1] == 0)
    --bytes;
  std::uint64_t state = mix(seed_ ^ odd1, bytes + odd2);
  for (; bytes >= 8; bytes -= 8, data += 8) {
    std::uint64_t word;
    std::memcpy(&word, data, 8);
    state = mix(state ^ word, odd1 ^ seed_);
  }
  std::uint64_t last = 0;
  std::memcpy(&last, data, bytes);
  return mix(state ^ last, odd2);
}

RecentFrames::Entry* RecentFrames::find(std::uint64_t hash, std::uint64_t now) noexcept {
  for (Entry& entry : sets_[hash % sets])
    if (live(entry, now) && entry.tag == hash >> 2) return &entry;
  return nullptr;
}

bool RecentFrames::loops(std::uint64_t hash, Side from, std::uint64_t now) noexcept {
  Entry* const entry = find(hash, now);
  if (entry == nullptr || entry->state == passed(from)) return false;
  if (entry->state != looped) entry->at = now;
  entry->state = looped;
  return true;
}

void RecentFrames::remember(std::uint64_t hash, Side from, std::uint64_t now) noexcept {
  Entry* place = find(hash, now);
  if (place == nullptr) {
    auto& set = sets_[hash % sets];
    // A place that is free again, else the oldest one.
    place = &*std::max_element(set.begin(), set.end(), [&](const Entry& a, const Entry& b) {
      const auto age = [&](const Entry& e) { return live(e, now) ? now - e.at : ~std::uint64_t{0}; };
      return age(a) < age(b);
    });
  }
  place->at = now;
  place->tag = hash >> 2;
  place->state = passed(from);
}

bool RecentFrames::came_from(std::uint64_t hash, Side from, std::uint64_t now) const noexcept {
  const auto& set = sets_[hash % sets];
  return std::any_of(set.begin(), set.end(), [&](const Entry& entry) {
    return live(entry, now) && entry.tag == hash >> 2 && entry.state == passed(from);
  });
}

}  // namespace sealcast::dataplane
