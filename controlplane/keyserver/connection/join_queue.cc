#include "controlplane/keyserver/connection/join_queue.h"

#include <algorithm>
#include <utility>

namespace sealcast::keyserver {

JoinQueue::Asked JoinQueue::ask(const std::string& group_id) {
  used_ = true;
  if (std::find(waiting_.begin(), waiting_.end(), group_id) != waiting_.end()) return Asked::twice;
  if (waiting_.size() >= most_waiting) return Asked::too_many;
  waiting_.push_back(group_id);
  return Asked::waits;
}

bool JoinQueue::begin_turn() {
  if (turn_ || waiting_.empty()) return false;
  slots_.restart();
  return turn_ = true;
}

bool JoinQueue::wait_for_slots(SessionHost& host, std::function<void()> then) {
  return !waiting_.empty() && slots_.wait(host, waiting_.front(), std::move(then));
}

std::optional<std::string> JoinQueue::take() {
  turn_ = false;
  if (waiting_.empty()) return std::nullopt;
  std::string group_id = std::move(waiting_.front());
  waiting_.erase(waiting_.begin());
  return group_id;
}

}  // namespace sealcast::keyserver
