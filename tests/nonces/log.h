// Which numbers a process sealed under which keys, in a file that outlives the process however it ends: the pages are
// the kernel's, so what was written before a kill -9 stays written.
//
// The file, in the machine's own byte order: a Header, then `capacity` Runs. tests/e2e/lab/nonces.py reads it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace sealcast::nonces {

struct Header {
  std::array<char, 8> magic;
  std::uint32_t pid;
  std::uint32_t capacity;           // Runs the file has room for
  std::atomic<std::uint64_t> used;  // above capacity: some were not recorded
  std::array<char, 40> program;     // zero-terminated
};
static_assert(sizeof(Header) == 64);

// IVs from first to last under one key, rising, each once: their low halves are the sequence numbers and have no gap.
// What lies between them because a time went on was not used, and may not be by anything else.
struct Run {
  std::uint64_t key_id;
  std::uint64_t first;
  std::atomic<std::uint64_t> last;
  std::uint32_t spi;
  std::atomic<std::uint32_t> whole;  // 1: all other fields have been written
};
static_assert(sizeof(Run) == 32);

// Identifies a key without revealing it: 8 bytes of SHA-256.
std::uint64_t key_id(ByteView key);

class Log {
 public:
  static constexpr std::uint32_t default_capacity = 1U << 18;

  // A new file in folder, named after the program and its pid.
  static Result<std::unique_ptr<Log>> create(const std::string& folder, std::uint32_t capacity = default_capacity);
  // In the folder that SEALCAST_NONCE_LOG names; the same for the whole process, never closed. Errors say what to set.
  static Result<Log*> of_process();
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // Any thread. Null: the file is full; its readers see that.
  Run* begin(std::uint64_t key, std::uint32_t spi, std::uint64_t number) noexcept;
  // For the thread that seals under the key: adds number to run, or begins a new one and stores it in run.
  void add(Run*& run, std::uint64_t key, std::uint32_t spi, std::uint64_t number) noexcept;

  const std::string& path() const { return path_; }

 private:
  Log(std::string path, void* memory, std::size_t bytes);
  std::string path_;
  void* memory_;
  std::size_t bytes_;
  Header* header_;
  Run* runs_;
};

}  // namespace sealcast::nonces
