#include "controlplane/member/shared_link.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/bytes.h"

namespace sealcast::member {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_asking = 16;  // GroupJoins without an answer so far
constexpr auto separate_for = 10min;     // then it is asked again whether it knows GroupJoin

}  // namespace

// ---------------------------------------------------------------- a group's share

bool Branch::send(const handshake::ControlMessage& message) {
  if (state_ == State::alone) return own_ && own_->send(message);
  if (state_ != State::joined) return false;
  const auto shared = shared_;
  if (const auto* keepalive = std::get_if<handshake::Keepalive>(&message)) {
    shared->keepalive(self(), keepalive->sequence);
    return true;
  }
  if (std::holds_alternative<handshake::Leave>(message)) left_ = true;
  return shared->link_ && shared->link_->send(message);
}

std::chrono::steady_clock::time_point Branch::greeted() const {
  return state_ == State::alone && own_ ? own_->greeted() : asked_;
}

void Branch::close() {
  callbacks_ = {};
  if (const auto own = std::exchange(own_, nullptr)) own->close();
  if (const auto shared = std::exchange(shared_, nullptr)) shared->leave(*this);
  state_ = State::over;
}

void Branch::abandon() {
  const auto shared = shared_;
  close();
  if (shared) shared->broken("it does not answer, or its time is not to be trusted");
}

void Branch::ended(LinkEnd end) {
  if (state_ == State::over) return;
  state_ = State::over;
  shared_.reset();
  const auto callbacks = std::exchange(callbacks_, {});
  if (callbacks.on_end) callbacks.on_end(std::move(end));
}

void Branch::go_alone(const World& world) {
  shared_.reset();
  auto client = wish_.client();
  if (!client) return ended({client.error().message, std::nullopt, false});
  state_ = State::alone;
  LinkSettings settings = wish_.settings;
  settings.client = std::move(*client);
  const std::weak_ptr<Branch> weak = self();
  Callbacks callbacks = callbacks_;
  callbacks.on_end = [weak](LinkEnd&& end) {
    const auto branch = weak.lock();
    if (!branch) return;
    end.password_shown = branch->wish_.password_shown && branch->wish_.password_shown();
    branch->own_.reset();
    branch->ended(std::move(end));
  };
  own_ = world.open_link(std::move(settings), std::move(callbacks));
}

// ---------------------------------------------------------------- the connection

SharedLink::SharedLink(const World& world, std::weak_ptr<LinkPool::Place> place)
    : world_(world), place_(std::move(place)), timer_(world.loop.timer()) {}

void SharedLink::add(const std::shared_ptr<Branch>& branch) {
  branch->shared_ = shared_from_this();
  waiting_.push_back(branch);
  // In a turn of its own: the opener of a link is not called back before it has it.
  world_.loop.post([self = shared_from_this()] {
    if (self->phase_ == Phase::established)
      self->ask_more();
    else
      self->begin();
  });
}

void SharedLink::begin() {
  const auto place = place_.lock();
  if (phase_ != Phase::idle || !place || waiting_.empty()) return;
  if (world_.now() < place->separate) {
    for (const auto& branch : std::exchange(waiting_, {}))
      branch->go_alone(world_);
    return let_go();
  }
  phase_ = Phase::opening;
  if (world_.now() >= place->not_before) return open();
  // A password was refused here not long ago: one attempt for all that have the same (H7).
  timer_->set(place->not_before, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self && self->phase_ == Phase::opening && !self->link_) self->open();
  });
}

void SharedLink::open() {
  if (waiting_.empty()) return let_go();
  phase_ = Phase::opening;
  opener_ = waiting_.front();
  waiting_.pop_front();
  opener_->state_ = Branch::State::opening;
  auto client = opener_->wish_.client();
  if (!client) return end_all({client.error().message, std::nullopt, false});
  LinkSettings settings = opener_->wish_.settings;
  settings.client = std::move(*client);
  const auto weak = weak_from_this();
  Link::Callbacks callbacks;
  callbacks.on_joined = [weak](Joined&& joined) {
    if (const auto self = weak.lock()) self->on_joined(std::move(joined));
  };
  callbacks.on_message = [weak](handshake::ControlMessage&& message) {
    if (const auto self = weak.lock()) self->on_message(std::move(message));
  };
  callbacks.on_end = [weak](LinkEnd&& end) {
    if (const auto self = weak.lock()) self->on_end(std::move(end));
  };
  link_ = world_.open_link(std::move(settings), std::move(callbacks));
}

void SharedLink::on_joined(Joined&& joined) {
  phase_ = Phase::established;
  if (const auto place = place_.lock()) place->password_penalty.reset();
  server_leaf_ = joined.server_leaf;
  const auto opener = std::exchange(opener_, nullptr);
  opener->state_ = Branch::State::joined;
  opener->asked_ = link_->greeted();
  groups_[opener->wish_.group_id] = opener;
  const auto callbacks = opener->callbacks_;
  if (callbacks.on_joined) callbacks.on_joined(std::move(joined));
  if (phase_ == Phase::established) ask_more();
}

