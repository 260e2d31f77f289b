#include "handshake/isakmp/message.h"

#include <algorithm>
#include <string>

#include "handshake/wire/reader.h"

namespace sealcast::isakmp {

using handshake::Reader;
using handshake::Reason;
using handshake::refuse;

namespace {

template <typename T>
void append(Bytes& out, T value) {
  const std::size_t at = out.size();
  out.resize(at + sizeof(T));
  store_be<T>(out.data() + at, value);
}

Cookie cookie_from(ByteView bytes) {
  Cookie cookie{};
  std::copy_n(bytes.begin(), std::min(bytes.size(), cookie.size()), cookie.begin());
  return cookie;
}

std::string expected(std::string_view what, std::uint64_t wanted, std::uint64_t got) {
  return "expected " + std::string(what) + " " + std::to_string(wanted) + ", got " + std::to_string(got);
}

}  // namespace

Bytes encode(const Cookie& initiator, const Cookie& responder, std::uint32_t message_id, ByteView content) {
  const std::size_t payloads = (content.size() + kMaxPayloadBody - 1) / kMaxPayloadBody;
  const std::size_t length = kHeaderBytes + payloads * kPayloadHeaderBytes + content.size();
  Bytes out;
  out.reserve(length);
  out.insert(out.end(), initiator.begin(), initiator.end());
  out.insert(out.end(), responder.begin(), responder.end());
  out.push_back(content.empty() ? kNoPayload : kRecordsPayload);
  out.push_back(kVersion);
  out.push_back(kExchangeType);
  out.push_back(0);  // neither encryption nor commit nor authentication of ISAKMP's own: TLS does that
  append<std::uint32_t>(out, message_id);
  append<std::uint32_t>(out, static_cast<std::uint32_t>(length));
  while (!content.empty()) {
    const ByteView body = content.first(std::min(content.size(), kMaxPayloadBody));
    content = content.subspan(body.size());
    out.push_back(content.empty() ? kNoPayload : kRecordsPayload);
    out.push_back(0);
    append<std::uint16_t>(out, static_cast<std::uint16_t>(kPayloadHeaderBytes + body.size()));
    out.insert(out.end(), body.begin(), body.end());
  }
  return out;
}

Outcome<Header> decode_header(ByteView bytes) {
  Reader reader("ISAKMP header", bytes);
  Header header;
  header.initiator = cookie_from(reader.bytes(8, "initiator cookie"));
  header.responder = cookie_from(reader.bytes(8, "responder cookie"));
  const std::uint8_t next = reader.u8("next payload");
  const std::uint8_t version = reader.u8("version");
  const std::uint8_t exchange = reader.u8("exchange type");
  const std::uint8_t flags = reader.u8("flags");
  header.message_id = reader.u32("message id");
  header.length = reader.u32("length");
  header.has_payload = next != kNoPayload;
  if (auto whole = reader.finish(); !whole) return tl::unexpected(whole.error());

  if (version != kVersion) return refuse(Reason::decode_error, expected("ISAKMP version byte", kVersion, version));
  if (exchange != kExchangeType)
    return refuse(Reason::decode_error, expected("ISAKMP exchange type", kExchangeType, exchange));
  if (flags != 0) return refuse(Reason::decode_error, expected("ISAKMP flags", 0, flags));
  if (next != kNoPayload && next != kRecordsPayload)
    return refuse(Reason::decode_error, expected("ISAKMP payload type", kRecordsPayload, next));
  if (header.initiator == kNoCookie)
    return refuse(Reason::decode_error, "expected an initiator cookie other than 0, got 0");
  if (header.length > kMaxMessageBytes) {
    return refuse(Reason::handshake_too_large, "expected an ISAKMP message of at most " +
                                                   std::to_string(kMaxMessageBytes) + " bytes, got a length of " +
                                                   std::to_string(header.length));
  }
  const std::size_t least = kHeaderBytes + (header.has_payload ? kPayloadHeaderBytes + 1 : 0);
  if (header.length < least || (!header.has_payload && header.length != kHeaderBytes)) {
    return refuse(Reason::decode_error, "expected an ISAKMP length of " +
                                            std::string(header.has_payload ? "at least " : "") + std::to_string(least) +
                                            ", got " + std::to_string(header.length));
  }
  return header;
}

bool is_cookie_request(ByteView bytes) {
  if (bytes.size() < kHeaderBytes) return false;
  const auto header = decode_header(bytes.first(kHeaderBytes));
  return header && header->responder == kNoCookie && header->message_id == 0 && !header->has_payload;
}

Outcome<SensitiveBytes> decode_payloads(const Header& header, ByteView bytes) {
  Reader reader("ISAKMP payloads", bytes);
  SensitiveBytes content;
  content.reserve(bytes.size());
  bool more = header.has_payload;
  for (std::size_t count = 1; more && reader.ok(); ++count) {
    if (count > kMaxPayloads) {
      reader.refuse(Reason::decode_error, "expected at most " + std::to_string(kMaxPayloads) + " payloads");
      break;
    }
    const std::uint8_t next = reader.u8("next payload");
    const std::uint8_t reserved = reader.u8("reserved");
    const std::uint16_t length = reader.u16("payload length");
    if (!reader.ok()) break;
    if (next != kNoPayload && next != kRecordsPayload)
      reader.refuse(Reason::decode_error, expected("ISAKMP payload type", kRecordsPayload, next));
    if (reserved != 0) reader.refuse(Reason::decode_error, expected("reserved byte", 0, reserved));
    if (length <= kPayloadHeaderBytes)
      reader.refuse(Reason::decode_error, expected("a payload length above", kPayloadHeaderBytes, length));
    if (!reader.ok()) break;
    const ByteView body = reader.bytes(length - kPayloadHeaderBytes, "payload body");
    content.insert(content.end(), body.begin(), body.end());
    more = next == kRecordsPayload;
  }
  if (auto whole = reader.finish(); !whole) return tl::unexpected(whole.error());
  return content;
}

void MessageReader::fill(ByteView& bytes, std::size_t size) {
  const ByteView part = bytes.first(std::min(bytes.size(), size - held_.size()));
  held_.insert(held_.end(), part.begin(), part.end());
  bytes = bytes.subspan(part.size());
}

Outcome<std::optional<Message>> MessageReader::take(ByteView& bytes, const Judge& judge) {
  if (!header_) {
    fill(bytes, kHeaderBytes);
    if (held_.size() < kHeaderBytes) return std::nullopt;
    auto header = decode_header(ByteView(held_.data(), held_.size()));
    if (!header) return tl::unexpected(header.error());
    if (auto accepted = judge(*header); !accepted) return tl::unexpected(accepted.error());
    header_ = *header;
    held_ = SensitiveBytes();
  }
  const std::size_t rest = header_->length - kHeaderBytes;
  fill(bytes, rest);
  if (held_.size() < rest) return std::nullopt;
  auto content = decode_payloads(*header_, ByteView(held_.data(), held_.size()));
  if (!content) return tl::unexpected(content.error());
  Message message{*header_, std::move(*content)};
  held_ = SensitiveBytes();  // its memory, too: one large message must not cost as long as the connection lasts (H13)
  header_.reset();
  return message;
}

}  // namespace sealcast::isakmp
