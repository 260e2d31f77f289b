// Writes frames to a pcap file (nanoseconds, Ethernet) that can be read while it grows.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace sealcast::wire {

class Capture {
 public:
  static Result<std::unique_ptr<Capture>> create(const std::string& file);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  // captured holds the frame, or its beginning where original_bytes is larger. Nanoseconds since the epoch.
  void write(ByteView captured, std::uint32_t original_bytes, std::uint64_t time_ns);
  // Hands everything written so far to the kernel: it survives this process' death. Cheap if there is nothing new.
  // False once the file could not be written (disk full); the capture is then incomplete.
  bool flush();

 private:
  struct State;
  explicit Capture(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sealcast::wire
