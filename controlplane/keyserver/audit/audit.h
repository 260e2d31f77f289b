// The key server's audit trail: what happened, for the log and for the file that keeps it (audit_trail.h). Never a
// secret (H14).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/event.h"

namespace sealcast::keyserver {

void audit(const Event& event);          // what an auditor wants to find later
void audit_warning(const Event& event);  // what an operator should look at
void audit_error(const Event& event);    // what keeps members from being served

enum class AuditLevel : std::uint8_t { info, warning, error };
std::string_view name(AuditLevel level);  // "info", "warning", "error"

// The sink of all events of this process beside its log; empty: there is none. It is called on the thread that has the
// event, must be quick, and must not audit anything itself.
void audit_to(std::function<void(AuditLevel level, const Event& event)> sink);

// A member was given an epoch, in whatever way (H3, H27). Told once for each time, also where the log says nothing.
struct Holding {
  std::string group;
  std::uint64_t epoch = 0;
  std::string member, serial, address;
};
void audit_holding(const Holding& holding);
// False: what keeps holdings cannot take them any more. Whoever can wait for keys is then given none.
bool holdings_have_room();
// Where they are kept; empty: nowhere. The rules are those of audit_to().
void holdings_to(std::function<void(const Holding& holding)> take, std::function<bool()> has_room);

// The group that an operator's command names; `group=*`: it names none, and means all.
EventField group_field(const std::optional<std::string>& group_id);

// At most so many lines a second pass; how many were held back is told with the next one that passes, so that a flood
// of bad connections fills no disk (H13).
class LineLimit {
 public:
  explicit LineLimit(std::uint32_t lines_per_second) : limit_(lines_per_second) {}
  // True: log it; *held_back lines were not logged since the last one.
  bool pass(std::chrono::steady_clock::time_point now, std::uint64_t* held_back);

 private:
  std::uint32_t limit_;
  std::uint32_t used_ = 0;
  std::uint64_t held_back_ = 0;
  std::chrono::steady_clock::time_point second_{};
};

// For what strangers and members can cause for ever: so many lines at once, then one more every period, for each kind
// of line apart, so that one that knocks all day fills no disk, and one kind of noise hides no other. Kinds are names
// that stand in this program or in certificates: their number is bounded (H13).
class LineBudget {
 public:
  LineBudget(std::uint32_t at_once, std::chrono::milliseconds period) : at_once_(at_once), period_(period) {}
  // True: log it; *held_back lines of this kind were not logged since the last one.
  bool pass(std::string_view kind, std::chrono::steady_clock::time_point now, std::uint64_t* held_back);

 private:
  struct Kind {
    std::chrono::steady_clock::time_point spent_until{};  // every line moves it on by a period
    std::uint64_t held_back = 0;
  };
  std::uint32_t at_once_;
  std::chrono::milliseconds period_;
  static constexpr std::size_t fewest_swept = 1024;
  std::map<std::string, Kind, std::less<>> kinds_;
  std::size_t sweep_at_ = fewest_swept;  // so many kinds
};

}  // namespace sealcast::keyserver
