// Ephemeral ECDH on x25519 and secp256r1 (RFC 8422 §5.10, §5.11).
#pragma once

#include "handshake/crypto/openssl_ptr.h"
#include "handshake/endpoint.h"
#include "handshake/wire/constants.h"

namespace sealcast::handshake {

// One side's key pair, used once.
class KeyShare {
 public:
  // x25519 draws its private key from random; secp256r1 from libcrypto's generator.
  static Outcome<KeyShare> generate(NamedGroup group, Random& random);

  NamedGroup group() const { return group_; }
  const Bytes& point() const { return point_; }  // 32 bytes, or 65 (uncompressed)

  // The premaster secret (32 bytes). Refuses points of the wrong form, not on the curve, or of small order.
  Outcome<SecretBytes> agree(ByteView peer_point) const;

 private:
  KeyShare(NamedGroup group, PkeyPtr key, Bytes point)
      : group_(group), key_(std::move(key)), point_(std::move(point)) {}

  NamedGroup group_;
  PkeyPtr key_;
  Bytes point_;
};

}  // namespace sealcast::handshake
