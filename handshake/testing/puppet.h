// A TLS end under a test's control: sends any message at any time, with the contents of a real end as far as it can
// know them, and reads whatever comes. It shares the library's encodings and key schedule, but neither its flows nor
// its machines, so that it can play every wrong order (SEQ-1, CCS-1, FIN-1, FIN-2, FLAG-1 …).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "handshake/crypto/key_exchange.h"
#include "handshake/flows.h"
#include "handshake/machine/message_joiner.h"
#include "handshake/messages/server_master_key_exchange.h"
#include "handshake/record/record_layer.h"
#include "handshake/testing/in_process.h"

namespace sealcast::handshake::testing {

class Puppet {
 public:
  // Plays side, with the identity, group and suite that world gives that side.
  Puppet(Side side, World& world, bool multicast);

  // Sends this message (or ChangeCipherSpec) now, whatever came before.
  void send(const Step& step);
  // A handshake message of any type and body; hashed like every other.
  void send_handshake(std::uint8_t type, ByteView body);
  // One record under the current protection.
  void send_record(ContentType type, ByteView payload) { writer_.write(type, payload, output_); }
  Bytes take_output() { return std::exchange(output_, {}); }

  // Takes the real end's output.
  void receive(ByteView bytes);

  // Changes a message's body before it is framed, hashed and sent.
  std::function<void(const Step&, SensitiveBytes&)> bend;
  // Certificate types sent in CertificateRequest; default: the flag only for multicast.
  std::optional<Bytes> certificate_types;
  // The side in the label of its Finished messages; default: its own.
  std::optional<Side> finished_label;
  // The key that signs variant 1's SMKE, and what it signs; default: its own, correctly.
  Credentials smke_signer;
  std::function<void(SensitiveBytes& content)> bend_signed_content;
  // Makes variant 1's key material under the member's key; default: premaster_secret and a fresh member_secret.
  std::function<Bytes(EVP_PKEY* member_key)> seal;
  // SMKE's order of the second ChangeCipherSpec; default: the flow's.
  std::optional<SecondCcs> second_ccs;
  // The curve of the server's ServerKeyExchange.
  NamedGroup curve = NamedGroup::x25519;

  // What the real end has sent.
  int alert_records() const { return alert_records_; }
  std::optional<std::uint8_t> alert_code() const { return alert_code_; }
  const std::vector<std::string>& seen() const { return seen_; }
  const Bytes& application_data() const { return application_data_; }
  // The password a member sent, if one did.
  const std::optional<std::string>& password_seen() const { return password_seen_; }
  bool peer_finished_valid() const { return peer_finished_valid_; }

  // For witnesses that decrypt a capture: a test end's secrets protect nothing.
  const HelloRandom& client_random() const { return client_random_; }
  const MasterSecret& first_master() const { return first_master_; }

 private:
  SensitiveBytes body_of(const Step& step);
  SensitiveBytes smke();
  SensitiveBytes client_auth_request();
  SensitiveBytes client_auth_response();
  SensitiveBytes client_hello();
  SensitiveBytes server_hello();
  SensitiveBytes server_key_exchange();
  void absorb(std::uint8_t type, ByteView body);
  void after(Message message, std::uint8_t type);
  void derive_first();
  // The flow its world gives the group; nullptr: not multicast.
  const FlowDefinition* group_flow() const;
  bool sealed() const { return group_flow() != nullptr && group_flow()->smke_sealed(); }
  HashKind hash() const { return prf_hash(suite_); }
  Digest transcript() const;
  const Credentials& credentials() const;
  Side peer() const { return side_ == Side::client ? Side::server : Side::client; }

  Side side_;
  World& world_;
  bool multicast_;
  CipherSuite suite_;
  Bytes messages_;  // the transcript, whole
  HelloRandom client_random_{};
  HelloRandom server_random_{};
  std::optional<KeyShare> share_;
  std::uint16_t peer_group_ = static_cast<std::uint16_t>(NamedGroup::x25519);
  Bytes peer_point_;
  MasterSecret first_master_;
  MasterSecret channel_secret_;
  std::optional<KeyBlock> first_keys_;
  std::optional<KeyBlock> channel_keys_;
  std::optional<GroupMaster> group_master_;
  RecordReader reader_;
  RecordWriter writer_;
  MessageJoiner joiner_;
  int ccs_received_ = 0;
  bool keys_unknown_ = false;  // the peer switched to keys that this puppet cannot know
  Bytes scan_;                 // of the incoming stream, for counting alert records by their headers
  int alert_records_ = 0;
  std::optional<std::uint8_t> alert_code_;
  bool peer_finished_valid_ = false;
  PkeyPtr peer_key_;  // of the certificate seen
  std::optional<std::string> password_seen_;
  std::vector<std::string> seen_;
  Bytes application_data_;
  Bytes output_;
};

}  // namespace sealcast::handshake::testing
