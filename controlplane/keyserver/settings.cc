#include "controlplane/keyserver/settings.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "handshake/certificate/credentials.h"
#include "handshake/crypto/signature.h"

namespace sealcast::keyserver {
namespace {

// SHA-256 in hexadecimal digits.
Result<std::string> digest_of(const std::string& ca, const std::string& crl) {
  const std::string text = std::to_string(ca.size()) + '\0' + ca + crl;
  std::array<std::uint8_t, 32> digest{};
  if (EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1)
    return fail("libcrypto computes no SHA-256");
  return to_hex(digest);
}

}  // namespace

Result<LoadedCredentials> load_credentials(const config::KeyserverConfig& config) {
  SEALCAST_TRY_ASSIGN(const auto certificate, config::read_pem(config.certificate, "certificate"));
  SEALCAST_TRY_ASSIGN(const auto key, config::read_private_key(config.private_key));
  SEALCAST_TRY_ASSIGN(const auto ca, config::read_pem(config.ca, "ca"));
  std::string crl;
  if (config.crl) {
    SEALCAST_TRY_ASSIGN(crl, config::read_pem(*config.crl, "crl"));
  }
  auto credentials = handshake::Credentials::from_pem(
      certificate, std::string_view(reinterpret_cast<const char*>(key.data()), key.size()));
  if (!credentials)
    return fail(config.certificate + " with " + config.private_key + ": " + credentials.error().message);
  auto trust = handshake::TrustStore::from_pem(ca, crl);
  if (!trust) return fail(config.ca + (config.crl ? " with " + *config.crl : "") + ": " + trust.error().message);
  auto server = std::make_shared<handshake::ServerConfig>();
  server->credentials = std::move(*credentials);
  server->member_trust = std::move(*trust);
  server->multicast_flag = config.multicast_flag;
  server->allow_standard = config.allow_standard;
  server->key_server_id = config.id;
  server->realm = config.id;  // at most 64 bytes, as realm's are
  SEALCAST_TRY_ASSIGN(auto digest, digest_of(ca, crl));
  return LoadedCredentials{std::move(server), ca, std::move(digest)};
}

Result<LoadedCredentials> with_new_list(const handshake::ServerConfig& server, const std::string& ca,
                                        const std::string& crl_path) {
  SEALCAST_TRY_ASSIGN(const auto crl, config::read_pem(crl_path, "crl"));
  auto trust = handshake::TrustStore::from_pem(ca, crl);
  if (!trust) return fail(crl_path + " with the CA as it was read last: " + trust.error().message);
  auto next = std::make_shared<handshake::ServerConfig>(server);
  next->member_trust = std::move(*trust);
  SEALCAST_TRY_ASSIGN(auto digest, digest_of(ca, crl));
  return LoadedCredentials{std::move(next), ca, std::move(digest)};
}

std::string standing_of(const std::string& trust, const config::KeyserverGroup& group) {
  const auto list = [](const std::vector<std::string>& names) {
    std::string text = std::to_string(names.size());
    for (const std::string& name : names)
      text += ' ' + std::to_string(name.size()) + ' ' + name;
    return text;
  };
  const auto digest =
      digest_of(trust, std::to_string(static_cast<int>(group.flow.authentication)) +
                           (group.members_by_certificate ? " certificate " : " listed ") + list(group.members) +
                           (group.every_member_sends ? " all " : " some ") + list(group.senders));
  return digest ? *digest : "none";  // the last cannot be: trust was digested likewise
}

Result<Bytes> sign_datagram(const handshake::ServerConfig& server, const handshake::RekeyDatagram& datagram) {
  EVP_PKEY* const key = server.credentials->key.get();
  std::array<std::uint16_t, handshake::offered_schemes.size()> all{};
  std::transform(handshake::offered_schemes.begin(), handshake::offered_schemes.end(), all.begin(),
                 [](handshake::SignatureScheme scheme) { return static_cast<std::uint16_t>(scheme); });
  const auto scheme = handshake::choose_scheme(key, all);
  if (!scheme) return fail("the certificate's key makes no signature of a known scheme");
  auto bytes = handshake::encode_rekey_datagram(datagram, key, *scheme);
  if (!bytes) return fail(bytes.error().message());
  return std::move(*bytes);
}

std::string changed_for_good(const config::KeyserverConfig& a, const config::KeyserverConfig& b) {
  if (a.id != b.id) return "keyserver.id";
  if (a.listen != b.listen) return "keyserver.listen";
  if (a.listen_isakmp != b.listen_isakmp) return "keyserver.listen_isakmp";
  if (a.state != b.state) return "keyserver.state";
  if (a.audit != b.audit) return "keyserver.audit";
  if (a.audit_events != b.audit_events) return "keyserver.audit_events";
  if (a.cluster != b.cluster) return "keyserver.cluster";
  if (a.wrapping_key_file != b.wrapping_key_file) return "keyserver.wrapping_key_file";
  if (a.wrapping_key_credential != b.wrapping_key_credential) return "keyserver.wrapping_key_credential";
  if (a.admin_socket != b.admin_socket) return "keyserver.admin_socket";
  if (!(a.spi_range == b.spi_range)) return "keyserver.spi_range";
  if (a.multicast_flag != b.multicast_flag) return "keyserver.multicast_flag";
  for (const auto& group : a.groups) {
    const auto same = std::find_if(b.groups.begin(), b.groups.end(), [&](const auto& g) { return g.id == group.id; });
    if (same == b.groups.end()) continue;
    if (same->flow.suite != group.flow.suite) return "the suite of group \"" + group.id + "\"";
    if (same->flow.variant != group.flow.variant) return "the variant of group \"" + group.id + "\"";
    if (same->flow != group.flow) return "second_ccs, flag or auth of group \"" + group.id + "\"";
    if (same->numbers != group.numbers) return "the numbers of group \"" + group.id + "\"";
    if (same->mode != group.mode) return "the mode of group \"" + group.id + "\"";
  }
  return "";
}

}  // namespace sealcast::keyserver
