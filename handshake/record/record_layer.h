// The TLS 1.2 record layer (RFC 5246 §6, AES-GCM per RFC 5288): finds records in a byte stream however it is split,
// opens and seals them, and enforces the limits (REC-1). Memory: at most one record is buffered.
#pragma once

#include <optional>

#include "handshake/crypto/aead.h"
#include "handshake/error.h"
#include "handshake/record/record_aligned.h"
#include "handshake/wire/constants.h"
#include "handshake/wire/sensitive.h"

namespace sealcast::handshake {

inline constexpr std::size_t record_header_size = 5;
inline constexpr std::size_t record_overhead = gcm_explicit_nonce_size + gcm_tag_size;
// Tighter than RFC 5246's 2^14 + 2048: AES-GCM without compression adds exactly 24 bytes.
inline constexpr std::size_t max_protected = max_plaintext + record_overhead;
inline constexpr unsigned max_empty_records = 16;  // application data may be empty, but not for ever

struct Record {
  ContentType type;
  ByteView payload;  // plaintext; valid until the next call of next()
};

class RecordReader {
 public:
  // Takes bytes from input (which is advanced) until one record is complete. nullopt: more bytes are needed.
  Outcome<std::optional<Record>> next(ByteView& input);

  // From the next record on, keys protect the input. The proof says that no handshake message is half read.
  void install(const DirectionKeys& keys, RecordAligned);
  // A record that is not protected has so many bytes at most, at the beginning max_plaintext.
  void limit(std::size_t most) { limit_ = most; }
  // From now on only exactly TLS 1.2's version number is accepted.
  void pin_version() { version_pinned_ = true; }
  bool protected_now() const { return opener_.has_value(); }

 private:
  Outcome<void> check_header() const;
  Outcome<Record> open();

  SensitiveBytes buffer_;  // header and body of the record being collected
  bool consumed_ = false;  // buffer_ holds a record that was handed out
  bool version_pinned_ = false;
  std::size_t limit_ = max_plaintext;
  std::optional<AesGcm> opener_;
  std::uint64_t sequence_ = 0;
  unsigned empty_in_a_row_ = 0;
};

class RecordWriter {
 public:
  // Appends payload to out as one or more records; an empty payload makes one empty record.
  void write(ContentType type, ByteView payload, Bytes& out);
  void install(const DirectionKeys& keys);
  void drop_keys() { sealer_.reset(); }

 private:
  void write_one(ContentType type, ByteView fragment, Bytes& out);

  std::optional<AesGcm> sealer_;
  std::uint64_t sequence_ = 0;
};

}  // namespace sealcast::handshake
