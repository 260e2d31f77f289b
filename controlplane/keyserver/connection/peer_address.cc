#include "controlplane/keyserver/connection/peer_address.h"

#include <algorithm>
#include <string_view>

namespace sealcast::keyserver {

IpAddress counted_address(const std::string& host) {
  constexpr std::string_view mapped = "::ffff:";
  std::string_view text = std::string_view(host).substr(0, host.find('%'));
  if (text.starts_with(mapped) && text.find('.') != std::string_view::npos) text.remove_prefix(mapped.size());
  IpAddress address = IpAddress::parse(text).value_or(IpAddress{});
  if (address.family == 6) std::fill(address.bytes.begin() + 8, address.bytes.end(), std::uint8_t{0});
  return address;
}

}  // namespace sealcast::keyserver
