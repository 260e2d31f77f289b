// One multicast host's state machine for one address family: IGMPv3 (RFC 3376 §5) or MLDv2 (RFC 3810 §6), and the older
// versions while a querier of an older version is present (RFC 3376 §7.2, RFC 3810 §8.2).
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "dataplane/membership/messages.h"

namespace sealcast::dataplane::membership {

using Time = std::chrono::steady_clock::time_point;

// Sources of one group to listen to: those listed, or all but those listed. Including none means no interest.
struct Filter {
  bool exclude = true;
  std::set<IpAddress> sources;

  bool nothing() const { return !exclude && sources.empty(); }
  bool operator==(const Filter&) const = default;
};
using Interests = std::map<IpAddress, Filter>;  // by group

// The union of two users' interests in one group (RFC 3376 §3.2).
Filter merge(const Filter& a, const Filter& b);

// With more sources than this the host joins all: a record then always fits one report of the least MTU.
inline constexpr std::size_t max_sources = 64;

class Host {
 public:
  struct Options {
    Sender sender;             // its source's family is the host's
    std::uint32_t mtu = 1500;  // bytes of IP packet
    // Uniform from 0 to the given bound, inclusive.
    std::function<std::uint32_t(std::uint32_t)> random;
  };
  explicit Host(Options options);

  // The whole interest from now on; groups of the other family are ignored. Changes are reported at once and then as
  // often as the robustness says; the host leaves groups that are missing from all.
  void want(const Interests& all, Time now);
  void on_query(const Query& query, Time now);

  // When due() has work; none: no work before want() or on_query().
  std::optional<Time> next() const;
  // At most `most` frames to send now; more may be due at once.
  std::vector<Bytes> due(Time now, std::size_t most);

  // The version in use now: IGMP 1 to 3, MLD 1 or 2.
  std::uint8_t version(Time now) const;
  std::size_t groups() const { return groups_.size(); }

 private:
  struct Group {
    Filter filter;
    // State changes: how many reports of them are left to send.
    unsigned mode_changes = 0;
    std::map<IpAddress, unsigned> source_changes;
    // When to answer a query about this group; without sources: about the whole group.
    std::optional<Time> answer_at;
    std::set<IpAddress> asked;
    // Older versions: unsolicited reports left, and whether to leave.
    unsigned old_reports = 0;
    bool leaving = false;

    bool changing() const { return mode_changes != 0 || !source_changes.empty() || leaving; }
  };

  bool newest(Time now) const { return version(now) == newest_; }
  void change(Group& group, const Filter& to, Time now);
  void adopt_version(Time now);
  void answer_old(const IpAddress* group, std::chrono::milliseconds longest, Time now);
  Time later(Time now, std::chrono::milliseconds longest);
  void send(std::vector<Record> records);
  void send_changes(Time now);
  void send_answers(Time now);
  void send_old(Time now);
  void forget_left();

  const Options options_;
  const std::uint8_t family_;
  const std::uint8_t newest_;  // 3 or 2
  std::map<IpAddress, Group> groups_;
  std::optional<Time> changes_at_;
  std::optional<Time> general_at_;
  std::uint8_t last_version_;  // version at the last look
  Time old_until_[3] = {};     // [v]: a querier of version v counts as present until then
  unsigned robustness_ = 2;    // of the querier (RFC 3376 §8.1)
  std::chrono::seconds query_interval_{125};
  std::deque<Bytes> outbox_;  // made, but not fetched; no new frames are made before it is empty
};

}  // namespace sealcast::dataplane::membership
