// The member's end of the control plane (P8, P27): joins every configured group at its key server with the modified
// handshake, checks what it is given against its own configuration (H5, H12), derives the SA keys and puts them into
// the data plane; then follows rekeys, slots and leases on the control channel, for ever.
//
// One agent per data plane, everything on the thread that runs the io_context. Nothing throws; a failure is one log
// line and a later attempt. Nothing the network does makes the agent end.
#pragma once

#include <asio/io_context.hpp>
#include <memory>
#include <string>

#include "base/dataplane_control.h"
#include "base/result.h"
#include "controlplane/admin/messages.h"
#include "controlplane/member/member_settings.h"

namespace sealcast::member {

class MemberAgent {
 public:
  // data_plane must outlive the agent.
  MemberAgent(asio::io_context& io, MemberSettings settings, DataPlaneControl& data_plane);
  ~MemberAgent();
  MemberAgent(const MemberAgent&) = delete;
  MemberAgent& operator=(const MemberAgent&) = delete;

  // Loads credentials and the state file and calls protect() for every group (H10) before it returns; connections begin
  // when the loop runs. Call it before any port is started. An error (unreadable key, damaged state file, …) is for
  // the operator to mend; nothing has been started then.
  Result<void> start();

  // Says Leave and close_notify to every key server and stops all timers. Epochs stay in the data plane until they
  // expire or their lease ends: a stopped agent cannot keep a key alive. Idempotent; handlers still queued do nothing.
  // Run the loop a little longer (run_for) to let the farewell leave.
  // Takes up the groups that are new in this configuration, lets go of those that it lacks, and does both with those
  // that are others: the rest go on undisturbed. An error means that nothing changed; only `groups` may, the rest of
  // the configuration is as at start.
  Result<void> reload(config::MemberConfig member);
  void stop();

  admin::AgentStatus status() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace sealcast::member
