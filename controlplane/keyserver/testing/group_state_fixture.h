// One group with a clock that the test turns by hand, and members with connections that write down what they are told.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/group/group_state.h"

namespace sealcast::keyserver::testing {

using namespace std::chrono_literals;
using handshake::Activate;
using handshake::ActivateAck;
using handshake::ControlMessage;
using handshake::EpochState;
using handshake::GroupKeying;
using handshake::GroupUpdate;
using handshake::GroupUpdateAck;
using handshake::Retire;
using handshake::Revoked;
using handshake::SlotGrant;
using handshake::SlotRequest;
using handshake::StatusReport;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CountingRandom : public handshake::Random {
 public:
  void fill(ByteSpan out) override {
    ++calls_;
    if (on_fill) on_fill();
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = zeros-- > 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(calls_ * 31 + i);
  }
  int zeros = 0;  // so many zero bytes come first
  std::function<void()> on_fill;

 private:
  std::size_t calls_ = 0;
};

// What a member's connection was told, as short words.
class FakeLink : public MemberLink {
 public:
  void deliver(const ControlMessage& message) override {
    if (const auto* update = std::get_if<GroupUpdate>(&message)) {
      said.push_back("update " + std::to_string(update->keying.epoch));
      update_state = update->keying.state;
      slots = update->keying.assignment.slot_count;
      slots_used = update->keying.policy.slots_used;
      first_slot = update->keying.assignment.first_slot;
      premaster = update->keying.premaster.clone();
    } else if (const auto* activate = std::get_if<Activate>(&message)) {
      said.push_back("activate " + std::to_string(activate->epoch));
    } else if (const auto* retire = std::get_if<Retire>(&message)) {
      said.push_back("retire " + std::to_string(retire->epoch));
    } else if (const auto* granted = std::get_if<SlotGrant>(&message)) {
      said.push_back("grant " + std::to_string(granted->first_slot) + "+" + std::to_string(granted->count) + " of " +
                     std::to_string(granted->slots_used));
    } else if (const auto* revoked = std::get_if<Revoked>(&message)) {
      said.push_back("revoked");
      reason = revoked->reason;
    } else if (std::holds_alternative<handshake::Expired>(message)) {
      said.push_back("expired");
    } else if (const auto* path = std::get_if<handshake::KeyPath>(&message)) {
      said.push_back("path");
      tree_path = *handshake::decode_tree_path(handshake::encode_tree_path(path->path));  // a copy
    } else if (const auto* announce = std::get_if<handshake::Announce>(&message)) {
      said.push_back("announce");
      packet = announce->packet;
    } else {
      said.push_back("other");
    }
  }
  void dismiss(const std::string& why) override { said.push_back("dismissed: " + why); }
  std::vector<std::string> take() { return std::exchange(said, {}); }

  std::vector<std::string> said;
  EpochState update_state = EpochState::active;
  std::uint16_t slots = 0, slots_used = 0;
  std::uint16_t first_slot = 0;
  Secret<48> premaster;
  std::string reason;
  handshake::TreePath tree_path;
  Bytes packet;
};

inline handshake::PeerIdentity identity(const std::string& name) {
  handshake::PeerIdentity out;
  out.name = name;
  out.names = {name};
  out.may_decrypt = true;
  out.groups = {"tv"};
  out.serial_hex = "01";
  return out;
}

class GroupStateTest : public ::testing::Test {
 protected:
  GroupStateTest() {
    char folder[] = "/tmp/sealcast-group-XXXXXX";
    folder_ = mkdtemp(folder);
    config_.id = "tv";
    Selector selector;
    selector.destination = *Prefix::parse("239.1.1.0/24");
    config_.selectors = {selector};
    config_.senders = {"sender", "sender2"};
    config_.epoch_lifetime = 1h;
    start();
  }
  ~GroupStateTest() override {
    group_.reset();
    store_.reset();
    for (const char* end : {"", "-wal", "-shm", ".reserve"})
      unlink((folder_ + "/db" + end).c_str());
    rmdir(folder_.c_str());
  }

  // Starts or restarts the key server's part: a new store on the same file, a group without epochs.
  void start() {
    group_.reset();
    store_.reset();
    auto store = store::open_sqlite(folder_ + "/db", "ks", now_.unix_seconds);
    ASSERT_TRUE(store.has_value()) << store.error().message;
    store_ = std::move(*store);
    context_.key_server_id = "ks";
    context_.slot_bits = slot_bits_;
    context_.store = store_.get();
    context_.random = &random_;
    context_.vault = &vault_;
    context_.recheck = [this](const handshake::PeerIdentity& member, const std::string&, std::int64_t,
                              handshake::Grace) -> Verdict {
      if (member.name == revoked_) return {Standing::shut_out, "certificate revoked"};
      if (member.name == expired_) return {Standing::expired, "certificate expired"};
      return {};
    };
    group_ = std::make_unique<GroupState>(config_, context_);
  }

  void pass(std::chrono::milliseconds time) {
    const SteadyTime end = now_.steady + time;
    while (const auto next = group_->next_deadline()) {
      if (*next > end) break;
      now_.steady = std::max(*next, now_.steady);
      group_->on_time(now_);
    }
    now_.steady = end;
    now_.unix_seconds += std::chrono::duration_cast<std::chrono::seconds>(time).count();
  }

  struct Joined {
    std::shared_ptr<FakeLink> link = std::make_shared<FakeLink>();
    GroupKeying keying;
    Given given;
  };
  GroupKeying issue(const std::string& name) {
    auto keying = group_->issue(identity(name), "10.0.0.1:5", now_);
    EXPECT_TRUE(keying.has_value()) << keying.error().message;
    return keying ? std::move(*keying) : GroupKeying{};
  }
  static Given given_of(const GroupKeying& keying) {
    const auto& a = keying.assignment;
    return {keying.epoch, keying.state, a.roles, {keying.epoch, a.first_slot, a.slot_count}};
  }
  Joined join(const std::string& name) {
    Joined out;
    out.keying = issue(name);
    out.given = given_of(out.keying);
    links_.push_back(out.link);  // the group knows it, whether or not the test keeps it
    group_->join(*out.link, identity(name), "10.0.0.1:5", out.given, now_);
    return out;
  }
  Result<void> say(const Joined& member, const ControlMessage& message) {
    return group_->receive(*member.link, message, now_);
  }
  std::uint64_t pending() const {
    for (const Epoch& epoch : group_->epochs())
      if (epoch.phase == Phase::pending) return epoch.number;
    return 0;
  }
  std::uint64_t active() const {
    for (const Epoch& epoch : group_->epochs())
      if (epoch.phase == Phase::active) return epoch.number;
    return 0;
  }

  std::string folder_;
  config::KeyserverGroup config_;
  Moment now_{SteadyTime(1000s), 1'800'000'000};
  std::uint8_t slot_bits_ = 16;
  std::string revoked_, expired_;  // members
  CountingRandom random_;
  PremasterVault vault_;
  std::unique_ptr<store::Store> store_;
  GroupContext context_;
  std::vector<std::shared_ptr<FakeLink>> links_;  // of all that ever joined
  std::unique_ptr<GroupState> group_;
};

inline std::string word(const char* what, std::uint64_t epoch) {
  return std::string(what) + " " + std::to_string(epoch);
}

}  // namespace sealcast::keyserver::testing
