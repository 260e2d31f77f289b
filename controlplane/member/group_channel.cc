// GroupMember once it is connected: what the key server says, what it is told, and what time does.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "controlplane/member/group_member.h"

namespace sealcast::member {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr milliseconds longest_silence{35000};
constexpr milliseconds longest_silence_of_several{12000};  // where another key server can be asked

// Answers renew the lease each third of it, and a next epoch is active a deactivation delay before the last one ends.
// What is later than that is said long before a sender has to stop (LEASE-1).
std::string why_sending_will_stop(const config::MemberGroup& group, const GroupEpochs& epochs, SteadyTime time) {
  const auto active = group.sends() ? epochs.active() : std::nullopt;
  if (!active) return {};
  const auto left = [&](SteadyTime end) {
    return std::chrono::duration_cast<std::chrono::seconds>(std::max<SteadyTime::duration>(end - time, 0s)).count();
  };
  if (epochs.lease_until() - time < epochs.lease() / 2)
    return fmt::format("no key server was heard for half of its authority lease; sending stops in {} s",
                       left(epochs.lease_until()));
  const auto policy = epochs.policy(active->epoch);
  if (policy && active->expires - time < milliseconds(policy->deactivation_delay_ms))
    return fmt::format("no key server made a next epoch; sending stops in {} s", left(active->expires));
  return {};
}

// Files that say which key servers stand may have changed since the handshake (H8). Only that it is revoked ends a
// membership: a clock that is wrong or a list that is late must not (H19).
Result<void> not_revoked(const Bytes& key_server, const Result<handshake::TrustStore>& trust, const std::string& name,
                         std::int64_t unix_now) {
  if (!trust) return {};
  const auto stands = handshake::recheck_key_server(key_server, *trust, name, unix_now);
  if (stands || stands.error().reason != handshake::Reason::certificate_revoked) return {};
  return fail("its certificate was revoked: " + stands.error().detail);
}

void warn_of(clock::ClockEstimates::Outcome clock, const std::string& group, const std::string& server) {
  if (clock == clock::ClockEstimates::Outcome::contradicts)
    spdlog::warn("group \"{}\": {}: its clock contradicts what it said before, and is left out: was a machine asleep?",
                 group, server);
  if (clock == clock::ClockEstimates::Outcome::begun_anew)
    spdlog::warn("group \"{}\": {}: its clock contradicts what it said before for the third time: it is believed",
                 group, server);
}

}  // namespace

// ---------------------------------------------------------------- what the key server says

void GroupMember::on_joined(Joined&& joined) {
  const auto refuse = [this](const std::string& reason) {
    leave_link();
    attempt_failed(server().text() + ": " + reason);
  };
  const handshake::GroupKeying& keying = joined.keying;
  const auto id = handshake::derive_epoch_id(keying.policy.cipher_suite, joined.group_master);
  // After a handshake it was checked before the closing Finished; what other groups hold may have changed since.
  if (const auto good = check_keying(group_, keying, id, context(KeyingSource::smke, keying.policy)); !good) {
    refuse(good.error().message);
    return;
  }
  if (const auto kept = remember(keying.epoch, id); !kept) {
    refuse(kept.error().message);
    return;
  }
  const auto time = around_.world.now();
  // Its Finished covers our random, its GroupUpdate answers our GroupJoin: the key server was there after that, how
  // long ago that ever is.
  epochs_.joined_anew(time);
  keepalives_.joined(link_->greeted(), time);
  epochs_.proven(keepalives_.proven());
  warn_of(epochs_.clock_measured(keying.clock, link_->greeted(), time), group_.id, server().text());
  const auto own = epochs_.apply(keying, joined.group_master, id, time);
  if (!own) {
    refuse(own.error().message);
    return;
  }
  const bool again = status_.joins > 0;
  status_.state = MemberState::joined;
  status_.why.clear();
  status_.keyserver = server().text();
  status_.member_id = keying.assignment.member_id;
  status_.granted = keying.assignment.roles;
  ++status_.joins;
  joined_at_ = time;
  around_.trust.met(group_.keyserver_name, joined.server_leaf);
  judged_with_ = around_.trust.version();
  datagrams_.joined(std::move(joined.server_leaf), keying.policy.cipher_suite);
  report_at_ = time + timing().status_report;
  failures_.clear();
  attempts_.joined();
  spdlog::info("group \"{}\": {} at {} ({}, carriage {}): epoch {} ({}), id {}, {} s left, {} slot(s) of our own",
               group_.id, again ? "joined again" : "joined", server().text(), keying.key_server_id,
               config::name(group_.carriage), keying.epoch,
               keying.state == handshake::EpochState::active ? "active" : "pending", to_hex(id),
               keying.remaining_ms / 1000, own->slots);
  if (group_.sends() && (keying.assignment.roles & handshake::sender) == 0) {
    status_.why = "the key server does not let this member send (senders)";
    spdlog::warn("group \"{}\": {}; what red sends to it is dropped", group_.id, status_.why);
  }
  ask_for_slots(keying.epoch, *own);
  if (keying.state == handshake::EpochState::pending && link_)
    link_->send(handshake::GroupUpdateAck{group_.id, keying.epoch});
  // A key server that restarted does not know the epoch we go on with; told of it, it waits longer for our receivers.
  if (const auto running = epochs_.active(); running && running->epoch < keying.epoch && goes_on_under(*running))
    report(running->epoch);
}

