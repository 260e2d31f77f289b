// Memory for secrets (H14): wiped on release and on move, never copied by accident, compared in constant time.
// Daemons call harden_process() first; buffers that outlive a handshake live in LockedArena.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "base/bytes.h"
#include "base/result.h"

namespace sealcast {

// Overwrites n bytes at p in a way the compiler may not remove.
void wipe(void* p, std::size_t n) noexcept;

// True if a and b hold the same n bytes; run time depends on n alone.
bool equal_constant_time(const std::uint8_t* a, const std::uint8_t* b, std::size_t n) noexcept;

// A secret of exactly N bytes. Copying is spelled clone(); moving wipes the source.
template <std::size_t N>
class Secret {
 public:
  static constexpr std::size_t size_bytes = N;

  Secret() noexcept { bytes_.fill(0); }
  ~Secret() { wipe(bytes_.data(), N); }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  Secret(Secret&& other) noexcept : bytes_(other.bytes_) { wipe(other.bytes_.data(), N); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      bytes_ = other.bytes_;
      wipe(other.bytes_.data(), N);
    }
    return *this;
  }
  Secret clone() const {
    Secret copy;
    copy.bytes_ = bytes_;
    return copy;
  }

  std::uint8_t* data() noexcept { return bytes_.data(); }
  const std::uint8_t* data() const noexcept { return bytes_.data(); }
  static constexpr std::size_t size() noexcept { return N; }
  std::span<std::uint8_t, N> span() noexcept { return std::span<std::uint8_t, N>(bytes_); }
  std::span<const std::uint8_t, N> view() const noexcept { return std::span<const std::uint8_t, N>(bytes_); }

  bool equals(const Secret& other) const noexcept { return equal_constant_time(data(), other.data(), N); }
  bool is_zero() const noexcept {
    std::uint8_t any = 0;
    for (std::uint8_t b : bytes_)
      any = static_cast<std::uint8_t>(any | b);
    return any == 0;
  }

 private:
  std::array<std::uint8_t, N> bytes_;
};

// A secret of variable length, same rules.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::size_t n) : bytes_(n, 0) {}
  ~SecretBytes() { clear(); }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  SecretBytes(SecretBytes&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    if (this != &other) {
      clear();
      bytes_ = std::exchange(other.bytes_, {});
    }
    return *this;
  }

  std::uint8_t* data() noexcept { return bytes_.data(); }
  const std::uint8_t* data() const noexcept { return bytes_.data(); }
  std::size_t size() const noexcept { return bytes_.size(); }
  bool empty() const noexcept { return bytes_.empty(); }
  ByteView view() const noexcept { return bytes_; }
  ByteSpan span() noexcept { return bytes_; }
  void clear() noexcept {
    if (!bytes_.empty()) wipe(bytes_.data(), bytes_.size());
    bytes_.clear();
  }

 private:
  Bytes bytes_;
};

// A region of whole pages (multiples of 2 MiB: huge ones, if the kernel has any) that is locked into RAM, kept out of
// core dumps and of forked children, and wiped on release. lock() failing (RLIMIT_MEMLOCK) is an error the caller
// shows; it is never ignored.
class LockedArena {
 public:
  static Result<LockedArena> create(std::size_t bytes);
  LockedArena() = default;
  ~LockedArena();
  LockedArena(const LockedArena&) = delete;
  LockedArena& operator=(const LockedArena&) = delete;
  LockedArena(LockedArena&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  LockedArena& operator=(LockedArena&& other) noexcept;

  void* data() noexcept { return base_; }
  const void* data() const noexcept { return base_; }
  std::size_t size() const noexcept { return size_; }

 private:
  void* base_ = nullptr;
  std::size_t size_ = 0;
};

// Turns core dumps and ptrace by other users off for this process. Call before any key is loaded.
Result<void> harden_process();

}  // namespace sealcast
