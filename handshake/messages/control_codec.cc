#include "handshake/messages/control_codec.h"

#include <algorithm>
#include <array>
#include <type_traits>

#include "base/limits.h"
#include "handshake/keytree/rekey_datagram.h"
#include "handshake/messages/keying_codec.h"

namespace sealcast::handshake {
namespace {

// ---- writing: one function a message, fields in the order of the wire

void write(Writer& out, const GroupUpdate& message) {
  out.u8(group_update_version);
  write_keying(out, message.keying);
  out.vector16({});  // extensions
}
void write_group_epoch(Writer& out, const std::string& group_id, std::uint64_t epoch) {
  out.string8(group_id);
  out.u64(epoch);
}
void write(Writer& out, const GroupUpdateAck& message) {
  write_group_epoch(out, message.group_id, message.epoch);
}
void write(Writer& out, const Activate& message) {
  write_group_epoch(out, message.group_id, message.epoch);
}
void write(Writer& out, const ActivateAck& message) {
  write_group_epoch(out, message.group_id, message.epoch);
}
void write(Writer& out, const Retire& message) {
  write_group_epoch(out, message.group_id, message.epoch);
}
void write(Writer& out, const SlotRequest& message) {
  write_group_epoch(out, message.group_id, message.epoch);
  out.u16(message.count);
}
void write(Writer& out, const SlotGrant& message) {
  write_group_epoch(out, message.group_id, message.epoch);
  out.u16(message.first_slot);
  out.u16(message.count);
  out.u16(message.slots_used);
}
void write(Writer& out, const StatusReport& message) {
  write_group_epoch(out, message.group_id, message.epoch);
  out.u64(message.sealed);
  out.u64(message.opened);
  out.u64(message.dropped);
  out.vector(2, [&](Writer& list) {
    for (const SlotCounter& slot : message.own_slots) {
      list.u32(slot.spi);
      list.u64(slot.packets);
      list.u64(slot.bytes);
    }
  });
}
void write(Writer& out, const Leave& message) {
  out.string8(message.group_id);
}
void write(Writer& out, const Revoked& message) {
  out.string8(message.group_id);
  out.string8(message.reason);
}
void write(Writer& out, const Keepalive& message) {
  out.u64(message.sequence);
  if (message.clock.clock_id != 0) write_reading(out, message.clock);
}
void write(Writer& out, const KeyPath& message) {
  out.string8(message.group_id);
  out.vector16(encode_tree_path(message.path));
}
void write(Writer& out, const Announce& message) {
  out.string8(message.group_id);
  out.vector16(message.packet);
}
void write(Writer& out, const GroupJoin& message) {
  out.string8(message.group_id);
}
void write(Writer& out, const GroupRefused& message) {
  out.string8(message.group_id);
  out.u8(static_cast<std::uint8_t>(message.why));
}
void write(Writer& out, const Expired& message) {
  out.string8(message.group_id);
  out.string8(message.reason);
}

// ---- reading

template <typename T>
T read_group_epoch(Reader& reader) {
  T message;
  message.group_id = reader.string8(1, max_name_bytes, "group_id");
  message.epoch = reader.u64("epoch");
  return message;
}

ControlMessage read_group_update(Reader& reader) {
  const std::uint8_t version = reader.u8("version");
  if (reader.ok() && version != group_update_version)
    reader.refuse(Reason::smke_version_unknown,
                  "version " + std::to_string(version) + ", expected " + std::to_string(group_update_version));
  GroupUpdate message{read_keying(reader)};
  (void)reader.vector16(0, 0xffff, "extensions");  // unknown ones are ignored
  return message;
}

ControlMessage read_slot_request(Reader& reader) {
  auto message = read_group_epoch<SlotRequest>(reader);
  message.count = reader.u16("count");
  return message;
}

ControlMessage read_slot_grant(Reader& reader) {
  auto message = read_group_epoch<SlotGrant>(reader);
  message.first_slot = reader.u16("first_slot");
  message.count = reader.u16("count");
  message.slots_used = reader.u16("slots_used");
  return message;
}

ControlMessage read_status_report(Reader& reader) {
  auto message = read_group_epoch<StatusReport>(reader);
  message.sealed = reader.u64("sealed");
  message.opened = reader.u64("opened");
  message.dropped = reader.u64("dropped");
  Reader list(reader.message(), reader.vector16(0, 0xffff, "own_slots"));
  while (!list.at_end()) {
    SlotCounter slot;
    slot.spi = list.u32("spi");
    slot.packets = list.u64("packets");
    slot.bytes = list.u64("bytes");
    message.own_slots.push_back(slot);
  }
  reader.absorb(list);
  return message;
}

template <typename T>
T read_farewell(Reader& reader) {
  T message;
  message.group_id = reader.string8(1, max_name_bytes, "group_id");
  message.reason = reader.string8(0, 255, "reason");
  return message;
}

ControlMessage read_keepalive(Reader& reader) {
  Keepalive message;
  message.sequence = reader.u64("sequence");
  if (!reader.at_end()) message.clock = read_reading(reader);
  return message;
}

ControlMessage read_key_path(Reader& reader) {
  KeyPath message;
  message.group_id = reader.string8(1, max_name_bytes, "group_id");
  const ByteView bytes = reader.vector16(1, 0xffff, "path");
  if (!reader.ok()) return message;
  auto path = decode_tree_path(bytes);
  if (path)
    message.path = std::move(*path);
  else
    reader.refuse(path.error().reason, path.error().detail);
  return message;
}

ControlMessage read_announce(Reader& reader) {
  Announce message;
  message.group_id = reader.string8(1, max_name_bytes, "group_id");
  const ByteView packet = reader.vector16(1, max_announced_packet, "packet");
  message.packet.assign(packet.begin(), packet.end());
  return message;
}

ControlMessage read_group_refused(Reader& reader) {
  GroupRefused message;
  message.group_id = reader.string8(1, max_name_bytes, "group_id");
  if (reader.u8("why") == static_cast<std::uint8_t>(Refusal::come_again)) message.why = Refusal::come_again;
  return message;
}

ControlMessage read_body(ControlType type, Reader& reader) {
  switch (type) {
    case ControlType::group_update:
      return read_group_update(reader);
    case ControlType::group_update_ack:
      return read_group_epoch<GroupUpdateAck>(reader);
    case ControlType::activate:
      return read_group_epoch<Activate>(reader);
    case ControlType::activate_ack:
      return read_group_epoch<ActivateAck>(reader);
    case ControlType::retire:
      return read_group_epoch<Retire>(reader);
    case ControlType::slot_request:
      return read_slot_request(reader);
    case ControlType::slot_grant:
      return read_slot_grant(reader);
    case ControlType::status_report:
      return read_status_report(reader);
    case ControlType::leave:
      return Leave{reader.string8(1, max_name_bytes, "group_id")};
    case ControlType::revoked:
      return read_farewell<Revoked>(reader);
    case ControlType::keepalive:
      return read_keepalive(reader);
    case ControlType::key_path:
      return read_key_path(reader);
    case ControlType::announce:
      return read_announce(reader);
    case ControlType::group_join:
      return GroupJoin{reader.string8(1, max_name_bytes, "group_id")};
    case ControlType::group_refused:
      return read_group_refused(reader);
    case ControlType::expired:
      return read_farewell<Expired>(reader);
  }
  reader.refuse(Reason::control_unknown_type, "type " + std::to_string(static_cast<int>(type)));
  return Keepalive{};
}

// In the order of the variant's alternatives.
constexpr std::array control_types = {
    ControlType::group_update, ControlType::group_update_ack, ControlType::activate,      ControlType::activate_ack,
    ControlType::retire,       ControlType::slot_request,     ControlType::slot_grant,    ControlType::status_report,
    ControlType::leave,        ControlType::revoked,          ControlType::keepalive,     ControlType::key_path,
    ControlType::announce,     ControlType::group_join,       ControlType::group_refused, ControlType::expired,
};
static_assert(control_types.size() == std::variant_size_v<ControlMessage>);

bool known(std::uint8_t type) {
  return std::find(control_types.begin(), control_types.end(), ControlType{type}) != control_types.end();
}

}  // namespace

const std::string* group_of(const ControlMessage& message) {
  return std::visit(
      [](const auto& value) -> const std::string* {
        using Kind = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<Kind, GroupUpdate>)
          return &value.keying.group_id;
        else if constexpr (std::is_same_v<Kind, Keepalive>)
          return nullptr;
        else
          return &value.group_id;
      },
      message);
}

