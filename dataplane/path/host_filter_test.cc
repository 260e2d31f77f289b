// What the gateway's own interface on black hears and may say: tables of frames, the hostile ones among them.
#include "dataplane/path/host_filter.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "dataplane/packet/packet.h"
#include "dataplane/testing/packets.h"

namespace sealcast::dataplane {
namespace {

using Class = HostFilter::Class;
using testing::ip;

const MacAddress own_mac{2, 0, 0, 0, 0, 5}, other_mac{2, 0, 0, 0, 0, 9}, broadcast{255, 255, 255, 255, 255, 255};

Bytes ethernet(const MacAddress& to, const MacAddress& from, std::uint16_t type, const Bytes& payload) {
  Bytes frame(to.begin(), to.end());
  frame.insert(frame.end(), from.begin(), from.end());
  frame.push_back(static_cast<std::uint8_t>(type >> 8));
  frame.push_back(static_cast<std::uint8_t>(type));
  frame.insert(frame.end(), payload.begin(), payload.end());
  frame.resize(std::max<std::size_t>(frame.size(), 60));
  return frame;
}

Bytes arp(const MacAddress& to, const MacAddress& from, std::uint8_t operation, const char* sender,
          const char* target) {
  Bytes payload{0, 1, 8, 0, 6, 4, 0, operation};
  payload.insert(payload.end(), from.begin(), from.end());
  const IpAddress s = ip(sender), t = ip(target);
  payload.insert(payload.end(), s.bytes.begin(), s.bytes.begin() + 4);
  payload.insert(payload.end(), 6, 0);
  payload.insert(payload.end(), t.bytes.begin(), t.bytes.begin() + 4);
  return ethernet(to, from, 0x0806, payload);
}

// An IPv4 or IPv6 packet with this payload, after the family of the addresses.
Bytes packet(const MacAddress& to, const MacAddress& from, std::uint8_t protocol, const char* source,
             const char* destination, const Bytes& payload, std::uint8_t hops = 64) {
  const IpAddress s = ip(source), d = ip(destination);
  Bytes bytes;
  if (s.family == 4) {
    bytes = {0x45, 0, 0, 0, 0, 1, 0x40, 0, hops, protocol, 0, 0};
    bytes[3] = static_cast<std::uint8_t>(20 + payload.size());
    bytes.insert(bytes.end(), s.bytes.begin(), s.bytes.begin() + 4);
    bytes.insert(bytes.end(), d.bytes.begin(), d.bytes.begin() + 4);
    const std::uint16_t sum = static_cast<std::uint16_t>(~fold16(sum_ipv4_header(bytes.data())));
    std::memcpy(bytes.data() + 10, &sum, 2);
  } else {
    bytes = {0x60, 0, 0, 0, 0, static_cast<std::uint8_t>(payload.size()), protocol, hops};
    bytes.insert(bytes.end(), s.bytes.begin(), s.bytes.end());
    bytes.insert(bytes.end(), d.bytes.begin(), d.bytes.end());
  }
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return ethernet(to, from, s.family == 4 ? 0x0800 : 0x86dd, bytes);
}

Bytes tcp(const MacAddress& to, const MacAddress& from, const char* source, std::uint16_t from_port,
          const char* destination, std::uint16_t to_port, std::uint8_t protocol = 6) {
  Bytes segment(20, 0);
  store_be<std::uint16_t>(segment.data(), from_port);
  store_be<std::uint16_t>(segment.data() + 2, to_port);
  segment[12] = 0x50;
  return packet(to, from, protocol, source, destination, segment);
}

Bytes nd(const MacAddress& to, const MacAddress& from, std::uint8_t type, const char* source, const char* destination,
         std::uint8_t hops = 255) {
  Bytes message(32, 0);
  message[0] = type;
  return packet(to, from, 58, source, destination, message, hops);
}

struct Host : ::testing::Test {
  HostFilter filter{{{ip("10.0.0.1"), 7400}, {ip("2001:db8::1"), 7400}}, {{IpAddress{}, 7500}}};
  Host() { static_cast<void>(filter.set_addresses({own_mac, {ip("10.0.0.5"), ip("2001:db8::5")}})); }
  Class hears(const Bytes& frame) const {
    ClearPacket clear;
    if (read_clear(frame.data() + 14, static_cast<std::uint32_t>(frame.size() - 14), load16(frame.data() + 12),
                   clear) != DropReason::none)
      return Class::none;
    return filter.wants(frame.data(), clear);
  }
  Class says(const Bytes& frame) const {
    return filter.may_send(frame.data(), static_cast<std::uint32_t>(frame.size()));
  }
};

TEST_F(Host, HearsResolutionOfItsOwnAddressesAlone) {
  const MacAddress solicited{0x33, 0x33, 0xff, 0, 0, 5};
  const struct {
    const char* name;
    Bytes frame;
    bool heard;
  } table[] = {
      {"who has me", arp(broadcast, other_mac, 1, "10.0.0.1", "10.0.0.5"), true},
      {"who has another", arp(broadcast, other_mac, 1, "10.0.0.1", "10.0.0.6"), false},
      {"an answer to me", arp(own_mac, other_mac, 2, "10.0.0.1", "10.0.0.5"), true},
      {"an answer to another", arp(other_mac, broadcast, 2, "10.0.0.1", "10.0.0.6"), false},
      {"an answer shouted", arp(broadcast, other_mac, 2, "10.0.0.1", "10.0.0.5"), false},
      {"neither request nor answer", arp(broadcast, other_mac, 3, "10.0.0.1", "10.0.0.5"), false},
      {"solicited", nd(solicited, other_mac, 135, "2001:db8::1", "ff02::1:ff00:5"), true},
      {"another solicited", nd(solicited, other_mac, 135, "2001:db8::1", "ff02::1:ff00:6"), false},
      {"advertised to me", nd(own_mac, other_mac, 136, "2001:db8::1", "2001:db8::5"), true},
      {"advertised from afar", nd(own_mac, other_mac, 136, "2001:db8::1", "2001:db8::5", 254), false},
      {"a router's advertisement", nd(own_mac, other_mac, 134, "2001:db8::1", "2001:db8::5"), false},
      {"an echo", nd(own_mac, other_mac, 128, "2001:db8::1", "2001:db8::5"), false},
  };
  for (const auto& row : table)
    EXPECT_EQ(hears(row.frame), row.heard ? Class::resolution : Class::none) << row.name;
}

TEST_F(Host, HearsKeyServersAndNothingElse) {
  const struct {
    const char* name;
    Bytes frame;
    bool heard;
  } table[] = {
      {"the key server", tcp(own_mac, other_mac, "10.0.0.1", 7400, "10.0.0.5", 40000), true},
      {"over IPv6", tcp(own_mac, other_mac, "2001:db8::1", 7400, "2001:db8::5", 40000), true},
      {"its other port", tcp(own_mac, other_mac, "10.0.0.1", 22, "10.0.0.5", 40000), false},
      {"another's port of that number", tcp(own_mac, other_mac, "10.0.0.2", 7400, "10.0.0.5", 40000), false},
      {"with UDP", tcp(own_mac, other_mac, "10.0.0.1", 7400, "10.0.0.5", 40000, 17), false},
      {"to another's address", tcp(own_mac, other_mac, "10.0.0.1", 7400, "10.0.0.6", 40000), false},
      {"to another's MAC", tcp(other_mac, own_mac, "10.0.0.1", 7400, "10.0.0.5", 40000), false},
      {"a member to our own key server", tcp(own_mac, other_mac, "10.0.0.7", 40000, "10.0.0.5", 7500), true},
      {"a stranger to our ssh", tcp(own_mac, other_mac, "10.0.0.7", 40000, "10.0.0.5", 22), false},
  };
  for (const auto& row : table)
    EXPECT_EQ(hears(row.frame), row.heard ? Class::key_server : Class::none) << row.name;
  Bytes fragment = tcp(own_mac, other_mac, "10.0.0.1", 7400, "10.0.0.5", 40000);
  fragment[14 + 6] = 0x20;  // more fragments
  fragment[14 + 10] = fragment[14 + 11] = 0;
  const std::uint16_t sum = static_cast<std::uint16_t>(~fold16(sum_ipv4_header(fragment.data() + 14)));
  std::memcpy(fragment.data() + 24, &sum, 2);
  EXPECT_EQ(hears(fragment), Class::none);
}

TEST_F(Host, SaysNothingButResolutionAndKeyServers) {
  EXPECT_EQ(says(arp(broadcast, own_mac, 1, "10.0.0.5", "10.0.0.1")), Class::resolution);
  EXPECT_EQ(says(arp(broadcast, own_mac, 1, "0.0.0.0", "10.0.0.5")), Class::resolution) << "a probe";
  EXPECT_EQ(says(arp(broadcast, own_mac, 1, "10.0.0.9", "10.0.0.1")), Class::none) << "in another's name";
  EXPECT_EQ(says(arp(broadcast, other_mac, 1, "10.0.0.5", "10.0.0.1")), Class::none) << "with another's MAC address";
  EXPECT_EQ(says(nd({0x33, 0x33, 0xff, 0, 0, 1}, own_mac, 135, "2001:db8::5", "ff02::1:ff00:1")), Class::resolution);
  EXPECT_EQ(says(nd({0x33, 0x33, 0, 0, 0, 2}, own_mac, 133, "2001:db8::5", "ff02::2")), Class::none);
  EXPECT_EQ(says(tcp(other_mac, own_mac, "10.0.0.5", 40000, "10.0.0.1", 7400)), Class::key_server);
  EXPECT_EQ(says(tcp(other_mac, own_mac, "10.0.0.5", 7500, "10.0.0.7", 40000)), Class::key_server);
  EXPECT_EQ(says(tcp(other_mac, own_mac, "10.0.0.5", 40000, "10.0.0.1", 443)), Class::none);
  EXPECT_EQ(says(tcp(other_mac, own_mac, "10.0.0.6", 40000, "10.0.0.1", 7400)), Class::none);
  const Bytes whole = tcp(other_mac, own_mac, "10.0.0.5", 40000, "10.0.0.1", 7400);
  for (std::size_t length = 0; length < 14 + 40; ++length)
    EXPECT_EQ(says(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length))), Class::none) << length;
}

TEST_F(Host, WithoutAnAddressHearsNothing) {
  static_cast<void>(filter.set_addresses({own_mac, {}}));
  EXPECT_EQ(hears(arp(broadcast, other_mac, 1, "10.0.0.1", "10.0.0.5")), Class::none);
  EXPECT_EQ(hears(tcp(own_mac, other_mac, "10.0.0.1", 7400, "10.0.0.5", 40000)), Class::none);
}

}  // namespace
}  // namespace sealcast::dataplane