void GroupMember::ask_for_slots(std::uint64_t epoch, const GroupEpochs::Own& own) {
  if (own.wanted == 0 || !link_) return;
  const auto count = static_cast<std::uint16_t>(std::min<std::uint32_t>(own.wanted, 0xffff));
  link_->send(handshake::SlotRequest{group_.id, epoch, count});
}

Result<void> GroupMember::remember(std::uint64_t epoch, const handshake::EpochId& id) {
  return around_.memory.remember(group_.keyserver_name, group_.keyserver_id, group_.id, {epoch, id});
}

void GroupMember::on_message(handshake::ControlMessage&& message) {
  const auto link = link_;  // a handler may leave it
  const auto done = handle(std::move(message));
  if (done || link_ != link) return;
  leave_link();
  lost(server().text() + ": refused what it said: " + done.error().message, true);
}

Result<void> GroupMember::handle(handshake::ControlMessage&& message) {
  const auto ours = [this](const std::string& group_id) -> Result<void> {
    if (group_id == group_.id) return {};
    return fail(fmt::format("expected a message for the group \"{}\", got one for \"{}\"", group_.id, group_id));
  };
  if (const auto* update = std::get_if<handshake::GroupUpdate>(&message)) return handle_update(update->keying);
  if (const auto* activate = std::get_if<handshake::Activate>(&message))
    return ours(activate->group_id).and_then([&] { return handle_activate(activate->epoch); });
  if (const auto* retire = std::get_if<handshake::Retire>(&message))
    return ours(retire->group_id).and_then([&] { return epochs_.retire(retire->epoch); });
  if (const auto* grant = std::get_if<handshake::SlotGrant>(&message))
    return ours(grant->group_id).and_then([&] { return handle_grant(*grant); });
  if (const auto* revoked = std::get_if<handshake::Revoked>(&message)) {
    SEALCAST_TRY(ours(revoked->group_id));
    turned_out(revoked->reason, false);
    return {};
  }
  if (const auto* expired = std::get_if<handshake::Expired>(&message)) {
    SEALCAST_TRY(ours(expired->group_id));
    turned_out(expired->reason, true);
    return {};
  }
  if (const auto* keepalive = std::get_if<handshake::Keepalive>(&message)) return handle_keepalive(*keepalive);
  if (auto* path = std::get_if<handshake::KeyPath>(&message))
    return ours(path->group_id).map([&] { datagrams_.set_path(std::move(path->path)); });
  if (const auto* announce = std::get_if<handshake::Announce>(&message))
    return ours(announce->group_id).map([&] { handle_announce(*announce); });
  return fail("a message that only members send");
}

Result<void> GroupMember::handle_update(const handshake::GroupKeying& keying) {
  SEALCAST_TRY(not_revoked(datagrams_.certificate(), around_.trust.of(around_.settings.member), group_.keyserver_name,
                           around_.world.unix_now()));
  const auto master = handshake::derive_group_master(keying.policy.cipher_suite, keying.premaster);
  const auto id = handshake::derive_epoch_id(keying.policy.cipher_suite, master);
  SEALCAST_TRY(check_keying(group_, keying, id, context(KeyingSource::group_update, keying.policy)));
  if (keying.state == handshake::EpochState::active) {
    SEALCAST_TRY(remember(keying.epoch, id));
  }
  SEALCAST_TRY_ASSIGN(const auto own, epochs_.apply(keying, master, id, around_.world.now()));
  spdlog::info("group \"{}\": next epoch {}, id {}, {} slot(s) of our own", group_.id, keying.epoch, to_hex(id),
               own.slots);
  if (link_) link_->send(handshake::GroupUpdateAck{group_.id, keying.epoch});
  ask_for_slots(keying.epoch, own);
  return {};
}

