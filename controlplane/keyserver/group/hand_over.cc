#include "controlplane/keyserver/group/hand_over.h"

#include <algorithm>
#include <utility>

namespace sealcast::keyserver {

void HandOver::begin(std::uint64_t epoch, SteadyTime deadline) {
  now_ = Now{.epoch = epoch, .deadline = deadline};
}

bool HandOver::end(std::uint64_t epoch) {
  if (!now_ || now_->epoch != epoch) return false;
  now_.reset();
  return true;
}

void HandOver::no_longer_await(const std::string& member) {
  if (now_) now_->awaited.erase(member);
}

void HandOver::acknowledged(const std::string& member, std::uint64_t epoch, SteadyTime now) {
  if (!now_ || now_->epoch != epoch || now_->awaited.erase(member) == 0) return;
  if (last_ && last_->epoch == epoch) last_->acknowledge(member, now);
}

bool HandOver::is_complete(SteadyTime now) const {
  return now_ && now_->awaited.empty() && now_->not_before <= now;
}

std::optional<SteadyTime> HandOver::due() const {
  if (!now_ || now_->reported) return {};
  return now_->awaited.empty() ? now_->not_before : std::max(now_->deadline, now_->not_before);
}

bool HandOver::report() {
  return !std::exchange(now_->reported, true);
}

void HandOver::wait_for_return(SteadyTime until) {
  now_->deadline = std::max(now_->deadline, until);
  now_->patience = now_->deadline;
}

void HandOver::stop_waiting_for_return(SteadyTime end) {
  if (!waits_for_return()) return;
  now_->deadline = std::min(now_->deadline, end);
  now_->patience.reset();
}

void HandOver::shorten(SteadyTime end) {
  now_->deadline = std::min(now_->deadline, end);
}

void HandOver::sender_goes_on(std::uint64_t epoch) {
  if (!waits_for_return() || epoch >= now_->epoch) return;
  now_->deadline = *now_->patience;
  now_->sender_goes_on = true;
}

void HandOver::record(std::uint64_t epoch, const std::string& why, SteadyTime begun, std::size_t told) {
  last_ = RekeyRecord{.epoch = epoch, .why = why, .begun = begun, .told = told};
}

const RekeyRecord* HandOver::record_active(std::uint64_t epoch, std::size_t missing, SteadyTime now) {
  if (!last_ || last_->epoch != epoch) return nullptr;
  last_->active(missing, now);
  return &*last_;
}

}  // namespace sealcast::keyserver
