// [gateway], [red], [black], [member] and [[member.group]]: a gateway's file.
#include <sched.h>

#include <algorithm>
#include <charconv>

#include "base/esp_overhead.h"
#include "base/port_spec.h"  // port strings; brings no DPDK
#include "controlplane/config/table_reader.h"
#include "controlplane/passwords/password_file.h"

namespace sealcast::config {
namespace {

// Whose packets are at home on this red side, so that one coming back decrypted is a loop.
void read_local_sources(TableReader& table, std::vector<Prefix>& out) {
  const Node* list = table.array("local_sources", Need::optional, 1, 64, "an array of prefixes");
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

Result<IpAddress> parse_own_ipv4(std::string_view text) {
  auto address = IpAddress::parse(text);
  if (!address) return address;
  if (address->family != 4 || address->is_multicast() || *address == IpAddress::v4(0))
    return fail("expected a unicast IPv4 address, got " + address->text());
  return address;
}

Result<IpAddress> parse_own_ipv6(std::string_view text) {
  auto address = IpAddress::parse(text);
  if (!address) return address;
  const IpAddress none{6, {}};
  if (address->family != 6 || address->is_multicast() || *address == none)
    return fail("expected a unicast IPv6 address, got " + address->text());
  return address;
}

// "tap:NAME": a kernel interface that the gateway makes.
Result<std::string> parse_host(std::string_view text) {
  const auto port = dataplane::parse_port(text);
  if (!port) return tl::unexpected(port.error());
  if (port->kind != dataplane::PortKind::tap || port->text != "tap:" + port->target)
    return fail("expected \"tap:\" and the name of an interface to be made, without options, got \"" +
                std::string(text) + "\"");
  return port->target;
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
  if (table.parsed("host", name, Need::optional, "\"tap:NAME\"", parse_host)) out.host.emplace().interface = name;
  OwnAddress own;
  if (!table.parsed("host_address", own, Need::optional, "an address such as \"10.0.0.5/24\"", parse_own_address))
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
  table.parsed("device", out.device, Need::required, "a port string such as \"af_packet:eth1\"",
               [&](std::string_view text) { return dataplane::resolve_port(text, report.folder); });
  table.integer("mtu", out.mtu, mtu_limits);
  if (name == "red") read_local_sources(table, out.local_sources);
  if (name == "black") read_host(table, node, out);
  IpAddress own4;
  if (name == "black" &&
      table.parsed("address4", own4, Need::optional, "an IPv4 address such as \"10.9.0.2\"", parse_own_ipv4))
    out.address4 = own4;
  IpAddress own;
  if (table.parsed("address6", own, Need::optional, "an IPv6 address such as \"fe80::1\"", parse_own_ipv6))
    out.address6 = own;
  if (name == "black") table.boolean("reassemble", out.reassemble);
  table.finish();
}

void read_gateway(const Node& node, Report& report, GatewayConfig& out) {
  TableReader table(node, "gateway", report);
  table.path("admin_socket", out.admin_socket, Need::required);
  table.path("state", out.state, Need::required);
  const bool workers_known = !node.find("workers") || table.integer("workers", out.workers, worker_limits);
  table.any("workers");
  table.boolean("spread", out.spread);
  if (const Node* cores = table.array("cores", Need::optional, 1, worker_limits.most, "an array of core numbers")) {
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
                              {"openssl", EngineChoice::openssl}});
  table.integer("memory_mb", out.memory_mb, memory_limits);
  table.integer("idle_nap_us", out.idle_nap_us, idle_nap_limits);
  table.boolean("telemetry", out.telemetry);
  std::string keys;
  if (const Node* key = table.path("export_keys", keys, Need::optional)) {
    out.export_keys = keys;
    table.warn(*key, "export_keys",
               "every SA key will be written to " + keys + ": whoever has it reads the groups' traffic");
  }
  table.finish();
}

// user and exactly one source of its password, where auth asks for one (H7).
void read_password(TableReader& table, MemberGroup& group) {
  const auto user = [](std::string_view text) -> Result<std::string> {
    if (passwords::valid_user(text)) return std::string(text);
    return fail("expected a user's name of " + std::string(passwords::kUserForm) + ", got \"" + std::string(text) +
                "\"");
  };
  const auto credential = [](std::string_view text) -> Result<std::string> {
    if (!text.empty() && text.size() <= 255 && text.find('/') == std::string_view::npos && text.front() != '.')
      return std::string(text);
    return fail("expected a credential's name without '/', got \"" + std::string(text) + "\"");
  };
  const Need need = group.uses_password() ? Need::required : Need::optional;
  const Node* who = table.parsed("user", group.user, need, "the user's name in the key server's password file", user);
  PasswordSource source;
  const Node* sources[3] = {};
  if ((sources[0] = table.path("password_file", source.place, Need::optional))) {
    source.kind = PasswordSource::Kind::file;
    group.password = source;
  }
  if ((sources[1] =
           table.parsed("password_credential", source.place, Need::optional, "a credential's name", credential))) {
    source.kind = PasswordSource::Kind::credential;
    group.password = source;
  }
  bool prompt = false;
  if ((sources[2] = table.boolean("password_prompt", prompt)) && prompt)
    group.password = PasswordSource{PasswordSource::Kind::prompt, ""};
  if (sources[2] && !prompt) table.note(*sources[2], "password_prompt", "expected true or no such key, got false");

  static constexpr std::string_view keys[] = {"password_file", "password_credential", "password_prompt"};
  std::size_t found = 0;
  for (std::size_t i = 0; i < std::size(keys); ++i) {
    if (!table.node().find(keys[i])) continue;
    if (++found > 1)
      table.note(*table.node().find(keys[i]), keys[i],
                 "expected exactly one of password_file, password_credential and password_prompt, got another already");
    if (!group.uses_password())
      table.note(*table.node().find(keys[i]), keys[i],
                 "expected auth = \"password\" or \"certificate+password\" (variant 3) beside it");
  }
  if (group.uses_password() && found == 0)
    table.note(table.node(), "password_file",
               "expected one of password_file, password_credential and password_prompt, but all are missing");
  if (!group.uses_password() && who)
    table.note(*who, "user", "expected auth = \"password\" or \"certificate+password\" (variant 3) beside it");
}

// Whether the gateway itself is to listen on black.
void read_join(TableReader& table, MemberGroup& group) {
  enum class Join : std::uint8_t { none, always, on_demand };
  const bool tunnel = group.mode == EspMode::tunnel_fixed;
  group.join = tunnel && group.role != MemberRole::sender;
  Join join = group.join ? Join::always : Join::none;
  const Node* node = table.choice<Join>(
      "join", join, Need::optional, {{"none", Join::none}, {"static", Join::always}, {"on-demand", Join::on_demand}});
  if (!node) return;
  group.on_demand = join == Join::on_demand;
  group.join = join == Join::always || (group.on_demand && tunnel);
  if (group.on_demand && group.role != MemberRole::receiver)
    table.note(*node, "join", "expected role = \"receiver\" beside \"on-demand\": nobody reports what it sends");
  if (!group.join || tunnel) return;
  for (const Selector& selector : group.selectors) {
    const Prefix& groups = selector.destination;
    if (groups.address.size() * 8 - groups.length > max_joined_bits)
      table.note(*node, "join",
                 "expected selectors of at most " + std::to_string(max_joined_per_selector) +
                     " groups each with \"static\", got " + groups.text());
  }
}

// outer = { destination, source, ttl, dscp }: the header of every packet of a tunnel to given addresses.
void read_outer(TableReader& table, MemberGroup& group) {
  const Node* node = table.table("outer", Need::optional);
  if (group.mode != EspMode::tunnel_fixed) {
    if (node)
      table.note(*node, "outer", "expected mode = \"tunnel-fixed\" beside it, got \"" + text(group.mode) + "\"");
    return;
  }
  if (!node) {
    if (!table.node().find("outer"))
      table.note(
          table.node(), "outer",
          "expected { destination = \"239.9.9.9\", source = \"10.9.0.2\" } with mode = \"tunnel-fixed\", but the "
          "key is missing");
    return;
  }
  const std::size_t before = table.report().errors.size();
  TableReader reader(*node, table.full("outer"), table.report());
  OuterTunnel outer;
  reader.parsed("destination", outer.destination, Need::required, "a multicast address such as \"239.9.9.9\"",
                IpAddress::parse);
  reader.parsed("source", outer.source, Need::required, "this gateway's address on black such as \"10.9.0.2\"",
                IpAddress::parse);
  std::uint8_t number = 0;
  if (reader.integer("ttl", number, 1, 255)) outer.ttl = number;
  if (reader.integer("dscp", number, 0, max_dscp)) outer.dscp = number;
  reader.finish();
  if (table.report().errors.size() != before) return;
  if (auto valid = validate(outer); !valid) {
    table.note(*node, "outer", valid.error().message);
  } else {
    group.outer = outer;
  }
}

void read_member_group(TableReader& table, MemberGroup& group) {
  table.wire_name("id", group.id, Need::required);
  table.choice<MemberRole>(
      "role", group.role, Need::required,
      {{"sender", MemberRole::sender}, {"receiver", MemberRole::receiver}, {"both", MemberRole::both}});
  if (const Node* list = table.array("keyservers", Need::required, 1, 16, "an array of \"host:port\"")) {
    for (std::size_t i = 0; i < list->items.size(); ++i) {
      const Node& item = list->items[i];
      const std::string key = "keyservers[" + std::to_string(i) + "]";
      if (item.kind != Node::Kind::string) {
        table.note(item, key, "expected \"host:port\", got " + item.describe());
        continue;
      }
      if (auto place = HostPort::parse(item.text))
        group.keyservers.push_back(std::move(*place));
      else
        table.note(item, key, place.error().message);
    }
  }
  table.choice<Carriage>("carriage", group.carriage, Need::optional,
                         {{"tls", Carriage::tls}, {"isakmp", Carriage::isakmp}});
  table.text("keyserver_name", group.keyserver_name, Need::required, 1, 253);
  table.wire_name("keyserver_id", group.keyserver_id, Need::required);
  read_selectors(table, group.selectors);
  read_group_flow(table, group.flow, group.mode);
  read_outer(table, group);
  read_join(table, group);
  read_password(table, group);
  read_spi_range(table, group.spi_range, Need::required);
  table.duration("max_lifetime", group.max_lifetime, epoch_lifetime_limits);
  table.finish();
}

void compare_groups(TableReader& table, const MemberGroup& group, const MemberGroup& other) {
  if (!group.id.empty() && other.id == group.id)
    table.note(table.node(), "id", "another group is named \"" + group.id + "\" already");
  for (const Selector& a : group.selectors) {
    for (const Selector& b : other.selectors) {
      if (overlaps(a, b))
        table.note(table.node(), "selectors",
                   "expected traffic of one group only, got " + a.text() + ", which overlaps " + b.text() +
                       " of group \"" + other.id + "\"");
    }
  }
  const bool same_server = group.keyserver_id == other.keyserver_id;
  const bool disjoint = group.spi_range.last < other.spi_range.first || other.spi_range.last < group.spi_range.first;
  if (!same_server && !disjoint)
    table.warn(table.node(), "spi_range",
               "overlaps the range of group \"" + other.id +
                   "\", whose key server is another: the two may choose the "
                   "same SPIs, and then the later epoch is refused");
}

void read_member(const Node& node, Report& report, MemberConfig& out) {
  TableReader table(node, "member", report);
  constexpr std::string_view make = "make it with: sealcast pki member NAME --group GROUP";
  table.existing_file("certificate", out.certificate, Need::optional, make);
  table.existing_file("private_key", out.private_key, Need::optional, make);
  table.existing_file("ca", out.ca, Need::required, "make it with: sealcast pki init");
  std::string crl;
  if (table.existing_file("crl", crl, Need::optional, "leave the key out where there is no revocation list"))
    out.crl = crl;
  IpAddress local;
  if (table.parsed("local_address", local, Need::optional, "an address such as \"10.9.0.2\"", IpAddress::parse))
    out.local_address = local;
  read_multicast_flag(table, out.multicast_flag);
  const Node* list = table.array("group", Need::required, 1, 4096, "[[member.group]] tables");
  for (std::size_t i = 0; list && i < list->items.size(); ++i) {
    const Node& item = list->items[i];
    const std::string key = "group[" + std::to_string(i) + "]";
    if (item.kind != Node::Kind::table) {
      table.note(item, key, "expected a [[member.group]] table, got " + item.describe());
      continue;
    }
    MemberGroup group;
    TableReader reader(item, table.full(key), report);
    read_member_group(reader, group);
    for (const MemberGroup& other : out.groups)
      compare_groups(reader, group, other);
    out.groups.push_back(std::move(group));
  }
  table.finish();

  const bool by_password = !out.groups.empty() && std::none_of(out.groups.begin(), out.groups.end(),
                                                               [](const auto& g) { return g.uses_certificate(); });
  for (const std::string_view key : {"certificate", "private_key"}) {
    const bool other_given = node.find(key == "certificate" ? "private_key" : "certificate") != nullptr;
    if (!node.find(key) && (!by_password || other_given))
      table.note(node, key, "expected a PEM file (" + std::string(make) + "), but the key is missing");
  }
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
    else if (found->flow.suite != group.flow.suite)
      report.warning(*keyserver, "keyserver.group",
                     "group \"" + group.id + "\" has the suite " + std::string(handshake::name(found->flow.suite)) +
                         " here and " + std::string(handshake::name(group.flow.suite)) + " in [[member.group]]");
    else if (found->flow != group.flow)
      report.warning(
          *keyserver, "keyserver.group",
          "group \"" + group.id + "\" has another variant, second_ccs, flag or auth here than in [[member.group]]");
  }
}

}  // namespace

Loaded<GatewayConfig> parse_gateway_config(std::string_view toml, const std::string& file_name) {
  const auto tree = parse_tree(toml, file_name);
  if (!tree) return failed<GatewayConfig>(tree.error());
  Report report(file_name);
  GatewayConfig config;
  TableReader root(*tree, "", report);
  if (const Node* table = root.table("gateway", Need::required)) read_gateway(*table, report, config);
  if (const Node* table = root.table("red", Need::required)) read_port(root, *table, "red", report, config.red);
  if (const Node* table = root.table("black", Need::required)) read_port(root, *table, "black", report, config.black);
  if (const Node* table = root.table("member", Need::required)) read_member(*table, report, config.member);
  read_bypass(root, config.member, config.bypass);
  if (const Node* table = root.table("keyserver", Need::optional)) {
    config.keyserver.emplace();
    read_keyserver(*table, true, report, *config.keyserver);
  }
  root.finish();
  cross_check(*tree, report, config);
  return finish(report, std::move(config));
}

}  // namespace sealcast::config
