// Log lines that a member can cause as often as it likes (H13): warnings, ten a second; what became of its connections
// and slots, sixty lines at once and then ten a minute for each member. The next line says how many were left out.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/group/parts.h"

namespace sealcast::keyserver {

// Members that seem to be in two places: each joins again as soon as the other has taken its place. A certificate that
// was copied looks like that.
class Duplicates {
 public:
  static constexpr unsigned replacements = 3;
  static constexpr std::chrono::seconds within{60};

  // A connection of the member took the place of another one. True: an operator should know, once for each `within`.
  bool replaced(const std::string& member, SteadyTime now) {
    std::erase_if(seen_, [&](const auto& one) { return now - one.second.since >= within; });
    return ++seen_.emplace(member, Seen{now}).first->second.count == replacements;
  }

 private:
  struct Seen {
    SteadyTime since;
    unsigned count = 0;
  };
  std::map<std::string, Seen> seen_;
};

class MemberWarnings {
 public:
  void warn(Event event, Moment now) {
    std::uint64_t held_back = 0;
    if (!limit_.pass(now.steady, &held_back)) return;
    if (held_back) event.add({"not_logged_before", held_back});
    audit_warning(event);
  }
  // Of the member that the event names.
  void tell(Event event, Moment now) {
    std::uint64_t held_back = 0;
    if (!members_.pass(event.field("member"), now.steady, &held_back)) return;
    if (held_back) event.add({"not_logged_before", held_back});
    audit(event);
  }
  // A connection of the member took another one's place.
  void replaced(const std::string& group, const Member& older, const std::string& address, Moment now) {
    const std::string& member = older.identity.name;
    const Event event(
        "member_replaced",
        {{"group", group}, {"member", member}, {"old_address", Word{older.address}}, {"address", Word{address}}});
    tell(event, now);
    if (!duplicates_.replaced(member, now.steady)) return;
    audit_error(Event("duplicate_member", {{"group", group},
                                           {"member", member},
                                           {"address", Word{older.address}},
                                           {"other_address", Word{address}},
                                           {"why", "it takes its own place again and again: was its key copied?"}}));
  }

 private:
  LineLimit limit_{10};
  LineBudget members_{60, std::chrono::seconds(6)};
  Duplicates duplicates_;
};

}  // namespace sealcast::keyserver
