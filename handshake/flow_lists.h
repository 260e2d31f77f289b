// The flows, one flat list each: read them beside docs/protocol.md "Flows". A list alone defines a flow's order: both
// machines follow it, and any message that is not the next entry is fatal. A further variant is a further list.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "handshake/endpoint.h"
#include "handshake/keys/key_schedule.h"

namespace sealcast::handshake {

// The messages on the wire: handshake messages by type, and ChangeCipherSpec, which is not a handshake message.
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
  client_auth_request,
  client_auth_response,
  finished,
};

// The keys that a ChangeCipherSpec switches to, and the secret that a Finished proves: the first exchange's (ms1) or
// the channel's, which mixes in the group's master.
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

// clang-format off: one step a line
// RFC 5246 with ECDHE (P1).
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

// P13-P19. All keys are the channel's from the first change on: there is no exchange before them.
inline constexpr std::array variant1 = {
    Step{C, client_hello},
    Step{S, server_hello},
    Step{S, certificate},
    Step{S, certificate_request},  // with the multicast flag (P10)
    Step{S, server_hello_done},
    Step{C, certificate},                        // P14; no ClientKeyExchange (P13)
    Step{C, certificate_verify},                 // P15
    Step{S, server_master_key_exchange},         // under the client's public key (P16), signed (H1)
    Step{S, change_cipher_spec, Keys::channel},  // P17
    Step{S, finished, Keys::channel},
    Step{C, change_cipher_spec, Keys::channel},  // P18
    Step{C, finished, Keys::channel},            // P19
};

// P21-P27 in the order of claim 5.
inline constexpr std::array variant2_claim5 = {
    Step{C, client_hello},
    Step{S, server_hello},
    Step{S, certificate},
    Step{S, server_key_exchange},
    Step{S, certificate_request},  // with the multicast flag, or without (P10-P12)
    Step{S, server_hello_done},
    Step{C, certificate},
    Step{C, client_key_exchange},
    Step{C, certificate_verify},
    Step{C, change_cipher_spec, Keys::first},
    Step{C, finished, Keys::first},
    Step{S, change_cipher_spec, Keys::first},
    Step{S, server_master_key_exchange},         // in place of Finished (P22)
    Step{S, change_cipher_spec, Keys::channel},  // P25: before the client's
    Step{C, change_cipher_spec, Keys::channel},  // P26
    Step{C, finished, Keys::channel},
    Step{S, finished, Keys::channel},  // ours: H3
};

// P21-P27 in the order of the description.
inline constexpr std::array variant2_description = {
    Step{C, client_hello},
    Step{S, server_hello},
    Step{S, certificate},
    Step{S, server_key_exchange},
    Step{S, certificate_request},  // with the multicast flag, or without (P10-P12)
    Step{S, server_hello_done},
    Step{C, certificate},
    Step{C, client_key_exchange},
    Step{C, certificate_verify},
    Step{C, change_cipher_spec, Keys::first},
    Step{C, finished, Keys::first},
    Step{S, change_cipher_spec, Keys::first},
    Step{S, server_master_key_exchange},         // in place of Finished (P22)
    Step{C, change_cipher_spec, Keys::channel},  // P26
    Step{C, finished, Keys::channel},
    Step{S, change_cipher_spec, Keys::channel},  // P25: after the client's
    Step{S, finished, Keys::channel},
};

// P28-P30 with a password alone: no certificate of the client is asked for or taken.
inline constexpr std::array variant3_password_claim5 = {
    Step{C, client_hello},
    Step{S, server_hello},
    Step{S, certificate},
    Step{S, server_key_exchange},
    Step{S, server_hello_done},
    Step{C, client_key_exchange},
    Step{C, change_cipher_spec, Keys::first},
    Step{C, finished, Keys::first},
    Step{S, change_cipher_spec, Keys::first},
    Step{S, client_auth_request},   // P28
    Step{C, client_auth_response},  // P29
    Step{S, server_master_key_exchange},
    Step{S, change_cipher_spec, Keys::channel},  // P25: before the client's
    Step{C, change_cipher_spec, Keys::channel},  // P26
    Step{C, finished, Keys::channel},
    Step{S, finished, Keys::channel},  // ours: H3
};

inline constexpr std::array variant3_password_description = {
    Step{C, client_hello},
    Step{S, server_hello},
    Step{S, certificate},
    Step{S, server_key_exchange},
    Step{S, server_hello_done},
    Step{C, client_key_exchange},
    Step{C, change_cipher_spec, Keys::first},
    Step{C, finished, Keys::first},
    Step{S, change_cipher_spec, Keys::first},
    Step{S, client_auth_request},   // P28
    Step{C, client_auth_response},  // P29
    Step{S, server_master_key_exchange},
    Step{C, change_cipher_spec, Keys::channel},  // P26
    Step{C, finished, Keys::channel},
    Step{S, change_cipher_spec, Keys::channel},  // P25: after the client's
    Step{S, finished, Keys::channel},
};

