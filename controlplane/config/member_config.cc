// [member] and [[member.group]] of a gateway's file.
#include <algorithm>

#include "controlplane/config/table_reader.h"
#include "controlplane/passwords/password_file.h"

namespace sealcast::config {
namespace {

// user and exactly one source of its password, where auth asks for one (H7).
void read_password(TableReader& table, MemberGroup& group) {
  const auto user = [](std::string_view text) -> Result<std::string> {
    if (passwords::valid_user(text)) return std::string(text);
    return fail("expected a user's name of " + std::string(passwords::user_form) + ", got \"" + std::string(text) +
                "\"");
  };
  const auto credential = [](std::string_view text) -> Result<std::string> {
    if (!text.empty() && text.size() <= max_credential_bytes && text.find('/') == std::string_view::npos &&
        text.front() != '.')
      return std::string(text);
    return fail("expected a credential's name without '/', got \"" + std::string(text) + "\"");
  };
  const Need need = group.uses_password() ? Need::required : Need::optional;
  const Node* who = table.parsed("user", group.user, need, "the user's name in the key server's password file", user,
                                 {std::string(passwords::user_form), "required with passwords"});
  const char* one_of_three = "with passwords one of these three";
  PasswordSource source;
  const Node* sources[3] = {};
  if ((sources[0] =
           table.path("password_file", source.place, Need::optional,
                      {"one line with the password; only the gateway's user may access it; read at every connection",
                       one_of_three}))) {
    source.kind = PasswordSource::Kind::file;
    group.password = source;
  }
  if ((sources[1] = table.parsed(
           "password_credential", source.place, Need::optional, "a credential's name", credential,
           {"the same from the service manager (`LoadCredential=`, `SetCredentialEncrypted=`)", one_of_three}))) {
    source.kind = PasswordSource::Kind::credential;
    group.password = source;
  }
  bool prompt = false;
  if ((sources[2] = table.boolean(
           "password_prompt", prompt,
           {"`true`: asked for once at start on the terminal, then kept in locked memory", one_of_three})) &&
      prompt)
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
      "join", join, Need::optional, {{"none", Join::none}, {"static", Join::always}, {"on-demand", Join::on_demand}},
      {"whether the gateway itself listens on black, see \"Listening on black\"; with `\"static\"` at most " +
           std::to_string(max_joined_per_selector) + " groups for each selector",
       "`\"none\"`; with a fixed tunnel `\"static\"` unless the role is `\"sender\"`"});
  if (!node) return;
  group.on_demand = join == Join::on_demand;
  group.join = join == Join::always || (group.on_demand && tunnel);
  if (group.on_demand && group.role != MemberRole::receiver)
    table.note(*node, "join",
               "expected role = \"receiver\" beside \"on-demand\": hosts report what they want to receive, not what "
               "they send");
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
  const Node* node = table.table(
      "outer", Need::optional,
      {"the header of a fixed tunnel, see \"Modes\"", "required with `mode = \"tunnel-fixed\"`, and only there"});
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
                IpAddress::parse,
                "where the tunnel goes, the same at every gateway of the group; not link-local scope");
  reader.parsed("source", outer.source, Need::required, "this gateway's address on black such as \"10.9.0.2\"",
                IpAddress::parse, "where it comes from; of the same IP version");
  std::uint8_t number = 0;
  if (reader.integer("ttl", number, 1, 255, {"TTL or hop limit", "the inner packet's"})) outer.ttl = number;
  if (reader.integer("dscp", number, 0, max_dscp, {"DSCP", "the inner packet's"})) outer.dscp = number;
  reader.finish();
  if (table.report().errors.size() != before) return;
  if (auto valid = validate(outer); !valid) {
    table.note(*node, "outer", valid.error().message);
  } else {
    group.outer = outer;
  }
}

void read_member_group(TableReader& table, MemberGroup& group) {
  table.wire_name("id", group.id, Need::required, "the group's `id` at its key server; no other group has this name");
  table.choice<MemberRole>(
      "role", group.role, Need::required,
      {{"sender", MemberRole::sender}, {"receiver", MemberRole::receiver}, {"both", MemberRole::both}},
      "what this gateway does in the group");
  if (const Node* list = table.array(
          "keyservers", Need::required, 1, 16, "an array of \"host:port\"",
          "where its key servers listen: `\"IPv4:port\"`, `\"[IPv6]:port\"` or `\"name:port\"`; tried in order")) {
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
                         {{"tls", Carriage::tls}, {"isakmp", Carriage::isakmp}},
                         "`\"isakmp\"` where `keyservers` names their `listen_isakmp`; one for all of them");
  table.text("keyserver_name", group.keyserver_name, Need::required, 1, max_dns_name_bytes,
             "a dNSName of the key server's certificate");
  if (group.keyserver_name.starts_with('.'))
    table.note(table.node(), "keyserver_name",
               "expected one whole name such as ks.example, got \"" + group.keyserver_name + "\", which would be many");
  table.wire_name("keyserver_id", group.keyserver_id, Need::required, "the key server's `id`");
  read_selectors(table, group.selectors,
                 "covers the key server's selectors, see \"Selectors\"; groups of one gateway do not overlap");
  read_member_flows(table, group.flows, group.mode);
  read_numbers(table, group.numbers);
  const Node* freshness = table.duration("freshness", group.freshness, freshness_limits,
                                         "how long ago a packet may have been sealed when it arrives");
  if (freshness && group.numbers == Numbers::foreign)
    table.note(*freshness, "freshness", "expected numbers = \"timed\" beside it: foreign numbers carry no time");
  read_outer(table, group);
  read_join(table, group);
  read_password(table, group);
  read_spi_range(table, group.spi_range,
                 "first and last SPI accepted from this key server; at least as wide as its own");
  table.duration("max_lifetime", group.max_lifetime, epoch_lifetime_limits,
                 "a secret with a longer remaining lifetime is refused");
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

}  // namespace

void read_member(const Node& node, Report& report, MemberConfig& out) {
  TableReader table(node, "member", report);
  constexpr std::string_view make = "make it with: sealcast pki member NAME --group GROUP";
  const char* unless = "required, unless every group has `auth = \"password\"`";
  table.existing_file("certificate", out.certificate, Need::optional, make,
                      {"the member's certificate chain, PEM, leaf first", unless});
  table.existing_file("private_key", out.private_key, Need::optional, make,
                      {"its private key, PEM; only its owner may read it", unless});
  table.existing_file("ca", out.ca, Need::required, "make it with: sealcast pki init",
                      "PEM: the CA that signs key servers' certificates");
  std::string crl;
  if (table.existing_file("crl", crl, Need::optional, "leave the key out where there is no revocation list",
                          "PEM: the revocation list of `ca`"))
    out.crl = crl;
  IpAddress local;
  if (table.parsed("local_address", local, Need::optional, "an address such as \"10.9.0.2\"", IpAddress::parse,
                   {"source address of connections to key servers", "chosen by the system"}))
    out.local_address = local;
  std::string site;
  if (table.wire_name(
          "site", site, Need::optional,
          {"the place whose red side this gateway serves, for its beacon and for messages", "the member's name"}))
    out.site = site;
  read_multicast_flag(table, out.multicast_flag);
  const Node* list = table.array("group", Need::required, 1, 4096, "[[member.group]] tables", "the groups");
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

}  // namespace sealcast::config