ControlType type_of(const ControlMessage& message) {
  return control_types[message.index()];
}

std::string_view name(ControlType type) {
  switch (type) {
    case ControlType::group_update:
      return "GroupUpdate";
    case ControlType::group_update_ack:
      return "GroupUpdateAck";
    case ControlType::activate:
      return "Activate";
    case ControlType::activate_ack:
      return "ActivateAck";
    case ControlType::retire:
      return "Retire";
    case ControlType::slot_request:
      return "SlotRequest";
    case ControlType::slot_grant:
      return "SlotGrant";
    case ControlType::status_report:
      return "StatusReport";
    case ControlType::leave:
      return "Leave";
    case ControlType::revoked:
      return "Revoked";
    case ControlType::keepalive:
      return "Keepalive";
    case ControlType::key_path:
      return "KeyPath";
    case ControlType::announce:
      return "Announce";
    case ControlType::group_join:
      return "GroupJoin";
    case ControlType::group_refused:
      return "GroupRefused";
    case ControlType::expired:
      return "Expired";
  }
  return "unknown control message";
}

bool may_send(Side side, ControlType type) {
  switch (type) {
    case ControlType::group_update:
    case ControlType::activate:
    case ControlType::retire:
    case ControlType::slot_grant:
    case ControlType::revoked:
    case ControlType::key_path:
    case ControlType::announce:
    case ControlType::group_refused:
    case ControlType::expired:
      return side == Side::server;
    case ControlType::group_update_ack:
    case ControlType::activate_ack:
    case ControlType::slot_request:
    case ControlType::status_report:
    case ControlType::leave:
    case ControlType::group_join:
      return side == Side::client;
    case ControlType::keepalive:
      return true;
  }
  return false;
}

