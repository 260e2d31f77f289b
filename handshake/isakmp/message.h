// ISAKMP messages as Sealcast uses them (RFC 2408 §3.1, §3.2): the fixed header, then generic payloads of one private
// type whose bodies, joined, are TLS records. README.md shows the bytes.
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
inline constexpr Cookie kNoCookie{};

inline constexpr std::size_t kHeaderBytes = 28;
inline constexpr std::size_t kPayloadHeaderBytes = 4;
inline constexpr std::uint8_t kVersion = 0x10;          // 1.0
inline constexpr std::uint8_t kExchangeType = 240;      // private use, RFC 2408 §3.1
inline constexpr std::uint8_t kNoPayload = 0;           // RFC 2408 §3.1 "NONE"
inline constexpr std::uint8_t kRecordsPayload = 128;    // private use
inline constexpr std::size_t kMaxPayloadBody = 65'531;  // its length field counts the 4 bytes of the payload's header
inline constexpr std::size_t kMaxPayloads = 4;
// Of one message, header included: what a peer can make us hold (H13).
inline constexpr std::size_t kMaxMessageBytes = 128 * 1024;
// The same before the closing Finished: a whole handshake of 64 KiB in one flight, and what its records add.
inline constexpr std::size_t kMaxHandshakeMessageBytes = 68 * 1024;
// Of the records in a message, so that it fits.
inline constexpr std::size_t kMaxContentBytes = kMaxMessageBytes - kHeaderBytes - kMaxPayloads * kPayloadHeaderBytes;

struct Header {
  Cookie initiator{};
  Cookie responder{};
  bool has_payload = false;
  std::uint32_t message_id = 0;
  std::uint32_t length = kHeaderBytes;  // of the whole message
};

struct Message {
  Header header;
  SensitiveBytes content;  // the payloads' bodies, joined; empty exactly if the header names no payload
};

// content of at most kMaxContentBytes, split into full payloads and a last one; empty: the bare header.
Bytes encode(const Cookie& initiator, const Cookie& responder, std::uint32_t message_id, ByteView content);

// Exactly kHeaderBytes. Refuses every other version, exchange type, flag and payload type, an initiator cookie of 0,
// and a length above kMaxMessageBytes or at odds with the payload's presence.
Outcome<Header> decode_header(ByteView bytes);

// Do these bytes begin with the first message of an initiator? To tell a peer of this carriage where TLS is expected.
bool is_cookie_request(ByteView bytes);

// The header's length - kHeaderBytes bytes after the header. Every payload non-empty, of our type, its reserved byte 0;
// the chain ends with the message, not earlier and not later.
Outcome<SensitiveBytes> decode_payloads(const Header& header, ByteView bytes);

// Cuts a byte stream into messages by the header's length. Holds at most one message, and never more than has come.
class MessageReader {
 public:
  // Asked as soon as a header is whole, before anything of the message's payloads is kept; an error refuses the
  // message.
  using Judge = std::function<Outcome<void>(const Header&)>;

  // Takes what belongs to the message under way off the front of bytes; a message when it is whole.
  Outcome<std::optional<Message>> take(ByteView& bytes, const Judge& judge);

  // Bytes of memory held for a message that is not whole yet.
  std::size_t held_bytes() const { return held_.capacity(); }
  // What has come of a header that is not whole yet, or was refused.
  ByteView beginning() const { return header_ ? ByteView() : ByteView(held_.data(), held_.size()); }

 private:
  void fill(ByteView& bytes, std::size_t size);

  SensitiveBytes held_;
  std::optional<Header> header_;
};

}  // namespace sealcast::isakmp
