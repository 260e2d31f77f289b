// The server's end: what it reads from and writes into each message. Order and keys are machine.cc's business.
#include <algorithm>

#include "handshake/crypto/key_transport.h"
#include "handshake/crypto/signature.h"
#include "handshake/machine/contains.h"
#include "handshake/machine/machine.h"
#include "handshake/messages/certificate.h"
#include "handshake/messages/certificate_request.h"
#include "handshake/messages/certificate_verify.h"
#include "handshake/messages/client_auth.h"
#include "handshake/messages/client_hello.h"
#include "handshake/messages/client_key_exchange.h"
#include "handshake/messages/control_codec.h"
#include "handshake/messages/server_hello.h"
#include "handshake/messages/server_key_exchange.h"
#include "handshake/messages/server_master_key_exchange.h"

namespace sealcast::handshake {
namespace {

bool offers_tls12(const ClientHello& hello) {
  return hello.supported_versions.empty() ? hello.version >= tls12 : contains(hello.supported_versions, tls12);
}

// RFC 8422: without supported_groups the choice is the server's.
std::optional<NamedGroup> choose_group(const ClientHello& hello) {
  if (contains(hello.groups, static_cast<std::uint16_t>(NamedGroup::x25519))) return NamedGroup::x25519;
  if (hello.groups.empty() || contains(hello.groups, static_cast<std::uint16_t>(NamedGroup::secp256r1)))
    return NamedGroup::secp256r1;
  return std::nullopt;
}

class Server final : public Machine {
 public:
  Server(std::shared_ptr<const ServerConfig> config, GroupAuthority& authority, Random& random)
      : Machine(Side::server, every_flow, config->max_handshake_bytes, random),
        config_(std::move(config)),
        authority_(authority) {}

 private:
  Outcome<void> read_message(Message message, ByteView body) override;
  Outcome<SensitiveBytes> make_message(Message message) override;
  void smke_sent() override { push(std::move(*keying_sent_)); }
  void fill(Established& established) override { established.group_id = group_id_; }
  Outcome<void> check_control(const ControlMessage&) const override { return {}; }

  Outcome<void> read_client_hello(ByteView body);
  Outcome<void> check_versions(const ClientHello& hello) const;
  Outcome<void> choose_multicast(const ClientHello& hello);
  Outcome<void> choose_standard(const ClientHello& hello);
  Outcome<void> read_certificate(ByteView body);
  Outcome<void> read_client_key_exchange(ByteView body);
  Outcome<void> read_certificate_verify(ByteView body);
  Outcome<void> read_client_auth_response(ByteView body);

  Outcome<SensitiveBytes> make_server_hello();
  Outcome<SensitiveBytes> make_server_key_exchange();
  Outcome<SensitiveBytes> make_certificate_request() const;
  Outcome<SensitiveBytes> make_client_auth_request() const;
  Outcome<SensitiveBytes> make_smke();
  Outcome<void> member_proved_itself() const;
  Outcome<SensitiveBytes> seal_smke(ServerMasterKeyExchange message);

  bool multicast() const { return !group_id_.empty(); }
  bool key_fits(CipherSuite suite) const;

