// The epochs of one group that this member holds, and what of them stands in the data plane: keys derived per slot
// (dataplane "one SPI, one key per sending core and registration"), make-before-break, expiry, lease. No socket and no
// clock: the time is passed in.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/dataplane_control.h"
#include "base/limits.h"
#include "base/result.h"
#include "controlplane/clock/clock_estimates.h"
#include "controlplane/config/config.h"
#include "controlplane/member/keying_check.h"
#include "handshake/group_keying.h"

namespace sealcast::member {

inline constexpr std::uint32_t look_ahead_slots = 64;      // derived ahead: a new sender needs no message
inline constexpr std::uint32_t look_ahead_step = 16;       // ... of one epoch at a time, between other work
inline constexpr std::uint32_t look_ahead_budget = 256;    // ... of all groups at a time
inline constexpr std::uint32_t wanted_window = 256;        // above the highest slot known to be real
inline constexpr std::uint32_t derivations_per_poll = 64;  // for wanted slots: a flood costs bounded work
inline constexpr std::size_t max_held_epochs = 8;          // a group; key servers keep four alive at most

class GroupEpochs {
 public:
  // Both must outlive it.
  GroupEpochs(const config::MemberGroup& group, DataPlaneControl& data_plane);

  struct Own {
    std::uint32_t slots = 0;   // how many are in use: one a worker, or none
    std::uint32_t wanted = 0;  // how many new ones to ask for, where fewer than one a worker came; 0: none
  };

  // Takes over a keying that check_keying() passed: installs a new epoch, or gives a held one the new slots. An active
  // one replaces what was active, the older ones follow deactivation_delay later. Fails if the data plane does, or if
  // a slot comes a second time (H9); then nothing of the keying is in use.
  Result<Own> apply(const handshake::GroupKeying& keying, const handshake::GroupMaster& master,
                    const handshake::EpochId& epoch_id, SteadyTime now);
  // A SlotGrant for a held epoch: only new slots are ever used, the old ones are left for good.
  Result<Own> grant(std::uint64_t epoch, std::uint32_t first_slot, std::uint32_t count, SteadyTime now);
  // Epochs in which the key server granted fewer slots than one a worker, so that nothing can be sent: what to ask for
  // again, in each. Named once for every refusal.
  std::vector<std::uint64_t> refused_slots();
  // Senders switch. False: it was active already. Fails for an epoch that is not held or below the active one.
  Result<bool> activate(std::uint64_t epoch, SteadyTime now);
  Result<void> retire(std::uint64_t epoch);
  void retire_all();  // revoked

  // The key server answered what was asked at this moment: from then on the lease runs, however long the answer was
  // under way or held back (LEASE-1). Before the first call no lease is had.
  void proven(SteadyTime asked);
  // A reading that answers what was asked at `asked`: for the times of this group's packets, in every epoch.
  clock::ClockEstimates::Outcome clock_measured(const handshake::ClockReading& reading, SteadyTime asked,
                                                SteadyTime now);
  // Before proven() and apply(), where they are a new membership's: a lease that has ended is not renewed for the slots
  // that were had under it. Revocations were complete without them, so nothing is sent under their epochs any more but
  // with new slots (H11, LEASE-1).
  void joined_anew(SteadyTime now);
  // What time does: ends epochs that expired or that were deactivated long enough ago. True if the active one expired.
  bool expire(SteadyTime now);
  // In the background: one step towards look_ahead_slots derived above the highest slot known to be real, at most
  // budget of them. Looks for slots that proved real at most once a second. Returns how many were derived.
  std::uint32_t look_ahead(SteadyTime now, std::uint32_t budget);
  // Whether packets were refused for their times since the last call, in a run: the clock may be wrong, and an answer
  // of the key server would tell. True at most once a second; any host on black can cause it.
  bool take_clock_doubt() { return std::exchange(clock_doubted_, false); }
  // Slots packets came for: derived if they lie in the window above the slots known to be real.
  void slots_wanted(const std::vector<SlotWanted>& wanted, SteadyTime now);
  // All outbound SAs were dropped (H9): the slots are burnt.
  void forget_own_slots();

