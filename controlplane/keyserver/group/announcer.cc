#include "controlplane/keyserver/group/announcer.h"

#include <algorithm>

#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/group/announcement.h"

namespace sealcast::keyserver {
namespace {

using std::chrono::milliseconds;

constexpr unsigned copies = 3;
constexpr std::chrono::seconds valid_for{300};  // between clocks that differ; the epochs' numbers bound it far tighter
constexpr std::size_t most_left = 1024;         // leaves of members that left, beyond one for each present

}  // namespace

bool Announcer::enabled() const {
  return config_.rekey == config::Rekeying::multicast && context_.sign && !context_.maker;
}

Result<void> Announcer::assign_leaf(Member& member) {
  member.leaf.reset();
  if (!enabled() || admission_.may_send(member.identity)) return {};
  if (!tree_) tree_ = std::make_unique<Tree>(config_.flow.suite, *context_.random);
  SEALCAST_TRY_ASSIGN(member.leaf, tree_->keys.join());
  send_path(member);
  return {};
}

bool Announcer::many_have_left() const {
  const std::size_t left = tree_ ? tree_->left.size() : 0;
  return left > most_left + (tree_ ? tree_->keys.members() - std::min<std::size_t>(left, tree_->keys.members()) : 0);
}

// A new tree of the present members. They get their paths with the epoch.
Announcer::Telling Announcer::rebuild_tree(Members& members) {
  drop_tree(members);
  tree_ = std::make_unique<Tree>(config_.flow.suite, *context_.random);
  for (auto& [id, member] : members)
    if (!admission_.may_send(member.identity))
      if (const auto leaf = tree_->keys.join()) member.leaf = *leaf;
  return Telling::each_with_path;
}

void Announcer::release_leaf(Member& member) {
  if (member.leaf && tree_) tree_->left.push_back(*member.leaf);
  member.leaf.reset();
}

void Announcer::drop_tree(Members& members) {
  tree_.reset();
  for (auto& [id, member] : members)
    member.leaf.reset();
}

void Announcer::send_path(const Member& member) const {
  member.link->deliver(handshake::KeyPath{config_.id, tree_->keys.path(*member.leaf)});
}

// A sender; where there are several, another one at every turn. nullptr: there is none. It needs no key for what it
// relays.
const Member* Announcer::relay_sender(const Members& members, std::size_t turn) {
  std::vector<const Member*> senders;
  for (const auto& [id, member] : members)
    if (member.sends()) senders.push_back(&member);
  return senders.empty() ? nullptr : senders[turn % senders.size()];
}

Announcer::Telling Announcer::announce(Members& members, Epoch* active, const Epoch& next, Moment now) {
  if (!tree_) return Telling::each;
  const Member* const first = relay_sender(members, 0);
  if (!enabled() || !active || !first || config_.activation_delay < config::least_multicast_delay ||
      tree_->keys.members() <= tree_->left.size() || !equal_except_spis(active->policy, next.policy))
    return many_have_left() ? rebuild_tree(members) : Telling::each;
  if (tree_->keys.wants_new_tree()) return rebuild_tree(members);
  // The announcement has a slot of its own, issued to its first relay sender. Nothing else is sealed under it (H9).
  const auto slot = context_.store->issue({config_.id, active->number, first->identity.name, first->identity.serial_hex,
                                           first->address, first->roles, 1, now.unix_seconds});
  if (!slot) return Telling::each;
  active->policy.slots_used = slot->slots_used;

  handshake::RekeyDatagram datagram;
  datagram.key_server_id = context_.key_server_id;
  datagram.group_id = config_.id;
  datagram.from_epoch = active->number;
  datagram.to_epoch = next.number;
  datagram.sequence = next.number;  // durable before any member is told of it, and never used again
  datagram.not_after = static_cast<std::uint64_t>(now.unix_seconds + valid_for.count());
  datagram.remaining_ms =
      static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(next.expires - now.steady).count());
  datagram.zero = next.zero;
  datagram.spi_prefix = next.policy.spi_prefix;
  datagram.spi_slot_bits = next.policy.spi_slot_bits;
  datagram.update = tree_->keys.renew(tree_->left, *next.premaster);
  const std::size_t left = std::exchange(tree_->left, {}).size();
  const auto text = context_.sign(datagram);
  if (!text || text->size() > max_announcement) {
    audit_warning(Event(
        "rekey_not_announced",
        {{"group", config_.id},
         {"epoch", next.number},
         {"why", text ? std::to_string(text->size()) + " bytes, expected at most " + std::to_string(max_announcement)
                      : text.error().message}}));
    return Telling::each_with_path;
  }
  auto key = handshake::derive_sa_key(active->policy.cipher_suite,
                                      handshake::derive_group_master(active->policy.cipher_suite, *active->premaster),
                                      config_.id, active->number, active->policy.spi_prefix | slot->first_slot);
  Announcement announcement;
  announcement.key = std::move(key);
  announcement.zero = active->zero;
  announcement.datagram = *text;
  announcement.next = now.steady;
  announcement.give_up = now.steady + config_.activation_delay / 2;
  begin(std::move(announcement));
  audit(Event("rekey_announced", {{"group", config_.id},
                                  {"epoch", next.number},
                                  {"receivers", tree_->keys.members()},
                                  {"left", left},
                                  {"wrapped_keys", datagram.update.wrapped_keys()},
                                  {"bytes", text->size()}}));
  return Telling::announced;
}

// Each copy is sealed when it is handed out: with a time from before that, it would not be fresh at the receivers.
Bytes Announcer::next_packet(std::uint64_t number) const {
  const handshake::ClockReading clock = context_.clock ? context_.clock->read() : handshake::ClockReading{};
  if (clock.clock_id != 0 && clock.clock_id == now_->zero.clock_id) number |= (clock.now_ms - now_->zero.at_ms) << 32;
  return seal_announcement(now_->key, number, now_->datagram);
}

void Announcer::send_copies(const Members& members, SteadyTime now) {
  while (now_ && now_->next <= now) {
    if (const Member* by = relay_sender(members, now_->sent))
      by->link->deliver(handshake::Announce{config_.id, next_packet(now_->sent + 1)});
    now_->next += config_.activation_delay / 8;
    if (++now_->sent == copies) now_->next = SteadyTime::max();
  }
}

}  // namespace sealcast::keyserver
