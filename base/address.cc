#include "base/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace sealcast {
namespace {

// Parses a whole decimal number of at most max.
std::optional<unsigned> number(std::string_view text, unsigned max) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty() || value > max) return std::nullopt;
  return value;
}

// True if the first `bits` bits of a and b agree.
bool same_bits(const IpAddress& a, const IpAddress& b, unsigned bits) {
  const std::size_t whole = bits / 8;
  if (!std::equal(a.bytes.begin(), a.bytes.begin() + static_cast<std::ptrdiff_t>(whole), b.bytes.begin())) return false;
  if (bits % 8 == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff << (8 - bits % 8));
  return (a.bytes[whole] & mask) == (b.bytes[whole] & mask);
}

// True if any address of a multicast prefix is of link-local scope. In IPv6 the scope is the second byte's low half,
// whatever the flags in its high half (RFC 4291 §2.7): ff12::/16 and ff32::/16 are link-local, too.
bool reaches_link_local_scope(const Prefix& prefix) {
  if (prefix.address.family == 4) {
    const Prefix local{IpAddress::v4(0xe0000000u), 24};
    return local.contains(prefix) || prefix.contains(local);
  }
  const std::uint8_t flags_and_scope = prefix.address.bytes[1];
  for (const unsigned scope : {1u, 2u}) {
    IpAddress local = prefix.address;
    local.bytes[1] = static_cast<std::uint8_t>((flags_and_scope & 0xf0u) | scope);
    if (prefix.length <= 12 || same_bits(prefix.address, local, std::min<unsigned>(prefix.length, 16))) return true;
  }
  return false;
}

}  // namespace

bool IpAddress::is_multicast() const {
  return family == 4 ? (bytes[0] & 0xf0) == 0xe0 : bytes[0] == 0xff;
}

bool IpAddress::is_link_local_scope() const {
  if (family == 4) return bytes[0] == 224 && bytes[1] == 0 && bytes[2] == 0;
  return bytes[0] == 0xff && ((bytes[1] & 0x0f) == 1 || (bytes[1] & 0x0f) == 2);
}

std::string IpAddress::text() const {
  char buffer[INET6_ADDRSTRLEN] = {};
  inet_ntop(family == 4 ? AF_INET : AF_INET6, bytes.data(), buffer, sizeof buffer);
  return buffer;
}

Result<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string copy(text);
  IpAddress address;
  if (inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1) return address;
  address.family = 6;
  address.bytes.fill(0);
  if (inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1) return address;
  return fail("expected an IPv4 or IPv6 address, got \"" + copy + "\"");
}

IpAddress IpAddress::v4(std::uint32_t host_order) {
  IpAddress address;
  for (std::size_t i = 0; i < 4; ++i)
    address.bytes[i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return address;
}

bool Prefix::contains(const IpAddress& candidate) const {
  return candidate.family == address.family && same_bits(address, candidate, length);
}

bool Prefix::contains(const Prefix& inner) const {
  return inner.length >= length && contains(inner.address);
}

std::string Prefix::text() const {
  if (length == address.size() * 8) return address.text();
  return address.text() + "/" + std::to_string(length);
}

Result<Prefix> Prefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  SEALCAST_TRY_ASSIGN(auto address, IpAddress::parse(text.substr(0, slash)));
  Prefix prefix{address, static_cast<std::uint8_t>(address.size() * 8)};
  if (slash != std::string_view::npos) {
    const auto bits = number(text.substr(slash + 1), prefix.length);
    if (!bits) {
      return fail("expected a prefix length of 0 to " + std::to_string(prefix.length) + ", got \"" +
                  std::string(text.substr(slash + 1)) + "\"");
    }
    prefix.length = static_cast<std::uint8_t>(*bits);
  }
  for (unsigned bit = prefix.length; bit < address.size() * 8; ++bit) {
    if ((address.bytes[bit / 8] >> (7 - bit % 8)) & 1) {
      return fail("address bits beyond the prefix length must be 0 in \"" + std::string(text) + "\"");
    }
  }
  return prefix;
}

std::string PortRange::text() const {
  return first == last ? std::to_string(first) : std::to_string(first) + "-" + std::to_string(last);
}

Result<PortRange> PortRange::parse(std::string_view text) {
  const auto dash = text.find('-');
  const auto first = number(text.substr(0, dash), 65535);
  const auto last = dash == std::string_view::npos ? first : number(text.substr(dash + 1), 65535);
  if (!first || !last || *first > *last) {
    return fail("expected a port or \"first-last\" of 0 to 65535, got \"" + std::string(text) + "\"");
  }
  return PortRange{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)};
}

std::string Selector::text() const {
  std::string out = destination.text();
  if (source) out = "(" + source->text() + ", " + out + ")";
  if (protocol) out += *protocol == 17 ? " udp" : " protocol " + std::to_string(*protocol);
  if (ports) out += " ports " + ports->text();
  return out;
}

bool Selector::covers(const Selector& inner) const {
  if (!destination.contains(inner.destination)) return false;
  if (source && (!inner.source || !source->contains(*inner.source))) return false;
  if (protocol && inner.protocol != protocol) return false;
  if (ports && (!inner.ports || inner.ports->first < ports->first || inner.ports->last > ports->last)) return false;
  return true;
}

Result<void> validate(const Selector& selector) {
  const auto& destination = selector.destination;
  const unsigned family_bits = destination.address.family == 4 ? 4 : 8;
  if (!destination.address.is_multicast() || destination.length < family_bits) {
    return fail("expected a multicast destination, got " + destination.text());
  }
  // A prefix that merely contains the link-local scope is refused too: its packets must never be encrypted (H12).
  if (reaches_link_local_scope(destination)) {
    return fail("destination " + destination.text() + " reaches into the link-local scope (" +
                (destination.address.family == 4 ? "224.0.0.0/24" : "ffx1::/16 and ffx2::/16 with any flags x") +
                "), which is never encrypted");
  }
  if (selector.source) {
    if (selector.source->address.family != destination.address.family) {
      return fail("source " + selector.source->text() + " and destination " + destination.text() +
                  " are of different IP versions");
    }
    if (selector.source->address.is_multicast())
      return fail("expected a unicast source, got " + selector.source->text());
  }
  if (selector.ports && selector.protocol != std::uint8_t{17}) return fail("ports need protocol = \"udp\"");
  return {};
}

}  // namespace sealcast