  struct View {
    std::uint64_t epoch = 0;
    handshake::EpochId epoch_id{};
    bool active = false;
    SteadyTime expires;
    std::vector<std::uint32_t> own_spis;
    std::uint32_t derived = 0;  // inbound slots
    std::uint32_t slots_known = 0;
  };
  std::vector<View> views() const;  // by epoch, highest first
  std::optional<View> active() const;
  std::vector<LiveEpoch> live() const;
  // Appends those that have an SPI in first_spi .. last_spi; all of them: 0 .. 2^32 - 1.
  void live_within(std::uint32_t first_spi, std::uint32_t last_spi, std::vector<LiveEpoch>& out) const;
  // What is known of the epoch's clock; empty: nothing, it is not held, or its numbers carry no times.
  std::optional<EpochClock> clock(std::uint64_t epoch, SteadyTime now) const;
  // None: not held. slots_used is how many are known to be granted by now.
  std::optional<handshake::GroupPolicy> policy(std::uint64_t epoch) const;
  bool holds(std::uint64_t epoch) const { return epochs_.count(epoch) != 0; }
  SteadyTime lease_until() const { return lease_until_; }
  std::chrono::seconds lease() const { return lease_; }

 private:
  struct Epoch {
    std::uint64_t number = 0;
    handshake::EpochId id{};
    LockedArena vault;                               // locked into RAM, out of core dumps, wiped on release (H14)
    const handshake::GroupMaster* master = nullptr;  // in it
    handshake::GroupPolicy policy;
    handshake::EpochZero zero;
    bool active = false;
    SteadyTime expires;
    std::optional<SteadyTime> retire_at;
    std::vector<bool> taken;         // by slot: derived for receiving, or our own now or once
    std::uint32_t taken_count = 0;   // of those; 65,536 are too many to count at every poll
    std::vector<bool> once_own;      // by slot: our own now or once
    std::vector<std::uint32_t> own;  // slots in use, in worker order
    std::uint32_t real_end = 0;      // one above the highest slot known to be granted
    std::uint32_t derived_end = 0;   // every slot below it is taken
    SteadyTime next_look{};          // at the statistics
    std::uint64_t untimely = 0;      // packets refused for their times, at the last look
    bool refused = false;            // fewer slots were granted than asked for, and they were not asked for again

    std::uint32_t capacity() const { return 1u << policy.spi_slot_bits; }
  };

  static void take(Epoch& epoch, std::uint32_t slot) {
    epoch.taken_count += epoch.taken[slot] ? 0 : 1;
    epoch.taken[slot] = true;
  }
  static View view_of(const Epoch& epoch);
  SaKey derive(const Epoch& epoch, std::uint32_t slot) const;
  Result<std::vector<OutboundSa>> take_own(Epoch& epoch, std::uint32_t first, std::uint32_t count) const;
  std::vector<InboundSa> take_inbound(Epoch& epoch, std::uint32_t end, std::uint32_t most) const;
  Result<Own> install(const handshake::GroupKeying& keying, const handshake::GroupMaster& master,
                      const handshake::EpochId& epoch_id, SteadyTime now);
  Result<Own> refresh(Epoch& epoch, const handshake::GroupKeying& keying, SteadyTime now);
  Own own_of(const Epoch& epoch, std::uint32_t given, bool may_send = false) const;
  void learn_real_slots(Epoch& epoch, SteadyTime now);
  void drop(std::map<std::uint64_t, Epoch>::iterator epoch);
  void become_active(Epoch& epoch, SteadyTime now);

  const config::MemberGroup& group_;
  DataPlaneControl& plane_;
  std::map<std::uint64_t, Epoch> epochs_;
  clock::ClockEstimates clocks_;
  bool clock_doubted_ = false;
  SteadyTime proven_{};  // the latest moment at which the key server is known to have been there
  SteadyTime lease_until_{};
  std::chrono::seconds lease_ = authority_lease_limits.standard;
};

}  // namespace sealcast::member
