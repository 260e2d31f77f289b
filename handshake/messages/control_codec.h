// The control channel's messages on the wire: type u8, length u24, body, inside application-data records, fragmented
// over several when long. docs/protocol.md "The control channel" has the layouts.
#pragma once

#include <optional>

#include "handshake/control_message.h"
#include "handshake/error.h"
#include "handshake/keys/key_schedule.h"
#include "handshake/wire/sensitive.h"

namespace sealcast::handshake {

enum class ControlType : std::uint8_t {
  group_update = 1,
  group_update_ack = 2,
  activate = 3,
  activate_ack = 4,
  retire = 5,
  slot_request = 6,
  slot_grant = 7,
  status_report = 8,
  leave = 9,
  revoked = 10,
  keepalive = 11,
  key_path = 0x81,
  announce = 0x82,
  group_join = 0x83,
  group_refused = 0x84,
  expired = 0x85,
};

inline constexpr std::uint8_t optional_control = 0x80;          // unknown types with this bit are ignored and counted
inline constexpr std::size_t max_control_message = 128 * 1024;  // body; twice the longest vector of any message
inline constexpr std::size_t max_announced_packet = 1400;       // bytes of ESP: fits every usual black MTU
inline constexpr std::uint8_t group_update_version = 2;

ControlType type_of(const ControlMessage& message);
std::string_view name(ControlType type);
// Whether this side may send the type.
bool may_send(Side side, ControlType type);

// Header and body.
Outcome<SensitiveBytes> encode(const ControlMessage& message);
// nullopt: an unknown type marked optional. Other unknown types are refused.
Outcome<std::optional<ControlMessage>> decode_control(std::uint8_t type, ByteView body);

}  // namespace sealcast::handshake
