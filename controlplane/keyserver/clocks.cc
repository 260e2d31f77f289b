#include "controlplane/keyserver/clocks.h"

#include <ctime>
#include <utility>

#include "controlplane/keyserver/audit/audit.h"

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;
using std::chrono::duration_cast;
using std::chrono::seconds;

constexpr auto told_again_after = 1h;
constexpr auto kept_again_after = 24h;
constexpr auto worth_keeping = 1s;  // of what a drift adds up to

std::string date_of(ClockTrust::Time time) {
  const std::time_t at = duration_cast<seconds>(time).count();
  std::tm parts{};
  char text[32];
  if (gmtime_r(&at, &parts) == nullptr) return "?";
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

}  // namespace

ClockTrust::Reading Clocks::read() const {
  return {sources_.boot(), seconds(sources_.unix_now())};
}

std::int64_t Clocks::start(const std::optional<store::WallClock>& before, std::string boot_id) {
  boot_id_ = std::move(boot_id);
  if (before && before->boot_id == boot_id_) {
    kept_ = std::chrono::milliseconds(before->ahead_ms);
    trust_.resume(kept_);
  } else if (before) {
    trust_.resume_no_earlier(seconds(before->at), read());
  }
  return unix_now();
}

std::int64_t Clocks::unix_now() const {
  return std::chrono::floor<seconds>(trust_.judged(read())).count();
}

void Clocks::hold() {
  if (trust_.held()) return;
  trust_.hold(read());
  keep();
}

void Clocks::look() {
  const auto now = read();
  trust_.look(now);
  if (trust_.agrees(now)) {
    if (std::exchange(doubt_told_, std::nullopt))
      audit(Event("clock_agrees", {{"wall_clock", Word{date_of(now.real)}}}));
    const auto moved = trust_.ahead() - kept_;
    if (trust_.held() && (now.boot >= keep_again_ || moved > worth_keeping || moved < -worth_keeping)) keep();
    return;
  }
  if (doubt_told_ && now.boot - *doubt_told_ < told_again_after) return;
  doubt_told_ = now.boot;
  audit_error(Event("clock_doubted",
                    {{"wall_clock", Word{date_of(now.real)}},
                     {"judged_by", Word{date_of(trust_.judged(now))}},
                     {"apart_s", duration_cast<seconds>(trust_.apart(now)).count()},
                     {"why",
                      "the wall clock moved against the boot-time clock; members are judged as if it had not, and "
                      "newcomers are refused. Set it right, or say that it is: sealcast clock accept"}}));
}

Result<void> Clocks::accept() {
  const auto now = read();
  if (trust_.agrees(now)) return fail("expected a clock that is doubted, but this one agrees with the boot-time clock");
  audit_warning(Event("clock_accepted", {{"wall_clock", Word{date_of(now.real)}},
                                         {"apart_s", duration_cast<seconds>(trust_.apart(now)).count()}}));
  trust_.accept(now);
  doubt_told_.reset();
  keep();
  return {};
}

admin::ClockStatus Clocks::status() const {
  const auto now = read();
  return {.agrees = trust_.agrees(now),
          .apart = std::chrono::duration<double>(trust_.apart(now)).count(),
          .judged_by = duration_cast<seconds>(trust_.judged(now)).count()};
}

void Clocks::keep() {
  const auto now = read();
  kept_ = trust_.ahead();
  keep_again_ = now.boot + kept_again_after;
  if (!store_) return;
  const store::WallClock clock{boot_id_, duration_cast<std::chrono::milliseconds>(kept_).count(),
                               duration_cast<seconds>(trust_.judged(now)).count()};
  if (auto done = store_->keep_wall_clock(clock); !done)
    audit_error(Event("state_not_written", {{"why", done.error().message}}));
}

}  // namespace sealcast::keyserver
