// One connection as its session uses it: a stream of bytes, a timer, and turns on the loop. The product's is TCP; a
// test or a simulator puts its own in its place.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>

#include "base/bytes.h"
#include "base/result.h"

namespace sealcast::keyserver {

// Everything runs on the loop's thread. What is handed in is called once, later, never from inside the call that takes
// it, and has to keep the transport alive.
class Transport {
 public:
  using Then = std::function<void()>;
  using Written = std::function<void(const Result<void>&)>;

  virtual ~Transport() = default;

  // Calls then when bytes are there, or the peer has ended the connection. Not after close().
  virtual void when_readable(Then then) = 0;
  // How many bytes it read; 0: none are there now. An error: the peer has ended the connection, or it is broken.
  virtual Result<std::size_t> read(ByteSpan into) = 0;
  // Whether the peer has ended the connection and all that it sent was read; reads nothing.
  virtual bool peer_is_gone() = 0;
  // Writes all the bytes, which must stay where they are until written is called. One write at a time.
  virtual void write(ByteView bytes, Written written) = 0;
  // The peer reads the end of the stream behind what was written.
  virtual void end_output() = 0;
  // Drops what was not written. Only what was posted is called after it, and written.
  virtual void close() = 0;

  // Calls then after the delay. There is one timer: another call takes the place of this one, and close() ends it.
  virtual void set_timer(std::chrono::milliseconds delay, Then then) = 0;
  // Calls then in a turn of its own.
  virtual void post(Then then) = 0;
};

}  // namespace sealcast::keyserver
