// What is asked of a running key server: rekeys, revocations, a new configuration.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/key_server_impl.h"

namespace sealcast::keyserver {

Result<void> KeyServer::Impl::rekey(const std::string& group_id) {
  notice_resume();
  GroupState* group = find_group_state(group_id);
  if (!group) return fail("expected a group of this key server, got " + escaped(group_id));
  if (!serving()) return fail("this key server does not serve (see its status): ask again soon, or ask another one");
  auto begun = group->rekey("asked for", now());
  group_changed(*group);
  return begun;
}

Result<void> KeyServer::Impl::read_revocations() {
  auto all = context_.store->revocations();
  if (!all) return tl::unexpected(all.error());
  revocations_ = std::move(*all);
  return {};
}

bool KeyServer::Impl::anybody_revoked_in(const std::string& group_id) const {
  return std::any_of(revocations_.begin(), revocations_.end(), [&](const store::Revocation& revocation) {
    return revocation.group_id.empty() || revocation.group_id == group_id;
  });
}

// Of a cluster: what etcd says of revocations was read, for the first time or because it changed. What this process has
// not acted upon yet it does now. After a restart that is all of them: whether the process before came to ask for a new
// epoch, and which senders it still waited for, is not known (H11). An epoch is made only where none is newer.
void KeyServer::Impl::act_on_revocations() {
  const std::set<store::Revocation> before(revocations_.begin(), revocations_.end());
  if (auto read = read_revocations(); !read) return;
  std::vector<store::Revocation> fresh;
  for (const store::Revocation& revocation : revocations_) {
    if (acted_upon_.count(revocation) != 0) continue;
    if (before.count(revocation) == 0)
      audit(Event("revoked", {{"member", revocation.member_id}, {"elsewhere", Word{"yes"}}}));
    fresh.push_back(revocation);
  }
  acted_upon_ = {revocations_.begin(), revocations_.end()};
  const bool first = !std::exchange(looked_back_, true);
  for (const auto& [id, group] : groups_)
    act_on(fresh, id, *group, first);
}

// Of one group. looks_back: this process did not have it before.
void KeyServer::Impl::act_on(const std::vector<store::Revocation>& fresh, const std::string& id, Group& group,
                             bool looks_back) {
  // A member that was turned away by what has changed may hold all that there is.
  const std::string before = looks_back ? seat_->standing(id) : "";
  std::size_t count = 0;
  std::uint64_t held = 0;
  for (const store::Revocation& revocation : fresh) {
    if (!revocation.group_id.empty() && revocation.group_id != id) continue;
    held = std::max(held, seat_->highest_before(revocation, id));
    ++count;
  }
  if (!before.empty() && before != group.standing) {
    audit(Event("standing_changed", {{"group", id}, {"why", "since this key server last had the group"}}));
    group.state.shut_out(now());
  } else if (count > 0) {
    group.state.shut_out(now(), held, count == 1);
  }
  group_changed(group.state);
}

// What this process has done for its groups need not be done again by the next one.
void KeyServer::Impl::note_standing() {
  if (!seat_ || !looked_back_ || !seat_->serving()) return;
  std::map<std::string, std::string> done;
  for (const auto& [id, group] : groups_)
    if (const auto exclusion = group->state.exclusion(now()); !exclusion || exclusion->complete)
      done[id] = group->standing;
  seat_->note_standing(done);
}

Result<void> KeyServer::Impl::check_revocation(const std::string& member, const std::optional<std::string>& group_id) {
  if (!running_) return fail("the key server is not running");
  if (member.empty() || member.size() > 64)
    return fail("expected a member's name of 1 to 64 bytes, got " + std::to_string(member.size()) + " bytes");
  if (group_id && !find_group_state(*group_id))
    return fail("expected a group of this key server, got " + escaped(*group_id));
  return {};
}

Result<void> KeyServer::Impl::revoke(const std::string& member, const std::optional<std::string>& group_id) {
  if (auto good = check_revocation(member, group_id); !good) return good;
  notice_resume();
  if (auto noted = context_.store->revoke({member, group_id.value_or(""), now().unix_seconds}); !noted) return noted;
  if (auto read = read_revocations(); !read) return read;
  for (const store::Revocation& revocation : revocations_)
    if (revocation.member_id == member && revocation.group_id == group_id.value_or("")) acted_upon_.insert(revocation);
  audit(Event("revoked", {{"member", member}, group_field(group_id)}));
  for (auto& [id, group] : groups_) {
    if (group_id && *group_id != id) continue;
    group->state.shut_out(now(), {}, true);
    group_changed(group->state);
  }
  return {};
}

Result<void> KeyServer::Impl::reinstate(const std::string& member, const std::optional<std::string>& group_id) {
  if (auto good = check_revocation(member, group_id); !good) return good;
  const auto removed = context_.store->reinstate(member, group_id.value_or(""));
  if (!removed) return tl::unexpected(removed.error());
  if (!*removed)
    return fail(escaped(member) + " is not revoked " + (group_id ? "in group " + escaped(*group_id) : "in all groups"));
  audit(Event("reinstated", {{"member", member}, group_field(group_id)}));
  return read_revocations();
}

std::string KeyServer::Impl::revocations_json() const {
  std::vector<const GroupState*> states;
  for (const auto& [id, group] : groups_)
    states.push_back(&group->state);
  return keyserver::revocations_json(revocations_, states, now());
}

Result<void> KeyServer::Impl::reload(const config::KeyserverConfig& config) {
  if (!running_) return fail("the key server is not running");
  const std::string fixed = changed_for_good(config_, config);
  if (!fixed.empty())
    return fail(fixed + " can't change while the key server runs; restart it. Nothing was taken over");
  const auto slot_bits = config::spi_slot_bits(config.spi_range, config.groups.size());
  if (!slot_bits) return fail("keyserver.spi_range is too small for the new groups. Nothing was taken over");
  if (config.crl) crl_file_.changed(*config.crl);  // it is read now; what comes later is noticed
  auto credentials = load_credentials(config);
  if (!credentials) return fail(credentials.error().message + ". Nothing was taken over");
  auto passwords = load_passwords(config);
  if (!passwords) return fail(passwords.error().message + ". Nothing was taken over");

  users_digest_ = *passwords ? (*passwords)->digest() : "";
  const std::string before = std::exchange(trust_, credentials->trust + users_digest_);
  const bool same_trust = trust_ == before;
  use(std::move(credentials->server));
  if (*passwords) gate_->use(std::move(**passwords));
  config_ = config;
  context_.slot_bits = *slot_bits;
  remove_groups();
  for (const auto& group : config_.groups) {
    if (GroupState* state = find_group_state(group.id)) {
      // Among several key servers none knows all holders, so what may shut a member out takes a new epoch. That
      // another group came or went is no such thing.
      groups_[group.id]->standing = standing_of(trust_, group);
      if (seat_ && same_trust && state->config() == group && !state->any_holder_invalid(now())) continue;
      state->reconfigure(group, now());
      group_changed(*state);
    } else {
      add_group(group);
      go_on_revoking(group.id);
      if (seat_) seat_->group_added(group.id);
    }
  }
  audit(Event("reloaded", {{"id", config_.id}, {"groups", groups_.size()}}));
  return {};
}

// Those that the configuration lacks. Their members are sent away and their secrets wiped; what the store knows of them
// stays: should they come back, no number of theirs is given out again (H9).
void KeyServer::Impl::remove_groups() {
  for (auto it = groups_.begin(); it != groups_.end();) {
    const auto configured = std::any_of(config_.groups.begin(), config_.groups.end(),
                                        [&](const auto& group) { return group.id == it->first; });
    if (configured) {
      ++it;
      continue;
    }
    audit(Event("group_removed", {{"group", it->first}}));
    GroupState& state = it->second->state;
    state.begin_anew("the group was removed", now());
    if (const auto until = state.senders_go_on_until(now())) removed_[it->first] = *until;
    it = groups_.erase(it);
  }
  std::erase_if(removed_, [&](const auto& entry) { return entry.second <= now().steady; });
}

// A group that is new here. It may have been removed a moment ago: senders go on with what they have, and a member that
// was revoked may have it, too. In a cluster it may have been there all the time, with epochs from before a revocation.
void KeyServer::Impl::go_on_revoking(const std::string& group_id) {
  Group& group = *groups_.at(group_id);
  const auto found = removed_.find(group_id);
  const bool was_here = found != removed_.end();
  if (was_here) {
    group.state.await_senders(found->second, now());
    removed_.erase(found);
  }
  if (seat_ && looked_back_)
    act_on(revocations_, group_id, group, true);
  else if (was_here && anybody_revoked_in(group_id))
    group.state.shut_out(now());
  group_changed(group.state);
}

}  // namespace sealcast::keyserver
