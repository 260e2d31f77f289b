// The group that a connection's handshake is for: which one it asks for, what was given with SMKE, and why not.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "controlplane/keyserver/connection/slot_wait.h"

namespace sealcast::keyserver {

class FirstGroup final : public handshake::GroupAuthority {
 public:
  // address: of the peer. host has to be there as long as this is called.
  FirstGroup(SessionHost& host, std::string address) : host_(host), address_(std::move(address)) {}

  // GroupAuthority
  std::optional<handshake::GroupFlow> find_group(const std::string& group_id) override;
  Result<handshake::GroupKeying> issue(const std::string& group_id, const handshake::PeerIdentity& member) override;
  handshake::Grace grace(const std::string& group_id, const handshake::PeerIdentity& member) override;
  bool may_come_again() const override { return come_again_; }

  // Before anything is issued: true as SlotWait::wait(). False also while no group was asked for.
  bool wait_for_slots(std::function<void()> then);
  const handshake::GroupFlow& flow() const { return flow_; }  // of the group that was asked for

  void password_accepted(std::string stamp) { stamp_ = std::move(stamp); }
  void password_refused(std::string why) { refusal_ = std::move(why); }
  // For the log: detail with the reason why the password or the group refused the member, where it lacks that.
  std::string explained(const std::string& detail) const;

  // The identity that the endpoint has proved, with the password that was accepted.
  handshake::PeerIdentity proved(handshake::PeerIdentity peer) const { return stamped(std::move(peer), stamp_); }
  // Both Finished are verified: what was given in that group, to be joined with. Nothing: nothing was given in it.
  std::optional<Given> take(const std::string& group_id);
  // The connection ends. What was given and not taken is joined no more.
  void give_up();

 private:
  SessionHost& host_;
  const std::string address_;
  std::string asked_for_;  // of the ClientHello; empty: none yet that is here
  handshake::GroupFlow flow_;
  SlotWait slots_;
  std::string stamp_;        // of the password that was right
  std::string refusal_;      // empty: there was none
  bool come_again_ = false;  // the refusal does not lie in the member
  std::string issued_in_;
  std::optional<Given> given_;  // until taken, or given up
};

}  // namespace sealcast::keyserver