  std::shared_ptr<const ServerConfig> config_;
  GroupAuthority& authority_;
  std::string group_id_;  // empty: a standard client
  FlagPlace flag_place_ = FlagPlace::certificate_request;
  bool answer_renegotiation_info_ = false;
  bool answer_point_formats_ = false;
  NamedGroup curve_ = NamedGroup::x25519;
  SignatureScheme scheme_{};
  std::optional<KeyingSent> keying_sent_;
};

Outcome<void> Server::read_message(Message message, ByteView body) {
  switch (message) {
    case Message::client_hello:
      return read_client_hello(body);
    case Message::certificate:
      return read_certificate(body);
    case Message::client_key_exchange:
      return read_client_key_exchange(body);
    case Message::certificate_verify:
      return read_certificate_verify(body);
    case Message::client_auth_response:
      return read_client_auth_response(body);
    default:
      return refuse(Reason::internal_error, "a flow expects a message no client sends: " + std::string(name(message)));
  }
}

Outcome<SensitiveBytes> Server::make_message(Message message) {
  switch (message) {
    case Message::server_hello:
      return make_server_hello();
    case Message::certificate:
      return encode(CertificateMessage{config_->credentials->chain_der});
    case Message::server_key_exchange:
      return make_server_key_exchange();
    case Message::certificate_request:
      return make_certificate_request();
    case Message::server_hello_done:
      return SensitiveBytes();
    case Message::client_auth_request:
      return make_client_auth_request();
    case Message::server_master_key_exchange:
      return make_smke();
    default:
      return refuse(Reason::internal_error, "a flow makes a server send " + std::string(name(message)));
  }
}

// ---------------------------------------------------------------- ClientHello

Outcome<void> Server::check_versions(const ClientHello& hello) const {
  if (offers_tls12(hello)) return {};
  if (hello.offers(fallback_scsv))
    return refuse(Reason::inappropriate_fallback, "ClientHello falls back to an older version with TLS_FALLBACK_SCSV");
  std::string got = std::to_string(hello.version >> 8) + "." + std::to_string(hello.version & 0xff);
  if (!hello.supported_versions.empty()) got += " with supported_versions that leave TLS 1.2 out";
  return refuse(Reason::protocol_version, "expected a client that speaks TLS 1.2 (3.3), got version " + got);
}

Outcome<void> Server::read_client_hello(ByteView body) {
  SEALCAST_TRY_ASSIGN(const auto hello, decode_client_hello(body));
  SEALCAST_TRY(check_versions(hello));
  if (!contains(hello.compression_methods, std::uint8_t{0}))
    return refuse(Reason::illegal_parameter, "ClientHello does not offer null compression");
  if (!hello.extended_master_secret)
    return refuse(Reason::no_extended_master_secret, "ClientHello lacks extended_master_secret");
  if (hello.renegotiation_info && !hello.renegotiation_info->empty())
    return refuse(Reason::no_secure_renegotiation, "renegotiation_info in a first ClientHello is not empty");
  if (!hello.allows_uncompressed_points())
    return refuse(Reason::illegal_parameter, "ec_point_formats leaves uncompressed points out");
  answer_renegotiation_info_ = hello.renegotiation_info.has_value() || hello.offers(renegotiation_scsv);
  if (!config_->credentials) return refuse(Reason::own_certificate_missing, "this server has no certificate");
  SEALCAST_TRY(hello.multicast_group ? choose_multicast(hello) : choose_standard(hello));
  if (flow().has(Side::server, Message::server_key_exchange)) {
    const auto curve = choose_group(hello);
    if (!curve) return refuse(Reason::no_common_curve, "ClientHello offers neither x25519 nor secp256r1");
    curve_ = *curve;
    answer_point_formats_ = hello.point_formats.has_value();
  }
  const auto scheme = choose_scheme(config_->credentials->key.get(), hello.signature_schemes);
  if (!scheme)
    return refuse(Reason::no_common_signature, "ClientHello offers no signature algorithm for our " +
                                                   describe(config_->credentials->key.get()) + " key");
  scheme_ = *scheme;
  state().client_random = hello.random;
  return {};
}

bool Server::key_fits(CipherSuite suite) const {
  const bool rsa = EVP_PKEY_get_base_id(config_->credentials->key.get()) == EVP_PKEY_RSA;
  return rsa == (server_authentication(suite) == ServerAuthentication::rsa);
}

Outcome<void> Server::choose_multicast(const ClientHello& hello) {
  const auto group = authority_.find_group(*hello.multicast_group);
  if (!group) return refuse(Reason::group_refused, "there is no group \"" + *hello.multicast_group + "\" here");
  const auto flow = flow_for(*group);
  if (!flow)
    return refuse(Reason::flow_unsupported,
                  "group \"" + *hello.multicast_group +
                      "\" is configured with variant, suite, order and authentication that do not go together");
  const bool asks = definition(*flow).has(Side::server, Message::client_auth_request);
  if (asks && (config_->key_server_id.empty() || config_->key_server_id.size() > 64 || config_->realm.size() > 64))
    return refuse(Reason::flow_unsupported,
                  "variant 3 needs a key server id of 1 to 64 bytes and a realm of at most 64");
  if (!key_fits(group->suite))
    return refuse(Reason::own_certificate_missing, "our " + describe(config_->credentials->key.get()) +
                                                       " key does not fit the group's suite " +
                                                       std::string(name(group->suite)));
  if (!hello.offers(static_cast<std::uint16_t>(group->suite)))
    return refuse(Reason::group_suite_not_offered, "group \"" + *hello.multicast_group + "\" needs " +
                                                       std::string(name(group->suite)) +
                                                       ", which the ClientHello does not offer");
  group_id_ = *hello.multicast_group;
  flag_place_ = group->flag_place;
  state().cursor.leave({&*flow, 1});
  select_suite(group->suite);
  return {};
}

Outcome<void> Server::choose_standard(const ClientHello& hello) {
  if (!config_->allow_standard)
    return refuse(Reason::standard_client_refused,
                  "ClientHello names no multicast group, and standard TLS is not allowed here");
  for (const CipherSuite suite : ecdhe_suites)
    if (hello.offers(static_cast<std::uint16_t>(suite)) && key_fits(suite)) {
      const Flow flow = config_->standard_requests_certificate ? Flow::standard_mutual : Flow::standard;
      state().cursor.leave({&flow, 1});
      select_suite(suite);
      return {};
    }
  return refuse(Reason::no_common_suite, "ClientHello offers no ECDHE AES-GCM suite for our " +
                                             describe(config_->credentials->key.get()) + " key");
}

// ---------------------------------------------------------------- our first flight

Outcome<SensitiveBytes> Server::make_server_hello() {
  ServerHello hello;
  random().fill(hello.random);
  put_time(hello.random, unix_now());
  state().server_random = hello.random;
  hello.suite = static_cast<std::uint16_t>(state().suite);
  hello.extended_master_secret = true;
  if (answer_renegotiation_info_) hello.renegotiation_info = Bytes();
  if (answer_point_formats_) hello.point_formats = Bytes{0};
  return encode(hello);
}

Outcome<SensitiveBytes> Server::make_server_key_exchange() {
  SEALCAST_TRY_ASSIGN(auto share, KeyShare::generate(curve_, random()));
  ServerKeyExchange message;
  message.group = static_cast<std::uint16_t>(curve_);
  message.point = share.point();
  message.signature_scheme = static_cast<std::uint16_t>(scheme_);
  SEALCAST_TRY_ASSIGN(message.signature, sign(config_->credentials->key.get(), scheme_,
                                              signed_parameters(state().client_random, state().server_random,
                                                                message.group, message.point)));
  state().own_share = std::move(share);
  return encode(message);
}

Outcome<SensitiveBytes> Server::make_certificate_request() const {
  CertificateRequest message;
  message.certificate_types = {ecdsa_sign, rsa_sign};
  if (multicast() && flow().smke_sealed()) message.certificate_types = {rsa_sign};
  if (multicast() && flag_place_ == FlagPlace::certificate_request)  // P10: only where it was asked for
    message.certificate_types.push_back(config_->multicast_flag);
  for (const SignatureScheme scheme : offered_schemes)
    message.signature_schemes.push_back(static_cast<std::uint16_t>(scheme));
  return encode(message);
}

// ---------------------------------------------------------------- the client's second flight

Outcome<void> Server::read_certificate(ByteView body) {
  SEALCAST_TRY_ASSIGN(auto message, decode_certificate(body));
  const auto use = flow().smke_sealed() ? MemberKeyUse::sign_and_decrypt : MemberKeyUse::sign;
  const auto grace = [this](const PeerIdentity& member) { return authority_.grace(group_id_, member); };
  SEALCAST_TRY_ASSIGN(state().peer_chain,
                      multicast()
                          ? verify_member_chain(config_->member_trust, message.chain, group_id_, unix_now(), use, grace)
                          : verify_standard_client_chain(config_->member_trust, message.chain, unix_now()));
  return {};
}

Outcome<void> Server::read_client_key_exchange(ByteView body) {
  SEALCAST_TRY_ASSIGN(auto message, decode_client_key_exchange(body));
  SEALCAST_TRY_ASSIGN(state().premaster, state().own_share->agree(message.point));
  return {};
}

Outcome<void> Server::read_certificate_verify(ByteView body) {
  SEALCAST_TRY_ASSIGN(auto message, decode_certificate_verify(body));
  SEALCAST_TRY_ASSIGN(state().possession, PossessionProved::check(*state().peer_chain, message.signature_scheme,
                                                                  state().transcript.messages(), message.signature));
  return {};
}

// ---------------------------------------------------------------- the group's keying

Outcome<SensitiveBytes> Server::make_client_auth_request() const {
  ClientAuthRequest message;
  message.flag = config_->multicast_flag;
  message.methods = {auth_password};
  message.key_server_id = config_->key_server_id;
  message.group_id = group_id_;
  message.realm = config_->realm;
  message.server_verify_data = server_verify_data(hash(), state().first_master, state().transcript.digest());
  return encode(message);
}

Outcome<void> Server::read_client_auth_response(ByteView body) {
  SEALCAST_TRY_ASSIGN(auto message, decode_client_auth_response(body));
  if (message.method != auth_password)
    return refuse(Reason::auth_method_refused,
                  "ClientAuthResponse uses method " + std::to_string(message.method) + ", expected 1 (password)");
  state().presented_user = message.user;
  std::vector<std::string> names;
  if (state().peer_chain && state().possession) {
    auto member = state().peer_chain->identity();
    names = member.names.empty() ? std::vector{std::move(member.name)} : std::move(member.names);
  }
  push(PasswordPresented{group_id_, std::move(message.user), std::move(message.secret), std::move(names)});
  await_owner();
  return {};
}

// Whatever the flow lets the member prove before SMKE has been proved. The flow's order sees to it already; this is the
// second lock on the group's secret.
Outcome<void> Server::member_proved_itself() const {
  const HandshakeState& hs = state();
  if ((flow().before_smke(Side::client, Message::certificate_verify) && !hs.possession) ||
      (flow().before_smke(Side::client, Message::finished) && !hs.peer_finished) ||
      (flow().before_smke(Side::client, Message::client_auth_response) && !hs.password) ||
      (!hs.possession && !hs.password))
    return refuse(Reason::internal_error, "SMKE would leave before the member proved itself");
  return {};
}

Outcome<SensitiveBytes> Server::make_smke() {
  SEALCAST_TRY(member_proved_itself());
  auto keying = authority_.issue(group_id_, proven_peer());
  if (!keying)
    return refuse(authority_.may_come_again() ? Reason::group_unavailable : Reason::group_refused,
                  keying.error().message);
  if (keying->group_id != group_id_ || keying->policy.cipher_suite != state().suite)
    return refuse(Reason::internal_error, "the keying issued is for another group or suite than this connection's");
  state().group_master = derive_group_master(state().suite, keying->premaster);
  keying_sent_ = KeyingSent{group_id_, keying->epoch, keying->assignment.member_id};
  ServerMasterKeyExchange message;
  message.flag = config_->multicast_flag;
  message.second_ccs = flow().second_ccs;
  message.keying = std::move(*keying);
  if (flow().smke_sealed()) return seal_smke(std::move(message));
  message.server_verify_data = server_verify_data(hash(), state().first_master, state().transcript.digest());
  return encode(message);
}

// P16, H1, H2: premaster and a secret of this connection's own under the member's key, the whole signed.
Outcome<SensitiveBytes> Server::seal_smke(ServerMasterKeyExchange message) {
  TransportedKeys keys;
  keys.premaster = message.keying.premaster.clone();
  random().fill(keys.member_secret.span());
  SEALCAST_TRY_ASSIGN(message.sealed_keys, seal_keys(state().peer_chain->key(), keys));
  SEALCAST_TRY_ASSIGN(auto signed_part, encode_signed_part(message));
  SEALCAST_TRY_ASSIGN(auto signature, sign(config_->credentials->key.get(), scheme_,
                                           smke_signature_content(state().transcript.digest().view(), signed_part)));
  message.signature.resize(2);
  store_be(message.signature.data(), static_cast<std::uint16_t>(scheme_));
  message.signature.insert(message.signature.end(), signature.begin(), signature.end());
  state().first_master = std::move(keys.member_secret);
  return encode(message);
}

}  // namespace

std::unique_ptr<Endpoint> make_server(std::shared_ptr<const ServerConfig> config, GroupAuthority& authority,
                                      Random& random) {
  return std::make_unique<Server>(std::move(config), authority, random);
}

}  // namespace sealcast::handshake
