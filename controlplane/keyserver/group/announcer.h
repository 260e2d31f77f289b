// Rekeying by datagram: receivers are leaves of a key tree, and one signed datagram, sealed for the present epoch and
// sent out by a sender's gateway, tells all of them the next one (docs/protocol.md "Rekeying by datagram"). Senders are
// told over their own connections, since each needs slots of its own.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "controlplane/keyserver/group/admission.h"
#include "controlplane/keyserver/group/parts.h"

namespace sealcast::keyserver {

// Receivers were told of an epoch by a datagram to the group.
struct Announcement {
  SaKey key;                  // of a slot of its own
  handshake::EpochZero zero;  // of that epoch
  Bytes datagram;
  unsigned sent = 0;   // copies
  SteadyTime next;     // when the next copy is due, if ever
  SteadyTime give_up;  // members that have not acknowledged by then are told over their own connections
};

class Announcer {
 public:
  // All must outlive it; config and admission are looked at anew each time.
  Announcer(const config::KeyserverGroup& config, GroupContext& context, const Admission& admission)
      : config_(config), context_(context), admission_(admission) {}

  bool enabled() const;

  // The member gets a leaf and its path, if it is a receiver of a group that rekeys by datagram. An error's text is for
  // the log: it is told everything over its own connection.
  Result<void> assign_leaf(Member& member);
  // It keeps what it knows, so its leaf is given to no other before an announcement has shut it out.
  void release_leaf(Member& member);
  void send_path(const Member& member) const;
  // A member that connects again and again takes a new leaf each time; the old ones are free only once a rekey has shut
  // them out.
  bool many_have_left() const;
  void drop_tree(Members& members);
  // With all members.
  void forget() {
    tree_.reset();
    now_.reset();
  }

  // How receivers in the tree learn of the next epoch.
  enum class Telling : std::uint8_t {
    each,            // over their own connections; the tree stays as it is
    each_with_path,  // likewise, and the tree has changed
    announced,       // by datagram
  };
  // active: nullptr if no epoch is. What is announced then goes out with send_copies().
  Telling announce(Members& members, Epoch* active, const Epoch& next, Moment now);
  void begin(Announcement announcement) { now_ = std::move(announcement); }
  // Sends the copies that are due.
  void send_copies(const Members& members, SteadyTime now);
  bool is_announcing() const { return now_.has_value(); }
  // Whether it is time to tell the members that it did not reach over their own connections.
  bool is_given_up(SteadyTime now) const { return now_ && now_->give_up <= now; }
  void stop() { now_.reset(); }
  // When there is something to send or to give up; empty: nothing is announced.
  std::optional<SteadyTime> next_deadline() const {
    return now_ ? std::optional(std::min(now_->next, now_->give_up)) : std::nullopt;
  }

 private:
  struct Tree {
    Tree(handshake::CipherSuite suite, handshake::Random& random) : keys(suite, random) {}
    handshake::KeyTree keys;
    std::vector<handshake::LeafPosition> left;  // of members that left; shut out with the next announcement
  };

  Bytes next_packet(std::uint64_t number) const;
  Telling rebuild_tree(Members& members);
  static const Member* relay_sender(const Members& members, std::size_t turn);

  const config::KeyserverGroup& config_;
  GroupContext& context_;
  const Admission& admission_;
  std::unique_ptr<Tree> tree_;
  std::optional<Announcement> now_;
};

}  // namespace sealcast::keyserver
