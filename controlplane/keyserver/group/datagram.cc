// GroupState's rekeying by datagram: receivers are leaves of a key tree, and one signed datagram, sealed for the
// present epoch and sent out by a sender's gateway, tells all of them the next one (docs/protocol.md "Rekeying by
// datagram"). Senders are told over their own connections, since each needs slots of its own.
#include <algorithm>

#include "controlplane/keyserver/group/announcement.h"
#include "controlplane/keyserver/group/group_state.h"

namespace sealcast::keyserver {
namespace {

using handshake::GroupKeying;
using std::chrono::milliseconds;

constexpr unsigned copies = 3;
constexpr milliseconds least_activation_delay{400};  // as the configuration's check has it
constexpr std::chrono::seconds valid_for{300};  // between clocks that differ; the epochs' numbers bound it far tighter
constexpr unsigned most_missed = 3;             // then a member is told over its own connection for good
constexpr std::size_t most_left = 1024;         // leaves of those who are gone, beyond one for each that is there

}  // namespace

// All that a rekey datagram cannot say.
bool same_but_place(const handshake::GroupPolicy& a, const handshake::GroupPolicy& b) {
  return a.selectors == b.selectors && a.esp_mode == b.esp_mode && a.cipher_suite == b.cipher_suite &&
         a.replay_window == b.replay_window && a.activation_delay_ms == b.activation_delay_ms &&
         a.deactivation_delay_ms == b.deactivation_delay_ms && a.authority_lease_s == b.authority_lease_s;
}

bool GroupState::rekeys_by_datagram() const {
  return config_.rekey == config::Rekeying::multicast && context_.sign && !context_.maker;
}

bool GroupState::may_send(const handshake::PeerIdentity& member) const {
  return config_.may_send(member.names.empty() ? std::vector<std::string>{member.name} : member.names);
}

void GroupState::seat(Member& member, Moment now) {
  member.leaf.reset();
  if (!rekeys_by_datagram() || may_send(member.identity)) return;
  if (!tree_) tree_ = std::make_unique<Tree>(config_.flow.suite, *context_.random);
  const auto leaf = tree_->keys.join();
  if (!leaf)
    return warn_of_member(
        "no_key_path " + prefix() + "member=" + escaped(member.identity.name) + " why=" + escaped(leaf.error().message),
        now);
  member.leaf = *leaf;
  send_path(member);
  if (many_have_left()) rekey_soon(now);
}

// Who connects again and again takes a new leaf each time; the old ones are free only once a rekey has shut them out.
bool GroupState::many_have_left() const {
  const std::size_t left = tree_ ? tree_->left.size() : 0;
  return left > most_left + (tree_ ? tree_->keys.members() - std::min<std::size_t>(left, tree_->keys.members()) : 0);
}

// A new tree for those who are there: they get their paths with the epoch.
GroupState::Telling GroupState::plant_anew() {
  drop_tree();
  tree_ = std::make_unique<Tree>(config_.flow.suite, *context_.random);
  for (auto& [id, member] : members_)
    if (!may_send(member.identity))
      if (const auto leaf = tree_->keys.join()) member.leaf = *leaf;
  return Telling::each_with_path;
}

// It keeps what it knows, so its leaf is given to nobody before an announcement has shut it out.
void GroupState::unseat(Member& member) {
  if (member.leaf && tree_) tree_->left.push_back(*member.leaf);
  member.leaf.reset();
}

void GroupState::drop_tree() {
  tree_.reset();
  for (auto& [id, member] : members_)
    member.leaf.reset();
}

void GroupState::send_path(const Member& member) {
  member.link->deliver(handshake::KeyPath{config_.id, tree_->keys.path(*member.leaf)});
}

// A sender, another one at every turn where there are several; nullptr: there is none. It needs no key for what it
// carries.
const Member* GroupState::carrier(std::size_t turn) const {
  std::vector<const Member*> senders;
  for (const auto& [id, member] : members_)
    if (member.sends()) senders.push_back(&member);
  return senders.empty() ? nullptr : senders[turn % senders.size()];
}

GroupState::Telling GroupState::announce(const Epoch& next, std::optional<HandOver::Announcement>& out, Moment now) {
  if (!tree_) return Telling::each;
  Epoch* const active = in_phase(Phase::active);
  const Member* const first = carrier(0);
  if (!rekeys_by_datagram() || !active || !first || config_.activation_delay < least_activation_delay ||
      tree_->keys.members() <= tree_->left.size() || !same_but_place(active->policy, next.policy))
    return many_have_left() ? plant_anew() : Telling::each;
  if (tree_->keys.wants_new_tree()) return plant_anew();
  // A slot of its own, burnt in the name of the first who sends it: nothing else is ever sealed under it (H9).
  const auto slot = context_.store->issue({config_.id, active->number, first->identity.name, first->identity.serial_hex,
                                           first->address, first->roles, 1, now.unix_seconds});
  if (!slot) return Telling::each;
  active->policy.slots_used = slot->slots_used;

  handshake::RekeyDatagram datagram;
  datagram.key_server_id = context_.key_server_id;
  datagram.group_id = config_.id;
  datagram.from_epoch = active->number;
  datagram.to_epoch = next.number;
  datagram.sequence = next.number;  // durable before anybody hears of it, and never used again
  datagram.not_after = static_cast<std::uint64_t>(now.unix_seconds + valid_for.count());
  datagram.remaining_ms =
      static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(next.expires - now.steady).count());
  datagram.spi_prefix = next.policy.spi_prefix;
  datagram.spi_slot_bits = next.policy.spi_slot_bits;
  datagram.update = tree_->keys.renew(tree_->left, *next.premaster);
  const std::size_t left = std::exchange(tree_->left, {}).size();
  const auto text = context_.sign(datagram);
  if (!text || text->size() > max_announcement) {
    audit_warning(
        "rekey_not_announced " + prefix() + "epoch=" + std::to_string(next.number) + " why=" +
        escaped(text ? std::to_string(text->size()) + " bytes, expected at most " + std::to_string(max_announcement)
                     : text.error().message));
    return Telling::each_with_path;
  }
  const auto key = handshake::derive_sa_key(
      active->policy.cipher_suite, handshake::derive_group_master(active->policy.cipher_suite, *active->premaster),
      config_.id, active->number, active->policy.spi_prefix | slot->first_slot);
  out.emplace();
  for (std::uint64_t copy = 1; copy <= copies; ++copy)
    out->packets.push_back(seal_announcement(key, copy, *text));
  out->next = now.steady;
  out->give_up = now.steady + config_.activation_delay / 2;
  audit("rekey_announced " + prefix() + "epoch=" + std::to_string(next.number) +
        " receivers=" + std::to_string(tree_->keys.members()) + " left=" + std::to_string(left) +
        " wrapped_keys=" + std::to_string(datagram.update.wrapped_keys()) + " bytes=" + std::to_string(text->size()));
  return Telling::announced;
}

