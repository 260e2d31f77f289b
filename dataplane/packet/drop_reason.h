// Why a frame was not forwarded: one table, from which counters, status texts, tests and docs/dataplane.md follow.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sealcast::dataplane {

enum class DropReason : std::uint8_t {
  none,
  // Frame and IP header, both sides
  short_frame,
  not_ip,
  ipv6_extension,
  truncated,
  bad_ip_header,
  not_multicast,
  fragment,
  fragment_orphan,
  bad_fragment,
  // Policy
  no_policy,
  clear_on_black,
  esp_on_red,
  local_red_source,
  local_source,
  gateway_output,
  standing_by,
  beacon,
  igmp_not_allowed,
  mld_not_allowed,
  report_stopped,
  bypass_loop,
  rate_limited,
  selector_mismatch,
  // Sealing
  no_sa,
  sa_expired,
  lease_expired,
  counter_exhausted,
  too_big,
  too_big_answered,
  no_headroom,
  engine_failed,
  // Opening
  esp_length,
  unknown_spi,
  own_spi,
  slot_pending,
  slot_timeout,
  slot_out_of_window,
  iv_sequence_mismatch,
  replay,
  stale,
  early,
  bad_tag,
  bad_padding,
  bad_next_header,
  bad_inner_packet,
  outer_inner_mismatch,
  nested_esp,
  ecn_illegal,
  too_big_for_red,
  group_datagram,
  // Counted, never dropped
  partial_checksum,
  zero_checksum,
  source_moved,
  count_,
};

inline constexpr std::size_t drop_reason_count = static_cast<std::size_t>(DropReason::count_);

struct DropReasonInfo {
  DropReason reason;
  std::string_view name;  // stable: counters, status, tests
  std::string_view text;  // for people: what came, and what to do where something can be done
};

