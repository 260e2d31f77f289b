// The client's end: a multicast member, or a standard client. Order and keys are machine.cc's business.
#include <algorithm>
#include <set>
#include <string>

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
#include "handshake/messages/server_hello.h"
#include "handshake/messages/server_hello_done.h"
#include "handshake/messages/server_key_exchange.h"
#include "handshake/messages/server_master_key_exchange.h"

namespace sealcast::handshake {
namespace {

constexpr std::array offered_groups = {NamedGroup::x25519, NamedGroup::secp256r1};

// What keeps a member from running a flow that it allows.
Outcome<void> can_run(const ClientConfig& config, const GroupFlow& wanted) {
  const auto flow = flow_for(wanted);
  if (!flow)
    return refuse(Reason::flow_unsupported,
                  "group \"" + config.multicast->group_id +
                      "\" is configured with variant, suite, order and authentication that do not go together");
  const FlowDefinition& steps = definition(*flow);
  if (steps.has(Side::client, Message::certificate) && !config.credentials)
    return refuse(Reason::own_certificate_missing, "a multicast member needs a certificate, none is configured");
  if (steps.smke_sealed() && EVP_PKEY_get_base_id(config.credentials->key.get()) != EVP_PKEY_RSA)
    return refuse(Reason::own_certificate_missing,
                  "variant 1 needs a certificate with an RSA key, ours has " + describe(config.credentials->key.get()));
  if (steps.has(Side::client, Message::client_auth_response) && !config.password)
    return refuse(Reason::own_password_missing, "a member of variant 3 needs a password, none is configured");
  return {};
}

std::vector<GroupFlow> allowed_flows(const ClientConfig& config) {
  if (!config.multicast) return {};
  auto flows = config.multicast->flows;
  std::erase_if(flows, [&](const GroupFlow& flow) { return !can_run(config, flow); });
  return flows;
}

// Of sound values only.
std::vector<Flow> lists_of(const std::vector<GroupFlow>& groups) {
  std::vector<Flow> flows;
  for (const GroupFlow& group : groups)
    flows.push_back(*flow_for(group));
  return flows;
}

// A member walks one of the flows that its configuration allows; a standard client a standard one (H4: neither the
// other's).
std::vector<Flow> candidate_flows(const ClientConfig& config) {
  if (!config.multicast) return {Flow::standard, Flow::standard_mutual};
  return lists_of(allowed_flows(config));
}

class Client final : public Machine {
 public:
  Client(std::shared_ptr<const ClientConfig> config, Random& random)
      : Machine(Side::client, candidate_flows(*config), config->max_handshake_bytes, random),
        config_(std::move(config)),
        allowed_(allowed_flows(*config_)) {
    auto started = check_configuration().and_then([this] { return drive(); });
    if (!started) (void)fail_with(std::move(started.error()));
  }

 private:
  Outcome<void> read_message(Message message, ByteView body) override;
  Outcome<SensitiveBytes> make_message(Message message) override;
  void fill(Established& established) override;
  Outcome<void> check_control(const ControlMessage& message) const override;
  void control_sent(const ControlMessage& message) override;

  Outcome<void> check_configuration() const;
  Outcome<SensitiveBytes> make_client_hello();
  Outcome<void> read_server_hello(ByteView body);
  Outcome<void> read_certificate(ByteView body);
  Outcome<void> read_server_key_exchange(ByteView body);
  Outcome<void> read_certificate_request(ByteView body);
  Outcome<SensitiveBytes> make_client_key_exchange();
  Outcome<SensitiveBytes> make_certificate_verify();
  Outcome<void> read_client_auth_request(ByteView body);
  Outcome<void> use_client_auth_request(ByteView body, const ServerProofVerified& proof);
  Outcome<SensitiveBytes> make_client_auth_response();
  Outcome<void> read_smke(ByteView body);
  Outcome<void> read_signed_smke(ByteView body);
  Outcome<void> use_smke(ByteView body, const ServerProofVerified& proof);
  Outcome<void> open_key_material(ServerMasterKeyExchange& message, const ServerProofVerified& proof);
  Outcome<ServerProofVerified> check_server_proof(const Outcome<VerifyData>& received) const;
  Outcome<void> check_flag(std::uint8_t flag, std::string_view message) const;
  Outcome<void> check_names(const std::string& key_server_id, const std::string& group_id) const;
  Outcome<void> check_origin(const GroupKeying& keying, CipherSuite suite) const;

