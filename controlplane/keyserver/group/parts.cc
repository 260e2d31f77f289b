#include "controlplane/keyserver/group/parts.h"

#include "controlplane/keyserver/audit/audit.h"

namespace sealcast::keyserver {
namespace {

// Between a certificate's serial number and a password's stamp; neither is anything but hexadecimal digits.
constexpr char stamp_mark = '+';

}  // namespace

std::string audit_prefix(const std::string& group_id) {
  return "group=" + escaped(group_id) + " ";
}

std::string_view name(Phase phase) {
  switch (phase) {
    case Phase::pending:
      return "pending";
    case Phase::active:
      return "active";
    case Phase::old:
      return "old";
  }
  return "?";
}

std::vector<std::string> names_of(const handshake::PeerIdentity& member) {
  return member.names.empty() ? std::vector<std::string>{member.name} : member.names;
}

handshake::PeerIdentity stamped(handshake::PeerIdentity identity, const std::string& stamp) {
  if (identity.user.empty()) return identity;
  identity.serial_hex += (identity.serial_hex.empty() ? std::string() : std::string(1, stamp_mark)) + stamp;
  return identity;
}

std::string stamp_of(const handshake::PeerIdentity& identity) {
  return identity.serial_hex.substr(identity.serial_hex.rfind(stamp_mark) + 1);
}

handshake::GroupPolicy policy_of(const config::KeyserverGroup& config) {
  handshake::GroupPolicy policy;
  policy.selectors = config.selectors;
  policy.esp_mode = config.mode;
  policy.numbers = config.numbers;
  policy.cipher_suite = config.flow.suite;
  policy.replay_window = config.replay_window;
  policy.activation_delay_ms = static_cast<std::uint32_t>(config.activation_delay.count());
  policy.deactivation_delay_ms = static_cast<std::uint32_t>(config.deactivation_delay.count());
  policy.authority_lease_s = static_cast<std::uint32_t>(config.authority_lease.count());
  return policy;
}

bool equal_except_spis(const handshake::GroupPolicy& a, const handshake::GroupPolicy& b) {
  return a.selectors == b.selectors && a.esp_mode == b.esp_mode && a.numbers == b.numbers &&
         a.cipher_suite == b.cipher_suite && a.replay_window == b.replay_window &&
         a.activation_delay_ms == b.activation_delay_ms && a.deactivation_delay_ms == b.deactivation_delay_ms &&
         a.authority_lease_s == b.authority_lease_s;
}

handshake::EpochId id_of(const Epoch& epoch) {
  const handshake::CipherSuite suite = epoch.policy.cipher_suite;
  return handshake::derive_epoch_id(suite, handshake::derive_group_master(suite, *epoch.premaster));
}

}  // namespace sealcast::keyserver
