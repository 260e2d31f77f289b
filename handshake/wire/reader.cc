#include "handshake/wire/reader.h"

#include <utility>

namespace sealcast::handshake {

ByteView Reader::bytes(std::size_t count, std::string_view field) {
  if (error_) return {};
  if (count > rest_.size()) {
    refuse(Reason::decode_error, std::string(field) + " needs " + std::to_string(count) + " bytes, " +
                                     std::to_string(rest_.size()) + " left at offset " + std::to_string(offset()));
    return {};
  }
  const ByteView taken = rest_.first(count);
  rest_ = rest_.subspan(count);
  return taken;
}

ByteView Reader::vector(std::size_t length_size, std::size_t min, std::size_t max, std::string_view field) {
  const auto length = integer<std::size_t>(length_size, field);
  if (error_) return {};
  if (length < min || length > max) {
    refuse(Reason::decode_error, std::string(field) + " has length " + std::to_string(length) + ", expected " +
                                     std::to_string(min) + " to " + std::to_string(max));
    return {};
  }
  return bytes(length, field);
}

std::string Reader::string8(std::size_t min, std::size_t max, std::string_view field) {
  const ByteView view = vector8(min, max, field);
  return {view.begin(), view.end()};
}

void Reader::refuse(Reason reason, std::string detail) {
  if (error_) return;
  error_ = handshake::refuse(reason, std::string(message_) + ": " + std::move(detail)).value();
}

void Reader::absorb(Reader& part) {
  if (auto done = part.finish(); !done && !error_) error_ = std::move(done.error());
}

Outcome<void> Reader::finish() {
  if (!error_ && !rest_.empty())
    refuse(Reason::decode_error,
           std::to_string(rest_.size()) + " trailing bytes after offset " + std::to_string(offset()));
  if (error_) return tl::unexpected<HandshakeError>(*error_);
  return {};
}

}  // namespace sealcast::handshake
