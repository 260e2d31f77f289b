// The key server: one or two listening TCP ports (TLS, ISAKMP: P34) on a standalone Asio loop, the groups' epochs and
// slots, and a control channel to every member (docs/key-server.md). It makes the group secret (P4), gives every member
// the same (P5) inside the handshake (P7), and rekeys make-before-break.
//
// Everything runs on the thread that runs the io_context; nothing throws, nothing blocks but SQLite's durable commits.
// A gateway embeds one by handing in its own loop (P8: the source is then the key server too).
#pragma once

#include <asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/loop.h"
#include "base/result.h"
#include "controlplane/admin/messages.h"
#include "controlplane/config/config.h"
#include "controlplane/etcd/etcd.h"
#include "controlplane/keyserver/connection/door.h"
#include "controlplane/keyserver/connection/password_gate.h"
#include "controlplane/keyserver/group/group_clock.h"

namespace sealcast::keyserver {

// What tests and a simulator replace; the defaults are what a daemon uses.
struct KeyServerOptions {
  std::shared_ptr<Loop> loop;                                                     // empty: the io_context
  MakeDoor door;                                                                  // empty: TCP ports on the io_context
  std::function<std::unique_ptr<etcd::Etcd>(const config::ClusterConfig&)> etcd;  // empty: a client over HTTP
  handshake::Random* random = nullptr;                                            // nullptr: the system's CSPRNG
  std::function<std::int64_t()> unix_now;                                         // seconds; empty: the system's clock
  std::function<std::chrono::nanoseconds()> clock_difference;  // real-time less boot-time clock; empty: the system's
  GroupClock::Now boot_time;                                   // empty: CLOCK_BOOTTIME
  std::chrono::milliseconds look_every{2000};                // at the revocation list's file and at certificates' ends
  std::chrono::milliseconds longest_keepalive{10000};        // keepalives leave every min(lease / 4, this)
  std::optional<std::chrono::milliseconds> cookie_rotation;  // empty: CookieJar::rotation_period
  PasswordSettings passwords;                                // attempts, threads and costs (variant 3)
  std::chrono::milliseconds control_burst{10'000};  // a control message every 20 ms, so many of them at once (H13)
  std::size_t max_output_bytes = 64 * 1024;         // unsent output a member may leave lying before it is closed (H13)
};

class KeyServer {
 public:
  KeyServer(asio::io_context& io, config::KeyserverConfig config, KeyServerOptions options = {});
  ~KeyServer();  // stops
  KeyServer(const KeyServer&) = delete;
  KeyServer& operator=(const KeyServer&) = delete;

  // Loads credentials, opens the store, and listens. The error is one line for the operator: the port is in use, the
  // store is corrupt or belongs to a running key server, a certificate is missing or not a key server's. Nothing is
  // left running then.
  Result<void> start();

  // Sends close_notify to all and closes the port. Idempotent. Run the loop a little longer (run_for) to let the
  // goodbyes leave.
  void stop();

  // The port that is listened at, once started (useful with port 0); 0: there is no listener with this carriage.
  std::uint16_t port(config::Carriage carriage = config::Carriage::tls) const;

  // Makes the group's next epoch and starts its make-before-break hand-over. Fails if the group is unknown, a hand-over
  // is still under way, or the store refuses.
  Result<void> rekey(const std::string& group_id);

  // Shuts a member out of one group or, without one, of all: one that bears this name in its certificate, or logs in as
  // this user, is refused from now on and after every restart; if it holds a live epoch it is cut off and the group
  // rekeyed at once (H11). Durable before any member is told. The member need not be known.
  Result<void> revoke(const std::string& member, const std::optional<std::string>& group_id);
  // The names that this key server knows members and users by, in one group or all: those that are configured or
  // revoked, of members that are connected, and of those that hold a live epoch. In a cluster others may know more.
  std::set<std::string> known_names(const std::optional<std::string>& group_id) const;
  // Takes that back. Fails when the member is not revoked so.
  Result<void> reinstate(const std::string& member, const std::optional<std::string>& group_id);
  // Forgets the wrong passwords of a user, who may be locked after them. Fails when there were none.
  Result<void> unlock(const std::string& user);
  // What is revoked, and how far it is in each group that a member was shut out of since the start (H11).
  admin::Revocations revocations() const;

  // An operator says that the wall clock is right, though it moved against the boot-time clock (H19): certificates and
  // lists are judged by it from now on. Fails when it is not doubted.
  Result<void> accept_clock();

  // Takes over what may change while running: certificate, private key, CA, CRL, password file, allow_standard,
  // timeouts and quotas, members, senders, lifetimes and delays of a group, and whole new groups. Anything else that
  // differs needs a restart: then nothing at all is taken over and the error says which key. A group's new policy holds
  // from its next epoch on.
  Result<void> reload(const config::KeyserverConfig& config);

  // docs/operator.md, "The admin socket", explains each member. groups() leaves the members out: it stays short, with
  // however many of them.
  admin::KeyserverStatus status() const;
  admin::KeyserverGroups groups() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace sealcast::keyserver
