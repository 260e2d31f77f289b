// [keyserver] and [[keyserver.group]], the same table in a key server's own file and in a gateway's.
#include <algorithm>

#include "controlplane/config/table_reader.h"
#include "controlplane/passwords/password_file.h"

namespace sealcast::config {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

// A list of names, of certificates or of users; every element's problem is noted.
std::vector<std::string> read_names(TableReader& table, std::string_view key, const Node& list, bool of_users) {
  std::vector<std::string> names;
  const std::string expected =
      of_users ? "expected a user's name of " + std::string(passwords::user_form) + ", got "
               : "expected a certificate name of 1 to " + std::to_string(max_name_bytes) + " bytes, got ";
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    const Node& item = list.items[i];
    if (item.kind != Node::Kind::string || item.text.empty() || item.text.size() > max_name_bytes ||
        (of_users && item.text != "*" && !passwords::valid_user(item.text)))
      table.note(item, std::string(key) + "[" + std::to_string(i) + "]", expected + item.describe());
    else if (std::find(names.begin(), names.end(), item.text) != names.end())
      table.note(item, std::string(key) + "[" + std::to_string(i) + "]", item.describe() + " stands here twice");
    else
      names.push_back(item.text);
  }
  return names;
}

void read_members(TableReader& table, KeyserverGroup& group) {
  const Node* members =
      table.any("members", "\"certificate-group\", \"password-file\" or an array of names",
                {"members that may join, by the names in their certificates; with passwords alone, by their user names",
                 "`\"certificate-group\"`; `\"password-file\"` with passwords alone"});
  if (!members) return;
  const bool users = !group.uses_certificates();
  const std::string by_proof = users ? "password-file" : "certificate-group";
  const bool word = members->kind == Node::Kind::string && members->text == by_proof;
  if (members->kind == Node::Kind::array && !members->items.empty()) {
    group.members_by_certificate = false;
    group.members = read_names(table, "members", *members, users);
  } else if (!word) {
    table.note(*members, "members",
               "expected \"" + by_proof + "\" or an array of " + (users ? "users'" : "certificate") + " names, got " +
                   members->describe());
  }
}

void read_senders(TableReader& table, KeyserverGroup& group) {
  const Node* senders =
      table.any("senders", "\"*\" or an array of names",
                {"members that may send, of those in `members`; `\"*\"`: all", "none, with a warning"});
  if (!senders) {
    table.warn(table.node(), "senders", "no senders: no member may send to this group; \"*\" lets every member send");
    return;
  }
  if (senders->kind == Node::Kind::string && senders->text == "*") {
    group.every_member_sends = true;
  } else if (senders->kind == Node::Kind::array) {
    group.senders = read_names(table, "senders", *senders, !group.uses_certificates());
    const auto star = std::find(group.senders.begin(), group.senders.end(), "*");
    if (star != group.senders.end()) {
      group.senders.erase(star);
      group.every_member_sends = true;
    }
  } else {
    table.note(*senders, "senders", "expected \"*\" or an array of names, got " + senders->describe());
    return;
  }
  if (group.members_by_certificate) return;
  for (const std::string& name : group.senders)
    if (std::find(group.members.begin(), group.members.end(), name) == group.members.end())
      table.note(*senders, "senders", "expected names that stand in members too, got \"" + name + "\"");
}

