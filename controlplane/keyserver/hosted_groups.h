// The groups of a key server by name, each with the timer of its next deadline.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "controlplane/keyserver/group/group_state.h"

namespace sealcast::keyserver {

class HostedGroups {
 public:
  struct Hosted {
    GroupState state;
    std::string standing;  // standing_of() today's configuration
    std::unique_ptr<Timer> timer;
    std::optional<SteadyTime> armed;  // when the timer will fire
    Hosted(config::KeyserverGroup config, GroupContext& context, Loop& loop)
        : state(std::move(config), context), timer(loop.timer()) {}
  };
  using ByName = std::map<std::string, std::unique_ptr<Hosted>>;

  // Both must outlive it. now: the time, as of each call.
  HostedGroups(Loop& loop, GroupContext& context, std::function<Moment()> now)
      : loop_(loop), context_(context), now_(std::move(now)) {}
  HostedGroups(const HostedGroups&) = delete;
  HostedGroups& operator=(const HostedGroups&) = delete;

  Moment now() const { return now_(); }
  // Called before a group is told that its deadline has come: a machine that slept looks at its clocks first. Removes
  // no group.
  void before_deadlines(std::function<void()> call) { before_deadlines_ = std::move(call); }

  Hosted& add(const config::KeyserverGroup& config, std::string standing);
  const ByName& all() const { return groups_; }
  std::size_t size() const { return groups_.size(); }
  Hosted* find(const std::string& id);       // nullptr: there is none
  GroupState* state(const std::string& id);  // likewise
  std::vector<std::string> names() const;
  std::vector<const GroupState*> states() const;
  // The group was called: its next deadline may be another.
  void changed(const GroupState& state);

  // Removes those that the configuration lacks. Their members are sent away and their secrets wiped; what the store
  // knows of them stays: should they come back, no number of theirs is given out again (H9).
  void remove_all_but(const std::vector<config::KeyserverGroup>& configured, Moment now);
  // Until when senders of a group that was removed may go on (H11), once; empty: none may.
  std::optional<SteadyTime> take_removed(const std::string& id);
  void clear() { groups_.clear(); }  // wipes all premasters

 private:
  void on_deadline(const std::string& id);

  Loop& loop_;
  GroupContext& context_;
  std::function<Moment()> now_;
  std::function<void()> before_deadlines_;
  ByName groups_;
  std::map<std::string, SteadyTime> removed_;
};

}  // namespace sealcast::keyserver
