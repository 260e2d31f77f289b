// A key server that does as it is told, for the tests of one part.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "controlplane/cluster/node_host.h"

namespace sealcast::cluster::testing {

inline handshake::GroupPolicy plain_policy() {
  handshake::GroupPolicy policy;
  Selector selector;
  selector.destination = *Prefix::parse("239.1.1.0/24");
  policy.selectors = {selector};
  return policy;
}

class PlainHost final : public NodeHost {
 public:
  Moment now() const override { return clock; }
  std::vector<std::string> groups() const override { return ids; }
  GroupWish wish(const std::string&) const override { return wanted; }
  std::uint32_t slots_needed(const std::string&) const override { return needed; }
  Result<void> adopt(const std::string&, MadeEpoch&& made) override {
    calls.push_back("adopt " + std::to_string(made.number));
    if (!adopts) return fail("not now");
    return {};
  }
  void activated(const std::string&, std::uint64_t epoch) override {
    calls.push_back("activated " + std::to_string(epoch));
  }
  std::uint64_t switched(const std::string& group_id) const override {
    const auto found = switched_to.find(group_id);
    return found == switched_to.end() ? 0 : found->second;
  }
  std::uint64_t attendance_changes(const std::string& group_id) const override {
    const auto found = changes.find(group_id);
    return found == changes.end() ? 0 : found->second;
  }
  AttendeeList attendees(const std::string& group_id) const override {
    const auto found = present.find(group_id);
    return found == present.end() ? AttendeeList() : found->second;
  }
  void others_changed(const std::string& group_id) override { calls.push_back("others " + group_id); }
  void revocations_changed() override { calls.push_back("revocations"); }
  void serve() override { calls.push_back("serve"); }
  void cut_off(const std::string& why) override { calls.push_back("cut off " + why); }
  void note(Weight, const Event& event) override { notes += event.line() + "\n"; }

  void pass(std::chrono::milliseconds time) {
    clock.steady += time;
    clock.unix_ms += time.count();
  }

  Moment clock{SteadyTime(std::chrono::seconds(1000)), 1'800'000'000'000};
  std::vector<std::string> ids{"tv"};
  GroupWish wanted{plain_policy(), std::chrono::hours(24), 16};
  std::uint32_t needed = 0;
  bool adopts = true;
  std::map<std::string, std::uint64_t> switched_to;  // by group
  std::map<std::string, AttendeeList> present;       // by group
  std::map<std::string, std::uint64_t> changes;      // likewise
  std::vector<std::string> calls;
  std::string notes;
};

}  // namespace sealcast::cluster::testing