void read_rekeying(TableReader& table, KeyserverGroup& group) {
  const Node* node = table.choice<Rekeying>(
      "rekey", group.rekey, Need::optional, {{"unicast", Rekeying::unicast}, {"multicast", Rekeying::multicast}},
      "how receivers are told the next epoch: each over its own connection, or all "
      "by one datagram, which needs an `activation_delay` of at least " +
          duration_text(least_multicast_delay) + "; see below");
  table.boolean("rekey_on_leave", group.rekey_on_leave, "a member that says goodbye ends the epoch; see below");
  const Node* on_join = table.boolean("rekey_on_join", group.rekey_on_join,
                                      "a newcomer gets no epoch that was in use before it came; see below");
  table.integer("rekey_after_packets", group.rekey_after_packets, 1000, most_packets_of_an_sa,
                "the next epoch begins when one sender's SA has sealed so many packets");
  table.integer("rekey_after_bytes", group.rekey_after_bytes, 1 << 20, most_bytes_of_an_sa,
                "the same, in bytes of inner IP packets");
  if (on_join && group.rekey_on_join && group.rekey == Rekeying::multicast)
    table.note(*on_join, "rekey_on_join",
               "expected false with rekey = \"multicast\", got true: a newcomer's keys of the tree open the datagrams "
               "that it may have recorded before it came");
  if (!node || group.rekey == Rekeying::unicast) return;
  if (group.activation_delay < least_multicast_delay)
    table.note(*node, "rekey",
               "expected \"unicast\" with an activation_delay below " + duration_text(least_multicast_delay) +
                   ", got " + node->describe());
  if (group.every_member_sends)
    table.warn(*node, "rekey",
               "every member may send (senders), and each sender is told the next epoch over its own connection");
}

void read_group(TableReader& table, KeyserverGroup& group) {
  table.wire_name("id", group.id, Need::required, "names the group; no other group has this name");
  read_selectors(table, group.selectors, "the packets that belong to the group, see \"Selectors\"");
  read_group_flow(table, group.flow, group.mode);
  read_numbers(table, group.numbers);
  const Node* lifetime = table.duration("epoch_lifetime", group.epoch_lifetime, epoch_lifetime_limits,
                                        "how long one secret is used; longer than both delays together");
  const Node* window = table.integer("replay_window", group.replay_window, replay_window_limits,
                                     "how many packets back a receiver accepts late ones; a power of two");
  if (window && !valid_replay_window(group.replay_window))
    table.note(*window, "replay_window",
               "expected a power of two of at least " + std::to_string(replay_window_limits.least) + ", got " +
                   window->describe());
  table.duration("activation_delay", group.activation_delay, activation_delay_limits,
                 "the longest wait for members to acknowledge a new epoch");
  table.duration("deactivation_delay", group.deactivation_delay, deactivation_delay_limits,
                 "how long receivers keep the old epoch");
  table.seconds("authority_lease", group.authority_lease, authority_lease_limits,
                "how long a sender goes on without hearing from the key server");
  table.seconds("certificate_grace", group.certificate_grace, certificate_grace_limits,
                "how long after its certificate's end a member that has the keys is given new ones");
  table.seconds("crl_grace", group.crl_grace, crl_grace_limits,
                "the same after the end of a revocation list that has no successor");
  table.seconds("crl_grace_newcomers", group.crl_grace_newcomers, crl_grace_newcomers_limits,
                "how long after a list's end members may come that have no keys yet");
  const Node* slots = table.integer("slots_per_member", group.slots_per_member, 0, 65535,
                                    "slots that one member may have in one epoch");
  table.integer("joins_per_minute", group.joins_per_minute, 1, 60'000,
                "how often one member may be given the group's keys over new connections; those of three minutes may "
                "come at once, further ones are told to come again");
  read_members(table, group);
  read_senders(table, group);
  read_rekeying(table, group);
  table.finish();

  if (group.epoch_lifetime <= group.activation_delay + group.deactivation_delay) {
    table.note(lifetime ? *lifetime : table.node(), "epoch_lifetime",
               "expected more than activation_delay + deactivation_delay (" +
                   duration_text(group.activation_delay + group.deactivation_delay) + "), got " +
                   duration_text(group.epoch_lifetime));
  }
  if (slots && group.slots_per_member == 0 && (group.every_member_sends || !group.senders.empty()))
    table.note(*slots, "slots_per_member", "expected at least 1, since the group has senders, got 0");
}

