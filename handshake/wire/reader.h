// Reads one message. Never reads beyond its end, keeps the first failure, and names the message in it. finish() checks
// that everything was read. After a failure every read yields zero or nothing, so that a parser reads straight through
// and checks once at the end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "handshake/error.h"

namespace sealcast::handshake {

class Reader {
 public:
  // message must have static storage, because errors refer to it; bytes must outlive the returned views.
  Reader(std::string_view message, ByteView bytes) : message_(message), all_(bytes), rest_(bytes) {}

  std::uint8_t u8(std::string_view field) { return integer<std::uint8_t>(1, field); }
  std::uint16_t u16(std::string_view field) { return integer<std::uint16_t>(2, field); }
  std::uint32_t u24(std::string_view field) { return integer<std::uint32_t>(3, field); }
  std::uint32_t u32(std::string_view field) { return integer<std::uint32_t>(4, field); }
  std::uint64_t u64(std::string_view field) { return integer<std::uint64_t>(8, field); }
  ByteView bytes(std::size_t count, std::string_view field);

  // RFC 5246 §4.3: a length of 1, 2 or 3 bytes, between min and max, then that many bytes.
  ByteView vector8(std::size_t min, std::size_t max, std::string_view field) { return vector(1, min, max, field); }
  ByteView vector16(std::size_t min, std::size_t max, std::string_view field) { return vector(2, min, max, field); }
  ByteView vector24(std::size_t min, std::size_t max, std::string_view field) { return vector(3, min, max, field); }
  std::string string8(std::size_t min, std::size_t max, std::string_view field);

  // Records a failure found by the parser itself; only the first failure counts.
  void refuse(Reason reason, std::string detail);
  // Takes over the failure of a reader that read a part of this message.
  void absorb(Reader& part);

  bool ok() const { return !error_; }
  bool at_end() const { return rest_.empty() || error_; }
  std::size_t offset() const { return all_.size() - rest_.size(); }
  std::string_view message() const { return message_; }

  // The first failure, or trailing bytes as one.
  Outcome<void> finish();

 private:
  template <typename T>
  T integer(std::size_t size, std::string_view field) {
    T value = 0;
    for (const std::uint8_t byte : bytes(size, field))
      value = static_cast<T>((static_cast<std::uint64_t>(value) << 8) | byte);
    return value;
  }
  ByteView vector(std::size_t length_size, std::size_t min, std::size_t max, std::string_view field);

  std::string_view message_;
  ByteView all_;
  ByteView rest_;
  std::optional<HandshakeError> error_;
};

}  // namespace sealcast::handshake
