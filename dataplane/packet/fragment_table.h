// Remembers the destination port that the first fragment of a datagram showed. Where selectors name ports, nothing else
// says to which group the fragments behind it belong. Each worker has a table of its own, of fixed size.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "dataplane/packet/drop_reason.h"

namespace sealcast::dataplane {

// RFC 791 §3.2, RFC 8200 §4.5: what the fragments of one datagram share. IPv4 addresses fill the first 4 bytes, the
// rest is 0.
struct FragmentKey {
  std::array<std::uint64_t, 2> source{};       // network byte order
  std::array<std::uint64_t, 2> destination{};  // ...
  const void* scope = nullptr;                 // keeps datagrams apart as well: the epoch they were opened under
  std::uint32_t id = 0;                        // IPv4: 16 bits
  std::uint8_t protocol = 0;                   // IPv6: of the fragment header
  std::uint8_t family = 4;                     // 4 or 6

  bool operator==(const FragmentKey&) const = default;
};

// Where a fragment lies in its datagram's payload (IPv6: in the fragmentable part).
struct FragmentPlace {
  std::uint32_t offset = 0;  // bytes, a multiple of 8
  std::uint32_t bytes = 0;   // payload in this fragment
  bool more = false;         // not the last one

  bool first() const { return offset == 0; }
};

// The longest IP datagram, header included.
inline constexpr std::uint32_t max_ip_bytes = 65535;

// False for fragments that no honest sender makes: one without payload, one that is not the last and not a multiple of
// 8 bytes, one that reaches beyond the longest datagram ("ping of death"). header_bytes: of the IP headers that the
// whole datagram will have.
constexpr bool plausible(const FragmentPlace& place, std::uint32_t header_bytes) {
  if (place.bytes == 0 || (place.more && place.bytes % 8 != 0)) return false;
  return header_bytes + place.offset + place.bytes <= max_ip_bytes;
}

// Bounded against floods. A secret spreads the sources over buckets. A source that holds half of the places of its
// bucket replaces its own oldest entry, so that it takes no more from the others.
class FragmentTable {
 public:
  static constexpr std::uint32_t buckets = 64;
  static constexpr std::uint32_t places = 16;  // in a bucket
  static constexpr std::uint32_t places_a_source = places / 2;

  // lifetime: ticks from a first fragment until the rest is too late. secret: random, from the start of the process.
  FragmentTable(std::uint64_t lifetime, std::uint64_t secret);

  // A first fragment that a selector matches because of its destination port. Returns none: the fragments behind it
  // will follow it; bad_fragment: an earlier first fragment of this datagram showed another port.
  DropReason first(const FragmentKey& key, const FragmentPlace& place, std::uint16_t port, std::uint64_t now) noexcept;

  // Returns none: port is that of the first fragment; fragment_orphan: there was no first fragment, or it is too long
  // ago; bad_fragment: it would overwrite bytes of the first or reach beyond the last.
  DropReason later(const FragmentKey& key, const FragmentPlace& place, std::uint64_t now, std::uint16_t& port) noexcept;

 private:
  struct Entry {
    FragmentKey key;
    std::uint64_t since = 0;
    std::uint64_t serial = 0;       // tells the older of two that came in one burst
    std::uint32_t first_bytes = 0;  // 0: unused
    std::uint32_t end = 0;          // of the payload, once the last fragment came; else 0
    std::uint32_t received = 0;     // bytes so far
    std::uint16_t port = 0;

    // The datagram is whole: its identification may be used again. The entry stays for fragments that come here twice,
    // because they or others of their burst have to be cut.
    bool complete() const { return end != 0 && received >= end; }
  };
  using Bucket = std::array<Entry, places>;

  bool alive(const Entry& entry, std::uint64_t now) const noexcept {
    return entry.first_bytes != 0 && now - entry.since < lifetime_;
  }
  Bucket& bucket_of(const FragmentKey& key) noexcept;
  Entry* find(Bucket& bucket, const FragmentKey& key, std::uint64_t now) noexcept;
  Entry& place_for(Bucket& bucket, const FragmentKey& key, std::uint64_t now) noexcept;

  const std::uint64_t lifetime_;
  const std::uint64_t secret_;
  std::uint64_t serial_ = 0;
  std::unique_ptr<std::array<Bucket, buckets>> table_;
};

}  // namespace sealcast::dataplane