// In the order of the enumeration; element i describes DropReason(i).
inline constexpr std::array<DropReasonInfo, drop_reason_count> drop_reasons = {{
    {DropReason::none, "none", "forwarded"},
    {DropReason::short_frame, "short_frame", "the frame ends inside its Ethernet, IP or UDP header"},
    {DropReason::not_ip, "not_ip", "an EtherType that no rule lets pass (ARP and other non-IP protocols)"},
    {DropReason::ipv6_extension, "ipv6_extension",
     "IPv6 extension headers that hide what the packet is: too many, cut off, out of order, a jumbogram, segments "
     "left"},
    {DropReason::truncated, "truncated",
     "the IP header announces more bytes than the frame has; raise framesz or the MTU"},
    {DropReason::bad_ip_header, "bad_ip_header",
     "IP version, header length, total length, TTL or header checksum is wrong, or the source is an address that no "
     "host "
     "has: multicast, broadcast, class E (RFC 1122 §3.2.1.3)"},
    {DropReason::not_multicast, "not_multicast", "the IP destination is not a multicast address"},
    {DropReason::fragment, "fragment",
     "an IP fragment: ESP on black, IGMP, in transport mode, or where a selector names ports it does not show"},
    {DropReason::fragment_orphan, "fragment_orphan",
     "a later IP fragment whose first one did not come before it, and selectors name ports it does not show"},
    {DropReason::bad_fragment, "bad_fragment",
     "an IP fragment that is empty, too long, not aligned, or contradicts one before it (an attack?)"},
    {DropReason::no_policy, "no_policy", "multicast that matches no selector and no bypass rule"},
    {DropReason::clear_on_black, "clear_on_black", "plain traffic of a protected group arrived on black"},
    {DropReason::esp_on_red, "esp_on_red", "ESP or AH arrived on red (a loop?); it is never sealed again"},
    {DropReason::local_red_source, "local_red_source",
     "an opened packet claims a source configured as local red (a loop?)"},
    {DropReason::local_source, "local_source",
     "an opened packet of a source that was heard on red within the last 2 seconds: a loop, a source that moved, or "
     "two "
     "with one address"},
    {DropReason::gateway_output, "gateway_output",
     "a packet on red that another gateway opened and put there; it is never sealed again"},
    {DropReason::standing_by, "standing_by",
     "another gateway works on this red segment, or this one listens at its start whether one does"},
    {DropReason::beacon, "beacon", "a gateway's beacon on red, taken out; no fault"},
    {DropReason::igmp_not_allowed, "igmp_not_allowed", "an IGMP message that may not pass in this direction or form"},
    {DropReason::mld_not_allowed, "mld_not_allowed", "an MLD message that may not pass in this direction or form"},
    {DropReason::report_stopped, "report_stopped",
     "a report about groups that travel in a fixed tunnel: the gateway itself reports the tunnel's group"},
    {DropReason::bypass_loop, "bypass_loop",
     "a frame that passes in clear was seen on both sides: there is a second way around this gateway"},
    {DropReason::rate_limited, "rate_limited", "more bypass traffic than the limit allows"},
    {DropReason::selector_mismatch, "selector_mismatch",
     "the packet does not match the selectors of the epoch or of the key's group"},
    {DropReason::no_sa, "no_sa", "protected traffic without an active outbound SA: no key from the key server (yet)"},
    {DropReason::sa_expired, "sa_expired", "the epoch's life is over"},
    {DropReason::lease_expired, "lease_expired", "the authority lease is over: the key server has not been heard"},
    {DropReason::counter_exhausted, "counter_exhausted", "the outbound SA sealed as much as one key may"},
    {DropReason::too_big, "too_big",
     "the sealed packet would exceed the black MTU and may not be cut (DF, IPv6 or transport mode)"},
    {DropReason::too_big_answered, "too_big_answered", "the same, and the sender was told: ICMPv6 Packet Too Big"},
    {DropReason::no_headroom, "no_headroom", "the buffer has no room for the ESP header or trailer"},
    {DropReason::engine_failed, "engine_failed", "the AEAD library refused to seal (a defect; please report it)"},
    {DropReason::esp_length, "esp_length", "the ESP packet is too short or not aligned to 4 bytes"},
    {DropReason::unknown_spi, "unknown_spi", "an SPI that belongs to no installed epoch"},
    {DropReason::own_spi, "own_spi", "a packet sealed by this gateway came back (a loop?)"},
    {DropReason::slot_pending, "slot_pending", "the slot's key is being derived, and no place was left to wait for it"},
    {DropReason::slot_timeout, "slot_timeout", "waited a second for the key of its slot, which did not come"},
    {DropReason::slot_out_of_window, "slot_out_of_window", "a slot too far above those in use; not derived"},
    {DropReason::iv_sequence_mismatch, "iv_sequence_mismatch",
     "the IV's low half differs from the ESP sequence number"},
    {DropReason::replay, "replay", "a number seen before, left of the window, or below the floor"},
    {DropReason::stale, "stale",
     "the time in its number is too long ago: a recording played back, a path that holds packets, or a clock that is "
     "wrong here or at the sender"},
    {DropReason::early, "early",
     "the time in its number is still to come: a clock that is wrong here or at the sender, or a member that lies"},
    {DropReason::bad_tag, "bad_tag", "the ICV is wrong"},
    {DropReason::bad_padding, "bad_padding", "authenticated, but the ESP padding is not 1, 2, 3, ..."},
    {DropReason::bad_next_header, "bad_next_header",
     "the next header names no packet that this mode carries: a dummy packet, or the gateways' own datagrams"},
    {DropReason::bad_inner_packet, "bad_inner_packet", "authenticated, but the inner IP header is wrong"},
    {DropReason::outer_inner_mismatch, "outer_inner_mismatch", "the outer addresses differ from the inner ones"},
    {DropReason::nested_esp, "nested_esp", "authenticated, but the inner packet is ESP or AH again"},
    {DropReason::ecn_illegal, "ecn_illegal",
     "congestion marked on a packet that does not take part (RFC 6040 section 4.2)"},
    {DropReason::too_big_for_red, "too_big_for_red", "the opened packet exceeds the red MTU"},
    {DropReason::group_datagram, "group_datagram",
     "the key server's word to the gateways themselves, taken out of the stream; no fault"},
    {DropReason::partial_checksum, "partial_checksum",
     "forwarded, but the UDP checksum was never finished; on the sending host: ethtool -K IFACE tx off"},
    {DropReason::zero_checksum, "zero_checksum",
     "forwarded, but UDP over IPv6 came without a checksum; receivers will drop it (RFC 8200 section 8.1)"},
    {DropReason::source_moved, "source_moved",
     "no packet but a source that began to be heard on one side within 2 seconds of the other"},
}};

constexpr std::string_view name(DropReason reason) {
  return drop_reasons[static_cast<std::size_t>(reason)].name;
}
constexpr std::string_view text(DropReason reason) {
  return drop_reasons[static_cast<std::size_t>(reason)].text;
}

}  // namespace sealcast::dataplane
