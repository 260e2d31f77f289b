#include "controlplane/member/member_clocks.h"

#include <spdlog/spdlog.h>
#include <time.h>

#include "base/read_clock.h"

namespace sealcast::member {

MemberClocks::MemberClocks(Read read, std::chrono::nanoseconds jump, std::chrono::nanoseconds tolerance)
    : read_(std::move(read)), snapshots_(jump), trusted_(tolerance) {
  if (!read_) read_ = [] { return std::pair(read_clock(CLOCK_BOOTTIME), read_clock(CLOCK_REALTIME)); };
}

ClockTrust::Reading MemberClocks::now() const {
  const auto [boot, real] = read_();
  return {boot, real};
}

bool MemberClocks::jumped() {
  const auto [boot, real] = read_();
  const bool jump = snapshots_.jumped(boot, real);
  if (jump) ++jumps_;
  return jump;
}

std::int64_t MemberClocks::unix_now() const {
  return std::chrono::floor<std::chrono::seconds>(trusted_.judged(now())).count();
}

void MemberClocks::look(bool judged) {
  const auto clock = now();
  trusted_.look(clock);
  if (judged) trusted_.hold(clock);
  const bool doubted = !trusted_.agrees(clock);
  if (doubted == std::exchange(doubted_, doubted)) return;
  if (doubted)
    spdlog::error(
        "the wall clock moved against the boot-time clock by {} s: key servers are judged as if it had not. Set it "
        "right, or restart the gateway if it is right now",
        std::chrono::duration_cast<std::chrono::seconds>(trusted_.apart(clock)).count());
  else
    spdlog::info("the wall clock agrees with the boot-time clock again");
}

}  // namespace sealcast::member
