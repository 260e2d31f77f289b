// ISAKMP messages as Sealcast uses them (RFC 2408 §3.1, §3.2): the fixed header, then generic payloads of one private
// type with bodies that, joined, are TLS records. README.md shows the bytes.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

#include "base/bytes.h"
#include "handshake/error.h"
#include "handshake/wire/sensitive.h"

namespace sealcast::isakmp {

using handshake::Outcome;
using handshake::SensitiveBytes;

using Cookie = std::array<std::uint8_t, 8>;
inline constexpr Cookie no_cookie{};

inline constexpr std::size_t isakmp_header_bytes = 28;
inline constexpr std::size_t payload_header_bytes = 4;
inline constexpr std::uint8_t isakmp_version = 0x10;       // 1.0
inline constexpr std::uint8_t isakmp_exchange_type = 240;  // private use, RFC 2408 §3.1
inline constexpr std::uint8_t no_payload = 0;              // RFC 2408 §3.1 "NONE"
inline constexpr std::uint8_t records_payload = 128;       // private use
inline constexpr std::size_t max_payload_body = 65'531;  // its length field counts the 4 bytes of the payload's header
inline constexpr std::size_t max_payloads = 4;
// One message, header included: the most memory that a peer can make us hold (H13).
inline constexpr std::size_t max_message_bytes = 128 * 1024;
// The same before the closing Finished: a whole handshake of 64 KiB in one flight, and the overhead of its records.
inline constexpr std::size_t max_handshake_message_bytes = 68 * 1024;
inline constexpr std::size_t max_first_message_bytes = 5 * 1024;  // of a peer that was not answered yet (H13)
// Of the records in a message, so that it fits.
inline constexpr std::size_t max_content_bytes =
    max_message_bytes - isakmp_header_bytes - max_payloads * payload_header_bytes;

struct Header {
  Cookie initiator{};
  Cookie responder{};
  bool has_payload = false;
  std::uint32_t message_id = 0;
  std::uint32_t length = isakmp_header_bytes;  // of the whole message
};

struct Message {
  Header header;
  SensitiveBytes content;  // the payloads' bodies, joined; empty exactly if the header names no payload
};

// content of at most max_content_bytes, split into full payloads and a last one; empty: the bare header.
Bytes encode(const Cookie& initiator, const Cookie& responder, std::uint32_t message_id, ByteView content);

// Exactly isakmp_header_bytes. Refuses every other version, exchange type, flag and payload type, an initiator cookie
// of 0, and a length above max_message_bytes or at odds with the payload's presence.
Outcome<Header> decode_header(ByteView bytes);

// Do these bytes begin with the first message of an initiator? Detects a peer of this carriage on a TLS port.
bool is_cookie_request(ByteView bytes);

// The payloads are the header's length - isakmp_header_bytes bytes after it. Each is non-empty, of our type, with
// reserved byte 0; the chain ends exactly with the message.
Outcome<SensitiveBytes> decode_payloads(const Header& header, ByteView bytes);

// Cuts a byte stream into messages by the header's length. Holds at most one message, and only bytes that have come.
class MessageReader {
 public:
  // Called as soon as a header is whole, before any of the message's payload is kept; an error refuses the message.
  using Judge = std::function<Outcome<void>(const Header&)>;

  // Takes the current message's bytes off the front of bytes; returns the message when it is whole.
  Outcome<std::optional<Message>> take(ByteView& bytes, const Judge& judge);

  // Bytes of memory held for a message that is not whole yet.
  std::size_t held_bytes() const { return held_.capacity(); }
  // The bytes of a header that is not whole yet, or was refused.
  ByteView beginning() const { return header_ ? ByteView() : ByteView(held_.data(), held_.size()); }

 private:
  void fill(ByteView& bytes, std::size_t size);

  SensitiveBytes held_;
  std::optional<Header> header_;
};

}  // namespace sealcast::isakmp