void read_listeners(TableReader& table, KeyserverConfig& out) {
  ListenAddress place;
  constexpr std::string_view expected = "an address and port such as \"10.9.0.1:7400\"";
  if (table.parsed("listen", place, Need::optional, expected, ListenAddress::parse,
                   {"where members and standard clients connect that speak TLS; port 0: the system chooses",
                    "this, `listen_isakmp` or both"}))
    out.listen = place;
  const Node* isakmp = table.parsed(
      "listen_isakmp", place, Need::optional, expected, ListenAddress::parse,
      "where members connect that speak TLS inside ISAKMP messages ([protocol.md](protocol.md), \"ISAKMP carriage\")");
  if (isakmp) out.listen_isakmp = place;
  if (isakmp && out.listen && *out.listen == place && place.port != 0)
    table.note(*isakmp, "listen_isakmp", "expected another place than listen's, got " + place.text());
  if (!table.node().find("listen") && !table.node().find("listen_isakmp"))
    table.note(table.node(), "listen", "expected " + std::string(expected) + ", or the key listen_isakmp, got neither");
}

void read_wrapping_key(TableReader& table, KeyserverConfig& out) {
  std::string text;
  const Node* file = table.existing_file(
      "wrapping_key_file", text, Need::optional, "make it with: (umask 077; openssl rand -hex 32 > FILE)",
      "64 hexadecimal digits; with it a restart goes on in the running epoch, see below");
  if (file) out.wrapping_key_file = text;
  const Node* credential = table.credential("wrapping_key_credential", out.wrapping_key_credential,
                                            "the same from the service manager (`LoadCredential=`)");
  if (file && credential)
    table.note(*credential, "wrapping_key_credential",
               "expected wrapping_key_file or wrapping_key_credential, got both");
  if ((file || credential) && out.cluster)
    table.note(file ? *file : *credential, file ? "wrapping_key_file" : "wrapping_key_credential",
               "expected none with [keyserver.cluster]: there etcd keeps the epochs, sealed under the cluster's key");
}

void read_groups(TableReader& table, KeyserverConfig& out) {
  const Node* list = table.array("group", Need::required, 1, 4096, "[[keyserver.group]] tables", "the groups");
  if (!list) return;
  for (std::size_t i = 0; i < list->items.size(); ++i) {
    const Node& item = list->items[i];
    const std::string key = "group[" + std::to_string(i) + "]";
    if (item.kind != Node::Kind::table) {
      table.note(item, key, "expected a [[keyserver.group]] table, got " + item.describe());
      continue;
    }
    KeyserverGroup group;
    TableReader reader(item, table.full(key), table.report());
    read_group(reader, group);
    for (const KeyserverGroup& other : out.groups) {
      if (!group.id.empty() && other.id == group.id)
        reader.note(item, "id", "another group is named \"" + group.id + "\" already");
      for (const Selector& a : group.selectors)
        for (const Selector& b : other.selectors)
          if (overlaps(a, b))
            reader.warn(item, "selectors",
                        a.text() + " overlaps " + b.text() + " of group \"" + other.id +
                            "\": a gateway can't be a member of both");
    }
    out.groups.push_back(std::move(group));
  }
}

}  // namespace

