// Which on-demand groups hosts on red listen to: turns the workers' reports into events for the member agent.
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

  // A group that is joined only while a host listens to an address of its selectors. Its selectors must be in the
  // index.
  void add(const std::string& group_id);
  // Also forgets listeners to addresses that no other group has: if the group comes back, the next report counts.
  void remove(const std::vector<std::string>& group_ids);
  // A query from black reaches red's hosts, too, if queries pass.
  void query_on_black(std::span<const std::uint8_t> frame, SteadyTime now);
  // Takes the reports that workers received on red. Call it several times a second.
  std::vector<InterestChange> tick(SteadyTime now);

 private:
  void take(std::span<const std::uint8_t> frame, SteadyTime now);
  std::vector<std::string> concerned(const IpAddress& address) const;

  const std::vector<Worker*> workers_;
  const SelectorIndex& selectors_;
  membership::Listeners listeners_;
  std::map<std::string, std::size_t> listened_;  // by group: number of its addresses with listeners
  std::vector<std::string> wanted_already_;      // groups with listeners at the time they were added
};

}  // namespace sealcast::dataplane
