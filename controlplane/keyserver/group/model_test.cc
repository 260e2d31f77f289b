// Whatever happens in whatever order, and whatever is held back: once a revocation is reported complete, nothing is
// sent that the revoked can read (H11, LEASE-1). Senders here do what docs/protocol.md says of members; an attacker on
// the network delays, or never delivers, what he likes, in either direction.
#include <spdlog/spdlog.h>

#include <deque>
#include <random>

#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver {
namespace {

using namespace testing;

// A member's end of a connection, and all that is on its way.
struct ModelLink : MemberLink {
  void deliver(const ControlMessage& message) override {
    if (const auto* update = std::get_if<GroupUpdate>(&message))
      down.push_back([epoch = update->keying.epoch, slots = update->keying.assignment.slot_count](
                         auto& to, ModelLink& by) { to.take_update(epoch, slots, by); });
    if (const auto* activate = std::get_if<Activate>(&message))
      down.push_back([epoch = activate->epoch](auto& to, ModelLink& by) { to.take_activate(epoch, by); });
    if (std::holds_alternative<Revoked>(message)) down.push_back([](auto& to, ModelLink&) { to.forget_all(); });
  }
  void dismiss(const std::string&) override { closed = true; }

  struct Peer {
    virtual ~Peer() = default;
    virtual void take_update(std::uint64_t epoch, std::uint16_t slots, ModelLink& by) = 0;
    virtual void take_activate(std::uint64_t epoch, ModelLink& by) = 0;
    virtual void forget_all() = 0;
  };
  std::deque<std::function<void(Peer&, ModelLink&)>> down;
  std::deque<ControlMessage> up;
  Given given;
  std::string address;
  bool finished = false;  // its Finished has come to the key server
  bool closed = false;    // by the key server
};

// A member, of one process that lives as long as the test.
struct Node : ModelLink::Peer {
  std::string name;
  std::shared_ptr<ModelLink> wire;          // the newest connection
  std::set<std::uint64_t> ever, held, own;  // epochs; own: with slots to send under
  std::uint64_t active = 0;
  SteadyTime lease_until{};

  void take(std::uint64_t epoch, std::uint16_t slots) {
    ever.insert(epoch);
    held.insert(epoch);
    if (slots) own.insert(epoch);
  }
  void take_update(std::uint64_t epoch, std::uint16_t slots, ModelLink& by) override {
    take(epoch, slots);
    by.up.emplace_back(GroupUpdateAck{"tv", epoch});
  }
  void take_activate(std::uint64_t epoch, ModelLink& by) override {
    if (held.count(epoch) == 0) return;
    active = std::max(active, epoch);
    by.up.emplace_back(ActivateAck{"tv", epoch});
  }
  bool sends(SteadyTime now) const { return active != 0 && own.count(active) != 0 && now < lease_until; }
  void forget_all() override {
    held.clear();
    own.clear();
    active = 0;
  }
};

class GroupModel : public GroupStateTest {
 protected:
  using Random = std::mt19937;

  void prepare(unsigned seed) {
    random_numbers_.seed(seed);
    config_.senders = {"s0", "s1", "s2"};
    config_.rekey_on_leave = seed % 3 == 0;
    config_.rekey_on_join = seed % 4 == 0;
    context_.revoked = [this](const std::vector<std::string>& names, const std::string&) {
      return std::any_of(names.begin(), names.end(), [&](const auto& name) { return revoked_names_.count(name) != 0; });
    };
    for (const char* name : {"s0", "s1", "s2", "r0", "r1", "r2"}) {
      nodes_[name] = std::make_unique<Node>();
      nodes_[name]->name = name;
    }
    group_ = std::make_unique<GroupState>(config_, context_);
  }
  unsigned pick(unsigned below) { return random_numbers_() % below; }
  Node& any_node() {
    auto it = nodes_.begin();
    std::advance(it, pick(static_cast<unsigned>(nodes_.size())));
    return *it->second;
  }

