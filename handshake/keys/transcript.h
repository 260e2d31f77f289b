// The handshake messages so far: a hash state, and until drop_buffer() also the bytes (CertificateVerify signs them
// whole). Before a suite is chosen only the bytes are kept.
#pragma once

#include <optional>

#include "handshake/crypto/hash.h"

namespace sealcast::handshake {

class Transcript {
 public:
  // message: a whole handshake message with its header.
  void add(ByteView message) {
    if (hash_) hash_->add(message);
    if (buffering_) buffer_.insert(buffer_.end(), message.begin(), message.end());
  }
  void select(HashKind kind) {
    hash_.emplace(kind);
    hash_->add(buffer_);
  }
  // From here on only the hash state is kept.
  void drop_buffer() {
    buffering_ = false;
    buffer_ = {};
  }
  ByteView messages() const { return buffer_; }
  Digest digest() const { return hash_ ? hash_->digest() : Digest{}; }

 private:
  std::optional<Hash> hash_;
  Bytes buffer_;
  bool buffering_ = true;
};

}  // namespace sealcast::handshake
