#include "dataplane/membership/listener.h"

#include <iterator>

#include "dataplane/packet/clear_packet.h"

namespace sealcast::dataplane::membership {
namespace {

Host::Options host_options(const Listener::Options& options, std::uint8_t family) {
  Host::Options out;
  out.sender.mac = options.mac;
  out.mtu = options.mtu;
  out.random = options.random;
  if (family == 4)
    out.sender.source = options.address4.value_or(IpAddress::v4(0));
  else  // a global address is no source for MLD (RFC 3810 §5.2.13)
    out.sender.source =
        options.address6 && is_link_local(*options.address6) ? *options.address6 : link_local_address(options.mac);
  return out;
}

}  // namespace

Listener::Listener(const Options& options) : host4_(host_options(options, 4)), host6_(host_options(options, 6)) {}

void Listener::want(const Interests& all, Time now) {
  host4_.want(all, now);
  host6_.want(all, now);
}

void Listener::receive(std::span<const std::uint8_t> frame, Time now) {
  const auto query = read_query(frame);
  if (!query) return;
  host4_.on_query(*query, now);
  host6_.on_query(*query, now);
}

std::vector<Bytes> Listener::due(Time now, std::size_t most) {
  std::vector<Bytes> out = host4_.due(now, most);
  std::vector<Bytes> rest = host6_.due(now, most - out.size());
  std::move(rest.begin(), rest.end(), std::back_inserter(out));
  return out;
}

}  // namespace sealcast::dataplane::membership
