// The control side of what crosses in clear: the gateway's own listener on black with the groups it has to join, which
// reports stop at the gateway, what the ports must receive, and the rules' figures. One control thread calls all of it.
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
  // workers and settings outlive the object; the first worker sends what the listener says.
  BlackListener(std::vector<Worker*> workers, const PathSettings& settings);

  // Remembers what a group needs. Refuses to join more than max_joined_per_selector or max_joined addresses.
  Result<void> protect(const std::string& group_id, const GroupProtection& protection);
  // Of a group that protect() took, with what it was given then.
  void unprotect(const std::string& group_id, const GroupProtection& protection);
  // Whether an epoch of the group is installed: only then is it listened to.
  void keyed(const std::string& group_id, bool now_keyed);

  // The black port is up and has this address: reports what is wanted from the next tick on.
  void start(const membership::Listener::Options& options);
  // Leaves everything: one more tick hands the worker the frames that say so.
  void stop();
  // Takes in what the workers heard and hands the first worker what is due. Several times a second.
  void tick(SteadyTime now);
  // Who else is to see the queries that workers heard on black.
  void on_query(std::function<void(std::span<const std::uint8_t> frame, SteadyTime now)> call) {
    on_query_ = std::move(call);
  }
  // A frame for black, by the way of the listener's own. False: the port is not up, or too much waits already.
  bool send(ByteView frame);
  // Set by start().
  const BlackAddress& own() const { return own_; }
  // Nothing is left to be sent.
  bool idle() const;

  // Groups in fixed tunnels, about which no report leaves; for snapshots.
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