// What ends a handshake ends it for all that would do the same; what was said of one group alone lets the next one try.
void SharedLink::on_end(LinkEnd&& end) {
  using handshake::Reason;
  link_.reset();
  const bool refused = end.cause && end.cause->from_peer && end.cause->alert == handshake::Alert::access_denied;
  const bool unavailable = end.cause && end.cause->from_peer && end.cause->alert == handshake::Alert::internal_error;
  const bool of_one_group = refused || unavailable || (end.cause && end.cause->reason == Reason::keying_refused);
  if (phase_ != Phase::opening || !opener_) return end_all(end);
  end.password_shown = opener_->wish_.password_shown && opener_->wish_.password_shown();
  if (refused && end.password_shown) {
    if (const auto place = place_.lock())
      place->not_before = world_.now() + place->password_penalty.next(world_.random_bits());
    return end_all(end);
  }
  if (!of_one_group) return end_all(end);
  const auto self = shared_from_this();
  std::exchange(opener_, nullptr)->ended(std::move(end));
  open();
}

void SharedLink::end_all(const LinkEnd& end) {
  const auto self = shared_from_this();
  let_go();
  std::vector<std::shared_ptr<Branch>> all;
  if (opener_) all.push_back(std::exchange(opener_, nullptr));
  for (auto& [id, branch] : std::exchange(groups_, {}))
    all.push_back(std::move(branch));
  for (auto& branch : std::exchange(waiting_, {}))
    all.push_back(std::move(branch));
  for (const auto& branch : all)
    branch->ended(end);
}

// No branch joins this connection any more; the next one to come opens another.
void SharedLink::let_go() {
  phase_ = Phase::over;
  timer_->cancel();
  if (const auto link = std::exchange(link_, nullptr)) link->close();
  if (const auto place = place_.lock(); place && place->link.get() == this) place->link.reset();
}

void SharedLink::broken(const std::string& why) {
  if (phase_ != Phase::over) end_all({why, std::nullopt, false});
}

// ---------------------------------------------------------------- joining and leaving

void SharedLink::ask_more() {
  if (phase_ != Phase::established) return;
  const auto self = shared_from_this();
  for (std::size_t left = waiting_.size(); left > 0 && !waiting_.empty() && asking_ < most_asking; --left) {
    const auto branch = std::move(waiting_.front());
    waiting_.pop_front();
    const std::string& group = branch->wish_.group_id;
    if (unanswered_.count(group)) {  // what it is told of it now would be of the last time
      branch->go_alone(world_);
      continue;
    }
    if (draining_.count(group) || groups_.count(group)) {
      waiting_.push_back(branch);
      continue;
    }
    branch->state_ = Branch::State::asking;
    branch->asked_ = world_.now();
    groups_[group] = branch;
    in_order_.push_back(branch);
    ++asking_;
    if (!link_->send(handshake::GroupJoin{group})) return;  // it has ended, and all branches were told
  }
  watch_asking();
}

void SharedLink::watch_asking() {
  if (phase_ != Phase::established) return;
  const auto settled = [](const std::weak_ptr<Branch>& weak) {
    const auto branch = weak.lock();
    return !branch || branch->state_ != Branch::State::asking;
  };
  while (!in_order_.empty() && settled(in_order_.front()))
    in_order_.pop_front();
  if (in_order_.empty()) {
    timer_->cancel();
    return;
  }
  const auto oldest = in_order_.front().lock();
  timer_->set(oldest->asked_ + oldest->wish_.settings.handshake_timeout, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self && self->phase_ == Phase::established) self->overdue();
  });
}

// Either this key server does not know GroupJoin, or it is very slow.
void SharedLink::overdue() {
  const auto self = shared_from_this();
  const auto time = world_.now();
  std::vector<std::shared_ptr<Branch>> late;
  std::vector<std::shared_ptr<Branch>> asking;
  for (const auto& weak : in_order_) {
    const auto branch = weak.lock();
    if (!branch || branch->state_ != Branch::State::asking) continue;
    asking.push_back(branch);
    if (branch->asked_ + branch->wish_.settings.handshake_timeout <= time) late.push_back(branch);
  }
  if (!late.empty() && !ever_answered_) {
    if (const auto place = place_.lock()) place->separate = time + separate_for;
    spdlog::info("{}: the key server does not know GroupJoin; each group has a connection of its own",
                 late.front()->wish_.settings.server.text());
    for (const auto& branch : asking) {
      groups_.erase(branch->wish_.group_id);
      unanswered_.insert(branch->wish_.group_id);
      --asking_;
      branch->go_alone(world_);
    }
    for (const auto& branch : std::exchange(waiting_, {}))
      branch->go_alone(world_);
    if (forsaken()) let_go();
    return;
  }
  for (const auto& branch : late) {
    if (branch->state_ != Branch::State::asking) continue;
    leave(*branch);
    branch->ended({branch->wish_.settings.server.text() + ": no answer to GroupJoin in time", std::nullopt, false});
  }
  ask_more();
}

