// A key server as its sessions see it, without a loop: groups with a clock that the test turns by hand, and a note of
// what it is told.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/keyserver/connection/session_host.h"
#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver::testing {

class FakeHost : public SessionHost {
 public:
  explicit FakeHost(const Moment& now) : now_(now) {}

  Moment now() const override { return now_; }
  void notice_resume() override {
    if (on_resume) on_resume();
  }
  bool serving() const override { return serves; }
  GroupState* find_group_state(const std::string& group_id) override {
    const auto found = groups.find(group_id);
    return found == groups.end() ? nullptr : found->second;
  }
  void group_changed(GroupState& group) override { changed.push_back(group.config().id); }
  std::unique_ptr<handshake::Endpoint> make_endpoint(const Peer& peer, handshake::GroupAuthority& authority) override {
    return endpoint ? endpoint(peer, authority) : nullptr;
  }
  PasswordGate* passwords() override { return gate ? gate() : nullptr; }
  bool wait_for_slots(const std::string& group_id, std::function<void()> then) override {
    if (slots) return false;
    waiting.emplace_back(group_id, std::move(then));
    return true;
  }
  void handshake_completed(handshake::Flow flow) override { said.push_back("completed " + std::string(name(flow))); }
  void standard_client_answered(const std::string& address, const std::string& why) override {
    said.push_back("standard client " + address + why);
  }
  void handshake_failed(const std::string& reason, const std::string& address, const std::string& detail) override {
    said.push_back(reason + " " + address + ": " + detail);
  }
  void session_over(Session&) override { said.emplace_back("over"); }
  std::vector<std::string> take() { return std::exchange(said, {}); }

  std::map<std::string, GroupState*> groups;
  bool serves = true;
  bool slots = true;  // false: of each group the slots are given out for now
  std::function<PasswordGate*()> gate;
  std::function<void()> on_resume;
  std::function<std::unique_ptr<handshake::Endpoint>(const Peer&, handshake::GroupAuthority&)> endpoint;
  std::vector<std::string> said;
  std::vector<std::string> changed;                                    // groups
  std::vector<std::pair<std::string, std::function<void()>>> waiting;  // for slots of a group

 private:
  const Moment& now_;
};

// Group "tv", and others like it.
class SessionHostTest : public GroupStateTest {
 protected:
  SessionHostTest() { host_.groups["tv"] = group_.get(); }
  ~SessionHostTest() override { others_.clear(); }

  GroupState& add_group(const std::string& id, const std::function<void(config::KeyserverGroup&)>& change = {}) {
    auto config = config_;
    config.id = id;
    if (change) change(config);
    others_.push_back(std::make_unique<GroupState>(std::move(config), context_));
    host_.groups[id] = others_.back().get();
    return *others_.back();
  }
  static handshake::PeerIdentity member(const std::string& name) {
    auto out = identity(name);
    out.groups.reset();  // any group
    return out;
  }

  FakeHost host_{now_};
  std::vector<std::unique_ptr<GroupState>> others_;
};

}  // namespace sealcast::keyserver::testing
