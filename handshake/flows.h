// The walk along a flow. flow_lists.h has the flows themselves, one flat list each.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "handshake/flow_lists.h"
#include "handshake/wire/constants.h"

namespace sealcast::handshake {

std::string_view name(Message message);
std::optional<Message> message_of(std::uint8_t handshake_type);
HandshakeType type_of(Message message);  // not for change_cipher_spec

const FlowDefinition& definition(Flow flow);
// The flow of a group's configuration; nullopt if the values do not fit together.
std::optional<Flow> flow_for(const GroupFlow& group);

// Every list as text, one line a step: "C ClientHello", "S ChangeCipherSpec -> channel keys". The golden dump of the
// tests and the documentation's flows are this text.
std::string flow_text(Flow flow);
// All lists as one state graph in Mermaid: a state is the messages so far, and flows with the same beginning share
// states.
std::string flow_graph();

// Walks one flow, or several while they are still the same. Permits only what a list names.
class FlowCursor {
 public:
  // Begins with the given flows as candidates.
  explicit FlowCursor(std::span<const Flow> candidates);

  // Leaves only these of the flows that are still possible.
  void leave(std::span<const Flow> flows);
  bool possible(Flow flow) const { return possible_[static_cast<std::size_t>(flow)]; }

  // The step if message from side may come now; does not advance.
  std::optional<Step> permits(Side side, Message message) const;
  // Leaves only the flows in which this is the next step. False: it is not permitted.
  bool choose(Side side, Message message);
  // The same, and takes the step.
  bool advance(Side side, Message message);

  // The next step when it is our own: the same in every flow still possible.
  std::optional<Step> own_next(Side self) const;
  // True when the one flow left has been walked to its end.
  bool at_end() const;
  // The only flow left, if it is decided.
  std::optional<Flow> flow() const;
  // Is a multicast flow among those that are left?
  bool multicast() const;
  std::size_t position() const { return position_; }

  // "CertificateRequest from the server or ServerHelloDone from the server"
  std::string expected() const;
  // "variant 2 (claim 5), step 13": the current place, for messages
  std::string place() const;

 private:
  std::optional<Step> next_of(std::size_t index) const;

  std::array<bool, flow_definitions.size()> possible_{};
  std::size_t position_ = 0;
};

// Would a standard handshake have continued with this message here? Then the peer ran one (H4).
bool fits_standard(std::size_t position, Side side, Message message);

}  // namespace sealcast::handshake
