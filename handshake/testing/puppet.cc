#include "handshake/testing/puppet.h"

#include <algorithm>

#include "handshake/certificate/credentials.h"
#include "handshake/crypto/key_transport.h"
#include "handshake/crypto/signature.h"
#include "handshake/messages/certificate.h"
#include "handshake/messages/certificate_request.h"
#include "handshake/messages/certificate_verify.h"
#include "handshake/messages/change_cipher_spec.h"
#include "handshake/messages/client_auth.h"
#include "handshake/messages/client_hello.h"
#include "handshake/messages/client_key_exchange.h"
#include "handshake/messages/server_hello.h"
#include "handshake/messages/server_key_exchange.h"

namespace sealcast::handshake::testing {

Puppet::Puppet(Side side, World& world, bool multicast)
    : side_(side), world_(world), multicast_(multicast), suite_(world.authority.flow.suite) {
  system_random().fill(side == Side::client ? client_random_ : server_random_);
}

const Credentials& Puppet::credentials() const {
  return side_ == Side::client ? world_.client_config.credentials : world_.server_config.credentials;
}

Digest Puppet::transcript() const {
  Hash all(hash());
  all.add(messages_);
  return all.digest();
}

// ---------------------------------------------------------------- sending

void Puppet::send(const Step& step) {
  if (step.message == Message::change_cipher_spec) {
    send_record(ContentType::change_cipher_spec, change_cipher_spec_body);
    const auto& block = step.keys == Keys::channel ? channel_keys_ : first_keys_;
    if (block) writer_.install(side_ == Side::client ? block->client_write : block->server_write);
    return;
  }
  SensitiveBytes body = body_of(step);
  if (bend) bend(step, body);
  send_handshake(static_cast<std::uint8_t>(type_of(step.message)), body);
  after(step.message, static_cast<std::uint8_t>(type_of(step.message)));
}

void Puppet::send_handshake(std::uint8_t type, ByteView body) {
  Writer framed;
  framed.u8(type);
  framed.vector24(body);
  messages_.insert(messages_.end(), framed.view().begin(), framed.view().end());
  send_record(ContentType::handshake, framed.view());
}

SensitiveBytes Puppet::body_of(const Step& step) {
  switch (step.message) {
    case Message::client_hello:
      return client_hello();
    case Message::server_hello:
      return server_hello();
    case Message::certificate:
      return *encode(CertificateMessage{credentials() ? credentials()->chain_der : std::vector<Bytes>()});
    case Message::server_key_exchange:
      return server_key_exchange();
    case Message::certificate_request: {
      CertificateRequest request;
      request.certificate_types = {ecdsa_sign, rsa_sign};
      if (multicast_ && world_.authority.flow.flag_place == FlagPlace::certificate_request)
        request.certificate_types.push_back(world_.server_config.multicast_flag);
      if (certificate_types) request.certificate_types = *certificate_types;
      for (const SignatureScheme scheme : offered_schemes)
        request.signature_schemes.push_back(static_cast<std::uint16_t>(scheme));
      return *encode(request);
    }
    case Message::server_hello_done:
      return {};
    case Message::client_key_exchange: {
      if (!share_) {
        auto made = KeyShare::generate(NamedGroup{peer_group_}, system_random());
        if (made) share_ = std::move(*made);
      }
      return *encode(ClientKeyExchange{share_->point()});
    }
    case Message::certificate_verify: {
      if (!credentials()) return SensitiveBytes(4, 0);
      const std::vector<std::uint16_t> all = {0x0403, 0x0807, 0x0804};
      const auto scheme = choose_scheme(credentials()->key.get(), all);
      return *encode(
          CertificateVerify{static_cast<std::uint16_t>(*scheme), *sign(credentials()->key.get(), *scheme, messages_)});
    }
    case Message::client_auth_request:
      return client_auth_request();
    case Message::client_auth_response:
      return client_auth_response();
    case Message::server_master_key_exchange:
      return smke();
    case Message::finished:
      return *encode(Finished{finished_data(hash(), step.keys == Keys::channel ? channel_secret_ : first_master_,
                                            finished_label.value_or(side_), transcript())});
    case Message::change_cipher_spec:
      break;
  }
  return {};
}

SensitiveBytes Puppet::client_hello() {
  ClientHello hello;
  hello.random = client_random_;
  hello.suites = {static_cast<std::uint16_t>(suite_)};
  hello.groups = {29, 23};
  for (const SignatureScheme scheme : offered_schemes)
    hello.signature_schemes.push_back(static_cast<std::uint16_t>(scheme));
  hello.extended_master_secret = true;
  hello.renegotiation_info = Bytes();
  if (multicast_) hello.multicast_group = world_.authority.keying.group_id;
  return *encode(hello);
}

SensitiveBytes Puppet::server_hello() {
  ServerHello hello;
  hello.random = server_random_;
  hello.suite = static_cast<std::uint16_t>(suite_);
  hello.extended_master_secret = true;
  hello.renegotiation_info = Bytes();
  return *encode(hello);
}

SensitiveBytes Puppet::server_key_exchange() {
  if (!credentials()) return SensitiveBytes(4, 0);  // a member with a password alone has nothing to sign with
  auto made = KeyShare::generate(curve, system_random());
  share_ = std::move(*made);
  ServerKeyExchange message;
  message.group = static_cast<std::uint16_t>(curve);
  message.point = share_->point();
  const std::vector<std::uint16_t> all = {0x0403, 0x0807, 0x0804};
  const auto scheme = choose_scheme(credentials()->key.get(), all);
  message.signature_scheme = static_cast<std::uint16_t>(*scheme);
  message.signature = *sign(credentials()->key.get(), *scheme,
                            signed_parameters(client_random_, server_random_, message.group, message.point));
  return *encode(message);
}

const FlowDefinition* Puppet::group_flow() const {
  const auto flow = flow_for(world_.authority.flow);
  return multicast_ && flow ? &definition(*flow) : nullptr;
}

SensitiveBytes Puppet::client_auth_request() {
  ClientAuthRequest message;
  message.flag = world_.server_config.multicast_flag;
  message.methods = {auth_password};
  message.key_server_id = world_.authority.keying.key_server_id;
  message.group_id = world_.authority.keying.group_id;
  message.realm = world_.server_config.realm;
  message.server_verify_data = server_verify_data(hash(), first_master_, transcript());
  return *encode(message);
}

SensitiveBytes Puppet::client_auth_response() {
  const std::string_view text = test_password;
  ClientAuthResponse message{auth_password, test_user, SecretBytes(text.size())};
  std::copy(text.begin(), text.end(), message.secret.data());
  return *encode(message);
}

SensitiveBytes Puppet::smke() {
  ServerMasterKeyExchange message;
  message.flag = world_.server_config.multicast_flag;
  message.second_ccs = second_ccs.value_or(group_flow() != nullptr ? group_flow()->second_ccs : SecondCcs::claim5);
  message.keying = clone(world_.authority.keying);
  if (world_.authority.tamper) world_.authority.tamper(message.keying);
  group_master_ = derive_group_master(suite_, message.keying.premaster);
  if (!sealed()) {
    message.server_verify_data = server_verify_data(hash(), first_master_, transcript());
    return *encode(message);
  }
  TransportedKeys keys;
  keys.premaster = message.keying.premaster.clone();
  system_random().fill(keys.member_secret.span());
  message.sealed_keys = Bytes(256, 1);
  if (seal)
    message.sealed_keys = seal(peer_key_.get());
  else if (peer_key_)
    if (auto made = seal_keys(peer_key_.get(), keys)) message.sealed_keys = std::move(*made);
  SensitiveBytes content = smke_signature_content(transcript().view(), *encode_signed_part(message));
  if (bend_signed_content) bend_signed_content(content);
  const Credentials& signer = smke_signer ? smke_signer : credentials();
  const std::vector<std::uint16_t> all = {0x0403, 0x0807, 0x0804};
  const auto scheme = choose_scheme(signer->key.get(), all);
  const Bytes signature = *sign(signer->key.get(), *scheme, content);
  message.signature.resize(2);
  store_be(message.signature.data(), static_cast<std::uint16_t>(*scheme));
  message.signature.insert(message.signature.end(), signature.begin(), signature.end());
  first_master_ = std::move(keys.member_secret);
  return *encode(message);
}

// ---------------------------------------------------------------- receiving

void Puppet::receive(ByteView bytes) {
  scan_.insert(scan_.end(), bytes.begin(), bytes.end());
  while (scan_.size() >= record_header_size) {
    const std::size_t size = record_header_size + load_be<std::uint16_t>(scan_.data() + 3);
    if (scan_.size() < size) break;
    if (scan_[0] == static_cast<std::uint8_t>(ContentType::alert)) ++alert_records_;
    scan_.erase(scan_.begin(), scan_.begin() + static_cast<std::ptrdiff_t>(size));
  }
  while (!keys_unknown_) {
    auto record = reader_.next(bytes);
    if (!record) {
      seen_.push_back("undecipherable: " + record.error().message());
      keys_unknown_ = true;
      break;
    }
    if (!*record) break;
    const ByteView payload = (*record)->payload;
    switch ((*record)->type) {
      case ContentType::alert:
        if (payload.size() == 2) alert_code_ = payload[1];
        seen_.push_back("alert");
        break;
      case ContentType::application_data:
        application_data_.insert(application_data_.end(), payload.begin(), payload.end());
        break;
      case ContentType::change_cipher_spec: {
        seen_.push_back("ChangeCipherSpec");
        const auto& block = ++ccs_received_ == 2 || sealed() ? channel_keys_ : first_keys_;
        if (block)
          reader_.install(side_ == Side::client ? block->server_write : block->client_write, *joiner_.aligned());
        else
          keys_unknown_ = true;
        break;
      }
      case ContentType::handshake:
        joiner_.feed(payload);
        while (const auto message = joiner_.message()) {
          const Bytes raw(message->begin(), message->end());
          joiner_.take(raw.size());
          absorb(raw[0], ByteView(raw).subspan(message_header_size));
          messages_.insert(messages_.end(), raw.begin(), raw.end());
          if (const auto known = message_of(raw[0])) after(*known, raw[0]);
        }
        break;
    }
  }
}

void Puppet::absorb(std::uint8_t type, ByteView body) {
  seen_.push_back(type_name(type));
  switch (HandshakeType{type}) {
    case HandshakeType::client_hello:
      if (auto hello = decode_client_hello(body)) {
        client_random_ = hello->random;
        if (!hello->offers(static_cast<std::uint16_t>(suite_)))  // a foreign client: choose a suite that fits our key
          for (const CipherSuite suite : ecdhe_suites)
            if (hello->offers(static_cast<std::uint16_t>(suite)) &&
                server_authentication(suite) == server_authentication(suite_))
              suite_ = suite;
      }
      break;
    case HandshakeType::server_hello:
      if (auto hello = decode_server_hello(body)) server_random_ = hello->random;
      break;
    case HandshakeType::server_key_exchange:
      if (auto message = decode_server_key_exchange(body)) {
        peer_group_ = message->group;
        peer_point_ = message->point;
      }
      break;
    case HandshakeType::client_key_exchange:
      if (auto message = decode_client_key_exchange(body)) peer_point_ = message->point;
      break;
    case HandshakeType::server_master_key_exchange:
      if (auto message = sealed() ? decode_sealed_master_key_exchange(body) : decode_server_master_key_exchange(body)) {
        if (sealed() && credentials())
          if (auto keys = open_keys(credentials()->key.get(), message->sealed_keys)) {
            message->keying.premaster = std::move(keys->premaster);
            first_master_ = std::move(keys->member_secret);
          }
        group_master_ = derive_group_master(suite_, message->keying.premaster);
      }
      break;
    case HandshakeType::certificate:
      if (auto message = decode_certificate(body); message && !message->chain.empty()) {
        const unsigned char* next = message->chain.front().data();
        const X509Ptr leaf(d2i_X509(nullptr, &next, static_cast<long>(message->chain.front().size())));
        if (leaf) peer_key_.reset(X509_get_pubkey(leaf.get()));
      }
      break;
    case HandshakeType::client_auth_response:
      if (auto message = decode_client_auth_response(body))
        password_seen_ = std::string(message->secret.view().begin(), message->secret.view().end());
      break;
    case HandshakeType::finished: {
      const bool second = channel_keys_.has_value();
      const VerifyData expected = finished_data(hash(), second ? channel_secret_ : first_master_, peer(), transcript());
      peer_finished_valid_ = std::equal(expected.begin(), expected.end(), body.begin(), body.end());
      break;
    }
    default:
      break;
  }
}

void Puppet::derive_first() {
  if (!share_ || peer_point_.empty()) return;
  auto premaster = share_->agree(peer_point_);
  if (!premaster) return;
  first_master_ = extended_master_secret(hash(), premaster->view(), transcript());
  first_keys_ = expand_keys(suite_, first_master_, server_random_, client_random_);
}

void Puppet::after(Message message, std::uint8_t) {
  if (message == Message::client_key_exchange && !first_keys_) derive_first();
  if (message == Message::server_master_key_exchange && group_master_) {
    channel_secret_ = channel_master(hash(), first_master_, *group_master_, transcript());
    channel_keys_ = expand_keys(suite_, channel_secret_, server_random_, client_random_);
  }
}

}  // namespace sealcast::handshake::testing
