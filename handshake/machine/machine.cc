#include "handshake/machine/machine.h"

#include "handshake/messages/alert.h"
#include "handshake/messages/change_cipher_spec.h"
#include "handshake/messages/control_codec.h"

namespace sealcast::handshake {
namespace {

constexpr unsigned max_warnings = 4;  // enough for any real peer, few enough to be no flood

}  // namespace

void put_time(HelloRandom& random, std::int64_t unix_now) {
  for (std::size_t i = 0; i < 4; ++i)
    random[i] = static_cast<std::uint8_t>(unix_now >> (24 - 8 * i));
}

std::optional<std::int64_t> time_of(const HelloRandom& random) {
  if (random == HelloRandom{}) return {};
  std::int64_t time = 0;
  for (std::size_t i = 0; i < 4; ++i)
    time = time << 8 | random[i];
  return time;
}

Machine::Machine(Side self, std::span<const Flow> candidates, std::uint32_t max_handshake_bytes, Random& random)
    : self_(self),
      max_handshake_bytes_(max_handshake_bytes),
      random_(random),
      handshake_(std::make_unique<HandshakeState>(candidates)) {
  if (self_ == Side::server) reader_.limit(max_first_message);
}

// ---------------------------------------------------------------- from the peer

Outcome<void> Machine::receive(ByteView bytes, std::int64_t unix_now) {
  if (failure_) return refuse(Reason::connection_closed, "the connection failed before: " + failure_->message());
  unix_now_ = unix_now;
  while (phase_ != Phase::closed) {
    auto record = reader_.next(bytes);
    if (!record) return fail_with(std::move(record.error()));
    if (!*record) break;
    if (auto done = on_record(**record); !done) return fail_with(std::move(done.error()));
  }
  return {};
}

Outcome<void> Machine::on_record(const Record& record) {
  switch (record.type) {
    case ContentType::handshake:
      return on_handshake_bytes(record.payload);
    case ContentType::change_cipher_spec:
      return on_change_cipher_spec(record.payload);
    case ContentType::alert:
      return on_alert(record.payload);
    case ContentType::application_data:
      return on_application_data(record.payload);
  }
  return refuse(Reason::not_tls, "unknown content type");
}

Outcome<void> Machine::on_handshake_bytes(ByteView payload) {
  if (phase_ != Phase::handshake)
    return refuse(Reason::renegotiation_refused,
                  type_name(payload[0]) + " after the handshake ended: nothing is renegotiated");
  handshake_->bytes_received += payload.size();
  if (handshake_->bytes_received > max_handshake_bytes_)
    return refuse(Reason::handshake_too_large,
                  "more than " + std::to_string(max_handshake_bytes_) + " bytes of handshake messages");
  joiner_.feed(payload);
  while (phase_ == Phase::handshake && !joiner_.empty()) {
    SEALCAST_TRY(check_next_message());
    const auto message = joiner_.message();
    if (!message) break;
    SEALCAST_TRY(take_message(*message));
  }
  return {};
}

// Denies by default, and as early as the type is known: the body of a message that is not next is never collected.
Outcome<void> Machine::check_next_message() {
  const std::uint8_t type = *joiner_.type();
  const auto message = message_of(type);
  if (!message)
    return refuse(Reason::unexpected_message, "expected " + handshake_->cursor.expected() + ", got " + type_name(type));
  if (!handshake_->cursor.permits(peer(), *message)) return unexpected(*message);
  if (const auto size = joiner_.body_size(); size && *size > max_message())
    return refuse(Reason::handshake_too_large, std::string(name(*message)) + " announces " + std::to_string(*size) +
                                                   " bytes, at most " + std::to_string(max_message()));
  return {};
}

Outcome<void> Machine::take_message(ByteView raw) {
  const Message message = *message_of(raw[0]);
  const Step step = *handshake_->cursor.permits(peer(), message);
  handshake_->cursor.choose(peer(), message);
  const ByteView body = raw.subspan(message_header_size);
  SEALCAST_TRY(message == Message::finished ? read_finished(step, body) : read_message(message, body));
  handshake_->transcript.add(raw);
  // A role may have left fewer flows; the step itself stays the same.
  if (!handshake_->cursor.advance(peer(), message)) return unexpected(message);
  after(step);
  joiner_.take(raw.size());
  handshake_->heard = true;
  reader_.limit(max_plaintext);
  return drive();
}

Outcome<void> Machine::read_finished(const Step& step, ByteView body) {
  SEALCAST_TRY_ASSIGN(auto finished, decode_finished(body));
  const MasterSecret& secret = step.keys == Keys::channel ? handshake_->channel_secret : handshake_->first_master;
  const VerifyData expected = finished_data(hash(), secret, peer(), handshake_->transcript.digest());
  SEALCAST_TRY_ASSIGN(handshake_->peer_finished, PeerFinishedVerified::check(expected, finished.verify_data));
  return {};
}

Outcome<void> Machine::on_change_cipher_spec(ByteView payload) {
  if (phase_ != Phase::handshake)
    return refuse(Reason::unexpected_message, "ChangeCipherSpec after the handshake ended");
  const auto step = handshake_->cursor.permits(peer(), Message::change_cipher_spec);
  const auto aligned = joiner_.aligned();
  if (!aligned) return refuse(Reason::key_change_unaligned, "ChangeCipherSpec within a handshake message");
  if (!step) return unexpected(Message::change_cipher_spec);
  SEALCAST_TRY(decode_change_cipher_spec(payload));
  SEALCAST_TRY_ASSIGN(auto keys, keys_of(*step));
  reader_.install(*keys, *aligned);
  handshake_->cursor.advance(peer(), Message::change_cipher_spec);
  after(*step);
  return drive();
}

Outcome<void> Machine::on_alert(ByteView payload) {
  SEALCAST_TRY_ASSIGN(auto alert, decode_alert(payload));
  const auto code = Alert{alert.code};
  if (code == Alert::close_notify && phase_ == Phase::established) {
    phase_ = Phase::closed;
    push(PeerClosed{});
    return {};
  }
  if (alert.fatal || code == Alert::close_notify) {
    auto error = refuse(Reason::peer_alert, "the peer ended the connection: " + std::string(name(code))).value();
    error.alert = code;
    error.from_peer = true;
    return tl::unexpected<HandshakeError>(std::move(error));
  }
  if (++warnings_ > max_warnings)
    return refuse(Reason::warning_flood, "more than " + std::to_string(max_warnings) + " warning alerts");
  return {};
}

Outcome<void> Machine::on_application_data(ByteView payload) {
  if (phase_ != Phase::established)
    return refuse(Reason::unexpected_message, "expected " + handshake_->cursor.expected() + ", got application data");
  if (multicast_) return on_control_bytes(payload);
  if (!payload.empty()) push(ApplicationData{Bytes(payload.begin(), payload.end())});
  return {};
}

Outcome<void> Machine::on_control_bytes(ByteView payload) {
  joiner_.feed(payload);
  while (!joiner_.empty()) {
    if (const auto size = joiner_.body_size(); size && *size > max_control_message)
      return refuse(Reason::control_too_large, "a control message of " + std::to_string(*size) + " bytes, at most " +
                                                   std::to_string(max_control_message));
    const auto raw = joiner_.message();
    if (!raw) break;
    SEALCAST_TRY_ASSIGN(auto message, decode_control((*raw)[0], raw->subspan(message_header_size)));
    joiner_.take(raw->size());
    if (!message) {
      ++ignored_messages_;
      continue;
    }
    if (!may_send(peer(), type_of(*message)))
      return refuse(Reason::control_wrong_direction,
                    std::string(name(type_of(*message))) + " is not the peer's to send");
    SEALCAST_TRY(check_control(*message));
    push(ControlReceived{std::move(*message)});
  }
  return {};
}

// ---------------------------------------------------------------- along the flow

Outcome<void> Machine::drive() {
  while (const auto step = handshake_->cursor.own_next(self_)) {
    if (!joiner_.empty())
      return refuse(Reason::trailing_data, std::to_string(joiner_.pending()) + " bytes (" + type_name(*joiner_.type()) +
                                               ") where it is our turn to send " + std::string(name(step->message)));
    if (handshake_->awaiting_owner) return {};
    SEALCAST_TRY(send_step(*step));
  }
  return handshake_->cursor.at_end() ? complete() : Outcome<void>();
}

Outcome<void> Machine::password_checked(bool accepted, std::int64_t unix_now) {
  if (failure_) return refuse(Reason::connection_closed, "the connection failed before: " + failure_->message());
  if (phase_ != Phase::handshake || !handshake_->awaiting_owner)
    return refuse(Reason::not_established, "no password waits to be checked");
  unix_now_ = unix_now;
  handshake_->awaiting_owner = false;
  if (!accepted)
    return fail_with(refuse(Reason::password_refused, "user \"" + handshake_->presented_user + "\"").value());
  handshake_->password = PasswordAccepted();
  if (auto done = drive(); !done) return fail_with(std::move(done.error()));
  return {};
}

PeerIdentity Machine::proven_peer() const {
  PeerIdentity identity;
  if (handshake_->peer_chain && handshake_->possession) identity = handshake_->peer_chain->identity();
  if (handshake_->password) {
    identity.user = handshake_->presented_user;
    if (!handshake_->peer_chain) identity.name = identity.user;
  }
  return identity;
}

Outcome<void> Machine::send_step(const Step& step) {
  if (step.message == Message::change_cipher_spec) {
    SEALCAST_TRY_ASSIGN(auto keys, keys_of(step));
    writer_.write(ContentType::change_cipher_spec, change_cipher_spec_body, output_);
    writer_.install(*keys);
    handshake_->cursor.advance(self_, step.message);
    after(step);
    return {};
  }
  SEALCAST_TRY_ASSIGN(auto body, step.message == Message::finished ? make_finished(step) : make_message(step.message));
  Writer framed;
  framed.u8(static_cast<std::uint8_t>(type_of(step.message)));
  framed.vector(3, [&](Writer& w) { w.bytes(body); });
  SEALCAST_TRY_ASSIGN(auto message, framed.finish(name(step.message)));
  handshake_->transcript.add(message);
  writer_.write(ContentType::handshake, message, output_);
  handshake_->cursor.advance(self_, step.message);
  after(step);
  if (step.message == Message::server_master_key_exchange) smke_sent();
  return {};
}

Outcome<SensitiveBytes> Machine::make_finished(const Step& step) {
  const MasterSecret& secret = step.keys == Keys::channel ? handshake_->channel_secret : handshake_->first_master;
  return encode(Finished{finished_data(hash(), secret, self_, handshake_->transcript.digest())});
}

void Machine::after(const Step& step) {
  HandshakeState& hs = *handshake_;
  switch (step.message) {
    case Message::server_hello:
      reader_.pin_version();
      break;
    case Message::client_key_exchange:
      hs.first_master = extended_master_secret(hash(), hs.premaster.view(), hs.transcript.digest());
      hs.premaster.clear();
      hs.own_share.reset();
      hs.first_keys = expand_keys(hs.suite, hs.first_master, hs.server_random, hs.client_random);
      break;
    case Message::change_cipher_spec:
      hs.transcript.drop_buffer();  // no signature over whole messages comes after it
      break;
    case Message::server_master_key_exchange:
      hs.channel_secret = channel_master(hash(), hs.first_master, *hs.group_master, hs.transcript.digest());
      hs.channel_keys = expand_keys(hs.suite, hs.channel_secret, hs.server_random, hs.client_random);
      hs.peer_finished.reset();  // Finished1 does not stand for the closing one (H3)
      break;
    default:
      break;
  }
}

Outcome<const DirectionKeys*> Machine::keys_of(const Step& step) const {
  const std::optional<KeyBlock>& block = step.keys == Keys::channel ? handshake_->channel_keys : handshake_->first_keys;
  if (!block) return refuse(Reason::internal_error, "the flow changes to keys that are not made yet");
  return step.from == Side::client ? &block->client_write : &block->server_write;
}

void Machine::select_suite(CipherSuite suite) {
  handshake_->suite = suite;
  handshake_->transcript.select(prf_hash(suite));
}

tl::unexpected<HandshakeError> Machine::unexpected(Message got) const {
  const FlowCursor& cursor = handshake_->cursor;
  const std::string detail = "expected " + cursor.expected() + ", got " + std::string(name(got));
  if (self_ == Side::client && cursor.multicast() && fits_standard(cursor.position(), peer(), got))
    return refuse(Reason::standard_server_refused,
                  detail + ": this server runs the standard handshake, a multicast member never falls back to it");
  return refuse(Reason::unexpected_message, detail);
}

Outcome<void> Machine::complete() {
  if (!joiner_.empty())
    return refuse(Reason::trailing_data, std::to_string(joiner_.pending()) + " bytes after the last Finished");
  if (!handshake_->peer_finished) return refuse(Reason::internal_error, "the flow ended without the peer's Finished");
  Established event{EstablishedProof(*handshake_->peer_finished)};
  event.flow = *handshake_->cursor.flow();
  event.suite = handshake_->suite;
  event.peer = proven_peer();
  fill(event);
  multicast_ = definition(event.flow).multicast;
  phase_ = Phase::established;
  handshake_.reset();
  push(std::move(event));
  return {};
}

// ---------------------------------------------------------------- to the peer, established

Outcome<void> Machine::send(const ControlMessage& message) {
  if (failure_ || close_sent_) return refuse(Reason::connection_closed, "the connection has ended");
  if (phase_ != Phase::established || !multicast_)
    return refuse(Reason::not_established, "control messages need an established multicast connection");
  if (!may_send(self_, type_of(message)))
    return refuse(Reason::control_wrong_direction, std::string(name(type_of(message))) + " is not ours to send");
  SEALCAST_TRY_ASSIGN(auto bytes, encode(message));
  control_sent(message);
  writer_.write(ContentType::application_data, bytes, output_);
  return {};
}

Outcome<void> Machine::send_data(ByteView data) {
  if (failure_ || close_sent_) return refuse(Reason::connection_closed, "the connection has ended");
  if (phase_ != Phase::established || multicast_)
    return refuse(Reason::not_established, "application data needs an established standard connection");
  if (!data.empty()) writer_.write(ContentType::application_data, data, output_);
  return {};
}

void Machine::close() {
  if (failure_ || close_sent_) return;
  close_sent_ = true;
  writer_.write(ContentType::alert, encode(AlertMessage{false, static_cast<std::uint8_t>(Alert::close_notify)}),
                output_);
}

// ---------------------------------------------------------------- the end

tl::unexpected<HandshakeError> Machine::fail_with(HandshakeError error) {
  if (error.place.empty()) error.place = place();
  if (self_ == Side::client && handshake_) error.server_time = time_of(handshake_->server_random);
  if (!error.from_peer)
    writer_.write(ContentType::alert, encode(AlertMessage{true, static_cast<std::uint8_t>(error.alert)}), output_);
  phase_ = Phase::closed;
  reader_ = RecordReader();  // with the plaintext of the record that failed
  writer_.drop_keys();
  joiner_ = MessageJoiner();
  handshake_.reset();
  failure_ = std::make_unique<HandshakeError>(error);
  return tl::unexpected<HandshakeError>(std::move(error));
}

std::string Machine::place() const {
  const std::string self = self_ == Side::client ? "client, " : "server, ";
  return self + (handshake_ ? handshake_->cursor.place() : "established");
}

}  // namespace sealcast::handshake
