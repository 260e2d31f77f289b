// GroupState's hand-overs and its time: who may stay, make-before-break, retirement (docs/key-server.md).
#include <algorithm>

#include "controlplane/keyserver/group_state.h"

namespace sealcast::keyserver {
namespace {

using handshake::ControlMessage;
using handshake::GroupKeying;
using handshake::PeerIdentity;
using std::chrono::milliseconds;

constexpr std::chrono::seconds retry_after{5};  // a rekey that the store refused

std::string number(std::uint64_t value) {
  return std::to_string(value);
}

}  // namespace

// ---------------------------------------------------------------- who may stay

void GroupState::recheck_members(Moment now) {
  std::vector<std::pair<MemberLink*, std::string>> out;
  for (const auto& [id, member] : members_)
    if (auto good = stands(member.identity, now); !good) out.emplace_back(member.link, good.error().message);
  for (const auto& [link, why] : out) {
    const PeerIdentity identity = member_of(*link)->identity;
    members_.erase(identity.name);
    if (hand_over_) hand_over_->awaited.erase(identity.name);
    turn_out(*link, identity, why);
  }
}

// link is no member's (any more).
void GroupState::turn_out(MemberLink& link, const PeerIdentity& member, const std::string& why) {
  audit_warning("member_revoked " + prefix() + "member=" + escaped(member.name) + " why=" + escaped(why));
  link.deliver(handshake::Revoked{config_.id, why.substr(0, 200)});
  link.dismiss("revoked");
}

// True if somebody who holds a live epoch, but is not connected, may no longer be a member.
bool GroupState::shut_out_holders(Moment now) {
  bool any = false;
  for (auto holder = holders_.begin(); holder != holders_.end();) {
    const PeerIdentity& identity = holder->second.identity;
    const auto connected = members_.find(identity.name);
    const bool checked = connected != members_.end() && connected->second.identity.serial_hex == identity.serial_hex;
    const auto good = checked ? Result<void>() : stands(identity, now);
    if (!good) {
      any = true;
      audit_warning("holder_shut_out " + prefix() + "member=" + escaped(identity.name) +
                    " epoch=" + number(holder->second.epoch) + " why=" + escaped(good.error().message));
    }
    holder = good ? std::next(holder) : holders_.erase(holder);
  }
  return any;
}

std::chrono::seconds GroupState::shortest_lease() const {
  auto shortest = config_.authority_lease;
  for (const Epoch& epoch : epochs_)
    shortest = std::min(shortest, std::chrono::seconds(epoch.policy.authority_lease_s));
  return shortest;
}

void GroupState::reconfigure(config::KeyserverGroup config, Moment now) {
  config_ = std::move(config);
  const std::size_t before = members_.size();
  recheck_members(now);
  const bool holders_left = shut_out_holders(now);
  if (members_.size() == before && !holders_left) return;
  // Who was shut out holds the present epoch. During a hand-over it may hold the next one too: rekey once that is done.
  if (auto begun = rekey("revocation", now); !begun) rekey_at_ = now.steady + config_.activation_delay;
}

Result<void> GroupState::rekey(const std::string& why, Moment now) {
  on_time(now);
  if (hand_over_)
    return fail(prefix() + "expected no hand-over under way, got one to epoch " + number(hand_over_->epoch));
  recheck_members(now);
  if (members_.empty()) {
    // Nobody to hand over to. The next member to come begins a new epoch.
    while (!epochs_.empty())
      forget(epochs_.front().number);
    rekey_at_.reset();
    audit("epochs_dropped " + prefix() + "why=" + escaped(why + ", no members"));
    return {};
  }
  const auto due = rekey_at_;
  auto begun = begin(now, nullptr);
  if (!begun) return tl::unexpected(begun.error());
  const std::uint64_t epoch = (*begun)->number;
  // One commit for all, not one each: this thread serves everybody else, too (H13). Nobody is told before it is done.
  std::vector<std::pair<Member*, GroupKeying>> updates;
  auto noted = context_.store->begin_batch();
  if (noted) {
    for (auto& [id, member] : members_)
      if (auto keying = keying_for(member, **begun, now)) updates.emplace_back(&member, std::move(*keying));
    noted = context_.store->end_batch();
  }
  if (!noted) {
    forget(epoch);
    rekey_at_ = due;
    return noted;
  }
  hand_over_ = HandOver{epoch, now.steady + config_.activation_delay, {}};
  for (auto& [member, keying] : updates) {
    hand_over_->awaited.insert(member->identity.name);
    tell(*member, std::move(keying));
  }
  audit("rekey_begun " + prefix() + "epoch=" + number(epoch) + " why=" + escaped(why) +
        " members=" + number(hand_over_->awaited.size()));
  return {};
}

void GroupState::activate_if_all_acknowledged(Moment now) {
  if (hand_over_ && hand_over_->awaited.empty()) activate(now);
}

void GroupState::activate(Moment now) {
  const std::uint64_t number_now = hand_over_->epoch;
  const std::size_t missing = hand_over_->awaited.size();
  hand_over_.reset();
  for (Epoch& epoch : epochs_) {
    if (epoch.phase == Phase::active) {
      epoch.phase = Phase::old;
      epoch.retire_at = now.steady + milliseconds(epoch.policy.deactivation_delay_ms);
    } else if (epoch.number == number_now) {
      epoch.phase = Phase::active;
    }
  }
  senders_acknowledged_ = false;
  audit("epoch_active " + prefix() + "epoch=" + number(number_now) + " unacknowledged=" + number(missing));
  send_all(handshake::Activate{config_.id, number_now});
}

void GroupState::forget(std::uint64_t epoch) {
  if (auto retired = context_.store->retire(config_.id, epoch); !retired)
    audit_error("retire_failed " + prefix() + "epoch=" + number(epoch) + " why=" + escaped(retired.error().message));
  for (auto& [id, member] : members_) {
    auto& slots = member.slots;
    // The last run stays: it tells how many slots the member's next epoch needs.
    for (auto run = slots.begin(); run != slots.end() && slots.size() > 1;)
      run = run->epoch == epoch ? slots.erase(run) : run + 1;
  }
  std::erase_if(holders_, [&](const auto& entry) { return entry.second.epoch == epoch; });
  epochs_.erase(std::find_if(epochs_.begin(), epochs_.end(), [&](const Epoch& e) { return e.number == epoch; }));
}

void GroupState::begin_anew(const std::string& why) {
  const auto leaving = std::exchange(members_, {});
  hand_over_.reset();
  rekey_at_.reset();
  holders_.clear();
  epochs_.clear();  // not retired in the store: members go on under them until they are back
  audit_warning("epochs_dropped " + prefix() + "why=" + escaped(why));
  for (const auto& [id, member] : leaving)
    member.link->dismiss(why);
}

void GroupState::on_time(Moment now) {
  if (hand_over_ && hand_over_->deadline <= now.steady) activate(now);
  std::vector<std::uint64_t> over;
  for (const Epoch& epoch : epochs_) {
    const bool retired = epoch.phase == Phase::old && epoch.retire_at <= now.steady;
    if (retired || epoch.expires <= now.steady) over.push_back(epoch.number);
  }
  for (const std::uint64_t epoch : over) {
    const Phase phase = find(epoch)->phase;
    audit("epoch_retired " + prefix() + "epoch=" + number(epoch));
    if (phase == Phase::active)
      audit_error("epoch_expired " + prefix() + "epoch=" + number(epoch) + " why=\"no newer epoch took over in time\"");
    send_all(handshake::Retire{config_.id, epoch});
    if (hand_over_ && hand_over_->epoch == epoch) hand_over_.reset();
    forget(epoch);
  }
  if (rekey_at_ && *rekey_at_ <= now.steady && !hand_over_) {
    rekey_at_.reset();
    if (epochs_.empty() && members_.empty()) return;
    if (auto begun = rekey("lifetime or slots", now); !begun) {
      audit_error("rekey_failed " + prefix() + "why=" + escaped(begun.error().message));
      rekey_at_ = now.steady + retry_after;
    }
  }
}

std::optional<SteadyTime> GroupState::next_deadline() const {
  std::optional<SteadyTime> next;
  const auto at = [&](SteadyTime time) {
    if (!next || time < *next) next = time;
  };
  if (hand_over_) at(hand_over_->deadline);
  if (rekey_at_ && !hand_over_) at(*rekey_at_);
  for (const Epoch& epoch : epochs_)
    at(epoch.phase == Phase::old ? std::min(epoch.retire_at, epoch.expires) : epoch.expires);
  return next;
}

}  // namespace sealcast::keyserver