  bool multicast() const { return config_->multicast.has_value(); }
  std::vector<CipherSuite> offered_suites() const;
  // Of a member, once ServerHello chose the suite.
  bool sealed() const { return !is_ecdhe(state().suite); }
  // Leaves what the server's message fits, of what the member allows and the messages so far have left (P3, H30).
  // False: nothing fits, and nothing has changed.
  template <typename Fits>
  bool narrow(Fits fits);

  std::shared_ptr<const ClientConfig> config_;
  std::vector<GroupFlow> allowed_;
  std::uint16_t curve_ = 0;
  Bytes server_point_;
  std::optional<SignatureScheme> scheme_;  // of our CertificateVerify
  std::optional<GroupKeying> keying_;
  CipherSuite established_suite_{};
  std::set<std::string> asked_for_;  // further groups, by GroupJoin
};

Outcome<void> Client::read_message(Message message, ByteView body) {
  switch (message) {
    case Message::server_hello:
      return read_server_hello(body);
    case Message::certificate:
      return read_certificate(body);
    case Message::server_key_exchange:
      return read_server_key_exchange(body);
    case Message::certificate_request:
      return read_certificate_request(body);
    case Message::server_hello_done:
      return decode_server_hello_done(body);
    case Message::client_auth_request:
      return read_client_auth_request(body);
    case Message::server_master_key_exchange:
      return sealed() ? read_signed_smke(body) : read_smke(body);
    default:
      return refuse(Reason::internal_error, "a flow expects a message no server sends: " + std::string(name(message)));
  }
}

Outcome<SensitiveBytes> Client::make_message(Message message) {
  switch (message) {
    case Message::client_hello:
      return make_client_hello();
    case Message::certificate:
      return encode(CertificateMessage{config_->credentials->chain_der});
    case Message::client_key_exchange:
      return make_client_key_exchange();
    case Message::certificate_verify:
      return make_certificate_verify();
    case Message::client_auth_response:
      return make_client_auth_response();
    default:
      return refuse(Reason::internal_error, "a flow makes a client send " + std::string(name(message)));
  }
}

// ---------------------------------------------------------------- the hellos

Outcome<void> Client::check_configuration() const {
  if (!config_->multicast) return {};
  if (!allowed_.empty()) return {};
  if (config_->multicast->flows.empty()) return refuse(Reason::flow_unsupported, "the member allows no flow");
  return can_run(*config_, config_->multicast->flows.front());
}

template <typename Fits>
bool Client::narrow(Fits fits) {
  auto left = allowed_;
  std::erase_if(left, [&](const GroupFlow& flow) { return !state().cursor.possible(*flow_for(flow)) || !fits(flow); });
  if (left.empty()) return false;
  allowed_ = std::move(left);
  state().cursor.leave(lists_of(allowed_));
  return true;
}

std::vector<CipherSuite> Client::offered_suites() const {
  if (multicast()) {
    std::vector<CipherSuite> suites;
    for (const GroupFlow& flow : allowed_)
      if (!contains(suites, flow.suite)) suites.push_back(flow.suite);
    return suites;
  }
  if (!config_->standard_suites.empty()) return config_->standard_suites;
  return {ecdhe_suites.begin(), ecdhe_suites.end()};
}

Outcome<SensitiveBytes> Client::make_client_hello() {
  ClientHello hello;
  random().fill(hello.random);
  state().client_random = hello.random;
  const auto suites = offered_suites();
  for (const CipherSuite suite : suites)
    hello.suites.push_back(static_cast<std::uint16_t>(suite));
  if (!IpAddress::parse(config_->server_name)) hello.server_name = config_->server_name;  // RFC 6066: names only
  const bool exchange = std::any_of(suites.begin(), suites.end(), is_ecdhe);
  for (const NamedGroup group : offered_groups)
    if (exchange) hello.groups.push_back(static_cast<std::uint16_t>(group));
  if (!exchange) hello.point_formats.reset();  // RFC 8422 §4: neither without an ECC suite
  for (const SignatureScheme scheme : offered_schemes)
    hello.signature_schemes.push_back(static_cast<std::uint16_t>(scheme));
  hello.extended_master_secret = true;
  hello.renegotiation_info = Bytes();
  if (config_->multicast) hello.multicast_group = config_->multicast->group_id;
  return encode(hello);
}

Outcome<void> Client::read_server_hello(ByteView body) {
  SEALCAST_TRY_ASSIGN(const auto hello, decode_server_hello(body));
  if (hello.version != tls12)
    return refuse(Reason::protocol_version, "expected a server that speaks TLS 1.2 (3.3), got version " +
                                                std::to_string(hello.version >> 8) + "." +
                                                std::to_string(hello.version & 0xff));
  const bool offered = known_suite(hello.suite) && contains(offered_suites(), CipherSuite{hello.suite});
  if (!offered)
    return refuse(Reason::illegal_parameter,
                  "the server chose cipher suite " + std::to_string(hello.suite) + ", which was not offered");
  if (hello.compression_method != 0)
    return refuse(Reason::illegal_parameter, "the server chose compression, which was not offered");
  if (hello.unknown_extension || (hello.server_name_acknowledged && IpAddress::parse(config_->server_name)))
    return refuse(Reason::unsupported_extension, "ServerHello holds extension " +
                                                     std::to_string(hello.unknown_extension.value_or(0)) +
                                                     ", which was not offered");
  if (hello.point_formats && !contains(*hello.point_formats, std::uint8_t{0}))
    return refuse(Reason::illegal_parameter, "ec_point_formats in ServerHello leaves uncompressed points out");
  if (!hello.extended_master_secret)
    return refuse(Reason::no_extended_master_secret, "ServerHello lacks extended_master_secret");
  if (!hello.renegotiation_info || !hello.renegotiation_info->empty())
    return refuse(Reason::no_secure_renegotiation, "ServerHello lacks an empty renegotiation_info");
  state().server_random = hello.random;
  select_suite(CipherSuite{hello.suite});
  if (multicast()) narrow([&](const GroupFlow& flow) { return flow.suite == state().suite; });
  return {};
}

// ---------------------------------------------------------------- the server's first flight

Outcome<void> Client::read_certificate(ByteView body) {
  SEALCAST_TRY_ASSIGN(auto message, decode_certificate(body));
  SEALCAST_TRY_ASSIGN(auto chain, verify_server_chain(config_->server_trust, message.chain, config_->server_name,
                                                      multicast(), unix_now(), config_->grace));
  const int type = EVP_PKEY_get_base_id(chain.key());
  const bool wants_rsa = server_authentication(state().suite) == ServerAuthentication::rsa;
  const bool fits = wants_rsa ? type == EVP_PKEY_RSA : type == EVP_PKEY_EC || type == EVP_PKEY_ED25519;
  if (!fits)
    return refuse(Reason::certificate_wrong_key_type,
                  "a " + describe(chain.key()) + " key under " + std::string(name(state().suite)));
  state().peer_chain = std::move(chain);
  return {};
}

Outcome<void> Client::read_server_key_exchange(ByteView body) {
  SEALCAST_TRY_ASSIGN(auto message, decode_server_key_exchange(body));
  if (!contains(offered_groups, NamedGroup{message.group}))
    return refuse(Reason::illegal_parameter,
                  "the server chose curve " + std::to_string(message.group) + ", which was not offered");
  SEALCAST_TRY_ASSIGN(state().possession,
                      PossessionProved::check(
                          *state().peer_chain, message.signature_scheme,
                          signed_parameters(state().client_random, state().server_random, message.group, message.point),
                          message.signature));
  curve_ = message.group;
  server_point_ = std::move(message.point);
  return {};
}

Outcome<void> Client::read_certificate_request(ByteView body) {
  SEALCAST_TRY_ASSIGN(auto message, decode_certificate_request(body));
  const bool flagged = message.names(config_->multicast_flag);
  const FlagPlace place = flagged ? FlagPlace::certificate_request : FlagPlace::smke;
  const bool fits = multicast() ? narrow([&](const GroupFlow& flow) { return flow.flag_place == place; }) : !flagged;
  if (!fits && !flagged)
    return refuse(Reason::flag_missing, "CertificateRequest lacks the multicast flag " +
                                            std::to_string(config_->multicast_flag) +
                                            ": this server runs the standard handshake, or the flag was stripped; a "
                                            "multicast member never falls back to it");
  if (!fits)
    return refuse(Reason::flag_unexpected, "CertificateRequest carries the multicast flag " +
                                               std::to_string(config_->multicast_flag) +
                                               (multicast() ? ", expected in SMKE alone" : " in a standard handshake"));
  if (!config_->credentials)
    return refuse(Reason::own_certificate_missing, "the server asks for a certificate, none is configured");
  EVP_PKEY* key = config_->credentials->key.get();
  const std::uint8_t type = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA ? rsa_sign : ecdsa_sign;
  if (!message.names(type))
    return refuse(Reason::certificate_wrong_key_type,
                  "the server accepts no client certificate with a " + describe(key) + " key");
  scheme_ = choose_scheme(key, message.signature_schemes);
  if (!scheme_)
    return refuse(Reason::no_common_signature,
                  "CertificateRequest offers no signature algorithm for our " + describe(key) + " key");
  return {};
}

// ---------------------------------------------------------------- our second flight

Outcome<SensitiveBytes> Client::make_client_key_exchange() {
  SEALCAST_TRY_ASSIGN(auto share, KeyShare::generate(NamedGroup{curve_}, random()));
  SEALCAST_TRY_ASSIGN(state().premaster, share.agree(server_point_));
  return encode(ClientKeyExchange{share.point()});
}

Outcome<SensitiveBytes> Client::make_certificate_verify() {
  SEALCAST_TRY_ASSIGN(auto signature, sign(config_->credentials->key.get(), *scheme_, state().transcript.messages()));
  return encode(CertificateVerify{static_cast<std::uint16_t>(*scheme_), std::move(signature)});
}

// ---------------------------------------------------------------- variant 3: the password

// H7, AUTH-1: the password is not even fetched before the server's proof holds.
Outcome<void> Client::read_client_auth_request(ByteView body) {
  SEALCAST_TRY_ASSIGN(auto proof, check_server_proof(find_request_verify_data(body)));
  return use_client_auth_request(body, proof);
}

Outcome<void> Client::use_client_auth_request(ByteView body, const ServerProofVerified&) {
  SEALCAST_TRY_ASSIGN(auto message, decode_client_auth_request(body));
  SEALCAST_TRY(check_flag(message.flag, "ClientAuthRequest"));
  if (!contains(message.methods, auth_password))
    return refuse(Reason::auth_method_refused, "ClientAuthRequest does not list method 1 (password)");
  return check_names(message.key_server_id, message.group_id);
}

Outcome<SensitiveBytes> Client::make_client_auth_response() {
  auto credential = config_->password();
  if (!credential) return refuse(Reason::own_password_missing, credential.error().message);
  return encode(ClientAuthResponse{auth_password, std::move(credential->user), std::move(credential->secret)});
}

// ---------------------------------------------------------------- the group's keying

Outcome<ServerProofVerified> Client::check_server_proof(const Outcome<VerifyData>& received) const {
  if (!received) return tl::unexpected<HandshakeError>(received.error());
  return ServerProofVerified::check(server_verify_data(hash(), state().first_master, state().transcript.digest()),
                                    *received);
}

// H3: nothing of SMKE is looked at before its proof holds.
Outcome<void> Client::read_smke(ByteView body) {
  SEALCAST_TRY_ASSIGN(auto proof, check_server_proof(find_server_verify_data(body)));
  return use_smke(body, proof);
}

// H1: nor in variant 1, and nothing is decrypted.
Outcome<void> Client::read_signed_smke(ByteView body) {
  SEALCAST_TRY_ASSIGN(auto found, find_smke_signature(body));
  SEALCAST_TRY_ASSIGN(
      auto proved, PossessionProved::check(
                       *state().peer_chain, found.scheme,
                       smke_signature_content(state().transcript.digest().view(), found.signed_part), found.signature));
  state().possession = proved;
  return use_smke(body, ServerProofVerified::by_signature(proved));
}

Outcome<void> Client::use_smke(ByteView body, const ServerProofVerified& proof) {
  SEALCAST_TRY_ASSIGN(auto message,
                      sealed() ? decode_sealed_master_key_exchange(body) : decode_server_master_key_exchange(body));
  SEALCAST_TRY(check_flag(message.flag, "SMKE"));
  const auto order_of = [](const GroupFlow& flow) { return definition(*flow_for(flow)).second_ccs; };
  if (!narrow([&](const GroupFlow& flow) { return order_of(flow) == message.second_ccs; }))
    return refuse(Reason::wrong_second_ccs, "SMKE announces order " +
                                                std::to_string(static_cast<int>(message.second_ccs)) +
                                                " of the second ChangeCipherSpec, expected " +
                                                std::to_string(static_cast<int>(order_of(allowed_.front()))));
  SEALCAST_TRY(check_origin(message.keying, state().suite));
  if (sealed()) SEALCAST_TRY(open_key_material(message, proof));
  GroupMaster master = derive_group_master(state().suite, message.keying.premaster);
  if (config_->accept_keying)
    if (auto accepted = config_->accept_keying(message.keying, derive_epoch_id(state().suite, master)); !accepted)
      return refuse(Reason::keying_refused, accepted.error().message);
  state().group_master = std::move(master);
  keying_ = std::move(message.keying);
  return {};
}

// H6: whatever is wrong, it is this one failure.
Outcome<void> Client::open_key_material(ServerMasterKeyExchange& message, const ServerProofVerified&) {
  auto keys = open_keys(config_->credentials->key.get(), message.sealed_keys);
  if (!keys) return refuse(Reason::key_material_refused, "the key material in SMKE cannot be used");
  message.keying.premaster = std::move(keys->premaster);
  state().first_master = std::move(keys->member_secret);
  return {};
}

Outcome<void> Client::check_flag(std::uint8_t flag, std::string_view message) const {
  if (flag == config_->multicast_flag) return {};
  return refuse(flag == 0 ? Reason::flag_missing : Reason::flag_unexpected,
                std::string(message) + " carries flag " + std::to_string(flag) + ", expected " +
                    std::to_string(config_->multicast_flag));
}

Outcome<void> Client::check_names(const std::string& key_server_id, const std::string& group_id) const {
  const MulticastWish& wish = *config_->multicast;
  if (key_server_id != wish.key_server_id)
    return refuse(Reason::wrong_key_server,
                  "expected key server \"" + wish.key_server_id + "\", got \"" + key_server_id + "\"");
  if (group_id != wish.group_id && !asked_for_.count(group_id))
    return refuse(Reason::wrong_group, "expected group \"" + wish.group_id + "\", got \"" + group_id + "\"");
  return {};
}

Outcome<void> Client::check_origin(const GroupKeying& keying, CipherSuite suite) const {
  SEALCAST_TRY(check_names(keying.key_server_id, keying.group_id));
  if (keying.policy.cipher_suite != suite)
    return refuse(Reason::wrong_suite,
                  "expected " + std::string(name(suite)) + ", got " + std::string(name(keying.policy.cipher_suite)));
  return {};
}

void Client::fill(Established& established) {
  established_suite_ = established.suite;
  if (!multicast()) return;
  established.group_id = config_->multicast->group_id;
  established.keying = std::move(keying_);
  established.group_master = std::move(state().group_master);
  keying_.reset();
}

Outcome<void> Client::check_control(const ControlMessage& message) const {
  const auto* update = std::get_if<GroupUpdate>(&message);
  return update ? check_origin(update->keying, established_suite_) : Outcome<void>();
}

void Client::control_sent(const ControlMessage& message) {
  if (const auto* join = std::get_if<GroupJoin>(&message)) asked_for_.insert(join->group_id);
}

}  // namespace

std::unique_ptr<Endpoint> make_client(std::shared_ptr<const ClientConfig> config, Random& random) {
  return std::make_unique<Client>(std::move(config), random);
}

}  // namespace sealcast::handshake
