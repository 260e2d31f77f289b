// What lies in etcd for a cluster of key servers, as keys and values (docs/cluster.md, "What lies in etcd"). Values are
// text of numbers between spaces. All that is read is checked: a client that can write to etcd is not trusted with more
// than etcd's own promises.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/etcd/etcd.h"
#include "handshake/group_keying.h"

namespace sealcast::cluster {

using Operations = std::vector<etcd::Operation>;

inline constexpr std::size_t max_operations = 100;  // of a transaction; etcd allows 128

// The names of one cluster's keys. Group and member ids are in hexadecimal digits, so that a '/' in them does no harm.
class Keys {
 public:
  explicit Keys(const std::string& cluster_id);
  std::string live() const { return root_ + "live/"; }  // gone when a key server's lease ends
  std::string leader() const { return live() + "leader"; }
  std::string server(const std::string& incarnation) const { return live() + "server/" + incarnation; }
  std::string trusted(const std::string& incarnation) const { return live() + "trusted/" + incarnation; }
  std::string vouched(const std::string& incarnation) const { return live() + "vouched/" + incarnation; }
  std::string shared() const { return root_ + "shared/"; }
  std::string asked(const std::string& incarnation) const { return live() + "asked/" + incarnation; }
  std::string generation() const { return shared() + "generation"; }
  std::string clock() const { return shared() + "clock"; }
  std::string group(std::string_view id) const;
  std::string epoch(std::string_view group, std::uint64_t number) const;
  std::string want(std::string_view group) const;
  std::string at(std::string_view group, const std::string& incarnation) const;
  std::string joined(std::string_view group, const std::string& incarnation, std::size_t part) const;
  std::string revoked(std::string_view member, std::string_view group) const;
  std::string slots(std::string_view group, std::uint64_t epoch) const;  // all blocks of an epoch: a prefix
  std::string slot(std::string_view group, std::uint64_t epoch, std::uint32_t block) const;

 private:
  std::string root_;
};

// A key below shared(), taken apart; kind "" is none of ours.
struct SharedKey {
  std::string kind;  // "generation", "clock", "group", "epoch", "want", "at", "joined", "revoked"
  std::string id;    // group, or member of "revoked"
  std::string
      rest;  // number of "epoch", incarnation of "at", "incarnation/part" of "joined", group of "revoked" (in clear)
};
SharedKey parse_shared(const Keys& keys, const std::string& key);
// The block's number at the end of a slot key.
std::optional<std::uint32_t> parse_block(const std::string& key);

// The leader alone writes groups and epochs.
struct GroupValue {
  std::uint64_t highest = 0;
  std::uint64_t active = 0;  // 0: none yet
  std::string text() const;
  static std::optional<GroupValue> parse(std::string_view text);
};

struct EpochValue {
  std::uint32_t spi_prefix = 0;
  std::uint8_t slot_bits = 0;
  std::int64_t begun_ms = 0;  // since 1970
  std::int64_t expires_ms = 0;
  std::uint64_t clock_id = 0;         // of the times in its packets' numbers
  bool retired = false;               // then there is nothing sealed any more
  std::string sealed;                 // bytes (sealing.h)
  std::vector<std::string> assigned;  // incarnations: the k-th got block k when the epoch was made
  std::string text() const;
  static std::optional<EpochValue> parse(std::string_view text);
};

// What the leader read on the group clock (cluster_clock.h).
struct ClockValue {
  etcd::Revision answers = 0;  // after it had read all questions that were written up to this revision
  handshake::ClockReading reading;
  std::string text() const;
  static std::optional<ClockValue> parse(std::string_view text);
};

// How far one key server's members are.
struct AtValue {
  std::uint64_t installed = 0;
  std::uint64_t switched = 0;
  bool operator==(const AtValue&) const = default;
  std::string text() const;
  static std::optional<AtValue> parse(std::string_view text);
};

// A principal at one key server.
struct Attendee {
  bool joined = false;     // false: it held a live epoch there, and is away
  std::uint8_t roles = 0;  // handshake::Role
  std::int64_t since = 0;  // joined: unix seconds
  std::string address;     // joined: of the member
  bool operator==(const Attendee&) const = default;
};
using AttendeeList = std::map<std::string, Attendee>;  // by name
std::string text_of(const AttendeeList& list);
std::optional<AttendeeList> attendees_from(std::string_view text);

std::optional<std::uint64_t> parse_number(std::string_view text);

}  // namespace sealcast::cluster
