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
      of_users ? "expected a user's name of " + std::string(passwords::kUserForm) + ", got "
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
  const Node* members = table.any("members");
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
  const Node* senders = table.any("senders");
  if (!senders) {
    table.warn(table.node(), "senders", "no senders: nobody may send to this group; \"*\" lets every member send");
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
  const Node* node = table.choice<Rekeying>("rekey", group.rekey, Need::optional,
                                            {{"unicast", Rekeying::unicast}, {"multicast", Rekeying::multicast}});
  table.boolean("rekey_on_leave", group.rekey_on_leave);
  const Node* on_join = table.boolean("rekey_on_join", group.rekey_on_join);
  table.integer("rekey_after_packets", group.rekey_after_packets, 1000, std::int64_t{1} << 32);
  table.integer("rekey_after_bytes", group.rekey_after_bytes, 1 << 20, std::int64_t{1} << 46);
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
  table.wire_name("id", group.id, Need::required);
  read_selectors(table, group.selectors);
  read_group_flow(table, group.flow, group.mode);
  const Node* lifetime = table.duration("epoch_lifetime", group.epoch_lifetime, epoch_lifetime_limits);
  const Node* window = table.integer("replay_window", group.replay_window, replay_window_limits);
  if (window && !valid_replay_window(group.replay_window))
    table.note(*window, "replay_window",
               "expected a power of two of at least " + std::to_string(replay_window_limits.least) + ", got " +
                   window->describe());
  table.duration("activation_delay", group.activation_delay, activation_delay_limits);
  table.duration("deactivation_delay", group.deactivation_delay, deactivation_delay_limits);
  table.seconds("authority_lease", group.authority_lease, authority_lease_limits);
  const Node* slots = table.integer("slots_per_member", group.slots_per_member, 0, 65535);
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
  if (table.parsed("listen", place, Need::optional, expected, ListenAddress::parse)) out.listen = place;
  const Node* isakmp = table.parsed("listen_isakmp", place, Need::optional, expected, ListenAddress::parse);
  if (isakmp) out.listen_isakmp = place;
  if (isakmp && out.listen && *out.listen == place && place.port != 0)
    table.note(*isakmp, "listen_isakmp", "expected another place than listen's, got " + place.text());
  if (!table.node().find("listen") && !table.node().find("listen_isakmp"))
    table.note(table.node(), "listen", "expected " + std::string(expected) + ", or the key listen_isakmp, got neither");
}

void read_wrapping_key(TableReader& table, KeyserverConfig& out) {
  std::string text;
  const Node* file = table.existing_file("wrapping_key_file", text, Need::optional,
                                         "make it with: (umask 077; openssl rand -hex 32 > FILE)");
  if (file) out.wrapping_key_file = text;
  const Node* credential = table.text("wrapping_key_credential", text, Need::optional, 1, 255);
  if (credential) {
    out.wrapping_key_credential = text;
    if (text.find('/') != std::string::npos || text.front() == '.')
      table.note(*credential, "wrapping_key_credential",
                 "expected a credential's name, without a path, got " + credential->describe());
  }
  if (file && credential)
    table.note(*credential, "wrapping_key_credential",
               "expected wrapping_key_file or wrapping_key_credential, got both");
  if ((file || credential) && out.cluster)
    table.note(file ? *file : *credential, file ? "wrapping_key_file" : "wrapping_key_credential",
               "expected none with [keyserver.cluster]: there etcd keeps the epochs, sealed under the cluster's key");
}

void read_groups(TableReader& table, KeyserverConfig& out) {
  const Node* list = table.array("group", Need::required, 1, 4096, "[[keyserver.group]] tables");
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
  const Node* flag = table.boolean("embedded", says_embedded);
  if (embedded && !says_embedded)
    table.note(flag ? *flag : node, "embedded",
               "expected true: in a gateway's file the key server runs in its process");
  if (!embedded && says_embedded)
    table.note(*flag, "embedded", "expected a gateway's file with [gateway]; this one has [keyserver] alone");

  table.wire_name("id", out.id, Need::required);
  read_listeners(table, out);
  table.existing_file("certificate", out.certificate, Need::required, "make it with: sealcast pki server NAME");
  table.existing_file("private_key", out.private_key, Need::required, "make it with: sealcast pki server NAME");
  table.existing_file("ca", out.ca, Need::required, "make it with: sealcast pki init");
  std::string crl;
  if (table.existing_file("crl", crl, Need::optional, "leave the key out where there is no revocation list"))
    out.crl = crl;
  std::string passwords;
  const Node* has_passwords =
      table.existing_file("password_file", passwords, Need::optional, "make it with: sealcast passwd FILE USER");
  if (has_passwords) out.password_file = passwords;
  table.path("state", out.state, Need::required);
  if (!table.path("audit", out.audit, Need::optional)) out.audit = out.state + ".audit";
  table.integer("audit_events", out.audit_events, audit_event_limits);
  if (const Node* cluster = table.table("cluster", Need::optional)) {
    TableReader reader(*cluster, table.full("cluster"), report);
    read_cluster(reader, out.cluster.emplace());
  }
  read_wrapping_key(table, out);
  std::string socket;
  if (table.path("admin_socket", socket, embedded ? Need::optional : Need::required)) out.admin_socket = socket;
  read_spi_range(table, out.spi_range, Need::required);
  read_multicast_flag(table, out.multicast_flag);
  const Node* standard = table.boolean("allow_standard", out.allow_standard);
  if (standard && out.allow_standard && !node.find("listen"))
    table.warn(*standard, "allow_standard",
               "without listen nobody is answered: ISAKMP messages carry no standard flow");
  table.duration("handshake_timeout", out.handshake_timeout, 100ms, 5min);
  table.integer("max_connections", out.max_connections, 1, 1'000'000);
  table.integer("max_connections_per_address", out.max_connections_per_address, 1, 1'000'000);
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
  if (const Node* table = root.table("keyserver", Need::required)) read_keyserver(*table, false, report, config);
  root.finish();
  return finish(report, std::move(config));
}

}  // namespace sealcast::config
