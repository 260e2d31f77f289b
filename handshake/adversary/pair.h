// Two real ends and a pipe between them that changes what passes, under a seed: the same seed, the same case.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "handshake/adversary/judge.h"
#include "handshake/adversary/wiretap.h"

namespace sealcast::handshake::adversary {

enum class Bend : std::uint8_t {
  nothing,
  drop,        // the record is lost
  duplicate,   // … comes twice
  swap,        // … comes after the next one
  insert,      // another record comes before it
  flip,        // one to three bits of its body differ
  split,       // it comes as two records
  merge,       // it comes in one record with the next
  cut,         // its body loses bytes at the end
  extend,      // … gains bytes
  length,      // the handshake length in it is one off
  replay,      // an earlier record of this direction comes in its place
  reflect,     // a record of the other direction comes in its place
  foreign,     // the same record of another handshake comes in its place
  silence,     // from here on nothing comes in this direction
  byte_flip,   // in the stream, headers included: a byte differs
  byte_drop,   // … is lost
  byte_insert  // … is added
};
inline constexpr std::size_t bend_kinds = static_cast<std::size_t>(Bend::byte_insert) + 1;
std::string_view name(Bend bend);

struct Mutation {
  Side lane;           // the sender of the changed record
  std::size_t record;  // which of its records, from 0
  Bend bend;
  std::uint64_t salt;  // for all further choices
};

struct Case {
  Flow flow;
  std::uint64_t seed = 0;
  bool keyed = false;  // the pipe holds the keys: records are bent before they are sealed
  std::vector<Mutation> mutations;
  std::string text() const;
};
// The case of a seed: one to three mutations.
Case make_case(Flow flow, bool keyed, std::uint64_t seed);

struct Ending {
  std::optional<std::string> violation;
  int established = 0;  // number of ends
  std::string client_why, server_why;
  Reason client_reason{}, server_reason{};
  bool client_failed = false, server_failed = false;
};
Ending run(const Case& one);

}  // namespace sealcast::handshake::adversary
