// Builds one message. Vectors get their length when they are closed; a length that does not fit is kept as a failure
// and reported once by finish(). The buffer wipes itself: SMKE carries a secret.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "handshake/error.h"
#include "handshake/wire/sensitive.h"

namespace sealcast::handshake {

class Writer {
 public:
  void u8(std::uint8_t value) { integer(value, 1); }
  void u16(std::uint16_t value) { integer(value, 2); }
  void u24(std::uint32_t value) { integer(value, 3); }
  void u32(std::uint32_t value) { integer(value, 4); }
  void u64(std::uint64_t value) { integer(value, 8); }
  void bytes(ByteView view) { out_.insert(out_.end(), view.begin(), view.end()); }

  // Writes a vector and lets fill(*this) write its content; length_size is 1, 2 or 3.
  template <typename Fill>
  void vector(std::size_t length_size, Fill&& fill) {
    const std::size_t start = out_.size();
    out_.resize(start + length_size);
    std::forward<Fill>(fill)(*this);
    const std::size_t length = out_.size() - start - length_size;
    if (length >> (8 * length_size) != 0) overflow_ = true;
    for (std::size_t i = 0; i < length_size; ++i)
      out_[start + i] = static_cast<std::uint8_t>(length >> (8 * (length_size - 1 - i)));
  }
  void vector8(ByteView view) {
    vector(1, [&](Writer& w) { w.bytes(view); });
  }
  void vector16(ByteView view) {
    vector(2, [&](Writer& w) { w.bytes(view); });
  }
  void vector24(ByteView view) {
    vector(3, [&](Writer& w) { w.bytes(view); });
  }
  void string8(std::string_view text) {
    vector(1, [&](Writer& w) { w.out_.insert(w.out_.end(), text.begin(), text.end()); });
  }

  // The message's body; fails when a vector outgrew its length field.
  Outcome<SensitiveBytes> finish(std::string_view message) {
    if (overflow_) return refuse(Reason::internal_error, std::string(message) + ": a vector outgrows its length field");
    return std::move(out_);
  }
  ByteView view() const { return out_; }

 private:
  void integer(std::uint64_t value, std::size_t size) {
    for (std::size_t i = size; i-- > 0;)
      out_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  }

  SensitiveBytes out_;
  bool overflow_ = false;
};

}  // namespace sealcast::handshake
