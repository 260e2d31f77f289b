#include "controlplane/keyserver/group_state.h"

#include <algorithm>

namespace sealcast::keyserver {
namespace {

using handshake::ControlMessage;
using handshake::EpochState;
using handshake::GroupKeying;
using handshake::PeerIdentity;
using std::chrono::milliseconds;

constexpr std::size_t max_floors = 256;         // floors told to a member; 10 bytes each on the wire
constexpr std::size_t max_member_id = 64;       // bytes (SMKE)
constexpr std::chrono::seconds retry_after{5};  // a rekey that the store refused
// A slot's number from which on a new epoch is due: even if every packet had 2^10 AES blocks (16 KiB), the 2^42 blocks
// at which a key must be changed (docs/dataplane.md) would be just reached.
constexpr std::uint64_t rekey_number = std::uint64_t{1} << 32;
constexpr std::chrono::seconds least_rekey_pause{10};  // between rekeys that slots or counters ask for

std::string number(std::uint64_t value) {
  return std::to_string(value);
}

// Between a certificate's serial number and a password's stamp; neither is anything but hexadecimal digits.
constexpr char stamp_mark = '+';

// What `members` and `senders` name.
std::vector<std::string> names_of(const PeerIdentity& member) {
  return member.names.empty() ? std::vector<std::string>{member.name} : member.names;
}

// Slots an epoch can hand out; the wire's slots_used counts them in 16 bits.
std::uint32_t capacity(const Epoch& epoch) {
  return std::min<std::uint32_t>(1U << epoch.policy.spi_slot_bits, 65535);
}

}  // namespace

std::string_view name(Phase phase) {
  switch (phase) {
    case Phase::pending:
      return "pending";
    case Phase::active:
      return "active";
    case Phase::old:
      return "old";
  }
  return "?";
}

PeerIdentity stamped(PeerIdentity identity, const std::string& stamp) {
  if (identity.user.empty()) return identity;
  identity.serial_hex += (identity.serial_hex.empty() ? std::string() : std::string(1, stamp_mark)) + stamp;
  return identity;
}

handshake::GroupPolicy policy_of(const config::KeyserverGroup& config) {
  handshake::GroupPolicy policy;
  policy.selectors = config.selectors;
  policy.esp_mode = config.mode;
  policy.cipher_suite = config.flow.suite;
  policy.replay_window = config.replay_window;
  policy.activation_delay_ms = static_cast<std::uint32_t>(config.activation_delay.count());
  policy.deactivation_delay_ms = static_cast<std::uint32_t>(config.deactivation_delay.count());
  policy.authority_lease_s = static_cast<std::uint32_t>(config.authority_lease.count());
  return policy;
}

GroupState::GroupState(config::KeyserverGroup config, GroupContext& context)
    : config_(std::move(config)), context_(context) {}

GroupState::~GroupState() = default;

std::string GroupState::prefix() const {
  return "group=" + escaped(config_.id) + " ";
}

Epoch* GroupState::find(std::uint64_t epoch) {
  const auto found = std::find_if(epochs_.begin(), epochs_.end(), [&](const Epoch& e) { return e.number == epoch; });
  return found == epochs_.end() ? nullptr : &*found;
}

Epoch* GroupState::in_phase(Phase phase) {
  const auto found = std::find_if(epochs_.begin(), epochs_.end(), [&](const Epoch& e) { return e.phase == phase; });
  return found == epochs_.end() ? nullptr : &*found;
}

Member* GroupState::member_of(const MemberLink& link) {
  const auto found = by_link_.find(&link);
  return found == by_link_.end() ? nullptr : found->second;
}

void GroupState::remove(const std::string& member_id) {
  const auto found = members_.find(member_id);
  if (found == members_.end()) return;
  unseat(found->second);
  by_link_.erase(found->second.link);
  unswitched_.erase(found->second.link);
  members_.erase(found);
}

void GroupState::send_all(const ControlMessage& message) {
  for (auto& [id, member] : members_)
    member.link->deliver(message);
}

void GroupState::warn_of_member(const std::string& line, Moment now) {
  std::uint64_t held_back = 0;
  if (member_lines_.pass(now.steady, &held_back))
    audit_warning(line + (held_back ? " not_logged_before=" + number(held_back) : ""));
}

// ---------------------------------------------------------------- giving an epoch to a member

// What the configuration says; the handshake has verified the chain, the extension, the certificate's groups and the
// password before, and they are looked at again because this is the one place where the group secret leaves.
Result<void> GroupState::admit(const PeerIdentity& member) const {
  const bool by_certificate = config_.uses_certificates();
  const std::string who = (by_certificate ? "certificate " : "user ") + escaped(member.name);
  const auto names = names_of(member);
  if (member.name.empty() || member.name.size() > max_member_id)
    return fail(who + ": expected a name of 1 to 64 bytes, got " + number(member.name.size()));
  if (by_certificate) {
    if (!member.may_decrypt) return fail(who + ": its multicast extension does not allow decryption");
    if (member.groups && std::find(member.groups->begin(), member.groups->end(), config_.id) == member.groups->end())
      return fail(who + ": does not name the group " + escaped(config_.id));
  }
  if (config_.uses_passwords() == member.user.empty())
    return fail(who + (member.user.empty() ? ": gave no password" : ": gave a password where none is wanted"));
  // Both factors belong to one principal; with a password alone the user is the name.
  if (!member.user.empty() && std::find(names.begin(), names.end(), member.user) == names.end())
    return fail(who + ": does not bear the name of user " + escaped(member.user));
  if (!config_.admits(names)) return fail(who + ": not among the members of the group " + escaped(config_.id));
  if (context_.revoked && context_.revoked(names, config_.id)) return fail(who + ": revoked by an operator");
  return {};
}

Result<void> GroupState::stands(const PeerIdentity& member, Moment now) const {
  if (auto admitted = admit(member); !admitted) return admitted;
  if (config_.uses_passwords()) {
    const std::string stamp = member.serial_hex.substr(member.serial_hex.rfind(stamp_mark) + 1);
    if (!context_.password_stands || !context_.password_stands(member.user, stamp))
      return fail("user " + escaped(member.user) + ": removed from the password file, or its password was changed");
  }
  if (!config_.uses_certificates()) return {};
  return context_.recheck(member, config_.id, now.unix_seconds);
}

// The handshake may have begun before the trust store was read again, so the certificate is looked at once more.
Result<GroupKeying> GroupState::issue(const PeerIdentity& member, const std::string& address, Moment now) {
  if (auto good = stands(member, now); !good) return tl::unexpected(good.error());
  on_time(now);
  auto epoch = current(now);
  if (!epoch) return tl::unexpected(epoch.error());
  auto keying = give(**epoch, member, address, 1, now);
  if (!keying) return keying;
  note_holder(member, keying->epoch);
  rekey_when_nearly_used(**epoch, now);
  return keying;
}

// The epoch a newcomer gets: the active one, the pending one while there is no active one, or a new one.
Result<Epoch*> GroupState::current(Moment now) {
  if (Epoch* active = in_phase(Phase::active)) return active;
  if (Epoch* pending = in_phase(Phase::pending)) return pending;
  if (context_.maker) {
    context_.maker->want_epoch(config_.id, 0, "no epoch left");
    return fail(prefix() + "no epoch is there yet; the key servers are asked for one");
  }
  if (!members_.empty()) {
    // The last epoch expired because no newer one could be begun. All must get the next one, not the newcomer alone.
    if (auto begun = rekey("no epoch left", now); !begun) return tl::unexpected(begun.error());
    if (Epoch* pending = in_phase(Phase::pending)) return pending;
  }
  std::vector<std::string> earlier;
  auto begun = begin(now, &earlier);
  if (!begun) return begun;
  if (earlier.empty()) {
    (*begun)->phase = Phase::active;
    audit("epoch_active " + prefix() + "epoch=" + number((*begun)->number) + " why=\"first of the group\"");
    return begun;
  }
  // Somebody may still send under an epoch that this process never knew (it restarted): senders go on until those
  // members are back, or for activation_delay.
  hand_over_ = HandOver{(*begun)->number, now.steady + config_.activation_delay, {earlier.begin(), earlier.end()}};
  audit("epoch_pending " + prefix() + "epoch=" + number((*begun)->number) +
        " why=restart awaited=" + number(earlier.size()));
  return begun;
}

Result<Epoch*> GroupState::begin(Moment now, std::vector<std::string>* earlier_holders) {
  if (epochs_.size() >= max_live_epochs)
    return fail(prefix() + "too many epochs are alive; wait for the oldest to retire");
  auto premaster = context_.vault->take();
  if (!premaster) return tl::unexpected(premaster.error());
  const auto lifetime_s = std::chrono::ceil<std::chrono::seconds>(config_.epoch_lifetime).count();
  auto record = context_.store->begin_epoch({config_.id, context_.spi_range.first, context_.spi_range.last,
                                             context_.slot_bits, now.unix_seconds, now.unix_seconds + lifetime_s});
  if (!record) return tl::unexpected(record.error());
  if (earlier_holders) *earlier_holders = std::move(record->earlier_holders);

  Epoch epoch;
  epoch.number = record->epoch;
  epoch.premaster = std::move(*premaster);
  do {
    context_.random->fill(epoch.premaster->span());
  } while (epoch.premaster->is_zero());  // a member refuses an all-zero one
  epoch.id = handshake::derive_epoch_id(config_.flow.suite,
                                        handshake::derive_group_master(config_.flow.suite, *epoch.premaster));
  epoch.begun = now.steady;
  epoch.expires = now.steady + config_.epoch_lifetime;
  auto& policy = epoch.policy;
  policy = policy_of(config_);
  policy.spi_prefix = record->block.prefix;
  policy.spi_slot_bits = record->block.slot_bits;
  policy.slots_used = 0;
  rekey_at_ = now.steady + config_.epoch_lifetime - config_.activation_delay - config_.deactivation_delay;
  last_rekey_ = now.steady;
  audit("epoch_begun " + prefix() + "epoch=" + number(epoch.number) + " epoch_id=" + to_hex(epoch.id) +
        " spi_prefix=" + number(policy.spi_prefix) + " slot_bits=" + number(policy.spi_slot_bits));
  epochs_.push_back(std::move(epoch));
  return &epochs_.back();
}

// Burns slots and notes the holder on disk, then makes the content of SMKE or GroupUpdate. A sender beyond its quota,
// or beyond the end of the block, still receives.
Result<GroupKeying> GroupState::give(Epoch& epoch, const PeerIdentity& identity, const std::string& address,
                                     std::uint32_t slots_wanted, Moment now) {
  std::uint32_t slots = config_.may_send(names_of(identity)) ? slots_wanted : 0;
  std::uint32_t& granted = epoch.granted[identity.name];
  if (slots && (granted + slots > config_.slots_per_member || epoch.slots_used() + slots > capacity(epoch))) {
    warn_of_member("slots_refused " + prefix() + "member=" + escaped(identity.name) + " epoch=" + number(epoch.number) +
                       " wanted=" + number(slots) + " granted=" + number(granted) +
                       " quota=" + number(config_.slots_per_member) + " used=" + number(epoch.slots_used()) +
                       "; it may only receive",
                   now);
    // Used up by earlier registrations: in a new epoch there are slots for it again.
    if (epoch.phase == Phase::active && granted > 0 && slots <= config_.slots_per_member) rekey_soon(now);
    slots = 0;
  }
  const handshake::Role roles = slots ? handshake::sender_and_receiver : handshake::receiver;
  const auto given = context_.store->issue({config_.id, epoch.number, identity.name, identity.serial_hex, address,
                                            roles, static_cast<std::uint16_t>(slots), now.unix_seconds});
  if (!given) return tl::unexpected(given.error());
  granted += slots;
  epoch.policy.slots_used = given->slots_used;

  GroupKeying keying;
  keying.key_server_id = context_.key_server_id;
  keying.group_id = config_.id;
  keying.epoch = epoch.number;
  keying.state = epoch.phase == Phase::pending ? EpochState::pending : EpochState::active;
  const auto remaining = std::chrono::duration_cast<milliseconds>(epoch.expires - now.steady);
  keying.remaining_ms = static_cast<std::uint64_t>(std::max<milliseconds::rep>(remaining.count(), 0));
  keying.policy = epoch.policy;
  keying.assignment.member_id = identity.name;
  keying.assignment.roles = roles;
  keying.assignment.first_slot = slots ? given->first_slot : std::uint16_t{0};
  keying.assignment.slot_count = static_cast<std::uint16_t>(slots);
  for (const auto& [slot, next] : epoch.floors) {
    if (keying.assignment.floors.size() == max_floors) break;
    keying.assignment.floors.push_back({slot, next});
  }
  keying.premaster = epoch.premaster->clone();
  return keying;
}

void GroupState::note_holder(const PeerIdentity& identity, std::uint64_t epoch) {
  Holder& holder = holders_[{identity.name, identity.serial_hex}];
  holder.identity = identity;
  holder.epoch = std::max(holder.epoch, epoch);
}

// For a GroupUpdate, with as many slots as the member was last given at once: one for each of its sending cores.
Result<GroupKeying> GroupState::keying_for(const Member& member, Epoch& epoch, Moment now) {
  const std::uint32_t slots = member.slots.empty() ? 1 : member.slots.back().count;
  auto keying = give(epoch, member.identity, member.address, slots, now);
  if (!keying)
    audit_error("update_failed " + prefix() + "member=" + escaped(member.identity.name) +
                " epoch=" + number(epoch.number) + " why=" + escaped(keying.error().message));
  return keying;
}

// What keying_for() made, once it is on disk.
void GroupState::tell(Member& member, GroupKeying keying) {
  const auto& assignment = keying.assignment;
  member.roles = assignment.roles;
  if (assignment.slot_count) member.slots.push_back({keying.epoch, assignment.first_slot, assignment.slot_count});
  note_holder(member.identity, keying.epoch);
  // Whatever its phase, Activate follows on its own: only Activate switches a sender.
  keying.state = EpochState::pending;
  member.link->deliver(handshake::GroupUpdate{std::move(keying)});
}

bool GroupState::update(Member& member, Epoch& epoch, Moment now) {
  auto keying = keying_for(member, epoch, now);
  if (!keying) return false;
  tell(member, std::move(*keying));
  return true;
}

// A nearly used block asks for a new epoch.
void GroupState::rekey_when_nearly_used(const Epoch& epoch, Moment now) {
  if (epoch.phase == Phase::active && epoch.slots_used() * 4 >= capacity(epoch) * 3) rekey_soon(now);
}

// Not more often than the pause: many senders in a small block, or one that lies, must not make it go round.
void GroupState::rekey_soon(Moment now) {
  if (hand_over_) return;
  const SteadyTime soonest = std::max(now.steady, last_rekey_ + least_rekey_pause);
  if (!rekey_at_ || *rekey_at_ > soonest) rekey_at_ = soonest;
}

// ---------------------------------------------------------------- members

void GroupState::join(MemberLink& link, const PeerIdentity& identity, const std::string& address, const Given& given,
                      Moment now) {
  if (auto good = stands(identity, now); !good) return turn_out(link, identity, good.error().message);
  if (const auto older = members_.find(identity.name); older != members_.end()) {
    MemberLink* old_link = older->second.link;
    note_departure(older->second, now);
    audit("member_replaced " + prefix() + "member=" + escaped(identity.name) + " old_address=" + older->second.address +
          " address=" + address);
    remove(identity.name);
    old_link->dismiss("a newer connection of the same member");
  }
  Member& member = members_[identity.name];
  member.link = &link;
  by_link_[&link] = &member;
  member.identity = identity;
  member.address = address;
  member.roles = given.roles;
  member.joined = now.steady;
  member.acknowledged = given.epoch;
  if (given.state == EpochState::active) member.activated = given.epoch;
  if (given.slots.count) member.slots.push_back(given.slots);
  audit("member_joined " + prefix() + "member=" + escaped(identity.name) + " address=" + address +
        " carriage=" + std::string(config::name(link.carriage())) + " serial=" + identity.serial_hex +
        " epoch=" + number(given.epoch) + (given.slots.count ? " slot=" + number(given.slots.first) : ""));
  catch_up(member, given, now);
  seat(member, now);
  if (hand_over_ && hand_over_->epoch == given.epoch) {
    hand_over_->awaited.erase(identity.name);
    activate_if_all_acknowledged(now);
  }
  if (!in_phase(Phase::active) && !in_phase(Phase::pending) && !context_.maker) {
    // What it was given is over: everybody else had left meanwhile.
    if (auto begun = rekey("no epoch left", now); !begun) {
      audit_error("rekey_failed " + prefix() + "why=" + escaped(begun.error().message));
      rekey_at_ = now.steady + retry_after;
    }
  }
}

void GroupState::catch_up(Member& member, const Given& given, Moment now) {
  if (Epoch* active = in_phase(Phase::active)) {
    const bool missed = active->number != given.epoch;
    if (missed && !update(member, *active, now)) return;
    if (missed || given.state == EpochState::pending) {
      member.link->deliver(handshake::Activate{config_.id, active->number});
      if (member.sends()) unswitched_.insert(member.link);
    }
  }
  Epoch* pending = in_phase(Phase::pending);
  if (pending && pending->number != given.epoch && update(member, *pending, now) && hand_over_)
    hand_over_->awaited.insert(member.identity.name);
}

void GroupState::leave(const MemberLink& link, Moment now) {
  const Member* member = member_of(link);
  if (!member) return;
  const std::string id = member->identity.name;
  audit("member_left " + prefix() + "member=" + escaped(id) + " address=" + member->address);
  note_departure(*member, now);
  remove(id);
  // A restart's hand-over waits for members to come back, so there is nothing to stop waiting for.
  if (hand_over_ && in_phase(Phase::active)) {
    hand_over_->awaited.erase(id);
    activate_if_all_acknowledged(now);
  }
}

Result<void> GroupState::receive(const MemberLink& link, const ControlMessage& message, Moment now) {
  Member* member = member_of(link);
  if (!member) return fail("not a member of the group any more");
  const auto refuse = [&](const std::string& why) -> Result<void> {
    audit_warning("member_dismissed " + prefix() + "member=" + escaped(member->identity.name) + " why=" + escaped(why));
    leave(link, now);
    return fail(why);
  };
  const auto other_group = [&](const std::string& id) { return id != config_.id; };
  constexpr const char* wrong_group = "a control message for another group than the connection's";

  if (const auto* ack = std::get_if<handshake::GroupUpdateAck>(&message)) {
    if (other_group(ack->group_id)) return refuse(wrong_group);
    if (!find(ack->epoch)) return {};  // retired meanwhile
    member->acknowledged = std::max(member->acknowledged, ack->epoch);
    if (hand_over_ && hand_over_->epoch == ack->epoch) {
      if (hand_over_->announcement) member->missed = 0;
      hand_over_->awaited.erase(member->identity.name);
      activate_if_all_acknowledged(now);
    }
  } else if (const auto* activated = std::get_if<handshake::ActivateAck>(&message)) {
    if (other_group(activated->group_id)) return refuse(wrong_group);
    if (const Epoch* epoch = find(activated->epoch); !epoch || epoch->phase == Phase::pending) return {};
    member->activated = std::max(member->activated, activated->epoch);
    const Epoch* active = in_phase(Phase::active);
    if (!active || member->activated < active->number || unswitched_.erase(&link) == 0 || !unswitched_.empty())
      return {};
    audit("senders_switched " + prefix() + "epoch=" + number(active->number));
    note_exclusion_complete(now);
  } else if (const auto* request = std::get_if<handshake::SlotRequest>(&message)) {
    if (other_group(request->group_id)) return refuse(wrong_group);
    grant(*member, *request, now);
  } else if (const auto* report = std::get_if<handshake::StatusReport>(&message)) {
    if (other_group(report->group_id)) return refuse(wrong_group);
    take_report(*member, *report, now);
  } else if (std::holds_alternative<handshake::Keepalive>(message)) {
    // Receiving it was all: the member is there.
  } else if (const auto* goodbye = std::get_if<handshake::Leave>(&message)) {
    if (other_group(goodbye->group_id)) return refuse(wrong_group);
    leave(link, now);
    if (config_.rekey_on_leave && !epochs_.empty()) rekey_at_ = now.steady;
    return fail("it left the group");
  } else {
    return refuse("a control message that only a key server sends");
  }
  return {};
}

void GroupState::grant(Member& member, const handshake::SlotRequest& request, Moment now) {
  handshake::SlotGrant answer{config_.id, request.epoch, 0, 0, 0};
  Epoch* epoch = find(request.epoch);
  std::string why;
  if (!epoch || epoch->phase == Phase::old) {
    why = "expected the active or the pending epoch";
  } else {
    answer.slots_used = epoch->policy.slots_used;
    std::uint32_t& granted = epoch->granted[member.identity.name];
    if (!member.sends()) {
      why = "a receiver gets no slots";
    } else if (request.count == 0 || granted + request.count > config_.slots_per_member) {
      why = "expected 1 to " + number(config_.slots_per_member - std::min(granted, config_.slots_per_member)) +
            " slots (quota)";
      // As for a newcomer, unless no epoch's quota holds the slot of its registration and these.
      const bool another_would_do = request.count != 0 && request.count < config_.slots_per_member;
      if (epoch->phase == Phase::active && another_would_do) rekey_soon(now);
    } else if (epoch->slots_used() + request.count > capacity(*epoch)) {
      why = "the epoch's slots are used up";
    } else {
      const auto given =
          context_.store->issue({config_.id, epoch->number, member.identity.name, member.identity.serial_hex,
                                 member.address, member.roles, request.count, now.unix_seconds});
      if (given) {
        granted += request.count;
        epoch->policy.slots_used = given->slots_used;
        answer.first_slot = given->first_slot;
        answer.count = request.count;
        answer.slots_used = given->slots_used;
        member.slots.push_back({epoch->number, given->first_slot, request.count});
        audit("slots_granted " + prefix() + "member=" + escaped(member.identity.name) + " epoch=" +
              number(epoch->number) + " first=" + number(given->first_slot) + " count=" + number(request.count));
      } else {
        why = given.error().message;
      }
    }
  }
  if (!answer.count) {
    warn_of_member("slots_refused " + prefix() + "member=" + escaped(member.identity.name) +
                       " epoch=" + number(request.epoch) + " wanted=" + number(request.count) + " why=" + escaped(why),
                   now);
  }
  member.link->deliver(answer);
  if (epoch) rekey_when_nearly_used(*epoch, now);
}

// Counters of slots that are not the reporter's own are ignored: a floor near 2^64 would shut the true sender out.
void GroupState::take_report(Member& member, const handshake::StatusReport& report, Moment now) {
  Epoch* epoch = find(report.epoch);
  if (!epoch) return;
  for (const handshake::SlotCounter& counter : report.own_slots) {
    const std::uint32_t slot = counter.spi - epoch->policy.spi_prefix;
    const bool own = std::any_of(member.slots.begin(), member.slots.end(), [&](const SlotRun& run) {
      return run.epoch == report.epoch && slot >= run.first && slot - run.first < run.count;
    });
    if (!own) {
      warn_of_member("report_ignored " + prefix() + "member=" + escaped(member.identity.name) +
                         " why=\"it reports a slot that is not its own\" spi=" + number(counter.spi),
                     now);
      return;
    }
  }
  for (const handshake::SlotCounter& counter : report.own_slots) {
    auto& floor = epoch->floors[static_cast<std::uint16_t>(counter.spi - epoch->policy.spi_prefix)];
    floor = std::max(floor, counter.next_number);
    if (epoch->phase == Phase::active && counter.next_number >= rekey_number) rekey_soon(now);
  }
  member.report = report;
  member.report->own_slots.clear();
  member.report->own_slots.shrink_to_fit();
  member.reported = now.steady;
}

}  // namespace sealcast::keyserver
