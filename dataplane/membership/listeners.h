// The groups that hosts on red listen to, as a router that is not the querier keeps them (RFC 3376 §6, RFC 3810 §7):
// for each group a timer of those that take any source but some (filter mode EXCLUDE), and one for each source that is
// asked for. Every report renews its own for the group membership interval. The querier's question after a leave
// shortens what it asks about to the last member query time, in which hosts that still listen report. A leave by itself
// proves nothing: others may listen.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "dataplane/membership/messages.h"

namespace sealcast::dataplane::membership {

// What a report asks for in one group.
struct Wanted {
  IpAddress group;
  std::vector<IpAddress> sources;  // empty: any source, whatever is excluded
};
// Of a well-formed report; of another frame, and of what only gives up: nothing.
std::vector<Wanted> read_report(std::span<const std::uint8_t> frame);

class Listeners {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Change {
    IpAddress group;
    bool listened = false;
  };

  // Groups and their sources at a time. Further groups are ignored; a further source counts as interest in any.
  static constexpr std::size_t most = 16384;

  void on_report(const Wanted& wanted, Time now);
  void on_query(const Query& query, Time now);
  // The changes since the last call, in order.
  std::vector<Change> changes(Time now);

  // As if no host had ever reported them.
  void forget_if(const std::function<bool(const IpAddress&)>& forgettable);
  // Groups that some host listens to.
  std::vector<IpAddress> listened() const;

  // RFC 3376 §8.4: robustness * query interval + query response interval; the querier's values if known (§4.1.6,
  // §4.1.7).
  std::chrono::milliseconds membership_interval(std::uint8_t family) const;
  std::size_t size() const { return entries_; }  // groups and sources

 private:
  struct Group {
    Time any_until = Time::min();       // the group timer; past: filter mode INCLUDE
    std::map<IpAddress, Time> sources;  // the source timers that run
  };
  // Takes out what has ended; the earliest end of what is left, max() for nothing.
  Time expire(Group& group, Time now);
  struct Querier {
    unsigned robustness = 2;  // RFC 3376 §8.1 to §8.3: defaults
    std::chrono::seconds interval{125};
    std::chrono::milliseconds response{10000};
  };
  Querier& querier(std::uint8_t family) { return queriers_[family == 6]; }

  Querier queriers_[2];
  std::map<IpAddress, Group> groups_;
  std::size_t entries_ = 0;
  Time next_end_ = Time::max();  // the earliest end of all, or a time before it
  std::vector<Change> changes_;
};

}  // namespace sealcast::dataplane::membership
