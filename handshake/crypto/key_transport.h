// Variant 1's key transport (P16, H6): premaster_secret ‖ member_secret under the member's RSA key by RSAES-OAEP with
// SHA-256, MGF1 with SHA-256 and an empty label (RFC 8017 §7.1).
#pragma once

#include <optional>

#include "base/secret.h"
#include "handshake/crypto/openssl_ptr.h"
#include "handshake/error.h"

namespace sealcast::handshake {

struct TransportedKeys {
  Secret<48> premaster;      // the group's
  Secret<48> member_secret;  // this connection's own
};

// As many bytes as the key's modulus. Errors come from libcrypto or the key.
Outcome<Bytes> seal_keys(EVP_PKEY* member_key, const TransportedKeys& keys);

// Broken padding, a plaintext that is not 96 bytes long and an all-zero premaster are one failure: no output or action
// differs, and the time depends only on the key and the length of sealed (H6, SMKE-3). Call it only with data that a
// verified signature covers.
std::optional<TransportedKeys> open_keys(EVP_PKEY* own_key, ByteView sealed);

}  // namespace sealcast::handshake