void GroupState::go_on_announcing(Moment now) {
  if (!hand_over_ || !hand_over_->announcement) return;
  HandOver::Announcement& announcement = *hand_over_->announcement;
  while (announcement.next <= now.steady) {
    if (const Member* by = carrier(announcement.sent))
      by->link->deliver(handshake::Announce{config_.id, announcement.packets[announcement.sent]});
    announcement.next += config_.activation_delay / 8;
    if (++announcement.sent == copies) announcement.next = SteadyTime::max();
  }
  if (announcement.give_up <= now.steady) give_up_announcing(now);
}

// Whom it did not reach gets GroupUpdate, and its path anew, since it cannot have followed the tree.
void GroupState::give_up_announcing(Moment now) {
  hand_over_->announcement.reset();
  Epoch* const epoch = find(hand_over_->epoch);
  std::vector<std::pair<Member*, GroupKeying>> updates;
  auto noted = epoch ? context_.store->begin_batch() : Result<void>();
  if (!epoch) return;
  if (noted) {
    for (const std::string& id : hand_over_->awaited) {
      const auto found = members_.find(id);
      if (found == members_.end() || !found->second.leaf || found->second.acknowledged >= epoch->number) continue;
      if (auto keying = keying_for(found->second, *epoch, now))
        updates.emplace_back(&found->second, std::move(*keying));
    }
    noted = context_.store->end_batch();
  }
  if (!noted) {
    audit_error("rekey_failed " + prefix() + "why=" + escaped(noted.error().message));
    return;
  }
  for (auto& [member, keying] : updates) {
    tell(*member, std::move(keying));
    if (++member->missed >= most_missed)
      unseat(*member);
    else
      send_path(*member);
  }
  if (!updates.empty())
    audit("rekey_completed_by_unicast " + prefix() + "epoch=" + std::to_string(epoch->number) +
          " members=" + std::to_string(updates.size()));
}

}  // namespace sealcast::keyserver
