#include "controlplane/cluster/cluster_clock.h"

#include <algorithm>

#include "base/bytes.h"

namespace sealcast::cluster {

using namespace std::chrono_literals;
using etcd::Put;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

namespace {

constexpr auto soon = 1s;    // until the clock is known well
constexpr auto later = 60s;  // in which it drifts by 12 ms at most
constexpr std::uint32_t well_ms = 30;
constexpr std::size_t most_unanswered = 8;
// A new clock begins here, as one of a key server alone does: room for the zero of the first epoch.
constexpr milliseconds clock_begins = 1h;
constexpr milliseconds zero_lies_before = 1min;

}  // namespace

std::optional<etcd::Transaction> ClusterClock::question(BootTime now) {
  const std::string& leader = view_.live().leader;
  if (under_way_ || leader.empty() || view_.leading()) return std::nullopt;
  if (leader == asked_leader_ && now < next_) return std::nullopt;
  asked_leader_ = leader;
  under_way_ = now;
  next_ = now + soon;
  etcd::Transaction ask;
  ask.compares = {view_.still_here()};
  ask.success = {Put{view_.keys().asked(view_.self().incarnation), "", view_.self().lease}};
  return ask;
}

void ClusterClock::questioned(const etcd::Reply* reply) {
  if (reply && reply->succeeded && under_way_) {
    unanswered_.push_back({reply->revision, *under_way_});
    if (unanswered_.size() > most_unanswered) unanswered_.pop_front();
  }
  under_way_.reset();
}

ClusterClock::Outcome ClusterClock::measure(BootTime now) {
  const ClockValue& value = view_.clock();
  std::optional<BootTime> asked;
  while (!unanswered_.empty() && unanswered_.front().revision <= value.answers) {
    asked = unanswered_.front().asked;
    unanswered_.pop_front();
  }
  if (!asked || led_) return Outcome::no_clock;
  const Outcome outcome = estimates_.measured(value.reading, *asked, now);
  const handshake::ClockReading known = read(now);
  // Another leader's error stays: only its own part can be measured away.
  if (known.clock_id != 0 && known.error_ms <= value.reading.error_ms + well_ms) next_ = now + later;
  return outcome;
}

void ClusterClock::look(BootTime now) {
  if (led_ && !view_.leading()) {
    estimates_.measured(read(now), now, now);
    led_.reset();
  }
  if (view_.leading() && !led_) begin_leading(now);
}

void ClusterClock::begin_leading(BootTime now) {
  const handshake::ClockReading known = estimates_.reading(view_.clock().reading.clock_id, now);
  if (known.clock_id != 0 && milliseconds(known.error_ms) <= largest_inherited_error) {
    led_ = Led{known.clock_id, milliseconds(known.now_ms) - now.time_since_epoch(), known.error_ms};
    return;
  }
  Led fresh;
  do {
    random_.fill(ByteSpan(reinterpret_cast<std::uint8_t*>(&fresh.id), sizeof fresh.id));
  } while (fresh.id == 0);
  fresh.offset = clock_begins - now.time_since_epoch();
  fresh.error_ms = 1;  // whole milliseconds
  led_ = fresh;
}

std::optional<Put> ClusterClock::reading_to_write(BootTime now) {
  look(now);
  if (!led_ || (view_.clock().reading.clock_id == led_->id && view_.live().asked <= view_.clock().answers))
    return std::nullopt;
  return Put{view_.keys().clock(), ClockValue{view_.live().asked, read(now)}.text()};
}

handshake::EpochZero ClusterClock::zero(BootTime now) const {
  const handshake::ClockReading reading = read(now);
  return {reading.clock_id, reading.now_ms - static_cast<std::uint64_t>(zero_lies_before.count())};
}

handshake::ClockReading ClusterClock::read(BootTime now) const {
  if (!led_) return estimates_.reading(view_.clock().reading.clock_id, now);
  const auto time = std::chrono::duration_cast<milliseconds>(now.time_since_epoch() + led_->offset);
  return {led_->id, static_cast<std::uint64_t>(std::max<milliseconds::rep>(time.count(), 0)), led_->error_ms};
}

bool ClusterClock::good(BootTime now) const {
  const handshake::ClockReading reading = read(now);
  return reading.clock_id != 0 && milliseconds(reading.error_ms) <= largest_error;
}

void ClusterClock::session_over() {
  unanswered_.clear();
  under_way_.reset();
  asked_leader_.clear();
}

void ClusterClock::forget() {
  estimates_ = {};
  led_.reset();
}

}  // namespace sealcast::cluster