  void connect(Node& node) {
    auto wire = std::make_shared<ModelLink>();
    wire->address = "10.0.0.1:" + std::to_string(++ports_);
    const SteadyTime greeted = now_.steady;
    now_.steady += std::chrono::milliseconds(pick(50));
    const auto keying = group_->issue(identity(node.name), wire->address, now_);
    if (!keying) return;
    // Variant 1: it has all it needs, and its Finished is on its way, or held back.
    node.wire = wire;
    if (now_.steady >= node.lease_until) node.own.clear();  // a lease that has ended is not renewed (LEASE-1)
    node.lease_until = std::max(node.lease_until, greeted + config_.authority_lease);
    node.take(keying->epoch, keying->assignment.slot_count);
    wire->given = given_of(*keying);
    if (keying->state == EpochState::active) node.active = std::max(node.active, keying->epoch);
    if (keying->state == EpochState::pending) wire->up.emplace_back(GroupUpdateAck{"tv", keying->epoch});
    wires_.push_back(wire);
    owners_[wire.get()] = &node;
  }
  // The key server hears the next of what the member says.
  void hear(ModelLink& wire) {
    if (wire.closed) return;
    if (!wire.finished) {
      wire.finished = true;
      group_->join(wire, identity(owners_[&wire]->name), wire.address, wire.given, now_);
      return;
    }
    if (wire.up.empty()) return;
    const ControlMessage message = std::move(wire.up.front());
    wire.up.pop_front();
    if (!group_->receive(wire, message, now_)) wire.closed = true;
  }
  void tell(ModelLink& wire) {
    if (wire.down.empty()) return;
    Node& node = *owners_[&wire];
    const auto next = std::move(wire.down.front());
    wire.down.pop_front();
    if (node.wire.get() == &wire) next(node, wire);
  }
  // Nothing is held back: what it asks is answered at once.
  void keep_alive(Node& node) {
    if (!node.wire || !node.wire->finished || node.wire->closed || !node.wire->down.empty()) return;
    node.lease_until = std::max(node.lease_until, now_.steady + config_.authority_lease);
  }
  void lose(ModelLink& wire) {
    if (wire.closed) return;
    wire.closed = true;
    if (wire.finished) group_->leave(wire, now_);
  }
  void all_are_lost() {
    for (const auto& wire : wires_)
      wire->closed = true;
  }
  void revoke(const std::string& name) {
    revoked_names_.insert(name);
    group_->shut_out(now_);
  }
  void restart() {
    all_are_lost();
    context_.started = now_.steady;
    start();
    if (!revoked_names_.empty()) group_->shut_out(now_);
  }
  // As at two reloads, without and with the group.
  void remove_and_add() {
    group_->begin_anew("removed", now_);
    const auto until = group_->senders_go_on_until(now_);
    all_are_lost();
    group_ = std::make_unique<GroupState>(config_, context_);
    now_.steady += std::chrono::milliseconds(pick(3000));
    if (until) group_->await_senders(*until, now_);
    if (until && !revoked_names_.empty()) group_->shut_out(now_);
  }

  void step() {
    Node& node = any_node();
    const auto wire = wires_.empty() ? nullptr : wires_[pick(static_cast<unsigned>(wires_.size()))];
    switch (const unsigned what = pick(100); what) {
      case 0:
        return static_cast<void>(pick(3) == 0 ? restart() : group_->begin_anew("resumed", now_));
      case 1:
        return remove_and_add();
      case 2:
      case 3:
        if (revoked_names_.size() < 3) revoke(node.name);
        return;
      case 4:
      case 5:
        static_cast<void>(group_->rekey("test", now_));
        return;
      case 6:
      case 7:
        if (wire) lose(*wire);
        return;
      case 8:
        if (wire && wire->finished && !wire->closed) {
          wire->up.emplace_back(handshake::Leave{"tv"});
          owners_[wire.get()]->forget_all();
        }
        return;
      case 9:
        return pass(std::chrono::seconds(pick(80)));
      default:
        if (what < 25) return connect(node);
        if (what < 55) return wire ? hear(*wire) : void();
        if (what < 85) return wire ? tell(*wire) : void();
        if (what < 95) return keep_alive(node);
        return pass(std::chrono::milliseconds(pick(300)));
    }
  }
  // Empty: all is well.
  std::string broken() {
    const auto exclusion = group_->exclusion(now_);
    if (exclusion && !exclusion->complete) return "";
    for (const std::string& revoked : revoked_names_)
      for (const auto& [name, node] : nodes_) {
        if (name == revoked || !node->sends(now_.steady) || nodes_[revoked]->ever.count(node->active) == 0) continue;
        return name + " sends under epoch " + std::to_string(node->active) + ", which " + revoked + " has";
      }
    return "";
  }
  void clear_up() {
    std::erase_if(wires_, [&](const auto& wire) {
      if (!wire->closed || !wire->down.empty()) return false;
      owners_.erase(wire.get());
      closed_.push_back(wire);  // the group may still have it until it hears of it
      return true;
    });
  }

  Random random_numbers_;
  std::set<std::string> revoked_names_;
  std::map<std::string, std::unique_ptr<Node>> nodes_;
  std::vector<std::shared_ptr<ModelLink>> wires_, closed_;
  std::map<const ModelLink*, Node*> owners_;
  unsigned ports_ = 1024;
};

class GroupModelOf : public GroupModel, public ::testing::WithParamInterface<unsigned> {};

TEST_P(GroupModelOf, H11_WhatIsCompleteIsComplete) {
  const auto level = spdlog::get_level();
  spdlog::set_level(spdlog::level::off);
  prepare(GetParam());
  std::size_t completed = 0;
  for (int i = 0; i < 400 && !HasFailure(); ++i) {
    step();
    group_->on_time(now_);
    EXPECT_EQ(broken(), "") << "step " << i;
    completed += group_->exclusion(now_) && group_->exclusion(now_)->complete ? 1 : 0;
    clear_up();
  }
  if (!revoked_names_.empty() && completed == 0) {
    pass(std::chrono::minutes(3));
    const auto exclusion = group_->exclusion(now_);
    EXPECT_TRUE(!exclusion || exclusion->complete || !exclusion->senders_awaited.empty()) << "or it is for ever";
  }
  spdlog::set_level(level);
}

INSTANTIATE_TEST_SUITE_P(Seeds, GroupModelOf, ::testing::Range(0u, 60u));

}  // namespace
}  // namespace sealcast::keyserver
