#include "handshake/record/record_layer.h"

#include <algorithm>

namespace sealcast::handshake {
namespace {

constexpr std::size_t kept_capacity = 1024;  // an idle connection keeps no more than this

// RFC 5246 §6.2.3.3: sequence number, type, version, length of the plaintext.
std::array<std::uint8_t, 13> additional_data(std::uint64_t sequence, ContentType type, std::size_t size) {
  std::array<std::uint8_t, 13> aad{};
  store_be<std::uint64_t>(aad.data(), sequence);
  aad[8] = static_cast<std::uint8_t>(type);
  store_be<std::uint16_t>(aad.data() + 9, tls12);
  store_be<std::uint16_t>(aad.data() + 11, static_cast<std::uint16_t>(size));
  return aad;
}

}  // namespace

Outcome<void> RecordReader::check_header() const {
  const std::uint8_t type = buffer_[0];
  const auto version = load_be<std::uint16_t>(buffer_.data() + 1);
  const std::size_t length = load_be<std::uint16_t>(buffer_.data() + 3);
  if (type < 20 || type > 23)
    return refuse(Reason::not_tls, "content type " + std::to_string(type) + ", expected 20 to 23: not a TLS record");
  // A first ClientHello may come under any 3.x (RFC 5246 appendix E.1).
  if (version_pinned_ ? version != tls12 : (version >> 8) != 3)
    return refuse(Reason::protocol_version, "record version " + std::to_string(version >> 8) + "." +
                                                std::to_string(version & 0xff) + ", expected 3.3");
  const std::size_t limit = opener_ ? max_protected : limit_;
  if (length > limit)
    return refuse(Reason::record_overflow,
                  "a record of " + std::to_string(length) + " bytes, at most " + std::to_string(limit));
  if (opener_ && length < record_overhead)
    return refuse(Reason::bad_record_mac, "a protected record of " + std::to_string(length) + " bytes, at least " +
                                              std::to_string(record_overhead));
  return {};
}

Outcome<std::optional<Record>> RecordReader::next(ByteView& input) {
  if (consumed_) {
    wipe(buffer_.data(), buffer_.size());
    buffer_.clear();
    if (buffer_.capacity() > kept_capacity) buffer_ = SensitiveBytes();
    consumed_ = false;
  }
  const auto collect = [&](std::size_t wanted) {
    const std::size_t take = std::min(input.size(), wanted - std::min(wanted, buffer_.size()));
    buffer_.insert(buffer_.end(), input.begin(), input.begin() + static_cast<std::ptrdiff_t>(take));
    input = input.subspan(take);
    return buffer_.size() >= wanted;
  };
  if (buffer_.size() < record_header_size) {
    if (!collect(record_header_size)) return std::optional<Record>();
    SEALCAST_TRY(check_header());
  }
  const std::size_t length = load_be<std::uint16_t>(buffer_.data() + 3);
  if (!collect(record_header_size + length)) return std::optional<Record>();
  consumed_ = true;
  SEALCAST_TRY_ASSIGN(auto record, open());
  return std::optional<Record>(record);
}

Outcome<Record> RecordReader::open() {
  const auto type = ContentType{buffer_[0]};
  ByteSpan body(buffer_.data() + record_header_size, buffer_.size() - record_header_size);
  if (opener_) {
    const auto nonce = load_be<std::uint64_t>(body.data());
    const ByteSpan sealed = body.subspan(gcm_explicit_nonce_size);
    body = sealed.first(sealed.size() - gcm_tag_size);
    const auto aad = additional_data(sequence_++, type, body.size());
    if (!opener_->open(nonce, aad, sealed, body))
      return refuse(Reason::bad_record_mac, "record " + std::to_string(sequence_ - 1) + " does not authenticate");
  }
  if (body.empty()) {
    // RFC 5246 §6.2.1: only application data may be empty.
    if (type != ContentType::application_data || ++empty_in_a_row_ > max_empty_records)
      return refuse(Reason::empty_record, "an empty record of content type " + std::to_string(buffer_[0]));
  } else {
    empty_in_a_row_ = 0;
  }
  return Record{type, body};
}

void RecordReader::install(const DirectionKeys& keys, RecordAligned) {
  opener_.emplace(keys, AesGcm::Direction::open);
  sequence_ = 0;
}

void RecordWriter::write(ContentType type, ByteView payload, Bytes& out) {
  do {
    const ByteView fragment = payload.first(std::min(payload.size(), max_plaintext));
    payload = payload.subspan(fragment.size());
    write_one(type, fragment, out);
  } while (!payload.empty());
}

void RecordWriter::write_one(ContentType type, ByteView fragment, Bytes& out) {
  const std::size_t length = fragment.size() + (sealer_ ? record_overhead : 0);
  const std::size_t start = out.size();
  out.resize(start + record_header_size + length);
  std::uint8_t* header = out.data() + start;
  header[0] = static_cast<std::uint8_t>(type);
  store_be<std::uint16_t>(header + 1, tls12);
  store_be<std::uint16_t>(header + 3, static_cast<std::uint16_t>(length));
  std::uint8_t* body = header + record_header_size;
  if (!sealer_) {
    std::copy(fragment.begin(), fragment.end(), body);
    return;
  }
  // RFC 5288 §3: the sequence number is a nonce that never repeats under one key.
  store_be<std::uint64_t>(body, sequence_);
  const auto aad = additional_data(sequence_, type, fragment.size());
  sealer_->seal(sequence_, aad, fragment, {body + gcm_explicit_nonce_size, fragment.size() + gcm_tag_size});
  ++sequence_;
}

void RecordWriter::install(const DirectionKeys& keys) {
  sealer_.emplace(keys, AesGcm::Direction::seal);
  sequence_ = 0;
}

}  // namespace sealcast::handshake
