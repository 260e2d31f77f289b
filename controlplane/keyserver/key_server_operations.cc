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

// Of a cluster: what etcd says of revocations was read, for the first time or because it changed. What this process has
// not acted upon yet it does now (H11). An epoch is made only where none is newer.
void KeyServer::Impl::act_on_revocations() {
  const auto known = revocations_.all();
  if (auto read = revocations_.read(*context_.store); !read) return;
  const auto fresh = revocations_.take_fresh();
  for (const store::Revocation& revocation : fresh)
    if (std::find(known.begin(), known.end(), revocation) == known.end())
      audit(Event("revoked", {{"member", revocation.member_id}, {"elsewhere", Word{"yes"}}}));
  const bool first = !std::exchange(looked_back_, true);
  for (const auto& [id, group] : groups_.all())
    act_on(fresh, *group, first);
}

// Of one group. looks_back: this process did not have it before.
void KeyServer::Impl::act_on(const std::vector<store::Revocation>& fresh, HostedGroups::Hosted& group,
                             bool looks_back) {
  const std::string& id = group.state.config().id;
  ClusterSeat& seat = *persistence_.seat();
  // A member that was turned away by what has changed may hold all that there is.
  const std::string before = looks_back ? seat.standing(id) : "";
  std::size_t count = 0;
  std::uint64_t held = 0;
  for (const store::Revocation& revocation : fresh) {
    if (!revocation.group_id.empty() && revocation.group_id != id) continue;
    held = std::max(held, seat.highest_before(revocation, id));
    ++count;
  }
  if (!before.empty() && before != group.standing) {
    audit(Event("standing_changed", {{"group", id}, {"why", "since this key server last had the group"}}));
    group.state.shut_out(now());
  } else if (count > 0) {
    group.state.shut_out(now(), held, count == 1);
  }
  groups_.changed(group.state);
}

// What this process has done for its groups need not be done again by the next one.
void KeyServer::Impl::note_standing() {
  ClusterSeat* const seat = persistence_.seat();
  if (!seat || !looked_back_ || !seat->serving()) return;
  std::map<std::string, std::string> done;
  for (const auto& [id, group] : groups_.all())
    if (const auto exclusion = group->state.exclusion(now()); !exclusion || exclusion->complete)
      done[id] = group->standing;
  seat->note_standing(done);
}

Result<void> KeyServer::Impl::check_revocation(const std::string& member, const std::optional<std::string>& group_id) {
  if (!started_) return fail("the key server is not running");
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
  if (auto read = revocations_.read(*context_.store); !read) return read;
  revocations_.acted_upon(member, group_id.value_or(""));
  audit(Event("revoked", {{"member", member}, group_field(group_id)}));
  for (const auto& [id, group] : groups_.all()) {
    if (group_id && *group_id != id) continue;
    group->state.shut_out(now(), {}, true);
    groups_.changed(group->state);
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
  return revocations_.read(*context_.store);
}

Result<void> KeyServer::Impl::unlock(const std::string& user) {
  PasswordGate* const passwords = credentials_.passwords();
  if (!passwords) return fail("no group of this key server uses passwords");
  if (!passwords->unlock(user)) return fail("no wrong password was tried for the user " + escaped(user));
  audit(Event("password_unlocked", {{"user", user}}));
  return {};
}

std::set<std::string> KeyServer::Impl::known_names(const std::optional<std::string>& group_id) const {
  std::set<std::string> names;
  const auto add = [&](const handshake::PeerIdentity& identity) {
    names.insert(identity.name);
    names.insert(identity.names.begin(), identity.names.end());
  };
  for (const GroupState* group : groups_.states()) {
    const config::KeyserverGroup& config = group->config();
    if (group_id && *group_id != config.id) continue;
    names.insert(config.members.begin(), config.members.end());
    names.insert(config.senders.begin(), config.senders.end());
    for (const auto& [id, member] : group->members())
      add(member.identity);
    for (const auto& [id, holder] : group->holders())
      add(holder.identity);
    if (!persistence_.seat()) continue;
    for (const auto& [server, list] : persistence_.seat()->node().group_status(config.id).elsewhere)
      for (const auto& [name, attendee] : list)
        names.insert(name);
  }
  if (const PasswordGate* const passwords = credentials_.passwords()) passwords->add_users(names);
  for (const store::Revocation& revocation : revocations_.all())
    names.insert(revocation.member_id);
  for (const char* no_name : {"", "*"})
    names.erase(no_name);
  return names;
}

admin::Revocations KeyServer::Impl::revocations() const {
  return revocations_status(revocations_.all(), status_input(), now().steady);
}

Result<void> KeyServer::Impl::accept_clock() {
  if (!started_) return fail("the key server is not running");
  return clocks_.accept();
}

Result<void> KeyServer::Impl::reload(const config::KeyserverConfig& config) {
  if (!started_) return fail("the key server is not running");
  const std::string fixed = changed_for_good(config_, config);
  if (!fixed.empty())
    return fail(fixed + " can't change while the key server runs; restart it. Nothing was taken over");
  const auto slot_bits = config::spi_slot_bits(config.spi_range, config.groups.size());
  if (!slot_bits) return fail("keyserver.spi_range is too small for the new groups. Nothing was taken over");
  auto credentials = credentials_.load(config);
  if (!credentials) return fail(credentials.error().message + ". Nothing was taken over");

  const bool same_trust = credentials_.use(std::move(*credentials));
  ClusterSeat* const seat = persistence_.seat();
  config_ = config;
  connections_->note_limit();
  clocks_.set_tolerance(config_.clock_tolerance);
  context_.slot_bits = *slot_bits;
  groups_.remove_all_but(config_.groups, now());
  for (const auto& group : config_.groups) {
    HostedGroups::Hosted* const known = groups_.find(group.id);
    if (!known) {
      add_group(group);
      if (seat) seat->group_added(group.id);
      continue;
    }
    // Among several key servers none knows all holders, so what may shut a member out takes a new epoch. That another
    // group came or went is no such thing.
    known->standing = credentials_.standing(group);
    GroupState& state = known->state;
    if (seat && same_trust && state.config() == group && !state.look_again(now())) continue;
    state.reconfigure(group, now());
    groups_.changed(state);
  }
  audit(Event("reloaded", {{"id", config_.id}, {"groups", groups_.size()}}));
  return {};
}

// A group that is new here. It may have been removed a moment ago: senders go on with what they have, and a member that
// was revoked may have it, too. In a cluster it may have been there all the time, with epochs from before a revocation.
void KeyServer::Impl::add_group(const config::KeyserverGroup& config) {
  HostedGroups::Hosted& group = groups_.add(config, credentials_.standing(config));
  const auto senders_until = groups_.take_removed(config.id);
  if (senders_until) group.state.await_senders(*senders_until, now());
  if (persistence_.seat() && looked_back_)
    act_on(revocations_.all(), group, true);
  else if (senders_until && revocations_.any_in(config.id))
    group.state.shut_out(now());
  groups_.changed(group.state);
}

}  // namespace sealcast::keyserver