Result<void> GroupMember::handle_activate(std::uint64_t epoch) {
  // Remembered before it is used: after a crash no older one is accepted (H5).
  const auto live = epochs_.live();
  const auto held =
      std::find_if(live.begin(), live.end(), [&](const LiveEpoch& candidate) { return candidate.epoch == epoch; });
  if (held == live.end()) return fail(fmt::format("Activate: epoch {} is not held", epoch));
  SEALCAST_TRY(remember(epoch, held->epoch_id));
  SEALCAST_TRY_ASSIGN(const auto switched, epochs_.activate(epoch, around_.world.now()));
  if (switched) {
    ++status_.rekeys;
    spdlog::info("group \"{}\": epoch {} is active", group_.id, epoch);
  }
  if (link_) link_->send(handshake::ActivateAck{group_.id, epoch});
  return {};
}

Result<void> GroupMember::handle_grant(const handshake::SlotGrant& grant) {
  if (!epochs_.holds(grant.epoch)) return {};  // retired while the answer was under way
  if (grant.count == 0) {
    log_failure(
        "the key server grants no slots now: the quota is used up (slots_per_member), or it restarted and the "
        "next epoch brings some");
  } else if (grant.count < around_.data_plane.workers()) {
    log_failure(fmt::format(
        "the key server grants {} of {} slots (slots_per_member): new ones are used only if every worker gets one",
        grant.count, around_.data_plane.workers()));
  }
  SEALCAST_TRY(epochs_.grant(grant.epoch, grant.first_slot, grant.count, around_.world.now()));
  return {};
}

Result<void> GroupMember::handle_keepalive(const handshake::Keepalive& keepalive) {
  const auto answer = keepalives_.answered(keepalive.sequence);
  if (!answer.expected)
    return fail(fmt::format("Keepalive: it answers number {}, sent were {}", keepalive.sequence, keepalives_.sent()));
  epochs_.proven(keepalives_.proven());
  if (answer.asked)
    warn_of(epochs_.clock_measured(keepalive.clock, *answer.asked, around_.world.now()), group_.id, server().text());
  return {};
}

// It is lost like any packet where this gateway can't send it: members that it does not reach are told in another way.
void GroupMember::handle_announce(const handshake::Announce& announce) {
  if (!group_.sends()) return;
  if (const auto sent = around_.data_plane.send_sealed(group_.id, announce.packet); !sent)
    log_failure("the key server's rekey datagram was not sent on: " + sent.error().message);
}

void GroupMember::handle_datagram(const GroupDatagram& datagram, SteadyTime time) {
  if (!link_ || status_.state != MemberState::joined) return;
  const auto views = epochs_.views();  // highest first
  const auto policy = views.empty() ? std::nullopt : epochs_.policy(views.front().epoch);
  if (!policy) return;
  const auto keying =
      datagrams_.take(datagram, {views.front().epoch, *policy, status_.member_id}, around_.world.unix_now(), time);
  if (!keying) return;
  if (const auto done = handle_update(*keying); !done) {
    leave_link();
    lost(server().text() + ": refused its rekey datagram: " + done.error().message);
  }
}