void read_keyserver(const Node& node, bool embedded, Report& report, KeyserverConfig& out) {
  TableReader table(node, "keyserver", report);
  bool says_embedded = false;
  const Node* flag =
      table.boolean("embedded", says_embedded,
                    "`true` in a gateway's file, and only there: the key server runs in the gateway's process");
  if (embedded && !says_embedded)
    table.note(flag ? *flag : node, "embedded",
               "expected true: in a gateway's file the key server runs in its process");
  if (!embedded && says_embedded)
    table.note(*flag, "embedded", "expected a gateway's file with [gateway]; this one has [keyserver] alone");

  table.wire_name("id", out.id, Need::required,
                  "names the key server, or all key servers of a cluster; members check it");
  read_listeners(table, out);
  table.existing_file("certificate", out.certificate, Need::required, "make it with: sealcast pki server NAME",
                      "the key server's certificate chain, PEM, leaf first");
  table.existing_file("private_key", out.private_key, Need::required, "make it with: sealcast pki server NAME",
                      "its private key, PEM; only its owner may read it");
  table.existing_file("ca", out.ca, Need::required, "make it with: sealcast pki init",
                      "PEM: the CA that signs members' certificates");
  std::string crl;
  if (table.existing_file("crl", crl, Need::optional, "leave the key out where there is no revocation list",
                          "PEM: the revocation list of `ca`"))
    out.crl = crl;
  std::string passwords;
  const Node* has_passwords = table.existing_file(
      "password_file", passwords, Need::optional, "make it with: sealcast passwd FILE USER",
      {"users and hashes of their passwords, made with `sealcast passwd`", "required where a group uses passwords"});
  if (has_passwords) out.password_file = passwords;
  table.path("state", out.state, Need::required,
             "SQLite file with the counters of epochs and slots, which must survive restarts; in a cluster a small "
             "file of what etcd said last");
  if (!table.path("audit", out.audit, Need::optional,
                  {"SQLite file of the audit trail ([operator.md](operator.md), \"The audit trail\")",
                   "`state` with `.audit` after it"}))
    out.audit = out.state + ".audit";
  table.integer("audit_events", out.audit_events, audit_event_limits,
                "how many events the audit trail keeps, about 300 bytes each; 0: there is no trail");
  if (const Node* cluster =
          table.table("cluster", Need::optional,
                      "`[keyserver.cluster]`: several key servers over etcd; without it the key server stands alone")) {
    TableReader reader(*cluster, table.full("cluster"), report);
    read_cluster(reader, out.cluster.emplace());
  }
  read_wrapping_key(table, out);
  std::string socket;
  if (table.path("admin_socket", socket, embedded ? Need::optional : Need::required,
                 {"UNIX socket for `sealcast`; the gateway's serves an embedded key server, too",
                  "required, unless `embedded`"}))
    out.admin_socket = socket;
  read_spi_range(table, out.spi_range,
                 "first and last SPI that may be given out, not below " + std::to_string(first_usable_spi) +
                     "; room for four aligned blocks of 16 for each group");
  read_multicast_flag(table, out.multicast_flag);
  const Node* standard =
      table.boolean("allow_standard", out.allow_standard,
                    "standard TLS 1.2 clients are answered with a status line; they never get a group's secret");
  if (standard && out.allow_standard && !node.find("listen"))
    table.warn(*standard, "allow_standard",
               "without listen no standard client is answered: ISAKMP messages carry no standard flow");
  table.seconds("clock_tolerance", out.clock_tolerance, clock_tolerance_limits,
                "how far the machine's clock may jump before it is doubted: [key-server.md](key-server.md#clocks)");
  table.duration("handshake_timeout", out.handshake_timeout, 100ms, 5min, "how long a handshake may take");
  table.integer("max_connections", out.max_connections, 1, 1'000'000, "connections at a time");
  table.integer("max_connections_per_address", out.max_connections_per_address, 1, 1'000'000,
                "the same, from one address (IPv6: one /64)");
  table.integer("max_handshakes_per_address", out.max_handshakes_per_address, 1, 1'000'000,
                "connections of one address (IPv6: one /64) that are not joined yet; where more members have been "
                "joined, so many may come back at a time");
  read_groups(table, out);
  table.finish();
  const auto group =
      std::find_if(out.groups.begin(), out.groups.end(), [](const auto& g) { return g.uses_passwords(); });
  if (group != out.groups.end() && !node.find("password_file"))
    table.note(node, "password_file",
               "expected a file made with sealcast passwd, since group \"" + group->id +
                   "\" uses passwords, but the key is missing");

  if (out.cluster) check_cluster_groups(table, *out.cluster, out.groups);

  const Node* range = node.find("spi_range");
  if (range && !out.groups.empty() && !spi_slot_bits(out.spi_range, out.groups.size())) {
    table.note(*range, "spi_range",
               "expected room for four aligned blocks of at least 16 SPIs for each of " +
                   std::to_string(out.groups.size()) + " groups, got " + std::to_string(out.spi_range.first) + " to " +
                   std::to_string(out.spi_range.last));
  }
}

Loaded<KeyserverConfig> parse_keyserver_config(std::string_view toml, const std::string& file_name) {
  const auto tree = parse_tree(toml, file_name);
  if (!tree) return failed<KeyserverConfig>(tree.error());
  Report report(file_name);
  KeyserverConfig config;
  TableReader root(*tree, "", report);
  if (const Node* table = root.table("keyserver", Need::required, "the key server"))
    read_keyserver(*table, false, report, config);
  root.finish();
  return finish(report, std::move(config));
}

}  // namespace sealcast::config
