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
  const std::size_t payloads = (content.size() + max_payload_body - 1) / max_payload_body;
  const std::size_t length = isakmp_header_bytes + payloads * payload_header_bytes + content.size();
  Bytes out;
  out.reserve(length);
  out.insert(out.end(), initiator.begin(), initiator.end());
  out.insert(out.end(), responder.begin(), responder.end());
  out.push_back(content.empty() ? no_payload : records_payload);
  out.push_back(isakmp_version);
  out.push_back(isakmp_exchange_type);
  out.push_back(0);  // no encryption, commit or authentication of ISAKMP's own: TLS does that
  append<std::uint32_t>(out, message_id);
  append<std::uint32_t>(out, static_cast<std::uint32_t>(length));
  while (!content.empty()) {
    const ByteView body = content.first(std::min(content.size(), max_payload_body));
    content = content.subspan(body.size());
    out.push_back(content.empty() ? no_payload : records_payload);
    out.push_back(0);
    append<std::uint16_t>(out, static_cast<std::uint16_t>(payload_header_bytes + body.size()));
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
  header.has_payload = next != no_payload;
  SEALCAST_TRY(reader.finish());

  if (version != isakmp_version)
    return refuse(Reason::decode_error, expected("ISAKMP version byte", isakmp_version, version));
  if (exchange != isakmp_exchange_type)
    return refuse(Reason::decode_error, expected("ISAKMP exchange type", isakmp_exchange_type, exchange));
  if (flags != 0) return refuse(Reason::decode_error, expected("ISAKMP flags", 0, flags));
  if (next != no_payload && next != records_payload)
    return refuse(Reason::decode_error, expected("ISAKMP payload type", records_payload, next));
  if (header.initiator == no_cookie)
    return refuse(Reason::decode_error, "expected an initiator cookie other than 0, got 0");
  if (header.length > max_message_bytes) {
    return refuse(Reason::handshake_too_large, "expected an ISAKMP message of at most " +
                                                   std::to_string(max_message_bytes) + " bytes, got a length of " +
                                                   std::to_string(header.length));
  }
  const std::size_t least = isakmp_header_bytes + (header.has_payload ? payload_header_bytes + 1 : 0);
  if (header.length < least || (!header.has_payload && header.length != isakmp_header_bytes)) {
    return refuse(Reason::decode_error, "expected an ISAKMP length of " +
                                            std::string(header.has_payload ? "at least " : "") + std::to_string(least) +
                                            ", got " + std::to_string(header.length));
  }
  return header;
}

bool is_cookie_request(ByteView bytes) {
  if (bytes.size() < isakmp_header_bytes) return false;
  const auto header = decode_header(bytes.first(isakmp_header_bytes));
  return header && header->responder == no_cookie && header->message_id == 0 && !header->has_payload;
}

Outcome<SensitiveBytes> decode_payloads(const Header& header, ByteView bytes) {
  Reader reader("ISAKMP payloads", bytes);
  SensitiveBytes content;
  content.reserve(bytes.size());
  bool more = header.has_payload;
  for (std::size_t count = 1; more && reader.ok(); ++count) {
    if (count > max_payloads) {
      reader.refuse(Reason::decode_error, "expected at most " + std::to_string(max_payloads) + " payloads");
      break;
    }
    const std::uint8_t next = reader.u8("next payload");
    const std::uint8_t reserved = reader.u8("reserved");
    const std::uint16_t length = reader.u16("payload length");
    if (!reader.ok()) break;
    if (next != no_payload && next != records_payload)
      reader.refuse(Reason::decode_error, expected("ISAKMP payload type", records_payload, next));
    if (reserved != 0) reader.refuse(Reason::decode_error, expected("reserved byte", 0, reserved));
    if (length <= payload_header_bytes)
      reader.refuse(Reason::decode_error, expected("a payload length above", payload_header_bytes, length));
    if (!reader.ok()) break;
    const ByteView body = reader.bytes(length - payload_header_bytes, "payload body");
    content.insert(content.end(), body.begin(), body.end());
    more = next == records_payload;
  }
  SEALCAST_TRY(reader.finish());
  return content;
}

void MessageReader::fill(ByteView& bytes, std::size_t size) {
  const ByteView part = bytes.first(std::min(bytes.size(), size - held_.size()));
  held_.insert(held_.end(), part.begin(), part.end());
  bytes = bytes.subspan(part.size());
}

Outcome<std::optional<Message>> MessageReader::take(ByteView& bytes, const Judge& judge) {
  if (!header_) {
    fill(bytes, isakmp_header_bytes);
    if (held_.size() < isakmp_header_bytes) return std::nullopt;
    SEALCAST_TRY_ASSIGN(auto header, decode_header(ByteView(held_.data(), held_.size())));
    SEALCAST_TRY(judge(header));
    header_ = header;
    held_ = SensitiveBytes();
  }
  const std::size_t rest = header_->length - isakmp_header_bytes;
  fill(bytes, rest);
  if (held_.size() < rest) return std::nullopt;
  SEALCAST_TRY_ASSIGN(auto content, decode_payloads(*header_, ByteView(held_.data(), held_.size())));
  Message message{*header_, std::move(content)};
  held_ = SensitiveBytes();  // frees the memory, too: a large message must not hold it for ever (H13)
  header_.reset();
  return message;
}

}  // namespace sealcast::isakmp
