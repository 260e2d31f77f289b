// A group's members by name and by connection, and its holders: the principals that were given a live epoch.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>

#include "controlplane/keyserver/group/parts.h"

namespace sealcast::keyserver {

class Roster {
 public:
  const Members& members() const { return members_; }
  Members& members() { return members_; }
  const Holders& holders() const { return holders_; }
  bool empty() const { return members_.empty(); }
  std::uint64_t changes() const { return changes_; }  // counts those of which members and which holders there are

  // nullptr: there is none. Good until that member is removed.
  const Member* find(const std::string& name) const;
  Member* find(const std::string& name) { return const_cast<Member*>(std::as_const(*this).find(name)); }
  const Member* of(const MemberLink& link) const;
  Member* of(const MemberLink& link) { return const_cast<Member*>(std::as_const(*this).of(link)); }

  // A member of that name must have been removed before. `link` outlives it.
  Member& add(MemberLink& link, const handshake::PeerIdentity& identity);
  void remove(const std::string& name);

  // The principal was given the epoch.
  void note_holder(const handshake::PeerIdentity& identity, std::uint64_t epoch);
  // Removes the holders for which `is_out(holder)` is true.
  template <typename Predicate>
  void remove_holders(Predicate is_out) {
    changes_ += std::erase_if(holders_, [&](const auto& entry) { return is_out(entry.second); });
  }
  // The epoch is over: forgets its holders and slots. A member keeps its last run of slots, which tells how many it
  // needs in its next epoch.
  void forget_epoch(std::uint64_t epoch);
  // Forgets all; returns those that were members.
  Members clear();

 private:
  Members members_;
  std::unordered_map<const MemberLink*, Member*> by_link_;  // the same: each message asks which member sent it
  Holders holders_;
  std::uint64_t changes_ = 0;
};

}  // namespace sealcast::keyserver
