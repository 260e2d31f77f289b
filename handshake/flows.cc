#include "handshake/flows.h"

#include <algorithm>

namespace sealcast::handshake {
namespace {

// A client may allow several flows, and must know at each step of its own which one it is in. So two flows part only
// where the server sends, or right behind SMKE, which names the order of what follows (P3, H30). The server pins its
// flow by the group that ClientHello names.
constexpr bool server_decides() {
  for (const FlowDefinition& a : flow_definitions)
    for (const FlowDefinition& b : flow_definitions) {
      if (a.flow == b.flow) continue;
      std::size_t i = 0;
      while (i < a.steps.size() && i < b.steps.size() && a.steps[i] == b.steps[i])
        ++i;
      if (i == 0 || i == a.steps.size() || i == b.steps.size()) return false;
      const bool server = a.steps[i].from == Side::server && b.steps[i].from == Side::server;
      const bool named = a.steps[i - 1].message == Message::server_master_key_exchange && a.second_ccs != b.second_ccs;
      if (!server && !named) return false;
    }
  return true;
}
static_assert(server_decides());

constexpr bool both_finish() {
  for (const FlowDefinition& flow : flow_definitions) {
    bool client = false, server = false;
    const Keys last = flow.steps.back().keys;
    for (const Step& step : flow.steps)
      if (step.message == Message::finished && step.keys == last) (step.from == Side::client ? client : server) = true;
    if (!client || !server || last == Keys::none || (flow.multicast && last != Keys::channel)) return false;
  }
  return true;
}
static_assert(both_finish(), "H3: every flow has a closing Finished from both sides, under its last keys");

constexpr bool in_the_enumerations_order() {
  for (std::size_t i = 0; i < flow_definitions.size(); ++i)
    if (flow_definitions[i].flow != static_cast<Flow>(i)) return false;
  return flow_definitions.size() == static_cast<std::size_t>(Flow::variant3_both_description) + 1;
}
static_assert(in_the_enumerations_order(), "every flow has its list");

// H7: no password before the server proved itself, and no keying before the password.
constexpr bool password_follows_proof() {
  for (const FlowDefinition& flow : flow_definitions) {
    const bool asked = flow.before_smke(Side::server, Message::client_auth_request);
    if (asked != flow.has(Side::client, Message::client_auth_response)) return false;
    if (asked != (flow.multicast && flow.authentication != Authentication::certificate)) return false;
    if (asked && flow.smke_sealed()) return false;
  }
  return true;
}
static_assert(password_follows_proof());

}  // namespace

std::string_view name(Message message) {
  switch (message) {
    case Message::client_hello:
      return "ClientHello";
    case Message::server_hello:
      return "ServerHello";
    case Message::certificate:
      return "Certificate";
    case Message::server_key_exchange:
      return "ServerKeyExchange";
    case Message::certificate_request:
      return "CertificateRequest";
    case Message::server_hello_done:
      return "ServerHelloDone";
    case Message::client_key_exchange:
      return "ClientKeyExchange";
    case Message::certificate_verify:
      return "CertificateVerify";
    case Message::change_cipher_spec:
      return "ChangeCipherSpec";
    case Message::server_master_key_exchange:
      return "ServerMasterKeyExchange";
    case Message::client_auth_request:
      return "ClientAuthRequest";
    case Message::client_auth_response:
      return "ClientAuthResponse";
    case Message::finished:
      return "Finished";
  }
  return "unknown message";
}

std::optional<Message> message_of(std::uint8_t handshake_type) {
  switch (HandshakeType{handshake_type}) {
    case HandshakeType::client_hello:
      return Message::client_hello;
    case HandshakeType::server_hello:
      return Message::server_hello;
    case HandshakeType::certificate:
      return Message::certificate;
    case HandshakeType::server_key_exchange:
      return Message::server_key_exchange;
    case HandshakeType::certificate_request:
      return Message::certificate_request;
    case HandshakeType::server_hello_done:
      return Message::server_hello_done;
    case HandshakeType::client_key_exchange:
      return Message::client_key_exchange;
    case HandshakeType::certificate_verify:
      return Message::certificate_verify;
    case HandshakeType::server_master_key_exchange:
      return Message::server_master_key_exchange;
    case HandshakeType::client_auth_request:
      return Message::client_auth_request;
    case HandshakeType::client_auth_response:
      return Message::client_auth_response;
    case HandshakeType::finished:
      return Message::finished;
    case HandshakeType::hello_request:
      break;
  }
  return std::nullopt;
}

HandshakeType type_of(Message message) {
  switch (message) {
    case Message::client_hello:
      return HandshakeType::client_hello;
    case Message::server_hello:
      return HandshakeType::server_hello;
    case Message::certificate:
      return HandshakeType::certificate;
    case Message::server_key_exchange:
      return HandshakeType::server_key_exchange;
    case Message::certificate_request:
      return HandshakeType::certificate_request;
    case Message::server_hello_done:
      return HandshakeType::server_hello_done;
    case Message::client_key_exchange:
      return HandshakeType::client_key_exchange;
    case Message::certificate_verify:
      return HandshakeType::certificate_verify;
    case Message::server_master_key_exchange:
      return HandshakeType::server_master_key_exchange;
    case Message::client_auth_request:
      return HandshakeType::client_auth_request;
    case Message::client_auth_response:
      return HandshakeType::client_auth_response;
    case Message::finished:
      return HandshakeType::finished;
    case Message::change_cipher_spec:
      break;
  }
  return HandshakeType::hello_request;
}

std::string_view name(Flow flow) {
  switch (flow) {
    case Flow::standard:
      return "standard";
    case Flow::standard_mutual:
      return "standard, mutual";
    case Flow::variant1:
      return "variant 1";
    case Flow::variant2_claim5:
      return "variant 2 (claim 5)";
    case Flow::variant2_description:
      return "variant 2 (description)";
    case Flow::variant3_password_claim5:
      return "variant 3 (password, claim 5)";
    case Flow::variant3_password_description:
      return "variant 3 (password, description)";
    case Flow::variant3_both_claim5:
      return "variant 3 (certificate and password, claim 5)";
    case Flow::variant3_both_description:
      return "variant 3 (certificate and password, description)";
  }
  return "unknown flow";
}

const FlowDefinition& definition(Flow flow) {
  const auto index = static_cast<std::size_t>(flow);
  return flow_definitions[index < flow_definitions.size() ? index : 0];
}

std::optional<Flow> flow_for(const GroupFlow& group) {
  for (const FlowDefinition& flow : flow_definitions)
    if (flow.multicast && flow.variant == group.variant && flow.authentication == group.authentication &&
        (flow.second_ccs == group.second_ccs || flow.second_ccs == SecondCcs::not_applicable) &&
        is_ecdhe(group.suite) != flow.smke_sealed())
      return flow.flow;
  return std::nullopt;
}

namespace {

std::string step_text(const Step& step) {
  std::string text = step.from == Side::client ? "C " : "S ";
  text += name(step.message);
  if (step.message == Message::change_cipher_spec)
    text += step.keys == Keys::first ? " -> first keys" : " -> channel keys";
  if (step.message == Message::finished) text += step.keys == Keys::first ? " (first secret)" : " (channel secret)";
  return text;
}

}  // namespace

std::string flow_text(Flow flow) {
  std::string text;
  for (const Step& step : definition(flow).steps)
    text += step_text(step) + "\n";
  return text;
}

std::string flow_graph() {
  // A node is a beginning that one or more flows share; its number is that of the first flow and place with it.
  const auto node = [](std::size_t flow, std::size_t length) {
    std::size_t first = flow;
    for (std::size_t earlier = flow; earlier-- > 0;) {
      const auto mine = flow_definitions[flow].steps.first(length);
      const auto other = flow_definitions[earlier].steps;
      if (other.size() >= length && std::equal(mine.begin(), mine.end(), other.begin())) first = earlier;
    }
    return "s" + std::to_string(first) + "_" + std::to_string(length);
  };
  std::string text = "stateDiagram-v2\n  [*] --> s0_0\n";
  for (std::size_t i = 0; i < flow_definitions.size(); ++i) {
    const auto steps = flow_definitions[i].steps;
    for (std::size_t at = 0; at < steps.size(); ++at) {
      if (!node(i, at + 1).starts_with("s" + std::to_string(i) + "_")) continue;  // drawn with an earlier flow
      text += "  " + node(i, at) + " --> " + node(i, at + 1) + " : " + step_text(steps[at]) + "\n";
    }
    text += "  " + node(i, steps.size()) + " --> [*] : " + std::string(name(flow_definitions[i].flow)) + "\n";
  }
  return text;
}

FlowCursor::FlowCursor(std::span<const Flow> candidates) {
  for (std::size_t i = 0; i < flow_definitions.size(); ++i)
    for (const Flow candidate : candidates)
      if (flow_definitions[i].flow == candidate) possible_[i] = true;
}

void FlowCursor::leave(std::span<const Flow> flows) {
  for (std::size_t i = 0; i < flow_definitions.size(); ++i)
    possible_[i] = possible_[i] && std::find(flows.begin(), flows.end(), flow_definitions[i].flow) != flows.end();
}

std::optional<Step> FlowCursor::next_of(std::size_t index) const {
  if (!possible_[index] || position_ >= flow_definitions[index].steps.size()) return std::nullopt;
  return flow_definitions[index].steps[position_];
}

std::optional<Step> FlowCursor::permits(Side side, Message message) const {
  for (std::size_t i = 0; i < flow_definitions.size(); ++i)
    if (const auto step = next_of(i); step && step->from == side && step->message == message) return step;
  return std::nullopt;
}

bool FlowCursor::choose(Side side, Message message) {
  const auto taken = permits(side, message);
  if (!taken) return false;
  for (std::size_t i = 0; i < flow_definitions.size(); ++i)
    possible_[i] = next_of(i) == taken;
  return true;
}

bool FlowCursor::advance(Side side, Message message) {
  if (!choose(side, message)) return false;
  ++position_;
  return true;
}

std::optional<Step> FlowCursor::own_next(Side self) const {
  for (std::size_t i = 0; i < flow_definitions.size(); ++i)
    if (const auto step = next_of(i); step && step->from == self) return step;
  return std::nullopt;
}

bool FlowCursor::at_end() const {
  const auto decided = flow();
  return decided && position_ == definition(*decided).steps.size();
}

std::optional<Flow> FlowCursor::flow() const {
  std::optional<Flow> only;
  for (std::size_t i = 0; i < flow_definitions.size(); ++i) {
    if (!possible_[i]) continue;
    if (only) return std::nullopt;
    only = flow_definitions[i].flow;
  }
  return only;
}

bool FlowCursor::multicast() const {
  for (std::size_t i = 0; i < flow_definitions.size(); ++i)
    if (possible_[i] && flow_definitions[i].multicast) return true;
  return false;
}

std::string FlowCursor::expected() const {
  std::string text;
  for (std::size_t i = 0; i < flow_definitions.size(); ++i) {
    const auto step = next_of(i);
    if (!step) continue;
    const std::string one =
        std::string(name(step->message)) + (step->from == Side::client ? " from the client" : " from the server");
    if (text.find(one) == std::string::npos) text += (text.empty() ? "" : " or ") + one;
  }
  return text.empty() ? "nothing more" : text;
}

std::string FlowCursor::place() const {
  const auto decided = flow();
  return (decided ? std::string(name(*decided)) : std::string("flow undecided")) + ", waiting for " + expected();
}

bool fits_standard(std::size_t position, Side side, Message message) {
  for (const FlowDefinition& flow : flow_definitions)
    if (!flow.multicast && position < flow.steps.size() && flow.steps[position].from == side &&
        flow.steps[position].message == message)
      return true;
  return false;
}

}  // namespace sealcast::handshake
