// The values of config.h that need no file: addresses, sizes, names, and the parts both files share.
#include <algorithm>
#include <charconv>

#include "base/esp_overhead.h"
#include "controlplane/config/table_reader.h"

namespace sealcast::config {
namespace {

// "host:port" or "[host]:port" taken apart.
struct Parts {
  std::string_view host;
  bool bracketed = false;
  std::uint16_t port = 0;
};

std::optional<Parts> split(std::string_view text) {
  Parts parts;
  std::string_view port;
  if (!text.empty() && text.front() == '[') {
    const auto close = text.find("]:");
    if (close == std::string_view::npos) return std::nullopt;
    parts.host = text.substr(1, close - 1);
    parts.bracketed = true;
    port = text.substr(close + 2);
  } else {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    parts.host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), parts.port);
  if (error != std::errc() || end != port.data() + port.size() || port.empty()) return std::nullopt;
  return parts;
}

// RFC 1123 §2.1: letters, digits, hyphens and dots; a last label of digits alone would be a mistyped address.
bool is_dns_name(std::string_view host) {
  if (host.empty() || host.size() > max_dns_name_bytes || host.front() == '.' || host.front() == '-') return false;
  const bool allowed = std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
  if (!allowed) return false;
  const auto label = host.substr(host.rfind('.') == std::string_view::npos ? 0 : host.rfind('.') + 1);
  return !std::all_of(label.begin(), label.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Result<std::uint32_t> parse_spi(std::string_view text) {
  const bool hex = text.substr(0, 2) == "0x" || text.substr(0, 2) == "0X";
  const std::string_view digits = hex ? text.substr(2) : text;
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, hex ? 16 : 10);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty())
    return fail("expected an SPI such as \"0x10000000\", got \"" + std::string(text) + "\"");
  return value;
}

// Blocks of 2^bits SPIs, aligned to their size, that lie wholly inside the range.
std::uint64_t aligned_blocks(const SpiRange& range, unsigned bits) {
  const std::uint64_t size = std::uint64_t{1} << bits;
  const std::uint64_t first = (range.first + size - 1) / size;
  const std::uint64_t end = (std::uint64_t{range.last} + 1) / size;
  return end > first ? end - first : 0;
}

bool any_of_names(const std::vector<std::string>& allowed, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return std::find(allowed.begin(), allowed.end(), name) != allowed.end();
  });
}

// A protocol or port range may be written as a number or as a string.
void read_protocol(TableReader& table, Selector& selector) {
  const Node* node =
      table.any("protocol", "\"udp\" or an IP protocol number from 0 to 255", {"the IP protocol", "any"});
  if (!node) return;
  if (node->kind == Node::Kind::integer && node->integer >= 0 && node->integer <= 255) {
    selector.protocol = static_cast<std::uint8_t>(node->integer);
  } else if (node->kind == Node::Kind::string && node->text == "udp") {
    selector.protocol = std::uint8_t{17};
  } else {
    table.note(*node, "protocol", "expected \"udp\" or an IP protocol number from 0 to 255, got " + node->describe());
  }
}

}  // namespace

void read_ports(TableReader& table, std::optional<PortRange>& out, const About& about) {
  const Node* node = table.any("ports", "a port or \"first-last\"", about);
  if (!node) return;
  if (node->kind == Node::Kind::integer && node->integer >= 0 && node->integer <= 65535) {
    const auto port = static_cast<std::uint16_t>(node->integer);
    out = PortRange{port, port};
  } else if (node->kind == Node::Kind::string) {
    if (auto range = PortRange::parse(node->text))
      out = *range;
    else
      table.note(*node, "ports", range.error().message);
  } else {
    table.note(*node, "ports", "expected a port or \"first-last\", got " + node->describe());
  }
}

std::string Diagnostic::text() const {
  std::string out = file;
  if (line) out += ":" + std::to_string(line) + ":" + std::to_string(column);
  if (!key.empty()) out += ": " + key;
  out += ": " + message;
  // Keys and values are quoted as they stand in the file: nothing of them may speak to a terminal.
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return out;
}

std::string ListenAddress::text() const {
  return (address.family == 4 ? address.text() : "[" + address.text() + "]") + ":" + std::to_string(port);
}

Result<ListenAddress> ListenAddress::parse(std::string_view text) {
  const auto parts = split(text);
  if (parts) {
    const auto address = IpAddress::parse(parts->host);
    if (address && (address->family == 6) == parts->bracketed && !address->is_multicast())
      return ListenAddress{*address, parts->port};
  }
  return fail("expected an address and port such as \"10.9.0.1:7400\" or \"[2001:db8::1]:7400\", got \"" +
              std::string(text) + "\"");
}

std::string HostPort::text() const {
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + std::to_string(port);
}

Result<HostPort> HostPort::parse(std::string_view text) {
  const auto parts = split(text);
  if (parts && parts->port != 0) {
    const auto address = IpAddress::parse(parts->host);
    const bool good = address ? (address->family == 6) == parts->bracketed && !address->is_multicast()
                              : !parts->bracketed && is_dns_name(parts->host);
    if (good) return HostPort{std::string(parts->host), parts->port};
  }
  return fail(
      "expected a host and port such as \"10.9.0.1:7400\", \"[2001:db8::1]:7400\" or \"ks.example:7400\", got \"" +
      std::string(text) + "\"");
}

bool KeyserverGroup::admits(const std::vector<std::string>& names) const {
  return members_by_certificate || any_of_names(members, names);
}

bool KeyserverGroup::may_send(const std::vector<std::string>& names) const {
  return every_member_sends || any_of_names(senders, names);
}

bool MemberGroup::accepts(handshake::CipherSuite suite) const {
  return std::any_of(flows.begin(), flows.end(), [&](const auto& flow) { return flow.suite == suite; });
}