// Only what is revoked is wiped: what has expired ends by itself (H19).
void GroupMember::turned_out(const std::string& words, bool expired) {
  std::string reason = words.empty() ? "no reason given" : words;
  std::replace_if(  // it goes into the log
      reason.begin(), reason.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  if (expired) {
    spdlog::error(
        "group \"{}\": {} gives this member no new keys: {}; those that it has stay in use until they end. Make a new "
        "certificate (sealcast pki member), or sign the revocation list anew (sealcast pki crl)",
        group_.id, server().text(), reason);
  } else {
    spdlog::error("group \"{}\": this member was revoked by {}: {}; its keys are wiped", group_.id, server().text(),
                  reason);
    epochs_.retire_all();
  }
  leave_link();
  status_.state = expired ? MemberState::expired : MemberState::revoked;
  status_.why = (expired ? "expired: " : "revoked: ") + reason;
  connect_later(timing().backoff_max);  // it may be admitted again one day
}

// ---------------------------------------------------------------- time

void GroupMember::watch_sending(SteadyTime time) {
  std::string why = why_sending_will_stop(group_, epochs_, time);
  if (!why.empty() && status_.alarm.empty()) {
    ++status_.alarms;
    spdlog::warn("group \"{}\": alarm: {}", group_.id, why);
  } else if (why.empty() && !status_.alarm.empty() && epochs_.active()) {
    spdlog::info("group \"{}\": the alarm is over", group_.id);
  }
  status_.alarm = std::move(why);
}

void GroupMember::poll(SteadyTime time) {
  if (status_.state == MemberState::stopped) return;
  watch_sending(time);
  if (epochs_.expire(time)) {
    log_failure("the epoch expired before the key server made a new one; nothing is sent or received until it does");
    if (status_.state == MemberState::joined) {
      leave_link();
      lost("the epoch expired without a successor");
    }
  }
  if (status_.state != MemberState::joined) return;
  if (std::exchange(judged_with_, around_.trust.version()) != around_.trust.version()) {
    const auto good = not_revoked(datagrams_.certificate(), around_.trust.of(around_.settings.member),
                                  group_.keyserver_name, around_.world.unix_now());
    if (!good) {
      leave_link();
      lost(server().text() + ": " + good.error().message);
      return;
    }
  }
  const auto lease = std::chrono::duration_cast<milliseconds>(epochs_.lease());
  // A handshake may take longer than a short lease; a member that has just joined is asked first.
  const auto silent = time - std::max(keepalives_.proven(), joined_at_);
  const auto patience = group_.keyservers.size() > 1 ? longest_silence_of_several : longest_silence;
  if (silent > std::min(lease * 3 / 4, patience)) {
    abandon_link();
    lost(fmt::format("{}: no answer to anything asked in the last {} ms", server().text(),
                     std::chrono::duration_cast<milliseconds>(silent).count()));
    return;
  }
  if (const bool doubt = epochs_.take_clock_doubt(); doubt || keepalives_.due(time)) ask(time);
  if (status_.state == MemberState::joined && time >= report_at_) {
    report_at_ = time + timing().status_report;
    if (const auto active = epochs_.active(); active && goes_on_under(*active)) report(active->epoch);
    // What was used up may be there again: a key server of a cluster claims more, or another quota holds.
    for (const std::uint64_t epoch : epochs_.refused_slots())
      ask_for_slots(epoch, {0, around_.data_plane.workers()});
  }
}

void GroupMember::ask(SteadyTime time) {
  const auto lease = std::chrono::duration_cast<milliseconds>(epochs_.lease());
  const auto next = time + std::min(timing().keepalive, lease / 3);
  if (const std::uint64_t number = keepalives_.ask(time, next); link_) link_->send(handshake::Keepalive{number});
}

// A sender that has no slots in it any more waits for the one that is pending, and others need not wait for its sake.
bool GroupMember::goes_on_under(const GroupEpochs::View& epoch) const {
  return !group_.sends() || !epoch.own_spis.empty() || epochs_.views().front().epoch == epoch.epoch;
}

void GroupMember::report(std::uint64_t epoch) {
  if (!link_) return;
  handshake::StatusReport out;
  out.group_id = group_.id;
  out.epoch = epoch;
  for (const SaStatistics& sa : around_.data_plane.statistics_of_group(group_.id)) {
    if (sa.epoch != epoch) continue;
    if (sa.outbound) {
      out.sealed += sa.packets;
      out.own_slots.push_back({sa.spi, sa.packets, sa.bytes});
    } else {
      out.opened += sa.packets;
      out.dropped += sa.replays + sa.bad_tags;
    }
  }
  link_->send(out);
}

void GroupMember::take(const DataPlaneEvents& events, SteadyTime time) {
  epochs_.slots_wanted(events.slots_wanted, time);
  for (const GroupDatagram& datagram : events.datagrams)
    if (datagram.group_id == group_.id) handle_datagram(datagram, time);
  for (const CounterLimit& limit : events.counter_limits) {
    if (limit.group_id != group_.id) continue;
    spdlog::warn("group \"{}\": SPI 0x{:08x} of epoch {} is near its volume limit; asking for a rekey", group_.id,
                 limit.spi, limit.epoch);
    if (status_.state == MemberState::joined) report(limit.epoch);
  }
}

void GroupMember::snapshot_resumed() {
  epochs_.forget_own_slots();
  if (!group_.sends() || !link_) return;
  // A handshake under way may hold slots that a twin of this machine holds, too.
  abandon_link();
  lost("this machine was resumed: new slots are needed");
}

}  // namespace sealcast::member
