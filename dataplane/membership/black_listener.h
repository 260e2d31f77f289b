// The control side of traffic that crosses in clear: the gateway's own listener on black with the groups it has to
// join, which reports stop at the gateway, what the ports must receive, and the rules' figures. One control thread
// makes all calls.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/dataplane_control.h"
#include "dataplane/membership/listener.h"
#include "dataplane/packet/report_filter.h"
#include "dataplane/path/group_datagram.h"
#include "dataplane/path/worker.h"

namespace sealcast::dataplane {

// Addresses of one selector that are joined one by one; the configuration refuses wider prefixes with join = "static".
// Groups joined in all.
inline constexpr std::size_t max_joined = 16384;

class BlackListener {
 public:
  // workers and settings outlive the object; the first worker sends the listener's frames.
  BlackListener(std::vector<Worker*> workers, const PathSettings& settings);

  // Records a group's needs. Refuses to join more than max_joined_per_selector or max_joined addresses.
  Result<void> protect(const std::string& group_id, const GroupProtection& protection);
  // For a group that protect() accepted, with the same protection.
  void unprotect(const std::string& group_id, const GroupProtection& protection);
  // Whether an epoch of the group is installed: only then is the group joined.
  void keyed(const std::string& group_id, bool now_keyed);

  // The black port is up and has this address: reports the joined groups from the next tick on.
  void start(const membership::Listener::Options& options);
  // Leaves all groups; one more tick hands the worker the frames for that.
  void stop();
  // Takes what the workers received and hands the first worker the frames that are due. Call it several times a second.
  void tick(SteadyTime now);
  // Also gets the queries that workers received on black.
  void on_query(std::function<void(std::span<const std::uint8_t> frame, SteadyTime now)> call) {
    on_query_ = std::move(call);
  }
  // Sends a frame on black with the listener's own ones. False: the port is not up, or too many frames wait already.
  bool send(ByteView frame);
  // Set by start().
  const BlackAddress& own() const { return own_; }
  // No frame is left to be sent.
  bool idle() const;

  // Groups in fixed tunnels: no report about them leaves; for snapshots.
  std::shared_ptr<const GroupRanges> stopped_reports();
  // What each port must receive, from everything protected so far.
  PortFilter red_filter() const;
  PortFilter black_filter() const;

  std::vector<BypassStatistics> statistics() const;

 private:
  struct Group {
    membership::Interests interests;
    bool keyed = false;
    bool on_demand = false;
  };

  membership::Interests wanted() const;

  const std::vector<Worker*> workers_;
  const PathSettings& settings_;
  std::map<std::string, Group> groups_;
  std::size_t joined_ = 0;
  std::vector<Prefix> red_destinations_, black_destinations_, fixed_;
  std::shared_ptr<const GroupRanges> stopped_;
  std::unique_ptr<membership::Listener> listener_;
  bool changed_ = true;     // what is wanted
  bool on_demand_ = false;  // of some group
  std::function<void(std::span<const std::uint8_t>, SteadyTime)> on_query_;
  BlackAddress own_;
  bool leaving_ = false;
  std::vector<std::string> last_loop_;  // by rule: "02:00:00:00:00:01 on black"
};

}  // namespace sealcast::dataplane
