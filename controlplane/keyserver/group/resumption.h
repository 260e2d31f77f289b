// A group over a restart, where there is a wrapping key: the running epoch is kept and resumed. Its holders go on;
// members that only receive are given it; but no slot of it is ever given out again (H9), since the state file may be
// an older copy that does not know of all that were.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controlplane/keyserver/group/admission.h"
#include "controlplane/keyserver/group/parts.h"

namespace sealcast::keyserver {

class Resumption {
 public:
  // All must outlive it; config and admission are looked at anew each time.
  Resumption(const config::KeyserverGroup& config, GroupContext& context, const Admission& admission)
      : config_(config), context_(context), admission_(admission) {}

  // Before any member is told that the epoch is active. Where that fails there is nothing to be resumed: the epoch
  // before it was dropped when this one was begun.
  void keep(const Epoch& epoch, Moment now);
  void drop();

  struct Resumed {
    Epoch epoch;  // active
    std::vector<handshake::PeerIdentity> holders;
  };
  // The epoch that was active before the restart, if nothing speaks against it.
  std::optional<Resumed> resume(Moment now);

  // Whether the epoch is the one that was resumed. 0 is none.
  bool is_resumed(std::uint64_t epoch) const { return from_before_ && from_before_->epoch == epoch; }
  std::uint64_t epoch() const { return from_before_ ? from_before_->epoch : 0; }
  // Until then members may be on their way back; empty: no resumed epoch lives.
  std::optional<SteadyTime> back_by() const {
    return from_before_ ? std::optional(from_before_->back_by) : std::nullopt;
  }
  // Slots of the resumed epoch that the member was given before the restart.
  std::vector<SlotRun> slots_of(const std::string& member) const;
  // The member came back, and needs slots that only the next epoch has.
  void needs_slots(const std::string& member) { from_before_->without_slots.insert(member); }
  // Whether a member that is back may send under the resumed epoch.
  bool anybody_sends(const Members& members) const;
  void retired(std::uint64_t epoch);
  void forget() { from_before_.reset(); }

 private:
  // What speaks against it; nothing: it is resumed.
  std::string check(EpochKeeper::Found&& found, Resumed& out, Moment now);

  // The epoch from before the restart, while it lives.
  struct FromBefore {
    std::uint64_t epoch = 0;
    SteadyTime back_by;
    std::map<std::string, std::vector<SlotRun>> slots;  // by member
    std::set<std::string, std::less<>> without_slots;   // members that came back and need new ones
  };

  const config::KeyserverGroup& config_;
  GroupContext& context_;
  const Admission& admission_;
  std::optional<FromBefore> from_before_;
};

}  // namespace sealcast::keyserver
