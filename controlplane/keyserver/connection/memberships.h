// The groups that the member of one connection is in: that of its handshake, and further ones (GroupJoin,
// docs/protocol.md "Further groups on a connection"). Every rule is the group's, as at a handshake.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <set>
#include <string>

#include "controlplane/keyserver/connection/session_host.h"

namespace sealcast::keyserver {

// What the keying gives a connection.
Given given_of(const handshake::GroupKeying& keying);

class Memberships {
 public:
  // link: the connection as its groups see it; outlives this. host has to be there as long as this is called.
  Memberships(SessionHost& host, MemberLink& link, std::string address);

  bool contains(const std::string& group_id) const { return groups_.contains(group_id); }
  std::size_t count() const { return groups_.size(); }
  std::size_t further() const { return groups_.empty() ? 0 : groups_.size() - 1; }  // groups beside one

  // The member was given this in the group. The group may answer with messages, or dismiss the link.
  void join(GroupState& group, const handshake::PeerIdentity& member, const Given& given);
  // A GroupJoin: the link is told GroupUpdate and is in the group, or GroupRefused. flow: how the connection was keyed.
  // The result: how often the group wants keepalives; nothing if it was refused.
  std::optional<std::chrono::milliseconds> join_further(const std::string& group_id, const handshake::GroupFlow& flow);
  // A message about a group. False: the connection must end, since the peer broke the rules or left its last group.
  // asked_for_more: it has sent a GroupJoin before.
  bool receive(const handshake::ControlMessage& message, bool asked_for_more);
  // Leaves all groups.
  void leave();
  // For a link that its only group has forgotten already.
  void forget() { groups_.clear(); }

  // Four times in the shortest lease of the groups, and at least every `longest`.
  std::chrono::milliseconds keepalive_interval(std::chrono::milliseconds longest) const;

 private:
  const handshake::PeerIdentity* identity() const;

  SessionHost& host_;
  MemberLink& link_;
  const std::string address_;
  std::set<std::string> groups_;
};

}  // namespace sealcast::keyserver
