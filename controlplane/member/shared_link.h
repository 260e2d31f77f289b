// One connection and the groups that share it; part of LinkPool.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/member/link_pool.h"
#include "controlplane/member/shared_keepalives.h"

namespace sealcast::member {

class SharedLink;

// One group's share.
class Branch final : public Link {
 public:
  enum class State : std::uint8_t { waiting, opening, asking, joined, alone, over };

  Branch(LinkWish wish, Callbacks callbacks) : wish_(std::move(wish)), callbacks_(std::move(callbacks)) {}

  bool send(const handshake::ControlMessage& message) override;
  std::chrono::steady_clock::time_point greeted() const override;
  void close() override;
  void abandon() override;

 private:
  friend class SharedLink;
  std::shared_ptr<Branch> self() { return std::static_pointer_cast<Branch>(shared_from_this()); }
  void ended(LinkEnd end);
  void go_alone(const World& world);

  LinkWish wish_;
  Callbacks callbacks_;
  State state_ = State::waiting;
  std::shared_ptr<SharedLink> shared_;  // until it is over or alone
  std::shared_ptr<Link> own_;           // alone
  std::chrono::steady_clock::time_point asked_{};
  bool left_ = false;  // it said Leave
};

// What is known of a place where alike groups connect, whether there is a connection or not.
struct LinkPool::Place {
  explicit Place(const Timing& timing) : password_penalty(timing.refused_password, timing.refused_password_max) {}
  std::shared_ptr<SharedLink> link;
  Penalty password_penalty;
  std::chrono::steady_clock::time_point not_before{};  // a password was refused there
  std::chrono::steady_clock::time_point separate{};    // until then it is taken for one that does not know GroupJoin
};

class SharedLink final : public std::enable_shared_from_this<SharedLink> {
 public:
  SharedLink(const World& world, std::weak_ptr<LinkPool::Place> place);

  void add(const std::shared_ptr<Branch>& branch);
  bool established() const { return phase_ == Phase::established; }

 private:
  friend class Branch;
  using SteadyTime = std::chrono::steady_clock::time_point;
  enum class Phase : std::uint8_t { idle, opening, established, over };

  void begin();
  void open();
  void on_joined(Joined&& joined);
  void on_message(handshake::ControlMessage&& message);
  void on_end(LinkEnd&& end);
  void answered(const std::shared_ptr<Branch>& branch, handshake::ControlMessage&& message);
  void ask_more();
  void watch_asking();
  void overdue();
  void keepalive(const std::shared_ptr<Branch>& branch, std::uint64_t number);
  void send_keepalive();
  void take_keepalive(const handshake::Keepalive& keepalive);
  void leave(Branch& branch);
  void remove(Branch& branch);
  void end_all(const LinkEnd& end);
  void broken(const std::string& why);
  void let_go();
  bool forsaken() const { return groups_.empty() && waiting_.empty() && !opener_; }

  const World& world_;
  std::weak_ptr<LinkPool::Place> place_;
  std::unique_ptr<Timer> timer_;
  Phase phase_ = Phase::idle;
  std::shared_ptr<Link> link_;
  std::shared_ptr<Branch> opener_;                         // its handshake is under way
  std::deque<std::shared_ptr<Branch>> waiting_;            // for the handshake, or for their turn to ask
  std::map<std::string, std::shared_ptr<Branch>> groups_;  // that asked or are joined, by group
  std::size_t asking_ = 0;                                 // of those
  std::deque<std::weak_ptr<Branch>> in_order_;             // likewise, the oldest first, and some that are settled
  bool ever_answered_ = false;                             // a GroupJoin
  // Groups that were left, and the Keepalive after which nothing of theirs can be under way any more.
  std::map<std::string, std::uint64_t> draining_;
  std::set<std::string> unanswered_;  // GroupJoins that may never be
  Bytes server_leaf_;
  SharedKeepalives<Branch> keepalives_;
};

}  // namespace sealcast::member
