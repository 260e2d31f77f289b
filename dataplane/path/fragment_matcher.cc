#include "dataplane/path/fragment_matcher.h"

#include <random>

namespace sealcast::dataplane {
namespace {

// From a datagram's first fragment to its last: they leave a sender back to back, while identifications come round in
// less than a second on a fast link.
constexpr std::uint64_t fragment_seconds = 2;

std::uint64_t random_word() {
  std::random_device random;
  return (std::uint64_t{random()} << 32) | random();
}

// Where the fragment header of an IPv6 packet begins, from ip; 0: there is none. The headers were walked before, so
// they all lie within header_bytes.
std::uint32_t find_fragment_header(const std::uint8_t* ip, std::uint32_t header_bytes) {
  std::uint8_t next = ip[ipv6::next_header];
  for (std::uint32_t at = ipv6_header_bytes; at + fragment_header_bytes <= header_bytes;) {
    if (next == header_fragment) return at;
    next = ip[at + extension::next_header];
    at += (ip[at + extension::length] + 1U) * 8;
  }
  return 0;
}

struct Part {
  FragmentPlace place;
  std::uint32_t header_bytes = 0;  // in front of the payload once it is whole, as far as it counts towards 65535
};

// Of a packet that is a fragment. IPv6's length field does not count the fixed header.
Part part_of(const std::uint8_t* ip, const Packet& packet) {
  if (packet.family == 4) {
    const std::uint16_t field = load16(ip + ipv4::fragment);
    const bool more = (field & ipv4::more_fragments) != 0;
    return {{(field & std::uint32_t{ipv4::fragment_offset}) * 8, packet.total_bytes - packet.header_bytes, more},
            packet.header_bytes};
  }
  const std::uint32_t at = find_fragment_header(ip, packet.header_bytes);
  if (at == 0) return {};
  const std::uint16_t field = load16(ip + at + fragment_header::place);
  const std::uint32_t begin = at + fragment_header_bytes;
  return {{std::uint32_t{field} & fragment_header::offset, packet.total_bytes - begin,
           (field & fragment_header::more) != 0},
          at - ipv6_header_bytes};
}

FragmentKey key_of(const Packet& packet, const void* scope) {
  FragmentKey key;
  key.scope = scope;
  key.id = packet.fragment_id;
  key.protocol = packet.protocol;
  key.family = packet.family;
  if (packet.family == 4) {
    key.source[0] = packet.source;
    key.destination[0] = packet.destination;
  } else {
    key.source = {packet.source6.high, packet.source6.low};
    key.destination = {packet.destination6.high, packet.destination6.low};
  }
  return key;
}

// find: whether the selectors match a key. scope: what keeps datagrams apart besides their addresses.
template <typename Address, typename Find>
DropReason follow_first(FragmentTable& table, const void* scope, const std::uint8_t* ip, const Packet& packet,
                        PacketKeyOf<Address>& key, std::uint64_t now, Find find) {
  const Part part = part_of(ip, packet);
  if (!plausible(part.place, part.header_bytes)) return DropReason::bad_fragment;
  PacketKeyOf<Address> blind = key;
  blind.has_ports = false;
  if (find(blind)) return DropReason::none;
  if (!packet.later_fragment) return table.first(key_of(packet, scope), part.place, key.destination_port, now);
  const DropReason reason = table.later(key_of(packet, scope), part.place, now, key.destination_port);
  if (reason != DropReason::none) return reason;
  key.has_ports = true;
  return find(key) ? DropReason::none : DropReason::fragment_orphan;
}

}  // namespace

FragmentMatcher::FragmentMatcher(std::uint64_t ticks_per_second)
    : table_(ticks_per_second * fragment_seconds, random_word()) {}

template <typename Address>
DropReason FragmentMatcher::match(const std::uint8_t* ip, const Packet& packet, PacketKeyOf<Address>& key,
                                  std::uint64_t now_tsc, const Policy& policy, std::uint32_t& group) noexcept {
  return follow_first(table_, nullptr, ip, packet, key, now_tsc,
                      [&](const PacketKeyOf<Address>& k) { return policy.find(k, group) == Match::found; });
}

template <typename Address>
DropReason FragmentMatcher::match(const std::uint8_t* ip, const Packet& packet, PacketKeyOf<Address>& key,
                                  std::uint64_t now_tsc, const std::vector<RuleOf<Address>>& rules) noexcept {
  return follow_first(table_, &rules, ip, packet, key, now_tsc,
                      [&](const PacketKeyOf<Address>& k) { return match_any(rules, k) == Match::found; });
}

template DropReason FragmentMatcher::match(const std::uint8_t*, const Packet&, PacketKey&, std::uint64_t, const Policy&,
                                           std::uint32_t&) noexcept;
template DropReason FragmentMatcher::match(const std::uint8_t*, const Packet&, PacketKey6&, std::uint64_t,
                                           const Policy&, std::uint32_t&) noexcept;
template DropReason FragmentMatcher::match(const std::uint8_t*, const Packet&, PacketKey&, std::uint64_t,
                                           const std::vector<Rule>&) noexcept;
template DropReason FragmentMatcher::match(const std::uint8_t*, const Packet&, PacketKey6&, std::uint64_t,
                                           const std::vector<Rule6>&) noexcept;

DropReason can_reassemble(const std::uint8_t* ip, const Packet& packet) noexcept {
  const Part part = part_of(ip, packet);
  if (!plausible(part.place, part.header_bytes)) return DropReason::bad_fragment;
  // The library looks for the fragment header behind the fixed one only.
  return packet.family == 6 && part.header_bytes != 0 ? DropReason::fragment : DropReason::none;
}

}  // namespace sealcast::dataplane
