// Key servers that vanished. Senders that were joined there may go on for a whole authority lease under what they had,
// and a revocation waits for them (H11). It outlives the session that saw them vanish. Time is handed in.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "base/dataplane_control.h"

namespace sealcast::cluster {

class Departed {
 public:
  struct Server {
    std::string name;
    SteadyTime since, until;  // its senders may go on until then
  };

  // The configuration has such a lease: it counts for those that vanish from now on.
  void expect_lease(std::chrono::seconds lease);
  // An epoch that may have been given out earlier has such a lease: it counts for those that vanished before, too.
  void found_lease(std::chrono::seconds lease);
  // A session begins: which key servers vanished before is not known here.
  void begin_blind(SteadyTime now);
  void vanished(const std::string& incarnation, const std::string& name, SteadyTime now);
  // Drops those that no longer matter. True: a revocation may wait for less than before.
  bool expire(SteadyTime now);

  // Senders of a key server that vanished before the session may still go on.
  bool blind(SteadyTime now) const { return now < blind_until_; }
  bool knows(const std::string& incarnation) const { return servers_.count(incarnation) > 0; }
  const std::map<std::string, Server>& servers() const { return servers_; }  // by incarnation

 private:
  std::map<std::string, Server> servers_;
  SteadyTime blind_since_{}, blind_until_{};
  bool tell_sight_ = false;  // expire() has not said yet that blindness is over
  std::chrono::seconds longest_lease_{0};
};

}  // namespace sealcast::cluster
