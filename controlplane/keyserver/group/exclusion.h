// After members were shut out of a group (H11): can they still read what it sends? Shutting out is complete when they
// can read nothing that is sent from then on: every sender has switched to an epoch that they do not hold, or its
// authority lease has ended. Knows neither members nor epochs, but what the group tells it; time is handed in.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/dataplane_control.h"

namespace sealcast::keyserver {

class Exclusion {
 public:
  // How far it has come.
  struct Progress {
    SteadyTime since;
    std::uint64_t last_known = 0;              // the newest epoch that those shut out may hold
    std::optional<SteadyTime> complete;        // empty: not yet
    std::vector<std::string> senders_awaited;  // connected ones that have not switched
    std::optional<SteadyTime> leases_end;      // senders that are away may go on until then
  };

  struct Sender {
    std::string name;
    std::uint64_t activated = 0;  // the newest epoch that it says it sends under
  };
  // What the group knows when it asks.
  struct Group {
    std::vector<Sender> senders;     // connected, and able to send under an epoch that lives
    std::uint64_t active = 0;        // 0: no epoch is active
    bool nobody_sends = false;       // no epoch lives, here or at another key server
    bool switched_elsewhere = true;  // no sender of another key server goes on under an epoch up to last_known()
  };

  // A collection of names begins: those of an exclusion under way stay in it.
  void collect();
  void shut_out(const std::string& name) { shut_out_.insert(name); }
  void shut_out_unknown() { shut_out_.insert(std::string()); }  // a member that is not known here
  // Those collected are shut out. They hold no epoch after last_known.
  void begin(std::uint64_t last_known, SteadyTime now);
  bool under_way() const { return progress_ && !progress_->complete; }
  std::uint64_t last_known() const { return progress_ ? progress_->last_known : 0; }
  // Whether it waits for an epoch after this one.
  bool needs_later_than(std::uint64_t epoch) const { return under_way() && epoch <= progress_->last_known; }

  // A sender was given `epoch` and has not joined: with the last message of its handshake it begins to send, and it may
  // hold that back. 0: it goes on under whatever it had. Its lease runs until `until`.
  void sender_joining(const std::string& address, const std::string& name, std::uint64_t epoch, SteadyTime until,
                      SteadyTime now);
  void sender_joined(const std::string& address) { joining_.erase(address); }
  // A sender is away, and may go on under `activated` until its lease ends; 0: under an epoch that is not known.
  void sender_left(std::uint64_t activated, SteadyTime until, SteadyTime now);
  // It was shut out while connected. What it sends is secret from all others that were shut out, not from itself.
  void sender_shut_out(const std::string& name, std::uint64_t activated, SteadyTime until, SteadyTime now);

  // An epoch is active. Senders below it have to switch; those that may go on for those shut out, until switch_by.
  void activated(std::uint64_t epoch, const std::vector<Sender>& senders, SteadyTime switch_by);
  void sender_must_switch(const std::string& name) { unswitched_.insert(name); }
  void sender_gone(const std::string& name) { unswitched_.erase(name); }
  // It sends under the active epoch now; true: it was the last that had to switch.
  bool sender_switched(const std::string& name) { return unswitched_.erase(name) != 0 && unswitched_.empty(); }

  // The last exclusion; none since the start: empty.
  std::optional<Progress> progress(const Group& group, SteadyTime now) const;
  // How long it took, once: when it has become complete.
  std::optional<SteadyTime::duration> completed(const Group& group, SteadyTime now);
  // Whether the time to switch is over; cheap, unlike the names.
  bool is_switch_due(SteadyTime now) const { return switch_by_ && *switch_by_ <= now; }
  // Connected senders that have not switched in time; named once.
  std::vector<std::string> overdue(const Group& group, SteadyTime now);

  // Whether senders are away without it being known under which epoch they send.
  bool unknown_senders_away() const { return leases_away_.contains(0); }
  // Until when senders that are away may go on; empty: none is.
  std::optional<SteadyTime> senders_go_on_until(SteadyTime now) const;
  // The earliest epoch that a sender may go on under that is away; `otherwise` where that is earlier.
  std::uint64_t earliest_in_use(std::uint64_t otherwise, SteadyTime now) const;

  void on_time(SteadyTime now);
  std::optional<SteadyTime> next_deadline() const;
  // All connections are gone. Leases are not.
  void forget_connections();

 private:
  std::map<std::uint64_t, SteadyTime> leases() const;

  std::optional<Progress> progress_;     // without senders_awaited and leases_end
  std::set<std::string> shut_out_;       // "": a member that is not known here
  std::optional<SteadyTime> switch_by_;  // until then every connected sender has to have switched
  std::set<std::string> unswitched_;     // connected senders below the active epoch
  // Senders that went away, by the newest epoch they said they send under: until when the last of them may go on. By 0:
  // those without a known one.
  std::map<std::uint64_t, SteadyTime> leases_away_;
  std::map<std::string, std::pair<std::uint64_t, SteadyTime>> own_leases_;  // of senders that were shut out, by name
  struct Joining {
    std::string name;
    std::uint64_t epoch = 0;
    SteadyTime until;
  };
  std::map<std::string, Joining> joining_;  // by address
};

}  // namespace sealcast::keyserver
