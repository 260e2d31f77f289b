#include "dataplane/path/drop_sample.h"

#include <algorithm>
#include <cstring>

#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint32_t transport_bytes = 8;  // ports, length, checksum of UDP
constexpr std::uint32_t other_bytes = arp::bytes;

// Where the headers end; the frame may be shorter, and may be garbage.
std::uint32_t header_bytes(const Frame& frame) noexcept {
  std::uint32_t offset = 0;
  std::uint16_t type = 0;
  if (!parse_link(frame, type, offset)) return frame.length;
  if (type == ether_type_ipv4 && frame.length >= offset + min_ipv4_bytes) {
    const std::uint8_t* const ip = frame.data + offset;
    const std::uint32_t bytes = std::max<std::uint32_t>((ip[ipv4::version] & 0x0fU) * 4, min_ipv4_bytes);
    return offset + bytes + (ip[ipv4::protocol] == protocol_esp ? esp_front_bytes : transport_bytes);
  }
  if (type == ether_type_ipv6 && frame.length >= offset + ipv6_header_bytes)
    return offset + ipv6_header_bytes +
           (frame.data[offset + ipv6::next_header] == protocol_esp ? esp_front_bytes : transport_bytes);
  return offset + other_bytes;
}

}  // namespace

void DropSampler::grant(std::uint32_t samples) noexcept {
  granted_.store(used_.get() + samples, std::memory_order_relaxed);
}

void DropSampler::take(Side side, DropReason reason, const Frame& frame) noexcept {
  used_.add(1);
  DropSample sample;
  sample.side = side;
  sample.reason = reason;
  sample.length = frame.length;
  const std::uint32_t kept = std::min({header_bytes(frame), frame.length, static_cast<std::uint32_t>(sample_bytes)});
  sample.kept = static_cast<std::uint8_t>(kept);
  if (kept != 0) std::memcpy(sample.header.data(), frame.data, kept);  // an empty frame may be at no address at all
  ring_.push(sample);
}

}  // namespace sealcast::dataplane
