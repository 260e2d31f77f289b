#include "controlplane/keyserver/audit/audit.h"

#include <spdlog/spdlog.h>

#include <mutex>
#include <utility>

namespace sealcast::keyserver {
namespace {

struct Taker {
  std::mutex mutex;
  std::function<void(AuditLevel, const std::string&)> take;
};
Taker& taker() {
  static Taker one;
  return one;
}

void hand_on(AuditLevel level, const std::string& line) {
  Taker& to = taker();
  const std::lock_guard lock(to.mutex);
  if (to.take) to.take(level, line);
}

}  // namespace

void audit(const std::string& line) {
  spdlog::info("key server: {}", line);
  hand_on(AuditLevel::info, line);
}
void audit_warning(const std::string& line) {
  spdlog::warn("key server: {}", line);
  hand_on(AuditLevel::warning, line);
}
void audit_error(const std::string& line) {
  spdlog::error("key server: {}", line);
  hand_on(AuditLevel::error, line);
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

void audit_to(std::function<void(AuditLevel level, const std::string& line)> taken_by) {
  Taker& to = taker();
  const std::lock_guard lock(to.mutex);
  to.take = std::move(taken_by);
}

std::string escaped(std::string_view text) {
  constexpr char digits[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text.substr(0, 200)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '"' || c == '\\')
      out += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    else
      out += c;
  }
  return out + (text.size() > 200 ? "…\"" : "\"");
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
  if (found == kinds_.end()) found = kinds_.emplace(kind, Kind{now, 0}).first;
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