// P28-P30 with certificate and password.
inline constexpr std::array variant3_both_claim5 = {
    Step{C, client_hello},
    Step{S, server_hello},
    Step{S, certificate},
    Step{S, server_key_exchange},
    Step{S, certificate_request},  // with the multicast flag, or without (P10-P12)
    Step{S, server_hello_done},
    Step{C, certificate},
    Step{C, client_key_exchange},
    Step{C, certificate_verify},
    Step{C, change_cipher_spec, Keys::first},
    Step{C, finished, Keys::first},
    Step{S, change_cipher_spec, Keys::first},
    Step{S, client_auth_request},   // P28
    Step{C, client_auth_response},  // P29
    Step{S, server_master_key_exchange},
    Step{S, change_cipher_spec, Keys::channel},  // P25: before the client's
    Step{C, change_cipher_spec, Keys::channel},  // P26
    Step{C, finished, Keys::channel},
    Step{S, finished, Keys::channel},  // ours: H3
};

inline constexpr std::array variant3_both_description = {
    Step{C, client_hello},
    Step{S, server_hello},
    Step{S, certificate},
    Step{S, server_key_exchange},
    Step{S, certificate_request},  // with the multicast flag, or without (P10-P12)
    Step{S, server_hello_done},
    Step{C, certificate},
    Step{C, client_key_exchange},
    Step{C, certificate_verify},
    Step{C, change_cipher_spec, Keys::first},
    Step{C, finished, Keys::first},
    Step{S, change_cipher_spec, Keys::first},
    Step{S, client_auth_request},   // P28
    Step{C, client_auth_response},  // P29
    Step{S, server_master_key_exchange},
    Step{C, change_cipher_spec, Keys::channel},  // P26
    Step{C, finished, Keys::channel},
    Step{S, change_cipher_spec, Keys::channel},  // P25: after the client's
    Step{S, finished, Keys::channel},
};
// clang-format on
}  // namespace flow_list

struct FlowDefinition {
  Flow flow;
  bool multicast;
  std::uint8_t variant;  // 0: standard
  SecondCcs second_ccs;
  Authentication authentication;  // of a multicast flow's client
  std::span<const Step> steps;

  // Properties that the machines ask for instead of branching by variant.
  constexpr bool has(Side from, Message message) const {
    for (const Step& step : steps)
      if (step.from == from && step.message == message) return true;
    return false;
  }
  // Does message from that side come before SMKE?
  constexpr bool before_smke(Side from, Message message) const {
    for (const Step& step : steps) {
      if (step.message == Message::server_master_key_exchange) return false;
      if (step.from == from && step.message == message) return true;
    }
    return false;
  }
  // Without a key exchange before it, SMKE brings its own secrecy and its own proof: the key material is encrypted to
  // the member's key and the whole is signed (P16, H1). Otherwise record protection and server_verify_data do this
  // (P24, H3).
  constexpr bool smke_sealed() const { return multicast && !has(Side::client, Message::client_key_exchange); }
};

inline constexpr std::array flow_definitions = {
    FlowDefinition{Flow::standard, false, 0, SecondCcs::not_applicable, Authentication::certificate,
                   flow_list::standard},
    FlowDefinition{Flow::standard_mutual, false, 0, SecondCcs::not_applicable, Authentication::certificate,
                   flow_list::standard_mutual},
    FlowDefinition{Flow::variant1, true, 1, SecondCcs::not_applicable, Authentication::certificate,
                   flow_list::variant1},
    FlowDefinition{Flow::variant2_claim5, true, 2, SecondCcs::claim5, Authentication::certificate,
                   flow_list::variant2_claim5},
    FlowDefinition{Flow::variant2_description, true, 2, SecondCcs::description, Authentication::certificate,
                   flow_list::variant2_description},
    FlowDefinition{Flow::variant3_password_claim5, true, 3, SecondCcs::claim5, Authentication::password,
                   flow_list::variant3_password_claim5},
    FlowDefinition{Flow::variant3_password_description, true, 3, SecondCcs::description, Authentication::password,
                   flow_list::variant3_password_description},
    FlowDefinition{Flow::variant3_both_claim5, true, 3, SecondCcs::claim5, Authentication::certificate_and_password,
                   flow_list::variant3_both_claim5},
    FlowDefinition{Flow::variant3_both_description, true, 3, SecondCcs::description,
                   Authentication::certificate_and_password, flow_list::variant3_both_description},
};
inline constexpr auto every_flow = [] {
  std::array<Flow, flow_definitions.size()> all{};
  for (std::size_t i = 0; i < flow_definitions.size(); ++i)
    all[i] = flow_definitions[i].flow;
  return all;
}();

}  // namespace sealcast::handshake