std::optional<std::uint8_t> spi_slot_bits(const SpiRange& range, std::size_t groups) {
  for (unsigned bits = 16; bits >= 4; --bits)
    if (aligned_blocks(range, bits) >= std::uint64_t{4} * groups) return static_cast<std::uint8_t>(bits);
  return std::nullopt;
}

std::string_view name(MemberRole role) {
  switch (role) {
    case MemberRole::receiver:
      return "receiver";
    case MemberRole::sender:
      return "sender";
    case MemberRole::both:
      return "both";
  }
  return "?";
}

std::string_view name(Carriage carriage) {
  return carriage == Carriage::tls ? "tls" : "isakmp";
}

std::string_view name(EngineChoice engine) {
  switch (engine) {
    case EngineChoice::automatic:
      return "auto";
    case EngineChoice::burst:
      return "burst";
    case EngineChoice::burst_512:
      return "burst-512";
    case EngineChoice::burst_256:
      return "burst-256";
    case EngineChoice::ipsec_mb:
      return "ipsec_mb";
    case EngineChoice::openssl:
      return "openssl";
  }
  return "?";
}

std::uint32_t needed_black_mtu(std::uint32_t red_mtu, std::uint8_t ip_version, EspMode mode) {
  return sealed_bytes(mode, ip_version, red_mtu);
}

std::vector<BlackMtuNeed> black_mtu_needs(const GatewayConfig& config) {
  std::vector<BlackMtuNeed> needs;
  for (const MemberGroup& group : config.member.groups) {
    for (const Selector& selector : group.selectors) {
      const std::uint8_t family = group.outer ? group.outer->destination.family : selector.destination.address.family;
      const BlackMtuNeed need{group.mode, family, needed_black_mtu(config.red.mtu, family, group.mode)};
      if (std::find(needs.begin(), needs.end(), need) == needs.end()) needs.push_back(need);
    }
  }
  std::stable_sort(needs.begin(), needs.end(), [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
  return needs;
}

bool overlaps(const Selector& a, const Selector& b) {
  if (!a.destination.contains(b.destination) && !b.destination.contains(a.destination)) return false;
  if (a.source && b.source && !a.source->contains(*b.source) && !b.source->contains(*a.source)) return false;
  if (a.protocol && b.protocol && a.protocol != b.protocol) return false;
  return !a.ports || !b.ports || (a.ports->first <= b.ports->last && b.ports->first <= a.ports->last);
}

void read_selectors(TableReader& table, std::vector<Selector>& out, const About& about) {
  const Node* list = table.array("selectors", Need::required, 1, max_selectors, "an array of selectors", about);
  if (!list) return;
  for (std::size_t i = 0; i < list->items.size(); ++i) {
    const Node& item = list->items[i];
    const std::string key = "selectors[" + std::to_string(i) + "]";
    if (item.kind != Node::Kind::table) {
      table.note(item, key, "expected a table such as { destination = \"239.1.1.0/24\" }, got " + item.describe());
      continue;
    }
    const std::size_t before = table.report().errors.size();
    TableReader reader(item, table.full(key), table.report());
    Selector selector;
    const auto* destination = reader.parsed("destination", selector.destination, Need::required,
                                            "a multicast address or prefix such as \"239.1.1.0/24\"", Prefix::parse,
                                            "the group addresses; not those of the link-local scope");
    Prefix source;
    if (reader.parsed("source", source, Need::optional, "an address or prefix such as \"10.0.0.0/8\"", Prefix::parse,
                      {"the senders' addresses", "any"}))
      selector.source = source;
    read_protocol(reader, selector);
    read_ports(reader, selector.ports, {"destination ports, with UDP", "any"});
    reader.finish();
    if (table.report().errors.size() != before) continue;
    if (auto valid = validate(selector); !valid)
      table.note(*destination, key, valid.error().message);
    else
      out.push_back(selector);
  }
}

void read_spi_range(TableReader& table, SpiRange& out, const About& about) {
  const Node* list = table.array("spi_range", Need::required, 2, 2, "[\"first\", \"last\"]", about);
  if (!list) return;
  std::uint32_t ends[2] = {};
  for (std::size_t i = 0; i < 2; ++i) {
    const Node& item = list->items[i];
    const std::string key = "spi_range[" + std::to_string(i) + "]";
    if (item.kind == Node::Kind::integer && item.integer >= 0 && item.integer <= UINT32_MAX) {
      ends[i] = static_cast<std::uint32_t>(item.integer);
    } else if (item.kind == Node::Kind::string) {
      const auto spi = parse_spi(item.text);
      if (!spi) return table.note(item, key, spi.error().message);
      ends[i] = *spi;
    } else {
      return table.note(item, key, "expected an SPI such as \"0x10000000\", got " + item.describe());
    }
    if (ends[i] < first_usable_spi)
      return table.note(item, key,
                        "expected an SPI of at least " + std::to_string(first_usable_spi) +
                            " (lower ones are reserved), got " + item.describe());
  }
  if (ends[0] > ends[1])
    return table.note(*list, "spi_range",
                      "expected first <= last, got " + list->items[0].describe() + " > " + list->items[1].describe());
  out = {ends[0], ends[1]};
}

void read_multicast_flag(TableReader& table, std::uint8_t& out) {
  // The client certificate types that IANA has assigned keep their meaning.
  const Node* node = table.integer(
      "multicast_flag", out, 23, 255,
      "the ClientCertificateType that asks for multicast, the same at key server and members; not 64 to 223");
  if (node && out >= 64 && out < 224)
    table.note(*node, "multicast_flag", "expected 23 to 63 or the private range 224 to 255, got " + node->describe());
}

}  // namespace sealcast::config
