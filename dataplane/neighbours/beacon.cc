#include "dataplane/neighbours/beacon.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/limits.h"
#include "dataplane/packet/headers.h"
#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {
namespace {

constexpr std::array<std::uint8_t, 4> beacon_magic = {'S', 'C', 'B', 'N'};
constexpr std::uint8_t beacon_version = 1;
constexpr std::uint32_t version_at = 4, standing_at = 5, nonce_at = 6, names_at = 14;
constexpr std::size_t least_payload = 46;  // IEEE 802.3

template <typename T>
void append(std::vector<std::uint8_t>& to, T value) {
  to.resize(to.size() + sizeof value);
  store_be(to.data() + to.size() - sizeof value, value);
}

// Takes one text off the front of rest.
std::optional<std::string> take_text(std::span<const std::uint8_t>& rest) {
  if (rest.empty()) return std::nullopt;
  const std::size_t length = rest[0];
  if (length == 0 || length > max_name_bytes || length > rest.size() - 1) return std::nullopt;
  const std::string text(rest.begin() + 1, rest.begin() + 1 + static_cast<std::ptrdiff_t>(length));
  rest = rest.subspan(1 + length);
  return beacon_text(text);
}

}  // namespace

std::string beacon_text(std::string_view text) {
  std::string out(text.substr(0, max_name_bytes));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return out.empty() ? "?" : out;
}

std::vector<std::uint8_t> write_beacon(const Beacon& beacon, const MacAddress& source,
                                       std::optional<std::uint16_t> vlan) {
  std::vector<std::uint8_t> out(beacon_mac.begin(), beacon_mac.end());
  out.insert(out.end(), source.begin(), source.end());
  if (vlan) {
    append(out, std::uint16_t{0x8100});  // IEEE 802.1Q
    append(out, *vlan);
  }
  append(out, beacon_ether_type);
  const std::size_t payload = out.size();
  out.insert(out.end(), beacon_magic.begin(), beacon_magic.end());
  out.push_back(beacon_version);
  out.push_back(static_cast<std::uint8_t>(beacon.standing));
  append(out, beacon.nonce);
  for (const std::string* text : {&beacon.name, &beacon.site}) {
    out.push_back(static_cast<std::uint8_t>(text->size()));
    out.insert(out.end(), text->begin(), text->end());
  }
  out.resize(std::max(out.size(), payload + least_payload));
  return out;
}

std::optional<HeardBeacon> read_beacon(std::span<const std::uint8_t> frame) {
  std::uint16_t type = 0;
  std::uint32_t offset = 0;
  if (!parse_link(frame.data(), static_cast<std::uint32_t>(frame.size()), type, offset) || type != beacon_ether_type)
    return std::nullopt;
  const auto payload = frame.subspan(offset);
  if (payload.size() < names_at || !std::equal(beacon_magic.begin(), beacon_magic.end(), payload.begin()) ||
      payload[version_at] < beacon_version || payload[standing_at] > static_cast<std::uint8_t>(Standing::stands_by))
    return std::nullopt;
  HeardBeacon heard;
  std::copy_n(frame.begin() + ethernet::source, heard.source.size(), heard.source.begin());
  heard.beacon.standing = static_cast<Standing>(payload[standing_at]);
  heard.beacon.nonce = load64(&payload[nonce_at]);
  auto rest = payload.subspan(names_at);
  auto name = take_text(rest);
  auto site = name ? take_text(rest) : std::nullopt;
  if (!site) return std::nullopt;
  heard.beacon.name = std::move(*name);
  heard.beacon.site = std::move(*site);
  return heard;
}

}  // namespace sealcast::dataplane
