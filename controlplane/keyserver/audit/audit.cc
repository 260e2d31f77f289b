#include "controlplane/keyserver/audit/audit.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <mutex>
#include <utility>

namespace sealcast::keyserver {
namespace {

struct Sink {
  std::mutex mutex;
  std::function<void(AuditLevel, const Event&)> take;
  std::function<void(const Holding&)> hold;
  std::function<bool()> has_room;
};
Sink& sink() {
  static Sink one;
  return one;
}

void hand_on(AuditLevel level, const Event& event) {
  Sink& to = sink();
  const std::lock_guard lock(to.mutex);
  if (to.take) to.take(level, event);
}

}  // namespace

void audit(const Event& event) {
  spdlog::info("key server: {}", event.line());
  hand_on(AuditLevel::info, event);
}
void audit_warning(const Event& event) {
  spdlog::warn("key server: {}", event.line());
  hand_on(AuditLevel::warning, event);
}
void audit_error(const Event& event) {
  spdlog::error("key server: {}", event.line());
  hand_on(AuditLevel::error, event);
}

std::string_view name(AuditLevel level) {
  switch (level) {
    case AuditLevel::info:
      return "info";
    case AuditLevel::warning:
      return "warning";
    case AuditLevel::error:
      return "error";
  }
  return "?";
}

void audit_to(std::function<void(AuditLevel level, const Event& event)> take) {
  Sink& to = sink();
  const std::lock_guard lock(to.mutex);
  to.take = std::move(take);
}

void audit_holding(const Holding& holding) {
  Sink& to = sink();
  const std::lock_guard lock(to.mutex);
  if (to.hold) to.hold(holding);
}

bool holdings_have_room() {
  Sink& to = sink();
  const std::lock_guard lock(to.mutex);
  return !to.has_room || to.has_room();
}

void holdings_to(std::function<void(const Holding& holding)> take, std::function<bool()> has_room) {
  Sink& to = sink();
  const std::lock_guard lock(to.mutex);
  to.hold = std::move(take);
  to.has_room = std::move(has_room);
}

EventField group_field(const std::optional<std::string>& group_id) {
  return group_id ? EventField("group", *group_id) : EventField("group", Word{"*"});
}

bool LineLimit::pass(std::chrono::steady_clock::time_point now, std::uint64_t* held_back) {
  if (now - second_ >= std::chrono::seconds(1)) {
    second_ = now;
    used_ = 0;
  }
  if (used_ >= limit_) {
    ++held_back_;
    return false;
  }
  ++used_;
  *held_back = held_back_;
  held_back_ = 0;
  return true;
}

bool LineBudget::pass(std::string_view kind, std::chrono::steady_clock::time_point now, std::uint64_t* held_back) {
  auto found = kinds_.find(kind);
  if (found == kinds_.end()) {
    // What has its whole budget again and hides nothing is as if it never was.
    if (kinds_.size() >= sweep_at_) {
      std::erase_if(kinds_, [&](const auto& one) { return one.second.spent_until <= now && !one.second.held_back; });
      sweep_at_ = std::max<std::size_t>(fewest_swept, 2 * kinds_.size());
    }
    found = kinds_.emplace(kind, Kind{now, 0}).first;
  }
  Kind& of_kind = found->second;
  if (of_kind.spent_until < now) of_kind.spent_until = now;
  if (of_kind.spent_until + period_ > now + at_once_ * period_) {
    ++of_kind.held_back;
    return false;
  }
  of_kind.spent_until += period_;
  *held_back = std::exchange(of_kind.held_back, 0);
  return true;
}

}  // namespace sealcast::keyserver
