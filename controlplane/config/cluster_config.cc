// [keyserver.cluster]: where etcd is, and what only the key servers of one cluster know.
#include <algorithm>

#include "controlplane/config/table_reader.h"

namespace sealcast::config {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

// How long members may need to notice that their key server let go of them, and to be back at another.
constexpr milliseconds rejoin_time = 3s;

Result<std::string> parse_url(std::string_view text) {
  constexpr std::string_view schemes[] = {"http://", "https://"};
  for (const std::string_view scheme : schemes) {
    if (text.substr(0, scheme.size()) != scheme) continue;
    SEALCAST_TRY(HostPort::parse(text.substr(scheme.size())));
    return std::string(text);
  }
  return fail("expected \"http://\" or \"https://\" and a host and port, got \"" + std::string(text) + "\"");
}

void read_endpoints(TableReader& table, ClusterConfig& out) {
  const Node* list = table.array("etcd", Need::required, 1, 16, "addresses such as \"https://10.9.0.1:2379\"",
                                 "where etcd answers, by https or http; tried in order");
  if (!list) return;
  for (std::size_t i = 0; i < list->items.size(); ++i) {
    const Node& item = list->items[i];
    const std::string key = "etcd[" + std::to_string(i) + "]";
    if (item.kind != Node::Kind::string) {
      table.note(item, key, "expected an address such as \"https://10.9.0.1:2379\", got " + item.describe());
    } else if (auto url = parse_url(item.text); !url) {
      table.note(item, key, url.error().message);
    } else {
      out.etcd.push_back(std::move(*url));
    }
  }
}

bool encrypted(const std::string& url) {
  return url.rfind("https://", 0) == 0;
}

}  // namespace

void read_cluster(TableReader& table, ClusterConfig& out) {
  table.wire_name("name", out.name, Need::required, "names this key server among its peers");
  read_endpoints(table, out);
  std::string text;
  const auto file = [&](std::string_view key, std::optional<std::string>& place, std::string_view how,
                        const About& about) {
    const Node* node = table.existing_file(key, text, Need::optional, how, about);
    if (node) place = text;
    return node;
  };
  file("key_file", out.key_file, "make it with: (umask 077; openssl rand -hex 32 > FILE)",
       {"64 hexadecimal digits, the same at all key servers of the cluster; only its owner may access it",
        "this or `key_credential`"});
  table.credential("key_credential", out.key_credential,
                   {"the same from the service manager (`LoadCredential=`)", "this or `key_file`"});
  if (out.key_file.has_value() == out.key_credential.has_value())
    table.note(table.node(), "key_file",
               "expected one of key_file and key_credential, got " + std::string(out.key_file ? "both" : "neither"));
  const Node* ca = file("ca", out.ca, "the certificate of the authority that signed etcd's certificates",
                        {"PEM: the CA that signs etcd's certificates", "required with https, and only there"});
  const Node* certificate = file("certificate", out.certificate, "it is signed by what etcd calls its trusted CA",
                                 "PEM: what this key server shows etcd");
  file("private_key", out.private_key, "it belongs to certificate", "PEM: the private key of `certificate`");
  if (out.certificate.has_value() != out.private_key.has_value())
    table.note(certificate ? *certificate : table.node(), "certificate",
               "expected certificate and private_key together, got one of them");
  const bool tls = std::any_of(out.etcd.begin(), out.etcd.end(), encrypted);
  if (tls && !out.ca)
    table.note(table.node(), "ca",
               "expected the authority that signs etcd's certificates, since etcd has an https address");
  if (!tls && (ca || certificate) && !out.etcd.empty())
    table.note(ca ? *ca : *certificate, ca ? "ca" : "certificate", "it is of no use without an https address in etcd");
  if (std::any_of(out.etcd.begin(), out.etcd.end(), [](const std::string& url) {
        return !encrypted(url) && url.rfind("http://127.", 0) != 0 && url.rfind("http://[::1]", 0) != 0 &&
               url.rfind("http://localhost:", 0) != 0;
      }))
    table.warn(table.node(), "etcd",
               "without https an attacker on the way to etcd can make key servers use slots twice");
  table.seconds("lease_ttl", out.lease_ttl, lease_ttl_limits,
                "a key server that the others have not heard for so long is gone for them");
  table.finish();
}

void check_cluster_groups(TableReader& keyserver, const ClusterConfig& cluster,
                          const std::vector<KeyserverGroup>& groups) {
  for (const KeyserverGroup& group : groups) {
    if (group.rekey == Rekeying::multicast)
      keyserver.warn(keyserver.node(), "cluster",
                     "group \"" + group.id +
                         "\": rekey = \"multicast\" has no effect with several key servers: each tells its own members "
                         "over their connections; expected \"unicast\"");
    if (group.deactivation_delay >= cluster.lease_ttl + rejoin_time) continue;
    keyserver.warn(keyserver.node(), "cluster",
                   "group \"" + group.id + "\": expected a deactivation_delay of at least lease_ttl + " +
                       duration_text(rejoin_time) + ", got " + duration_text(group.deactivation_delay) +
                       ": members of a key server that is cut off may lose packets during a rekey");
  }
}

}  // namespace sealcast::config
