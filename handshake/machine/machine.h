// What both ends do alike: records, the walk along the flow, the transcript, key changes, Finished, alerts, and the
// established connection. The roles (client.cc, server.cc) add only what their own messages mean.
#pragma once

#include <algorithm>
#include <memory>

#include "handshake/certificate/policy.h"
#include "handshake/crypto/key_exchange.h"
#include "handshake/endpoint.h"
#include "handshake/flows.h"
#include "handshake/keys/key_schedule.h"
#include "handshake/keys/transcript.h"
#include "handshake/machine/message_joiner.h"
#include "handshake/record/record_layer.h"

namespace sealcast::handshake {

// Lives from the first byte to Established, then it is freed: an established connection keeps only its record keys.
struct HandshakeState {
  explicit HandshakeState(std::span<const Flow> candidates) : cursor(candidates) {}

  FlowCursor cursor;
  Transcript transcript;
  std::size_t bytes_received = 0;
  bool heard = false;  // a whole message of the peer
  HelloRandom client_random{};
  HelloRandom server_random{};
  CipherSuite suite{};

  std::optional<KeyShare> own_share;
  SecretBytes premaster;      // of the first exchange, until ms1 is made of it
  MasterSecret first_master;  // this connection's own secret: ms1, or variant 1's member_secret
  std::optional<KeyBlock> first_keys;
  std::optional<GroupMaster> group_master;  // from SMKE
  MasterSecret channel_secret;
  std::optional<KeyBlock> channel_keys;

  std::optional<VerifiedChain> peer_chain;
  std::optional<PossessionProved> possession;  // of peer_chain's key, in this handshake
  std::optional<PeerFinishedVerified> peer_finished;

  std::string presented_user;  // of ClientAuthResponse; worth something only with:
  std::optional<PasswordAccepted> password;
  bool awaiting_owner = false;  // stands still until password_checked()
};

// Unix seconds at the beginning of a server's random (RFC 5246 §7.4.1.2): what its clock says, to explain a refusal by
// dates. Nothing is decided by it. Empty: no hello came.
void put_time(HelloRandom& random, std::int64_t unix_now);
std::optional<std::int64_t> time_of(const HelloRandom& random);

// Shape: eleven methods are Endpoint's, the others the steps of one state machine, which is read in one place.
class Machine : public Endpoint {
 public:
  Outcome<void> receive(ByteView bytes, std::int64_t unix_now) final;
  Bytes take_output() final { return std::exchange(output_, {}); }
  std::vector<Event> take_events() final { return std::exchange(events_, {}); }
  bool established() const final { return phase_ == Phase::established; }
  bool failed() const final { return failure_ != nullptr; }
  const HandshakeError* failure() const final { return failure_.get(); }
  std::uint64_t ignored_messages() const final { return ignored_messages_; }
  Outcome<void> send(const ControlMessage& message) final;
  Outcome<void> send_data(ByteView data) final;
  Outcome<void> password_checked(bool accepted, std::int64_t unix_now) final;
  void close() final;

 protected:
  Machine(Side self, std::span<const Flow> candidates, std::uint32_t max_handshake_bytes, Random& random);

  // The peer's message, which is the next of the flow; body without header. The transcript does not hold it yet.
  virtual Outcome<void> read_message(Message message, ByteView body) = 0;
  // Our next message's body. The transcript holds everything before it.
  virtual Outcome<SensitiveBytes> make_message(Message message) = 0;
  // Called when our SMKE was written.
  virtual void smke_sent() {}
  virtual void fill(Established& established) = 0;
  // A decoded control message from the other side; may refuse it.
  virtual Outcome<void> check_control(const ControlMessage& message) const = 0;
  // A control message is about to leave.
  virtual void control_sent(const ControlMessage&) {}

  // Sends as long as the next step is ours; at the end of the flow declares Established.
  Outcome<void> drive();
  // Ends the connection: alert out, keys dropped. Returns the failure with its place.
  tl::unexpected<HandshakeError> fail_with(HandshakeError error);

  HandshakeState& state() { return *handshake_; }
  const HandshakeState& state() const { return *handshake_; }
  HashKind hash() const { return prf_hash(handshake_->suite); }
  Random& random() { return random_; }
  std::int64_t unix_now() const { return unix_now_; }
  // The flow, once it is decided.
  const FlowDefinition& flow() const { return definition(*handshake_->cursor.flow()); }
  // Sends nothing and expects nothing of the peer until password_checked().
  void await_owner() { handshake_->awaiting_owner = true; }
  // What the peer has proved so far: possession of its certificate's key, a password.
  PeerIdentity proven_peer() const;
  void push(Event event) { events_.push_back(std::move(event)); }
  void select_suite(CipherSuite suite);

 private:
  enum class Phase : std::uint8_t { handshake, established, closed };

  Outcome<void> on_record(const Record& record);
  Outcome<void> on_handshake_bytes(ByteView payload);
  Outcome<void> on_change_cipher_spec(ByteView payload);
  Outcome<void> on_alert(ByteView payload);
  Outcome<void> on_application_data(ByteView payload);
  Outcome<void> on_control_bytes(ByteView payload);

  Outcome<void> check_next_message();
  Outcome<void> take_message(ByteView raw);
  Outcome<void> read_finished(const Step& step, ByteView body);
  Outcome<void> send_step(const Step& step);
  Outcome<SensitiveBytes> make_finished(const Step& step);
  // What every message brings about once it is part of the transcript, whoever sent it.
  void after(const Step& step);
  Outcome<const DirectionKeys*> keys_of(const Step& step) const;
  tl::unexpected<HandshakeError> unexpected(Message got) const;
  Outcome<void> complete();
  std::string place() const;
  Side peer() const { return self_ == Side::client ? Side::server : Side::client; }

  // A stranger costs a server no more than this before it has said something sane (H13).
  static constexpr std::uint32_t max_first_message = 4096;
  std::uint32_t max_message() const {
    return self_ == Side::server && !handshake_->heard ? std::min(max_first_message, max_handshake_bytes_)
                                                       : max_handshake_bytes_;
  }

  const Side self_;
  const std::uint32_t max_handshake_bytes_;
  Random& random_;
  Phase phase_ = Phase::handshake;
  bool multicast_ = false;  // of the established flow
  bool close_sent_ = false;
  unsigned warnings_ = 0;
  std::int64_t unix_now_ = 0;
  std::uint64_t ignored_messages_ = 0;
  std::unique_ptr<HandshakeState> handshake_;
  std::unique_ptr<HandshakeError> failure_;
  RecordReader reader_;
  RecordWriter writer_;
  MessageJoiner joiner_;
  Bytes output_;
  std::vector<Event> events_;
};

}  // namespace sealcast::handshake
