// The flows, one flat list each: read them beside docs/protocol.md "Flows". A list is all there is to a flow's order;
// both machines are driven by it and anything that is not the next entry is fatal. A further variant is a further list.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "handshake/endpoint.h"
#include "handshake/keys/key_schedule.h"
#include "handshake/wire/constants.h"

namespace sealcast::handshake {

// What passes over the wire: handshake messages by type, and ChangeCipherSpec, which is none.
enum class Message : std::uint8_t {
  client_hello,
  server_hello,
  certificate,
  server_key_exchange,
  certificate_request,
  server_hello_done,
  client_key_exchange,
  certificate_verify,
  change_cipher_spec,
  server_master_key_exchange,
  finished,
};
std::string_view name(Message message);
std::optional<Message> message_of(std::uint8_t handshake_type);
HandshakeType type_of(Message message);  // not for change_cipher_spec

// Whose keys a ChangeCipherSpec switches to, and whose secret a Finished proves: the first exchange's (ms1) or the
// channel's, which mixes in the group's master.
enum class Keys : std::uint8_t { none, first, channel };

struct Step {
  Side from;
  Message message;
  Keys keys = Keys::none;
  friend constexpr bool operator==(const Step&, const Step&) = default;
};

namespace flow_list {
using enum Message;
inline constexpr Side C = Side::client;
inline constexpr Side S = Side::server;

inline constexpr std::array standard = {
    Step{C, client_hello},
    Step{S, server_hello},
    Step{S, certificate},
    Step{S, server_key_exchange},
    Step{S, server_hello_done},
    Step{C, client_key_exchange},
    Step{C, change_cipher_spec, Keys::first},
    Step{C, finished, Keys::first},
    Step{S, change_cipher_spec, Keys::first},
    Step{S, finished, Keys::first},
};

inline constexpr std::array standard_mutual = {
    Step{C, client_hello},          Step{S, server_hello},
    Step{S, certificate},           Step{S, server_key_exchange},
    Step{S, certificate_request},   Step{S, server_hello_done},
    Step{C, certificate},           Step{C, client_key_exchange},
    Step{C, certificate_verify},    Step{C, change_cipher_spec, Keys::first},
    Step{C, finished, Keys::first}, Step{S, change_cipher_spec, Keys::first},
    Step{S, finished, Keys::first},
};

// P21–P27 in the order of claim 5, with the closing Finished of H3.
inline constexpr std::array variant2_claim5 = {
    Step{C, client_hello},
    Step{S, server_hello},
    Step{S, certificate},
    Step{S, server_key_exchange},
    Step{S, certificate_request},  // with the multicast flag (P10)
    Step{S, server_hello_done},
    Step{C, certificate},
    Step{C, client_key_exchange},
    Step{C, certificate_verify},
    Step{C, change_cipher_spec, Keys::first},
    Step{C, finished, Keys::first},
    Step{S, change_cipher_spec, Keys::first},
    Step{S, server_master_key_exchange},         // in place of Finished (P22)
    Step{S, change_cipher_spec, Keys::channel},  // P25
    Step{C, change_cipher_spec, Keys::channel},  // P26
    Step{C, finished, Keys::channel},
    Step{S, finished, Keys::channel},  // ours: H3
};
}  // namespace flow_list

struct FlowDefinition {
  Flow flow;
  bool multicast;
  std::span<const Step> steps;
};
inline constexpr std::array kFlows = {
    FlowDefinition{Flow::standard, false, flow_list::standard},
    FlowDefinition{Flow::standard_mutual, false, flow_list::standard_mutual},
    FlowDefinition{Flow::variant2_claim5, true, flow_list::variant2_claim5},
};
const FlowDefinition& definition(Flow flow);
// The flow of a group's configuration; nullopt where this version has none.
std::optional<Flow> flow_for(const GroupFlow& group);

// Every list as text, one line a step: "C ClientHello", "S ChangeCipherSpec -> channel keys". The golden dump of the
// tests and the documentation's flows are this text.
std::string flow_text(Flow flow);

// Walks one flow, or several while they are still the same, and denies by default.
class FlowCursor {
 public:
  // Begins with the given flows as candidates.
  explicit FlowCursor(std::span<const Flow> candidates);

  // Leaves only this flow, which must be a candidate whose steps so far were the same.
  void pin(Flow flow);

  // The step if message from side may come now; does not advance.
  std::optional<Step> permits(Side side, Message message) const;
  // Takes the step, leaving only the flows in which it is the next one. False: it is not permitted.
  bool advance(Side side, Message message);

  // The next step when it is our own: the same in every flow still possible.
  std::optional<Step> own_next(Side self) const;
  // True when the one flow left has been walked to its end.
  bool at_end() const;
  // The only flow left, if it is decided.
  std::optional<Flow> flow() const;
  std::size_t position() const { return position_; }

  // "CertificateRequest from the server or ServerHelloDone from the server"
  std::string expected() const;
  // "variant 2 (claim 5), step 13": where we are, for messages
  std::string place() const;

 private:
  std::optional<Step> next_of(std::size_t index) const;

  std::array<bool, kFlows.size()> possible_{};
  std::size_t position_ = 0;
};

// Would a standard handshake have continued with this message here? Then the peer ran one (H4).
bool fits_standard(std::size_t position, Side side, Message message);

}  // namespace sealcast::handshake
