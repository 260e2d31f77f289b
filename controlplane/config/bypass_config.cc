// [[bypass]]: what crosses the gateway in clear, by named rules, and never what a group protects.
#include <algorithm>

#include "controlplane/config/table_reader.h"

namespace sealcast::config {
namespace {

constexpr std::string_view protocol_expected =
    "\"arp\", \"nd\", \"igmp-report\", \"igmp-query\", \"mld-report\", \"mld-query\", \"pim\", \"ospf\", \"vrrp\", "
    "\"stp\", \"udp\", \"tcp\" or an IP protocol number from 0 to 255";

void read_bypass_protocol(TableReader& table, BypassRule& rule) {
  const Node* node = table.any(
      "protocol", protocol_expected,
      {"a kind of packet, which fits its form; `udp`, `tcp` and numbers need a `destination`", "this or `ethertype`"});
  if (!node) return;
  if (node->kind == Node::Kind::integer && node->integer >= 0 && node->integer <= 255) {
    rule.protocol = BypassProtocol::ip;
    rule.ip_protocol = static_cast<std::uint8_t>(node->integer);
    return;
  }
  if (node->kind == Node::Kind::string) {
    if (const auto named = bypass_protocol(node->text)) {
      rule.protocol = *named;
      return;
    }
    if (node->text == "udp" || node->text == "tcp") {
      rule.protocol = BypassProtocol::ip;
      rule.ip_protocol = node->text == "udp" ? 17 : 6;
      return;
    }
  }
  table.note(*node, "protocol", "expected " + std::string(protocol_expected) + ", got " + node->describe());
}

// One of protocol and ethertype.
void read_kind(TableReader& table, BypassRule& rule) {
  read_bypass_protocol(table, rule);
  const Node* ethertype = table.integer(
      "ethertype", rule.ethertype, 0x0600, 0xffff,
      {"frames of this EtherType, such as `0x88cc`; not IP, ARP, a tag, a tunnel or the beacon (`0x88b5`)",
       "this or `protocol`"});
  if (ethertype) rule.protocol = BypassProtocol::ethertype;
  const bool two = table.node().find("protocol") && table.node().find("ethertype");
  const bool none = !table.node().find("protocol") && !table.node().find("ethertype");
  if (two) table.note(*table.node().find("ethertype"), "ethertype", "expected this or protocol, got both");
  if (none)
    table.note(table.node(), "protocol",
               "expected " + std::string(protocol_expected) + ", or the key ethertype, got neither");
}

std::optional<BypassRule> read_rule(TableReader& table) {
  const std::size_t before = table.report().errors.size();
  BypassRule rule;
  table.wire_name("name", rule.name, Need::required,
                  "names the rule in `sealcast status` and the log; no other rule has this name");
  table.choice<BypassDirection>("direction", rule.direction, Need::required,
                                {{"red-to-black", BypassDirection::red_to_black},
                                 {"black-to-red", BypassDirection::black_to_red},
                                 {"both", BypassDirection::both}},
                                "which way such packets may cross");
  read_kind(table, rule);
  const auto prefix = [&](std::string_view key, std::optional<Prefix>& out, const About& about) {
    Prefix read;
    if (table.parsed(key, read, Need::optional, "an address or prefix such as \"10.0.0.0/8\"", Prefix::parse, about))
      out = read;
  };
  prefix("destination", rule.destination, {"where the packets go; with ARP the target's address", "any"});
  prefix("source", rule.source, {"where they come from, unicast; with ARP the sender's address", "any"});
  read_ports(table, rule.ports, {"destination ports, with UDP and TCP", "any"});
  table.integer("rate", rule.rate, 0, max_bypass_rate,
                "frames a second, for each worker and direction; one longer than 64 bytes counts for several");
  table.finish();
  if (table.report().errors.size() != before) return std::nullopt;
  if (auto valid = validate(rule); !valid) {
    const Node* at = table.node().find(table.node().find("protocol") ? "protocol" : "ethertype");
    table.note(*at, at->name, valid.error().message);
    return std::nullopt;
  }
  return rule;
}

}  // namespace

void read_bypass(TableReader& root, const MemberConfig& member, std::vector<BypassRule>& out) {
  const Node* list = root.array("bypass", Need::optional, 1, max_bypass_rules, "[[bypass]] tables",
                                "what crosses the gateway in clear");
  for (std::size_t i = 0; list && i < list->items.size(); ++i) {
    const Node& item = list->items[i];
    const std::string key = "bypass[" + std::to_string(i) + "]";
    if (item.kind != Node::Kind::table) {
      root.note(item, key, "expected a [[bypass]] table, got " + item.describe());
      continue;
    }
    TableReader table(item, root.full(key), root.report());
    auto rule = read_rule(table);
    if (!rule) continue;
    if (std::any_of(out.begin(), out.end(), [&](const BypassRule& other) { return other.name == rule->name; }))
      table.note(*item.find("name"), "name", "another rule is named \"" + rule->name + "\" already");
    for (const MemberGroup& group : member.groups) {
      for (const Selector& selector : group.selectors) {
        if (!overlap(*rule, selector)) continue;
        const Node* at = item.find("destination");
        table.note(at ? *at : item, "destination",
                   "expected nothing that a group protects, got a rule that lets " + selector.text() + " of group \"" +
                       group.id + "\" pass in clear");
      }
    }
    out.push_back(std::move(*rule));
  }
}

}  // namespace sealcast::config
