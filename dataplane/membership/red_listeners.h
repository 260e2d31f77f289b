// Which on-demand groups anybody on red listens to: what the workers heard, turned into events for the member agent.
#pragma once

#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/dataplane_control.h"
#include "dataplane/membership/listeners.h"
#include "dataplane/path/worker.h"
#include "dataplane/policy/selector_index.h"

namespace sealcast::dataplane {

class RedListeners {
 public:
  // All outlive the object.
  RedListeners(std::vector<Worker*> workers, const SelectorIndex& selectors)
      : workers_(std::move(workers)), selectors_(selectors) {}

  // A group that is wanted only while somebody listens to an address of its selectors.
  // Its selectors are known already.
  void add(const std::string& group_id);
  // Who listens to what no other group has is forgotten, too: should the group come back, the next report counts.
  void remove(const std::vector<std::string>& group_ids);
  // A querier on black asks red's hosts, too, where queries pass.
  void query_on_black(std::span<const std::uint8_t> frame, SteadyTime now);
  // Takes in what the workers heard on red. Several times a second.
  std::vector<InterestChange> tick(SteadyTime now);

 private:
  void take(std::span<const std::uint8_t> frame, SteadyTime now);
  std::vector<std::string> concerned(const IpAddress& address) const;

  const std::vector<Worker*> workers_;
  const SelectorIndex& selectors_;
  membership::Listeners listeners_;
  std::map<std::string, std::size_t> listened_;  // by group: addresses of it that somebody listens to
  std::vector<std::string> wanted_already_;      // when they were added
};

}  // namespace sealcast::dataplane
