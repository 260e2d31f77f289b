// What one connection has to send: the bytes that wait, and the write under way.
#pragma once

#include <cstddef>

#include "base/bytes.h"

namespace sealcast::keyserver {

class Outbox {
 public:
  // False: more than `most` bytes wait now. They stay, so that waiting() tells how many.
  bool push(const Bytes& bytes, std::size_t most);
  // Bytes that wait behind the write under way.
  std::size_t waiting() const { return waiting_.size(); }

  // Begins the next write: all that waits, good until written(). Empty: nothing waits, or a write is under way still.
  ByteView next();
  void written();
  // Nothing is to come any more. True once: when everything is written.
  bool finish();

 private:
  Bytes waiting_;
  Bytes in_flight_;  // empty: no write is under way
  bool finished_ = false;
};

}  // namespace sealcast::keyserver
