// AES-GCM as the record layer uses it (RFC 5288): one key and one direction per object.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "base/secret.h"
#include "handshake/crypto/openssl_ptr.h"

namespace sealcast::handshake {

inline constexpr std::size_t gcm_tag_size = 16;
inline constexpr std::size_t gcm_explicit_nonce_size = 8;

// The write key and salt of one direction (RFC 5246 §6.3 with RFC 5288 §3).
struct DirectionKeys {
  SecretBytes key;  // 16 or 32 bytes
  Secret<4> salt;
};

class AesGcm {
 public:
  enum class Direction { seal, open };
  AesGcm(const DirectionKeys& keys, Direction direction);

  // out has plaintext.size() + gcm_tag_size bytes; in place allowed.
  void seal(std::uint64_t explicit_nonce, ByteView aad, ByteView plaintext, ByteSpan out);
  // sealed is ciphertext ‖ tag, at least gcm_tag_size bytes; out has sealed.size() - gcm_tag_size bytes; in place
  // allowed. False: not authentic, out is wiped.
  [[nodiscard]] bool open(std::uint64_t explicit_nonce, ByteView aad, ByteView sealed, ByteSpan out);

 private:
  void set_nonce(std::uint64_t explicit_nonce);

  CipherCtxPtr context_;
  Secret<4> salt_;
  bool sealing_;
};

}  // namespace sealcast::handshake
