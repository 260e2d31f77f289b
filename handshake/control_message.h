// The control channel's messages (docs/protocol.md "The control channel"): framed like handshake messages inside
// application-data records, dispatched by type, never before both closing Finished (H3).
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "handshake/group_keying.h"
#include "handshake/keytree/tree_key.h"

namespace sealcast::handshake {

struct GroupUpdate {  // server -> member: the next epoch, content as SMKE's
  GroupKeying keying;
};
struct GroupUpdateAck {  // member -> server: installed for receiving
  std::string group_id;
  std::uint64_t epoch = 0;
};
struct Activate {  // server -> member: senders switch to this epoch
  std::string group_id;
  std::uint64_t epoch = 0;
};
struct ActivateAck {
  std::string group_id;
  std::uint64_t epoch = 0;
};
struct Retire {  // server -> member: forget this epoch
  std::string group_id;
  std::uint64_t epoch = 0;
};
struct SlotRequest {  // sender -> server: how many further slots of the epoch
  std::string group_id;
  std::uint64_t epoch = 0;
  std::uint16_t count = 0;
};
struct SlotGrant {  // server -> sender; count 0 = refused
  std::string group_id;
  std::uint64_t epoch = 0;
  std::uint16_t first_slot = 0;
  std::uint16_t count = 0;
  std::uint16_t slots_used = 0;
};
struct SlotCounter {
  std::uint32_t spi = 0;
  std::uint64_t packets = 0;  // sealed under it
  std::uint64_t bytes = 0;    // sealed under it, of inner IP packets
};
struct StatusReport {  // member -> server
  std::string group_id;
  std::uint64_t epoch = 0;
  std::uint64_t sealed = 0, opened = 0, dropped = 0;
  std::vector<SlotCounter> own_slots;  // the reporter's own slots only
};
struct Leave {
  std::string group_id;
};
struct Revoked {
  std::string group_id;
  std::string reason;
};
// From a member, a question: its own count, from 1 up. From a key server, the answer: the highest count it has had from
// this member, 0 before the first. So a member knows the moment, on its own clock, at which the key server was still
// there.
struct Keepalive {
  std::uint64_t sequence = 0;
  ClockReading clock = {};  // answer: its clock now
};

// The two below are optional: a member that does not know them ignores them, and learns everything else all the same.
struct KeyPath {  // server -> member: its leaf in the group's key tree, in place of any it had
  std::string group_id;
  TreePath path;
};
struct Announce {  // server -> sender: to be sent on black to the group as it is, ESP from SPI to tag
  std::string group_id;
  Bytes packet;
};

// A further group on the same connection. Optional like the two above: a key server that does not know it does not
// answer. The answer is a GroupUpdate with SMKE's content, its state included, or GroupRefused.
struct GroupJoin {  // member -> server
  std::string group_id;
};
enum class Refusal : std::uint8_t { refused = 1, come_again = 2 };  // any other value is read as refused
struct GroupRefused {                                               // server -> member
  std::string group_id;
  Refusal why = Refusal::refused;
};

// The member gets no new epoch: its certificate has ended, or no revocation list says any more that it is not revoked.
// That is no revocation: what it holds it keeps to its end (H19). Optional; the connection ends after it.
struct Expired {  // server -> member
  std::string group_id;
  std::string reason;
};

using ControlMessage =
    std::variant<GroupUpdate, GroupUpdateAck, Activate, ActivateAck, Retire, SlotRequest, SlotGrant, StatusReport,
                 Leave, Revoked, Keepalive, KeyPath, Announce, GroupJoin, GroupRefused, Expired>;

// The group a message is about; nullptr: the connection itself (Keepalive).
const std::string* group_of(const ControlMessage& message);

}  // namespace sealcast::handshake
