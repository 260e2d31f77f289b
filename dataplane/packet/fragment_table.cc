#include "dataplane/packet/fragment_table.h"

#include "dataplane/packet/mix.h"

namespace sealcast::dataplane {
FragmentTable::FragmentTable(std::uint64_t lifetime, std::uint64_t secret)
    : lifetime_(lifetime), secret_(secret), table_(std::make_unique<std::array<Bucket, buckets>>()) {}

// The source alone decides: a flood from one source stays in one bucket, whatever groups and identifications it names.
FragmentTable::Bucket& FragmentTable::bucket_of(const FragmentKey& key) noexcept {
  const std::uint64_t hash =
      mix(mix(key.source[0] ^ secret_, 0x9e3779b97f4a7c15) ^ key.source[1], (secret_ << 1) | 0x6c62272e07bb0143);
  return (*table_)[hash % buckets];
}

FragmentTable::Entry* FragmentTable::find(Bucket& bucket, const FragmentKey& key, std::uint64_t now) noexcept {
  for (Entry& entry : bucket)
    if (alive(entry, now) && entry.key == key) return &entry;
  return nullptr;
}

FragmentTable::Entry& FragmentTable::place_for(Bucket& bucket, const FragmentKey& key, std::uint64_t now) noexcept {
  Entry* free = nullptr;
  Entry* oldest = &bucket[0];
  Entry* own_oldest = nullptr;
  std::uint32_t own = 0;
  for (Entry& entry : bucket) {
    if (!alive(entry, now) || entry.complete()) {
      free = &entry;
      continue;
    }
    if (entry.serial < oldest->serial) oldest = &entry;
    if (entry.key.source != key.source || entry.key.family != key.family) continue;
    ++own;
    if (own_oldest == nullptr || entry.serial < own_oldest->serial) own_oldest = &entry;
  }
  if (own >= places_a_source) return *own_oldest;
  return free != nullptr ? *free : *oldest;
}

DropReason FragmentTable::first(const FragmentKey& key, const FragmentPlace& place, std::uint16_t port,
                                std::uint64_t now) noexcept {
  Bucket& bucket = bucket_of(key);
  Entry* entry = find(bucket, key, now);
  if (entry != nullptr && entry->port != port && !entry->complete()) return DropReason::bad_fragment;
  // The same fragment again, or the identification came round: the fragments that follow belong to this one.
  if (entry == nullptr) entry = &place_for(bucket, key, now);
  *entry = {key, now, ++serial_, place.bytes, 0, place.bytes, port};
  return DropReason::none;
}

DropReason FragmentTable::later(const FragmentKey& key, const FragmentPlace& place, std::uint64_t now,
                                std::uint16_t& port) noexcept {
  Entry* const entry = find(bucket_of(key), key, now);
  if (entry == nullptr) return DropReason::fragment_orphan;
  const std::uint32_t end = place.offset + place.bytes;
  if (place.offset < entry->first_bytes ||
      (entry->end != 0 && (end > entry->end || (!place.more && end != entry->end))))
    return DropReason::bad_fragment;
  if (!place.more) entry->end = end;
  entry->received += place.bytes;
  port = entry->port;
  return DropReason::none;
}

}  // namespace sealcast::dataplane
