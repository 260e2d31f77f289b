// Session's groups after the handshake's own: a member asks for them over the same connection (GroupJoin,
// docs/protocol.md "Further groups on a connection"). Every rule is the group's, as at a handshake; here is only whose
// turn it is.
#include <algorithm>

#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/connection/session.h"

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_asked = 64;          // GroupJoins that wait; each costs a line on disk (H13)
constexpr auto one_group_interval = 20ms;       // one control message of a member in that time, beside its burst (H13)
constexpr std::size_t messages_per_group = 6;   // more at once, with each further group
constexpr std::size_t output_per_group = 4096;  // bytes: a GroupUpdate with every floor, and what follows it

}  // namespace

// A member needs few messages for each of its groups; one that sends thousands keeps the others waiting.
bool Session::within_budget() {
  const auto now = host_->now().steady;
  const std::size_t further = groups_.empty() ? 0 : groups_.size() - 1;
  // 50 a second, and one in two seconds for each further group: that is its status report, and some more.
  const auto interval = std::chrono::nanoseconds(one_group_interval) * 100 / (100 + static_cast<long>(further));
  const auto burst = host_->control_burst() / one_group_interval + static_cast<long>(messages_per_group * further);
  control_used_ = std::max(control_used_, now) + interval;
  if (control_used_ - now <= interval * burst) return true;
  give_up("too many control messages");
  return false;
}

std::size_t Session::most_output() const {
  return host_->max_output_bytes() + output_per_group * (groups_.empty() ? 0 : groups_.size() - 1);
}

// Four times in the shortest lease of its groups.
void Session::wait_for_keepalive() {
  keepalive_every_ = host_->longest_keepalive();
  for (const std::string& id : groups_)
    if (const GroupState* group = host_->find_group_state(id))
      keepalive_every_ = std::min(keepalive_every_, std::chrono::milliseconds(group->shortest_lease()) / 4);
  wait_for(keepalive_every_, &Session::keepalive);
}

void Session::give_up(const std::string& why) {
  audit_warning(Event("connection_closed", {{"address", Word{address_}}, {"why", why}}));
  leave_groups();
  linger();
}

void Session::take_control(const handshake::ControlMessage& message) {
  if (!listening() || groups_.empty()) return;
  if (const auto* join = std::get_if<handshake::GroupJoin>(&message)) return ask(join->group_id);
  const std::string& named = *handshake::group_of(message);
  const bool leaving = std::holds_alternative<handshake::Leave>(message);
  if (leaving && std::erase(asked_further_, named) != 0) return;
  // What is about no group of this connection is refused by any of them. A further group may have been refused before
  // its Leave came.
  const bool ours = groups_.count(named) != 0;
  if (leaving && !ours && further_groups_) return;
  const std::string id = ours ? named : *groups_.begin();
  GroupState* group = host_->find_group_state(id);
  if (!group) return;
  const auto handled = group->receive(*this, message, host_->now());
  host_->group_changed(*group);
  if (handled) return;
  groups_.erase(id);  // it has forgotten this connection
  if (leaving && ours && !groups_.empty()) return;
  leave_groups();
  linger();
}

void Session::ask(const std::string& group_id) {
  further_groups_ = true;
  if (groups_.count(group_id) ||
      std::find(asked_further_.begin(), asked_further_.end(), group_id) != asked_further_.end())
    return give_up("GroupJoin for " + group_id + ", which it is in or has asked for already");
  if (asked_further_.size() >= most_asked)
    return deliver(handshake::GroupRefused{group_id, handshake::Refusal::come_again});
  asked_further_.push_back(group_id);
  go_on_joining();
}

// One group in a turn, so that the other connections have theirs; those that are only served first (H13).
void Session::go_on_joining() {
  if (joining_ || asked_further_.empty()) return;
  joining_ = true;
  slots_by_ = {};
  host_->turns().wait_further([self = shared_from_this()] { self->join_next(); });
}

void Session::join_next() {
  if (listening() && host_ && !asked_further_.empty()) {
    const SteadyTime now = host_->now().steady;
    if (slots_by_ == SteadyTime{}) slots_by_ = now + longest_wait_for_slots;
    if (now < slots_by_ &&
        host_->wait_for_slots(asked_further_.front(), [self = shared_from_this()] { self->join_next(); }))
      return;
    const std::string id = std::move(asked_further_.front());
    asked_further_.erase(asked_further_.begin());
    join_further(id);
  }
  joining_ = false;
  if (listening() && host_) go_on_joining();
}

void Session::join_further(const std::string& group_id) {
  host_->notice_resume();
  if (!listening() || groups_.empty()) return;  // that has ended the connection
  const auto refuse = [&](handshake::Refusal why, const std::string& detail) {
    host_->handshake_failed("group_join_refused", address_, detail);
    deliver(handshake::GroupRefused{group_id, why});
  };
  using enum handshake::Refusal;
  const GroupState* first = host_->find_group_state(*groups_.begin());
  const handshake::PeerIdentity* proved = first ? first->identity_of(*this) : nullptr;
  GroupState* group = host_->find_group_state(group_id);
  if (!proved || !host_->serving()) return refuse(come_again, "cut off");
  if (!group) return refuse(refused, "no group " + escaped(group_id));
  if (!(group->config().flow == flow_))
    return refuse(refused, "group " + escaped(group_id) + " is not keyed as this connection was");
  const handshake::PeerIdentity member = *proved;
  if (auto good = group->may_join(member, host_->now()); !good) return refuse(refused, good.error().message);
  auto keying = group->issue(member, address_, host_->now());
  host_->group_changed(*group);
  if (!keying) return refuse(come_again, keying.error().message);
  const auto& assignment = keying->assignment;
  const Given given{
      keying->epoch, keying->state, assignment.roles, {keying->epoch, assignment.first_slot, assignment.slot_count}};
  audit(Event("key_sent",
              {{"group", group_id}, {"member", member.name}, {"epoch", keying->epoch}, {"address", Word{address_}}}));
  deliver(handshake::GroupUpdate{std::move(*keying)});
  if (phase_ != State::joined) return;
  groups_.insert(group_id);
  group->join(*this, member, address_, given, host_->now());
  host_->group_changed(*group);
  // Only if its lease is shorter: whoever joins again and again must not put off what the others are told.
  if (listening() && std::chrono::milliseconds(group->shortest_lease()) / 4 < keepalive_every_) wait_for_keepalive();
}

}  // namespace sealcast::keyserver
