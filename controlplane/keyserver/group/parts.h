// What the parts of a group share: its members, epochs and connections as plain values, and what they ask of outside.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/dataplane_control.h"
#include "controlplane/config/config.h"
#include "controlplane/keyserver/group/epoch_keeper.h"
#include "controlplane/keyserver/group/group_clock.h"
#include "controlplane/keyserver/group/premaster_vault.h"
#include "controlplane/store/store.h"
#include "handshake/control_message.h"
#include "handshake/endpoint.h"
#include "handshake/keytree/key_tree.h"
#include "handshake/keytree/rekey_datagram.h"

namespace sealcast::keyserver {

// Members come back after a restart within their longest back-off (10 s), and the time to connect.
inline constexpr std::chrono::seconds restart_patience{16};
inline constexpr std::size_t max_live_epochs = 4;  // spi_slot_bits() leaves room for as many blocks a group

struct Moment {
  SteadyTime steady;
  std::int64_t unix_seconds = 0;
};

// A joined member's connection as its group sees it. Neither call may call back into the group.
class MemberLink {
 public:
  virtual ~MemberLink() = default;
  virtual void deliver(const handshake::ControlMessage& message) = 0;
  // Says goodbye and closes; the group has forgotten the link already.
  virtual void dismiss(const std::string& why) = 0;
  virtual config::Carriage carriage() const { return config::Carriage::tls; }
};

// An epoch as it was made: for one key server, or for all of a cluster.
struct MadeEpoch {
  std::uint64_t number = 0;
  handshake::GroupPolicy policy;
  handshake::EpochZero zero = {};
  PremasterVault::Handle premaster;
  std::chrono::milliseconds age{};
  std::chrono::milliseconds remaining{};
  std::string why;                            // it was made
  std::chrono::milliseconds rekey_earlier{};  // than the delays of a hand-over ask for
  std::vector<std::string> earlier_holders =
      {};                                // of epochs that this process never knew: senders may go on under them
  std::chrono::seconds earlier_lasts{};  // until the first of those epochs expires
};

struct EpochWish {
  std::string group_id;
  std::uint64_t seen = 0;  // an epoch newer than this is wanted
  std::string why;
  handshake::GroupPolicy policy;  // without its SPIs
  std::chrono::milliseconds lifetime{};
  std::size_t live = 0;  // epochs that the group has
  Moment now;
};

// Makes a group's epochs: this key server by itself, or one of several for all of them (docs/cluster.md). No call may
// call back into the group.
class EpochMaker {
 public:
  virtual ~EpochMaker() = default;
  // The epoch, if it is made here. Empty: others were asked. It comes to GroupState::adopt() when it is there; asking
  // again does no harm.
  virtual Result<std::optional<MadeEpoch>> want_epoch(const EpochWish& wish) = 0;
  // All members here have installed the epoch, or have had activation_delay for it. True: it is active from now on.
  // False: others are waited for, and activated() is called when it is.
  virtual bool installed_here(const std::string& group_id, std::uint64_t epoch) = 0;
  // Whether other key servers give out the epochs, too: to members that are not known here.
  virtual bool has_peers() const = 0;
  // Whether no sender of any other key server goes on under `epoch` or an earlier one (H11).
  virtual bool switched_elsewhere(const std::string& group_id, std::uint64_t epoch) const = 0;
  // The newest epoch that any other key server may have given out; 0: none.
  virtual std::uint64_t highest(const std::string& group_id) const = 0;
};

// How an audit line about a group begins: `group="tv" `.
std::string audit_prefix(const std::string& group_id);

// Whether a principal may have a group's epochs. What has expired is no revocation: it gets no new epoch, and keeps
// what it has (H19).
enum class Standing : std::uint8_t { good, expired, shut_out };
struct Verdict {
  Standing standing = Standing::good;
  std::string why = {};  // for the log; empty: good
  bool good() const { return standing == Standing::good; }
};

// What all groups of one key server share; outlives them.
struct GroupContext {
  std::string key_server_id;
  config::SpiRange spi_range;
  std::uint8_t slot_bits = 16;
  store::Store* store = nullptr;
  handshake::Random* random = nullptr;
  PremasterVault* vault = nullptr;
  // The datagram with the key server's signature. Empty: every member is told everything over its own connection.
  std::function<Result<Bytes>(const handshake::RekeyDatagram& datagram)> sign;
  EpochKeeper* keeper = nullptr;       // nullptr: no secret outlives this process
  EpochMaker* maker = nullptr;         // nullptr: this key server stands alone, and makes its epochs itself
  const ClockSource* clock = nullptr;  // nullptr: numbers carry no times
  // Whether the certificate still stands (H8); replaced when the trust store is read again.
  std::function<Verdict(const handshake::PeerIdentity& member, const std::string& group_id, std::int64_t unix_now,
                        handshake::Grace grace)>
      recheck;
  // Whether the member under this certificate has keys of the group. Empty: none is known to have.
  std::function<bool(const handshake::PeerIdentity& member, const std::string& group_id, std::int64_t unix_now)> knows;
  std::function<bool()> clock_agrees;  // false: the clock is doubted, and no newcomer is judged by it; empty: it agrees
  // Whether the user's password is still the one of this stamp (H7, H8); replaced when the password file is read again.
  // Empty: there is no password file, and no password stands.
  std::function<bool(const std::string& user, const std::string& stamp)> password_stands;
  // Whether an operator revoked the member of these names in the group (H11). Empty: none is.
  std::function<bool(const std::vector<std::string>& names, const std::string& group_id)> revoked;
  // Of this process, if it was not the first on this state. Senders not seen yet may go on for a lease from here.
  std::optional<SteadyTime> started;
};

// The identity with the stamp of the password it gave. Where there is a certificate both must stand, so the stamp
// follows its serial number; with a password alone it takes its place. Unchanged without a user.
handshake::PeerIdentity stamped(handshake::PeerIdentity identity, const std::string& stamp);
std::string stamp_of(const handshake::PeerIdentity& identity);  // of one that gave a password

// What `members` and `senders` of the configuration may name it by.
std::vector<std::string> names_of(const handshake::PeerIdentity& member);

// What the configuration says of a group's epochs; their SPIs are another matter.
handshake::GroupPolicy policy_of(const config::KeyserverGroup& config);

bool equal_except_spis(const handshake::GroupPolicy& a, const handshake::GroupPolicy& b);

enum class Phase : std::uint8_t { pending, active, old };
std::string_view name(Phase phase);

struct Epoch {
  std::uint64_t number = 0;
  Phase phase = Phase::pending;
  handshake::EpochId id{};
  handshake::GroupPolicy policy;  // as of its beginning; slots_used follows
  handshake::EpochZero zero;
  PremasterVault::Handle premaster;
  SteadyTime begun;
  SteadyTime expires;
  SteadyTime retire_at;                          // old: when Retire is due
  std::map<std::string, std::uint32_t> granted;  // slots per member, for the quota
  std::uint32_t slots_used() const { return policy.slots_used; }
  // Slots it can hand out; the wire's slots_used counts them in 16 bits.
  std::uint32_t capacity() const { return std::min<std::uint32_t>(1U << policy.spi_slot_bits, 65535); }
};

// The identifier that follows from its suite and premaster.
handshake::EpochId id_of(const Epoch& epoch);

// The first epoch in a phase, of a vector of epochs that may be const; nullptr: there is none.
template <typename Epochs>
auto* in_phase(Epochs& epochs, Phase phase) {
  const auto found = std::find_if(epochs.begin(), epochs.end(), [&](const Epoch& e) { return e.phase == phase; });
  return found == epochs.end() ? nullptr : &*found;
}

// A member under one certificate or password: member id and serial number.
using Principal = std::pair<std::string, std::string>;
inline Principal principal_of(const handshake::PeerIdentity& identity) {
  return {identity.name, identity.serial_hex};
}

// A principal that was given a live epoch, whatever became of its connection (H3).
struct Holder {
  handshake::PeerIdentity identity;
  std::uint64_t epoch = 0;  // the newest
};
using Holders = std::map<Principal, Holder>;

struct SlotRun {
  std::uint64_t epoch = 0;
  std::uint16_t first = 0;
  std::uint16_t count = 0;
};

// What one connection was given with SMKE; kept by the session until both Finished are verified (H3).
struct Given {
  std::uint64_t epoch = 0;
  handshake::EpochState state = handshake::EpochState::active;
  handshake::Role roles = handshake::receiver;
  SlotRun slots;
};

struct Member {
  MemberLink* link = nullptr;
  handshake::PeerIdentity identity;
  std::string address;
  handshake::Role roles = handshake::receiver;
  SteadyTime joined;
  std::vector<SlotRun> slots;      // of live epochs, this connection's
  std::uint64_t acknowledged = 0;  // highest epoch installed for receiving
  std::uint64_t activated = 0;     // highest epoch it says it sends under
  std::optional<handshake::StatusReport> report;
  SteadyTime reported;
  std::optional<handshake::LeafPosition> leaf;  // in the group's key tree; of receivers only
  unsigned missed = 0;                          // datagrams in a row that it did not acknowledge
  bool sends() const { return (roles & handshake::sender) != 0; }
};
using Members = std::map<std::string, Member>;  // by member id: one connection each

}  // namespace sealcast::keyserver
