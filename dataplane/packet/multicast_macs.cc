#include "dataplane/packet/multicast_macs.h"

#include <algorithm>
#include <set>

namespace sealcast::dataplane {
namespace {

class Builder {
 public:
  void add(const MacAddress& address) {
    if (filter_.all_multicast) return;
    macs_.insert(address);
    if (macs_.size() > max_multicast_macs) all();
  }
  void add(const char* group) { add(multicast_mac(IpAddress::parse(group).value())); }
  // Every address of a multicast prefix.
  void add(const Prefix& prefix) {
    const unsigned host_bits = static_cast<unsigned>(prefix.address.size() * 8) - prefix.length;
    if (host_bits > 8) return all();
    for (unsigned i = 0; i < (1U << host_bits); ++i) {
      IpAddress address = prefix.address;
      address.bytes[address.size() - 1] = static_cast<std::uint8_t>(address.bytes[address.size() - 1] | i);
      add(multicast_mac(address));
    }
  }
  void all() {
    filter_.all_multicast = true;
    macs_.clear();
  }
  void promiscuous() { filter_.promiscuous = true; }

  PortFilter take() {
    filter_.multicast.assign(macs_.begin(), macs_.end());
    return std::move(filter_);
  }

 private:
  std::set<MacAddress> macs_;
  PortFilter filter_;
};

void add_rule(Builder& out, const BypassRule& rule) {
  switch (rule.protocol) {
    case BypassProtocol::igmp_report:  // v1 and v2 reports go to the groups themselves, which stand in destinations
      out.add("224.0.0.22");
      out.add("224.0.0.2");
      return;
    case BypassProtocol::igmp_query:
      return out.add("224.0.0.1");
    case BypassProtocol::mld_report:
      out.add("ff02::16");
      out.add("ff02::2");
      return;
    case BypassProtocol::mld_query:
      return out.add("ff02::1");
    case BypassProtocol::pim:
      out.add("224.0.0.13");
      out.add("ff02::d");
      return;
    case BypassProtocol::ospf:  // part of it is unicast between the routers
      out.add("224.0.0.5");
      out.add("224.0.0.6");
      out.add("ff02::5");
      out.add("ff02::6");
      return out.promiscuous();
    case BypassProtocol::vrrp:
      out.add("224.0.0.18");
      out.add("ff02::12");
      return;
    case BypassProtocol::arp:  // requests are broadcast, replies are not
      return out.promiscuous();
    case BypassProtocol::nd:  // solicited-node groups of hosts that are not known
      out.all();
      return out.promiscuous();
    case BypassProtocol::stp:
      return out.add(MacAddress{0x01, 0x80, 0xc2, 0, 0, 0});
    case BypassProtocol::ethertype:
      out.all();
      return out.promiscuous();
    case BypassProtocol::ip:
      if (rule.destination && rule.destination->address.is_multicast()) return out.add(*rule.destination);
      return out.promiscuous();
  }
}

}  // namespace

MacAddress multicast_mac(const IpAddress& group) {
  const auto& b = group.bytes;
  if (group.family == 4) return {0x01, 0x00, 0x5e, static_cast<std::uint8_t>(b[1] & 0x7f), b[2], b[3]};
  return {0x33, 0x33, b[12], b[13], b[14], b[15]};
}

PortFilter port_filter(const std::vector<Prefix>& destinations, const std::vector<BypassRule>& rules,
                       BypassDirection side) {
  Builder out;
  for (const Prefix& destination : destinations)
    out.add(destination);
  for (const BypassRule& rule : rules)
    if (rule.rate != 0 && (static_cast<unsigned>(rule.direction) & static_cast<unsigned>(side)) != 0)
      add_rule(out, rule);
  return out.take();
}

std::string text(const MacAddress& address) {
  constexpr const char* digits = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t byte : address) {
    if (!out.empty()) out += ':';
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

}  // namespace sealcast::dataplane
