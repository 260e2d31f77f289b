#include "dataplane/path/host_filter.h"

#include <algorithm>
#include <cstring>

#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint8_t neighbour_solicitation = 135, neighbour_advertisement = 136;  // RFC 4861 §4.3, §4.4

// RFC 826 for IPv4 over Ethernet: 28 bytes.
struct Arp {
  IpAddress sender, target;
  bool request = false;
};
bool read_arp(const ClearPacket& packet, Arp& arp) noexcept {
  constexpr std::uint8_t head[] = {0, 1, 8, 0, 6, 4, 0};
  if (packet.ether_type != ether_type_arp || packet.total_bytes < arp::bytes || std::memcmp(packet.data, head, 7) != 0)
    return false;
  if (packet.data[arp::operation + 1] != arp::request && packet.data[arp::operation + 1] != arp::reply) return false;
  arp.request = packet.data[arp::operation + 1] == arp::request;
  arp.sender = IpAddress::v4(load32(packet.data + arp::sender));
  arp.target = IpAddress::v4(load32(packet.data + arp::target));
  return true;
}

// Solicitations and advertisements; a hop limit of 255 is the proof that no router forwarded them (RFC 4861 §7.1).
bool is_resolution(const ClearPacket& packet) noexcept {
  if (packet.family != 6 || packet.protocol != protocol_icmpv6 || packet.fragment || packet.hop_limit != 255 ||
      packet.payload_bytes() < 24)
    return false;
  const std::uint8_t type = packet.payload()[icmpv6::type];
  return type == neighbour_solicitation || type == neighbour_advertisement;
}

bool has(const std::vector<IpAddress>& list, const IpAddress& address) noexcept {
  return std::find(list.begin(), list.end(), address) != list.end();
}

// ff02::1:ffXX:XXXX with the address' last three bytes (RFC 4291 §2.7.1).
bool is_solicited_node_of(const std::vector<IpAddress>& list, const IpAddress& group) noexcept {
  constexpr std::uint8_t head[13] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
  if (group.family != 6 || std::memcmp(group.bytes.data(), head, sizeof head) != 0) return false;
  return std::any_of(list.begin(), list.end(), [&](const IpAddress& own) {
    return own.family == 6 && std::memcmp(own.bytes.data() + 13, group.bytes.data() + 13, 3) == 0;
  });
}

bool is_tcp(const ClearPacket& packet) noexcept {
  return packet.family != 0 && packet.protocol == protocol_tcp && !packet.fragment &&
         packet.payload_bytes() >= min_tcp_bytes;
}

bool unspecified(const IpAddress& address) noexcept {
  return std::all_of(address.bytes.begin(), address.bytes.end(), [](std::uint8_t b) { return b == 0; });
}

}  // namespace

HostFilter::HostFilter(std::vector<HostEndpoint> remote, std::vector<HostEndpoint> local)
    : remote_(std::move(remote)), local_(std::move(local)), addresses_(new HostAddresses) {}

HostFilter::~HostFilter() {
  delete addresses_.load();
}

std::unique_ptr<const HostAddresses> HostFilter::set_addresses(HostAddresses addresses) {
  return std::unique_ptr<const HostAddresses>(addresses_.exchange(new HostAddresses(std::move(addresses))));
}

bool HostFilter::is_remote(const IpAddress& address, std::uint16_t port) const noexcept {
  return std::find(remote_.begin(), remote_.end(), HostEndpoint{address, port}) != remote_.end();
}

bool HostFilter::is_local(const IpAddress& address, std::uint16_t port) const noexcept {
  return std::any_of(local_.begin(), local_.end(), [&](const HostEndpoint& own) {
    return own.port == port && (own.address == address || unspecified(own.address));
  });
}

HostFilter::Class HostFilter::wants(const std::uint8_t* frame, const ClearPacket& packet) const noexcept {
  const HostAddresses& own = *addresses_.load(std::memory_order_acquire);
  if (own.addresses.empty()) return Class::none;
  const bool mine = std::memcmp(frame, own.mac.data(), own.mac.size()) == 0;
  Arp arp;
  if (read_arp(packet, arp))
    // A question for one of its addresses, whatever MAC address it goes to, or an answer to it.
    return has(own.addresses, arp.target) && (mine || (arp.request && (frame[ethernet::destination] & 1) != 0))
               ? Class::resolution
               : Class::none;
  if (is_resolution(packet))
    return (mine && has(own.addresses, packet.destination)) || is_solicited_node_of(own.addresses, packet.destination)
               ? Class::resolution
               : Class::none;
  if (!mine || !is_tcp(packet) || !has(own.addresses, packet.destination)) return Class::none;
  const std::uint16_t from = load16(packet.payload() + udp::source_port);
  const std::uint16_t to = load16(packet.payload() + udp::destination_port);
  return is_remote(packet.source, from) || is_local(packet.destination, to) ? Class::key_server : Class::none;
}

HostFilter::Class HostFilter::may_send(const std::uint8_t* frame, std::uint32_t length) const noexcept {
  const HostAddresses& own = *addresses_.load(std::memory_order_acquire);
  if (length < ethernet_bytes || std::memcmp(frame + ethernet::source, own.mac.data(), own.mac.size()) != 0)
    return Class::none;
  ClearPacket packet;
  if (read_clear(frame + ethernet_bytes, length - ethernet_bytes, load16(frame + ethernet::type), packet) !=
      DropReason::none)
    return Class::none;
  Arp arp;
  if (read_arp(packet, arp))
    // A probe (RFC 5227) has no sender's address yet.
    return has(own.addresses, arp.sender) || unspecified(arp.sender) ? Class::resolution : Class::none;
  if (is_resolution(packet))
    return has(own.addresses, packet.source) || unspecified(packet.source) ? Class::resolution : Class::none;
  if (!is_tcp(packet) || !has(own.addresses, packet.source)) return Class::none;
  const std::uint16_t from = load16(packet.payload() + udp::source_port);
  const std::uint16_t to = load16(packet.payload() + udp::destination_port);
  return is_remote(packet.destination, to) || is_local(packet.source, from) ? Class::key_server : Class::none;
}

}  // namespace sealcast::dataplane
