// What operators are told while etcd does not answer: a warning while there is still time, an error when this key
// server has cut itself off, and that again from time to time while it lasts. Time is handed in.
#pragma once

#include <chrono>
#include <string>

#include "base/dataplane_control.h"
#include "controlplane/cluster/node_host.h"

namespace sealcast::cluster {

class Outage {
 public:
  explicit Outage(NodeHost& host) : host_(host) {}  // must outlive it

  void answered() { last_error_.clear(); }
  void failed(const std::string& error) { last_error_ = error; }
  // In a session of this incarnation, which ends at `end` unless etcd answers; it last did what was asked at `last`.
  void watch(const std::string& incarnation, SteadyTime last, SteadyTime end, std::chrono::milliseconds lease_ttl,
             SteadyTime now);
  // There is no session. had: there was one until now.
  void cut_off(const std::string& why, bool had, SteadyTime now);
  void serving() { why_.clear(); }

  bool silent() const { return silent_; }                    // in a session, and operators were told
  std::string alarm(SteadyTime last, SteadyTime now) const;  // in a session; empty: nothing is wrong
  const std::string& why() const { return why_; }            // it was cut off; empty: it has served since
  SteadyTime since() const { return since_; }                // it is cut off
  bool first_joining() const { return why_ == joining; }     // it has not served or been cut off yet

  static constexpr const char* joining = "joining";

 private:
  std::string last_error() const { return last_error_.empty() ? "no answer" : last_error_; }

  NodeHost& host_;
  std::string why_ = joining;
  SteadyTime since_{}, complain_at_{};
  bool silent_ = false;
  std::string last_error_;  // of the last request without an answer
};

}  // namespace sealcast::cluster
