// Puts messages (type u8, length u24, body) together from record payloads, and knows whether one is half read.
#pragma once

#include <optional>

#include "base/bytes.h"
#include "handshake/machine/proof.h"
#include "handshake/wire/sensitive.h"

namespace sealcast::handshake {

inline constexpr std::size_t message_header_size = 4;

class MessageJoiner {
 public:
  void feed(ByteView payload);

  bool empty() const { return start_ == buffer_.size(); }
  std::size_t pending() const { return buffer_.size() - start_; }
  // The type of the message that is being read, as soon as its first byte is there.
  std::optional<std::uint8_t> type() const {
    if (empty()) return std::nullopt;
    return buffer_[start_];
  }
  // Length of its body, as soon as the header is there.
  std::optional<std::size_t> body_size() const {
    if (pending() < message_header_size) return std::nullopt;
    return (std::size_t{buffer_[start_ + 1]} << 16) | (std::size_t{buffer_[start_ + 2]} << 8) | buffer_[start_ + 3];
  }
  // The whole message with its header, once it is complete; valid until take() or feed().
  std::optional<ByteView> message() const {
    const auto size = body_size();
    if (!size || pending() < message_header_size + *size) return std::nullopt;
    return ByteView(buffer_).subspan(start_, message_header_size + *size);
  }
  // Moves on past a message of this size; its bytes are wiped when nothing of the record is left.
  void take(std::size_t size) {
    start_ += size;
    if (start_ != buffer_.size()) return;
    buffer_ = SensitiveBytes();
    start_ = 0;
  }
  std::optional<RecordAligned> aligned() const {
    if (!empty()) return std::nullopt;
    return RecordAligned();
  }

 private:
  SensitiveBytes buffer_;
  std::size_t start_ = 0;
};

// g++ 14 does not know that take() was told of no more than there was, and sees an access behind the buffer's end.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Warray-bounds"
inline void MessageJoiner::feed(ByteView payload) {
  if (start_ > 0) {  // what was taken makes room: the buffer never holds more than one message and one record
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(start_));
    start_ = 0;
  }
  buffer_.insert(buffer_.end(), payload.begin(), payload.end());
}
#pragma GCC diagnostic pop

}  // namespace sealcast::handshake
