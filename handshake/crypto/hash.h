// SHA-256 and SHA-384 by libcrypto, as the transcript needs them: incremental, readable at any point.
#pragma once

#include <array>

#include "base/bytes.h"
#include "handshake/crypto/openssl_ptr.h"
#include "handshake/wire/constants.h"

namespace sealcast::handshake {

struct Digest {
  std::array<std::uint8_t, 48> bytes{};
  std::size_t size = 0;  // 32 or 48
  ByteView view() const { return {bytes.data(), size}; }
};

const EVP_MD* message_digest(HashKind kind);

// Ends the process: libcrypto refused an operation on inputs that no peer controls (out of memory, no provider). There
// is no safe way on, and no peer can cause it.
[[noreturn]] void crypto_unusable(const char* what);

class Hash {
 public:
  explicit Hash(HashKind kind);
  void add(ByteView bytes);
  Digest digest() const;  // of everything so far; more may follow

 private:
  MdCtxPtr context_;
};

}  // namespace sealcast::handshake
