#include "controlplane/keyserver/group/resumption.h"

#include <algorithm>

#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/group/epoch_keeper.h"

namespace sealcast::keyserver {
namespace {

using std::chrono::milliseconds;

}  // namespace

void Resumption::keep(const Epoch& epoch, Moment now) {
  if (!context_.keeper) return;
  const auto seconds = [](SteadyTime::duration time) {
    return std::chrono::duration_cast<std::chrono::seconds>(time).count();
  };
  const EpochKeeper::Times times{now.unix_seconds - seconds(now.steady - epoch.begun),
                                 now.unix_seconds + seconds(epoch.expires - now.steady)};
  if (auto kept =
          context_.keeper->keep(config_.id, epoch.number, times, {epoch.policy, epoch.premaster->clone(), epoch.zero});
      !kept)
    audit_error(
        Event("epoch_not_kept", {{"group", config_.id}, {"epoch", epoch.number}, {"why", kept.error().message}}));
}

void Resumption::drop() {
  if (!context_.keeper) return;
  if (auto dropped = context_.store->drop_kept(config_.id); !dropped)
    audit_error(Event("kept_epoch_not_dropped", {{"group", config_.id}, {"why", dropped.error().message}}));
}

std::optional<Resumption::Resumed> Resumption::resume(Moment now) {
  if (!context_.keeper) return {};
  auto found = context_.keeper->take_up(config_.id, now.unix_seconds);
  if (found && !*found) {
    if (context_.started)
      audit(Event("epoch_not_taken_up",
                  {{"group", config_.id}, {"why", "none is kept: none was active, or a hand-over was under way"}}));
    return {};
  }
  Resumed resumed;
  const auto why_not = found ? check(std::move(**found), resumed, now) : found.error().message;
  if (why_not.empty()) return resumed;
  audit_warning(Event("epoch_not_taken_up", {{"group", config_.id}, {"why", why_not}}));
  drop();
  return {};
}

std::string Resumption::check(EpochKeeper::Found&& found, Resumed& out, Moment now) {
  handshake::GroupPolicy& policy = found.content.policy;
  const std::uint64_t last_spi = policy.spi_prefix + (std::uint64_t{1} << policy.spi_slot_bits) - 1;
  if (!equal_except_spis(policy, policy_of(config_)) || policy.spi_slot_bits != context_.slot_bits ||
      policy.spi_prefix < context_.spi_range.first || last_spi > context_.spi_range.last)
    return "the configuration has changed";
  if (context_.clock && found.content.zero.clock_id != context_.clock->read().clock_id)
    return "the group clock is another one now: the machine was started or resumed meanwhile";
  const milliseconds delays(policy.activation_delay_ms + policy.deactivation_delay_ms);
  const std::chrono::seconds left(found.times.expires - now.unix_seconds);
  if (left < restart_patience + delays || left > config_.epoch_lifetime + restart_patience)
    return "expected one that lasts for some time yet, got one with " + std::to_string(left.count()) + " s left";
  if (found.holders.empty()) return "no member was given it";
  FromBefore before{found.number, now.steady + restart_patience, {}, {}};
  for (const EpochKeeper::Holder& holder : found.holders) {
    if (const auto verdict = admission_.judge(holder.identity, now); verdict.standing == Standing::shut_out)
      return "a holder is not valid any more: " + verdict.why;
    if (!holder.runs.empty() && !admission_.may_send(holder.identity))
      return "a holder of slots may not send any more: " + holder.identity.name;
    out.holders.push_back(holder.identity);
    for (const auto& [first, count] : holder.runs)
      before.slots[holder.identity.name].push_back({found.number, first, count});
  }
  auto premaster = context_.vault->keep(found.content.premaster);
  if (!premaster) return premaster.error().message;
  Epoch& epoch = out.epoch;
  epoch.number = found.number;
  epoch.phase = Phase::active;
  epoch.policy = std::move(policy);
  epoch.zero = found.content.zero;
  epoch.premaster = std::move(*premaster);
  epoch.id = id_of(epoch);
  epoch.begun = now.steady - std::chrono::seconds(std::max<std::int64_t>(now.unix_seconds - found.times.begun, 0));
  epoch.expires = now.steady + left;
  audit(Event("epoch_taken_up", {{"group", config_.id},
                                 {"epoch", epoch.number},
                                 {"epoch_id", Word{to_hex(epoch.id)}},
                                 {"spi_prefix", epoch.policy.spi_prefix},
                                 {"holders", out.holders.size()}}));
  from_before_ = std::move(before);
  return {};
}

std::vector<SlotRun> Resumption::slots_of(const std::string& member) const {
  if (!from_before_) return {};
  const auto known = from_before_->slots.find(member);
  return known == from_before_->slots.end() ? std::vector<SlotRun>() : known->second;
}

bool Resumption::anybody_sends(const Members& members) const {
  return from_before_ && std::any_of(members.begin(), members.end(), [&](const auto& entry) {
           return from_before_->slots.contains(entry.first) && !from_before_->without_slots.contains(entry.first);
         });
}

void Resumption::retired(std::uint64_t epoch) {
  if (is_resumed(epoch)) from_before_.reset();
}

}  // namespace sealcast::keyserver
