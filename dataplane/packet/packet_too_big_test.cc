#include "dataplane/packet/packet_too_big.h"

#include <gtest/gtest.h>

#include "base/address.h"
#include "dataplane/testing/packets.h"

namespace sealcast::dataplane {
namespace {

using testing::operator+;
using testing::pattern;

const Bytes gateway_address = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x99};

Bytes ipv6_packet(std::size_t payload, std::uint8_t next = 17, std::uint8_t first_byte = 0,
                  const std::string& source = "2001:db8::1") {
  Bytes packet(40);
  packet[0] = 0x60;
  store_be(&packet[4], static_cast<std::uint16_t>(payload));
  packet[6] = next;
  packet[7] = 1;
  const auto from = IpAddress::parse(source).value();
  const auto to = IpAddress::parse("ff3e::8000:1").value();
  std::copy(from.bytes.begin(), from.bytes.end(), packet.begin() + 8);
  std::copy(to.bytes.begin(), to.bytes.end(), packet.begin() + 24);
  Bytes data = pattern(payload, 3);
  if (!data.empty()) data[0] = first_byte;
  return packet + data;
}

struct Buffer {
  Bytes bytes;
  Frame frame;

  Buffer(const Bytes& content, std::size_t headroom, std::size_t tailroom) {
    bytes = Bytes(headroom, 0xee) + content + Bytes(tailroom, 0xee);
    frame.data = bytes.data() + headroom;
    frame.length = static_cast<std::uint32_t>(content.size());
    frame.headroom = static_cast<std::uint32_t>(headroom);
    frame.tailroom = static_cast<std::uint32_t>(tailroom);
  }
};

std::uint32_t ones_sum(const Bytes& bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2)
    sum += static_cast<std::uint32_t>(bytes[i] << 8) + (i + 1 < bytes.size() ? bytes[i + 1] : 0);
  while (sum >> 16)
    sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

std::array<std::uint8_t, 16> source() {
  std::array<std::uint8_t, 16> out;
  std::copy(gateway_address.begin(), gateway_address.end(), out.begin());
  return out;
}

TEST(PacketTooBig, IsTheMessageOfRfc4443ByteForByte) {
  for (const auto& vlans : {std::vector<std::uint16_t>{}, {7}, {7, 8}}) {
    for (const std::size_t payload : {0U, 1U, 1191U, 1192U, 1193U, 1461U, 8960U}) {
      const Bytes packet = ipv6_packet(payload);
      const Bytes frame = testing::ethernet(packet, vlans, 0x86dd);
      const auto link = static_cast<std::uint32_t>(frame.size() - packet.size());
      Buffer buffer(frame, 48, 0);
      ASSERT_TRUE(make_packet_too_big(buffer.frame, link, static_cast<std::uint32_t>(packet.size()), 1426, source()));
      const Bytes got(buffer.frame.data, buffer.frame.data + buffer.frame.length);

      const std::size_t quoted = std::min<std::size_t>(packet.size(), 1232);
      EXPECT_LE(got.size() - link, 1280U) << "RFC 4443 §3.2: no larger than the minimum MTU";
      Bytes expected(frame.begin() + 6, frame.begin() + 12);  // back to where it came from
      expected = expected + Bytes(6, 0) + Bytes(frame.begin() + 12, frame.begin() + link);
      Bytes ip(40);
      ip[0] = 0x60;
      store_be(&ip[4], static_cast<std::uint16_t>(8 + quoted));
      ip[6] = 58;
      ip[7] = 64;
      std::copy(gateway_address.begin(), gateway_address.end(), ip.begin() + 8);
      std::copy(packet.begin() + 8, packet.begin() + 24, ip.begin() + 24);
      Bytes message = Bytes{2, 0, 0, 0, 0, 0, 0x05, 0x92} + Bytes(packet.begin(), packet.begin() + quoted);
      Bytes pseudo = Bytes(ip.begin() + 8, ip.end()) + Bytes(8, 0);
      store_be(&pseudo[32], static_cast<std::uint32_t>(message.size()));
      pseudo[39] = 58;
      store_be(&message[2], static_cast<std::uint16_t>(~ones_sum(pseudo + message)));
      EXPECT_EQ(got, expected + ip + message) << payload << " bytes, " << vlans.size() << " tags";

      EXPECT_EQ(buffer.frame.data - buffer.frame.headroom, buffer.bytes.data());
      EXPECT_EQ(buffer.frame.data + buffer.frame.length + buffer.frame.tailroom,
                buffer.bytes.data() + buffer.bytes.size());
    }
  }
}

TEST(PacketTooBig, WithoutHeadroomTheFrameIsUntouched) {
  const Bytes frame = testing::ethernet(ipv6_packet(1400), {}, 0x86dd);
  Buffer buffer(frame, 47, 100);
  const Bytes before = buffer.bytes;
  EXPECT_FALSE(make_packet_too_big(buffer.frame, 14, 1440, 1426, source()));
  EXPECT_EQ(buffer.bytes, before);
  EXPECT_EQ(buffer.frame.length, frame.size());
}

TEST(PacketTooBig, RFC4443_NoErrorAboutErrorsNorToNoNode) {
  const auto answered = [](const Bytes& packet, std::uint8_t protocol) {
    return may_answer(packet.data(), static_cast<std::uint32_t>(packet.size()), protocol, 40);
  };
  EXPECT_TRUE(answered(ipv6_packet(1400), 17)) << "to a multicast destination: §2.4(e.3)";
  EXPECT_TRUE(answered(ipv6_packet(1400, 58, 128), 58)) << "echo request";
  for (const std::uint8_t type : {std::uint8_t{1}, std::uint8_t{2}, std::uint8_t{127}, std::uint8_t{137}})
    EXPECT_FALSE(answered(ipv6_packet(1400, 58, type), 58)) << int{type};
  EXPECT_FALSE(answered(ipv6_packet(0, 58), 58)) << "type not to be seen";
  EXPECT_FALSE(answered(ipv6_packet(1400, 17, 0, "::"), 17));
  EXPECT_FALSE(answered(ipv6_packet(1400, 17, 0, "ff02::1"), 17));
}

}  // namespace
}  // namespace sealcast::dataplane