void SharedLink::remove(Branch& branch) {
  const auto found = groups_.find(branch.wish_.group_id);
  if (found == groups_.end() || found->second.get() != &branch) return;
  if (branch.state_ == Branch::State::asking) --asking_;
  groups_.erase(found);
}

// The branch is over; what the key server still says of its group is not for the next one.
void SharedLink::leave(Branch& branch) {
  const auto self = shared_from_this();
  if (phase_ == Phase::over) return;
  std::erase_if(waiting_, [&](const auto& one) { return one.get() == &branch; });
  if (opener_.get() == &branch) {
    opener_.reset();
    if (const auto link = std::exchange(link_, nullptr)) link->close();
    if (waiting_.empty()) return let_go();
    phase_ = Phase::idle;
    world_.loop.post([self] { self->begin(); });
    return;
  }
  const bool known = branch.state_ == Branch::State::asking || branch.state_ == Branch::State::joined;
  if (!known || phase_ != Phase::established) {
    if (forsaken()) let_go();
    return;
  }
  const std::string group = branch.wish_.group_id;
  remove(branch);
  const bool said = branch.left_ || link_->send(handshake::Leave{group});
  if (forsaken()) return let_go();
  if (!said || phase_ != Phase::established) return;
  draining_[group] = keepalives_.next();
  keepalive(nullptr, 0);
}

// ---------------------------------------------------------------- what the key server says

void SharedLink::on_message(handshake::ControlMessage&& message) {
  const auto self = shared_from_this();
  if (const auto* keepalive = std::get_if<handshake::Keepalive>(&message)) return take_keepalive(*keepalive);
  const std::string group = *handshake::group_of(message);
  if (draining_.count(group) || unanswered_.count(group)) return;
  const auto found = groups_.find(group);
  if (found == groups_.end())
    return broken(fmt::format("it speaks of the group \"{}\", which was not asked for", group));
  const auto branch = found->second;
  if (branch->state_ == Branch::State::asking) return answered(branch, std::move(message));
  const auto callbacks = branch->callbacks_;
  if (callbacks.on_message) callbacks.on_message(std::move(message));
}

void SharedLink::answered(const std::shared_ptr<Branch>& branch, handshake::ControlMessage&& message) {
  const std::string server = branch->wish_.settings.server.text();
  if (auto* update = std::get_if<handshake::GroupUpdate>(&message)) {
    ever_answered_ = true;
    branch->state_ = Branch::State::joined;
    --asking_;
    Joined joined{std::move(update->keying), {}, server_leaf_};
    joined.group_master = handshake::derive_group_master(joined.keying.policy.cipher_suite, joined.keying.premaster);
    const auto callbacks = branch->callbacks_;
    if (callbacks.on_joined) callbacks.on_joined(std::move(joined));
  } else if (const auto* refused = std::get_if<handshake::GroupRefused>(&message)) {
    ever_answered_ = true;
    remove(*branch);
    branch->ended({server + (refused->why == handshake::Refusal::come_again
                                 ? ": the key server has nothing for this group now"
                                 : ": the key server refuses this member in the group; its log says why"),
                   std::nullopt, false});
    if (forsaken()) return let_go();
  } else {
    return broken("it answered GroupJoin with neither GroupUpdate nor GroupRefused");
  }
  ask_more();
}

// ---------------------------------------------------------------- keepalives

// All groups' questions of one turn are one question.
void SharedLink::keepalive(const std::shared_ptr<Branch>& branch, std::uint64_t number) {
  if (keepalives_.add(branch, number)) world_.loop.post([self = shared_from_this()] { self->send_keepalive(); });
}

void SharedLink::send_keepalive() {
  const auto number = keepalives_.take_next(phase_ == Phase::established && link_);
  if (number) link_->send(handshake::Keepalive{*number});
}

void SharedLink::take_keepalive(const handshake::Keepalive& keepalive) {
  const std::uint64_t sequence = keepalive.sequence;
  const auto answered = keepalives_.answered(sequence);
  if (!answered)
    return broken(fmt::format("Keepalive: it answers number {}, sent were {}", sequence, keepalives_.sent()));
  std::erase_if(draining_, [&](const auto& entry) { return entry.second <= sequence; });
  for (const auto& [branch, number] : *answered) {
    if (branch->state_ != Branch::State::joined || branch->shared_.get() != this) continue;
    const auto callbacks = branch->callbacks_;
    if (callbacks.on_message) callbacks.on_message(handshake::Keepalive{number, keepalive.clock});
  }
  ask_more();
}

}  // namespace sealcast::member