Outcome<SensitiveBytes> encode(const ControlMessage& message) {
  const std::string_view what = name(type_of(message));
  if (const auto* update = std::get_if<GroupUpdate>(&message))
    if (auto sound = check_keying(update->keying); !sound)
      return refuse(Reason::internal_error, "refusing to send a keying no member accepts: " + sound.error().detail);
  Writer out;
  out.u8(static_cast<std::uint8_t>(type_of(message)));
  out.vector(3, [&](Writer& body) { std::visit([&body](const auto& value) { write(body, value); }, message); });
  auto bytes = out.finish(what);
  if (bytes && bytes->size() > max_control_message)
    return refuse(Reason::internal_error, std::string(what) + " is too large to send");
  return bytes;
}

Outcome<std::optional<ControlMessage>> decode_control(std::uint8_t type, ByteView body) {
  if (!known(type)) {
    if ((type & optional_control) != 0) return std::optional<ControlMessage>();
    return refuse(Reason::control_unknown_type, "control message of type " + std::to_string(type));
  }
  Reader reader(name(ControlType{type}), body);
  ControlMessage message = read_body(ControlType{type}, reader);
  SEALCAST_TRY(reader.finish());
  return std::optional<ControlMessage>(std::move(message));
}

}  // namespace sealcast::handshake
