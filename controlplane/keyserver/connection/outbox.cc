#include "controlplane/keyserver/connection/outbox.h"

#include <utility>

namespace sealcast::keyserver {

bool Outbox::push(const Bytes& bytes, std::size_t most) {
  waiting_.insert(waiting_.end(), bytes.begin(), bytes.end());
  return waiting_.size() <= most;
}

ByteView Outbox::next() {
  if (!in_flight_.empty()) return {};
  in_flight_ = std::exchange(waiting_, {});
  return in_flight_;
}

void Outbox::written() {
  in_flight_ = Bytes();  // its memory, too (H13)
}

bool Outbox::finish() {
  if (finished_ || !waiting_.empty() || !in_flight_.empty()) return false;
  return finished_ = true;
}

}  // namespace sealcast::keyserver
