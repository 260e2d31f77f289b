// A gateway's file as a whole, with [gateway], [red] and [black].
#include <sched.h>

#include <algorithm>
#include <charconv>

#include "base/esp_overhead.h"
#include "base/port_spec.h"  // port strings; brings no DPDK
#include "controlplane/config/table_reader.h"

namespace sealcast::config {
namespace {

// Whose packets are at home on this red side, so that one coming back decrypted is a loop.
void read_local_sources(TableReader& table, std::vector<Prefix>& out) {
  const Node* list =
      table.array("local_sources", Need::optional, 1, 64, "an array of prefixes",
                  "unicast addresses that are at home here: an opened packet from one of them is dropped as a loop");
  for (std::size_t i = 0; list && i < list->items.size(); ++i) {
    const Node& item = list->items[i];
    const std::string key = "local_sources[" + std::to_string(i) + "]";
    if (item.kind != Node::Kind::string) {
      table.note(item, key, "expected a prefix such as \"10.1.0.0/24\", got " + item.describe());
      continue;
    }
    auto prefix = Prefix::parse(item.text);
    if (!prefix)
      table.note(item, key, prefix.error().message);
    else if (prefix->address.is_multicast())
      table.note(item, key, "expected a unicast prefix, got " + prefix->text());
    else
      out.push_back(*prefix);
  }
}

// How this gateway and others on its red segment know of each other.
void read_beacon(TableReader& table, BeaconConfig& out) {
  table.boolean("beacon", out.enabled,
                "gateways on one red segment hear each other's beacon, and one of them works "
                "([dataplane.md](dataplane.md#no-loop-no-echo))");
  const Node* vlans = table.array("beacon_vlans", Need::optional, 1, max_beacon_vlans, "an array of VLAN numbers",
                                  {"VLANs of red to send the beacon on, too, 1 to 4094", "untagged only"});
  for (std::size_t i = 0; vlans && i < vlans->items.size(); ++i) {
    const Node& item = vlans->items[i];
    const std::string key = "beacon_vlans[" + std::to_string(i) + "]";
    const auto vlan = static_cast<std::uint16_t>(item.integer);
    if (item.kind != Node::Kind::integer || item.integer < 1 || item.integer > 4094)
      table.note(item, key, "expected a VLAN number from 1 to 4094, got " + item.describe());
    else if (std::find(out.vlans.begin(), out.vlans.end(), vlan) != out.vlans.end())
      table.note(item, key, "expected each VLAN once, got " + std::to_string(vlan) + " twice");
    else
      out.vlans.push_back(vlan);
  }
  const Node* names = table.array(
      "ignore_neighbours", Need::optional, 1, max_ignored_neighbours, "an array of gateways' names",
      "gateways on red that may work beside this one, because they carry other groups; each must ignore the "
      "other");
  for (std::size_t i = 0; names && i < names->items.size(); ++i) {
    const Node& item = names->items[i];
    if (item.kind != Node::Kind::string || item.text.empty() || item.text.size() > max_name_bytes)
      table.note(item, "ignore_neighbours[" + std::to_string(i) + "]",
                 "expected a name of 1 to " + std::to_string(max_name_bytes) + " bytes, got " + item.describe());
    else
      out.ignored.push_back(item.text);
  }
  for (const char* const key : {"beacon_vlans", "ignore_neighbours"})
    if (!out.enabled && table.node().find(key))
      table.note(*table.node().find(key), key, "has no meaning with beacon = false");
}

Result<IpAddress> parse_own_ipv4(std::string_view text) {
  SEALCAST_TRY_ASSIGN(const auto address, IpAddress::parse(text));
  if (address.family != 4 || address.is_multicast() || address == IpAddress::v4(0))
    return fail("expected a unicast IPv4 address, got " + address.text());
  return address;
}

Result<IpAddress> parse_own_ipv6(std::string_view text) {
  SEALCAST_TRY_ASSIGN(const auto address, IpAddress::parse(text));
  const IpAddress none{6, {}};
  if (address.family != 6 || address.is_multicast() || address == none)
    return fail("expected a unicast IPv6 address, got " + address.text());
  return address;
}

// "tap:NAME": a kernel interface that the gateway makes.
Result<std::string> parse_host(std::string_view text) {
  SEALCAST_TRY_ASSIGN(const auto port, dataplane::parse_port(text));
  if (port.kind != dataplane::PortKind::tap || port.text != "tap:" + port.target)
    return fail("expected \"tap:\" and the name of an interface to be made, without options, got \"" +
                std::string(text) + "\"");
  return port.target;
}

struct OwnAddress {
  IpAddress address;
  std::uint8_t length = 0;
};

// An interface's address with the length of its network's prefix: unlike a Prefix it has host bits.
Result<OwnAddress> parse_own_address(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  const std::string_view digits = slash == std::string_view::npos ? std::string_view{} : text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (!address || address->is_multicast() || digits.empty() || error != std::errc{} ||
      end != digits.data() + digits.size() || length == 0 || length > 8 * address->size())
    return fail("expected an address with its prefix's length such as \"10.0.0.5/24\", got \"" + std::string(text) +
                "\"");
  return OwnAddress{*address, static_cast<std::uint8_t>(length)};
}

void read_host(TableReader& table, const Node& node, PortConfig& out) {
  std::string name;
  if (table.parsed("host", name, Need::optional, "\"tap:NAME\"", parse_host,
                   "the gateway's own kernel interface on black, to reach key servers there ([ports.md](ports.md))"))
    out.host.emplace().interface = name;
  OwnAddress own;
  if (!table.parsed("host_address", own, Need::optional, "an address such as \"10.0.0.5/24\"", parse_own_address,
                    {"address and prefix length of `host`", "given by the operator"}))
    return;
  if (!out.host) {
    if (!node.find("host")) table.note(*node.find("host_address"), "host_address", "has no meaning without host");
    return;
  }
  out.host->address = own.address;
  out.host->prefix_length = own.length;
}

void read_port(const TableReader& root, const Node& node, std::string_view name, Report& report, PortConfig& out) {
  TableReader table(node, root.full(name), report);
  const bool red = name == "red";
  table.parsed(
      "device", out.device, Need::required, "a port string such as \"af_packet:eth1\"",
      [&](std::string_view text) { return dataplane::resolve_port(text, report.folder); },
      "the network port, see [ports.md](ports.md); red's and black's differ");
  table.integer("mtu", out.mtu, mtu_limits,
                red ? "bytes of the largest IP packet" : "bytes of the largest IP packet, ESP included; see below");
  if (red) {
    read_local_sources(table, out.local_sources);
    table.boolean(
        "learn_sources", out.learn_sources,
        "a source that was heard here within 2 seconds is at home here, too; false: only `local_sources` are");
    read_beacon(table, out.beacon);
    if (!out.learn_sources && out.local_sources.empty())
      table.warn(*node.find("learn_sources"), "learn_sources",
                 "no source is at home here without local_sources: only the beacon stands against loops");
  }
  if (!red) read_host(table, node, out);
  IpAddress own4;
  if (!red && table.parsed("address4", own4, Need::optional, "an IPv4 address such as \"10.9.0.2\"", parse_own_ipv4,
                           {"source of the gateway's own IGMP reports, unicast", "0.0.0.0"}))
    out.address4 = own4;
  IpAddress own;
  if (table.parsed("address6", own, Need::optional, "an IPv6 address such as \"fe80::1\"", parse_own_ipv6,
                   red ? About("source of ICMPv6 Packet Too Big, unicast", "none: it is not sent")
                       : About("source of the gateway's own MLD reports where it is link-local, unicast",
                               "link-local, of the port's MAC address")))
    out.address6 = own;
  if (!red)
    table.boolean("reassemble", out.reassemble,
                  "put ESP packets together that were fragmented on the way, instead of dropping them");
  table.finish();
}

void read_gateway(const Node& node, Report& report, GatewayConfig& out) {
  TableReader table(node, "gateway", report);
  table.path("admin_socket", out.admin_socket, Need::required, "UNIX socket for `sealcast`");
  table.path("state", out.state, Need::required, "file with the highest epoch seen of each key server and group");
  const Node* workers = table.integer("workers", out.workers, worker_limits, "threads that seal and open packets");
  const bool workers_known = workers || !node.find("workers");
  table.boolean("spread", out.spread,
                "every stream goes over all workers and keeps its order; both ports have one queue "
                "([ports.md](ports.md#one-heavy-stream))");
  if (const Node* cores = table.array(
          "cores", Need::optional, 1, worker_limits.most, "an array of core numbers",
          {"one for each worker, none twice, 0 to " + std::to_string(CPU_SETSIZE - 1), "chosen by the system"})) {
    for (std::size_t i = 0; i < cores->items.size(); ++i) {
      const Node& item = cores->items[i];
      const auto core = static_cast<std::uint32_t>(item.integer);
      if (item.kind != Node::Kind::integer || item.integer < 0 || item.integer >= CPU_SETSIZE)
        table.note(item, "cores[" + std::to_string(i) + "]",
                   "expected a core number from 0 to " + std::to_string(CPU_SETSIZE - 1) + ", got " + item.describe());
      else if (std::find(out.cores.begin(), out.cores.end(), core) != out.cores.end())
        table.note(item, "cores[" + std::to_string(i) + "]", "core " + item.describe() + " stands here twice");
      else
        out.cores.push_back(core);
    }
    if (workers_known && cores->items.size() != out.workers)
      table.note(*cores, "cores",
                 "expected one core for each of " + std::to_string(out.workers) + " workers, got " + cores->describe());
  }
  table.choice<EngineChoice>("engine", out.engine, Need::optional,
                             {{"auto", EngineChoice::automatic},
                              {"burst", EngineChoice::burst},
                              {"burst-512", EngineChoice::burst_512},
                              {"burst-256", EngineChoice::burst_256},
                              {"ipsec_mb", EngineChoice::ipsec_mb},
                              {"openssl", EngineChoice::openssl}},
                             "the cryptography in use; `\"auto\"`: the first of the others that this CPU runs, "
                             "`\"burst\"`: the best of the next two");
  table.integer("memory_mb", out.memory_mb, memory_limits, "MiB of hugepages, all reserved at start");
  table.integer("idle_nap_us", out.idle_nap_us, idle_nap_limits,
                "longest sleep of a worker without work, in microseconds; 0: it never sleeps");
  table.boolean("telemetry", out.telemetry,
                "DPDK telemetry with the commands `/sealcast/…` ([operator.md](operator.md), \"DPDK telemetry\")");
  std::string keys;
  if (const Node* key = table.path(
          "export_keys", keys, Need::optional,
          "DANGEROUS: every SA key is written to this file, for a packet analyser (tshark's esp_sa table)")) {
    out.export_keys = keys;
    table.warn(*key, "export_keys",
               "every SA key will be written to " + keys + ": its reader can read the groups' traffic");
  }
  table.finish();
}

// What only shows when all tables are known.
void cross_check(const Node& tree, Report& report, const GatewayConfig& config) {
  const Node* black = tree.find("black");
  const Node* red = tree.find("red");
  if (black && red && !config.red.device.empty() && config.red.device == config.black.device &&
      config.red.device != "null")
    report.error(*black, "black.device", "expected another device than red's, got \"" + config.black.device + "\"");
  const auto needs = black_mtu_needs(config);
  const std::uint32_t needed = needs.empty() ? 0 : needs.back().bytes;
  if (black && config.black.mtu < needed) {
    const Node* mtu = black->find("mtu");
    const BlackMtuNeed& most = needs.back();
    const std::uint32_t fits = largest_inner_bytes(most.mode, most.ip_version, config.black.mtu);
    report.warning(
        mtu ? *mtu : *black, "black.mtu",
        "expected at least " + std::to_string(needed) + " for red packets of " + std::to_string(config.red.mtu) +
            " bytes, got " + std::to_string(config.black.mtu) + ": red packets longer than " + std::to_string(fits) +
            " bytes will be cut, or dropped as too_big where that is not allowed (DF, IPv6, transport mode)");
    const bool ipv6 = std::any_of(config.member.groups.begin(), config.member.groups.end(), [](const auto& group) {
      return std::any_of(group.selectors.begin(), group.selectors.end(),
                         [](const auto& selector) { return selector.destination.address.family == 6; });
    });
    if (ipv6 && fits < min_ipv6_mtu)
      report.warning(mtu ? *mtu : *black, "black.mtu",
                     "no room for the 1280 bytes every IPv6 host may send whatever it is told: expected at least " +
                         std::to_string(sealed_bytes(most.mode, most.ip_version, min_ipv6_mtu)) + ", got " +
                         std::to_string(config.black.mtu));
  }
  if (black && config.black.host)
    for (const MemberGroup& group : config.member.groups)
      for (const HostPort& server : group.keyservers)
        if (!IpAddress::parse(server.host))
          report.warning(*black, "black.host",
                         "key server " + server.text() + " of group \"" + group.id +
                             "\" is given by name; over black only those given by address can be reached");
  if (!config.keyserver) return;
  const Node* keyserver = tree.find("keyserver");
  for (const MemberGroup& group : config.member.groups) {
    if (group.keyserver_id != config.keyserver->id) continue;
    const bool isakmp = group.carriage == Carriage::isakmp;
    if (isakmp ? !config.keyserver->listen_isakmp : !config.keyserver->listen)
      report.warning(*keyserver, isakmp ? "keyserver.listen_isakmp" : "keyserver.listen",
                     "missing, while the carriage of [[member.group]] \"" + group.id + "\" is \"" +
                         std::string(name(group.carriage)) + "\"");
    const auto& served = config.keyserver->groups;
    const auto found = std::find_if(served.begin(), served.end(), [&](const auto& s) { return s.id == group.id; });
    if (found == served.end())
      report.warning(*keyserver, "keyserver.group",
                     "[[member.group]] \"" + group.id + "\" names this key server, which has no such group");
    else if (found->mode != group.mode)
      report.warning(*keyserver, "keyserver.group",
                     "group \"" + group.id + "\" has the mode " + text(found->mode) + " here and " + text(group.mode) +
                         " in [[member.group]]");
    else if (found->numbers != group.numbers)
      report.warning(*keyserver, "keyserver.group",
                     "group \"" + group.id + "\" has " + text(found->numbers) + " numbers here and " +
                         text(group.numbers) + " ones in [[member.group]]");
    else if (!group.accepts(found->flow.suite))
      report.warning(*keyserver, "keyserver.group",
                     "group \"" + group.id + "\" has the suite " + std::string(handshake::name(found->flow.suite)) +
                         " here and " + std::string(handshake::name(group.flows.front().suite)) +
                         " in [[member.group]]");
    else if (std::find(group.flows.begin(), group.flows.end(), found->flow) == group.flows.end())
      report.warning(
          *keyserver, "keyserver.group",
          "group \"" + group.id + "\" has another variant, second_ccs, flag or auth here than in [[member.group]]");
  }
}

}  // namespace

void read_gateway_file(const Node& tree, Report& report, GatewayConfig& out) {
  TableReader root(tree, "", report);
  if (const Node* table = root.table("gateway", Need::required, "workers, memory, sockets"))
    read_gateway(*table, report, out);
  if (const Node* table = root.table("red", Need::required, "the port to the plain side"))
    read_port(root, *table, "red", report, out.red);
  if (const Node* table = root.table("black", Need::required, "the port to the untrusted side"))
    read_port(root, *table, "black", report, out.black);
  if (const Node* table = root.table("member", Need::required, "the gateway as a member of groups"))
    read_member(*table, report, out.member);
  read_bypass(root, out.member, out.bypass);
  if (const Node* table = root.table("keyserver", Need::optional, "a key server in the gateway's process"))
    read_keyserver(*table, true, report, out.keyserver.emplace());
  root.finish();
  cross_check(tree, report, out);
}

Loaded<GatewayConfig> parse_gateway_config(std::string_view toml, const std::string& file_name) {
  const auto tree = parse_tree(toml, file_name);
  if (!tree) return failed<GatewayConfig>(tree.error());
  Report report(file_name);
  GatewayConfig config;
  read_gateway_file(*tree, report, config);
  return finish(report, std::move(config));
}

}  // namespace sealcast::config
