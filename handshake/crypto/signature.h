// Signatures of ServerKeyExchange and CertificateVerify: RSA-PSS, RSA PKCS#1 v1.5, ECDSA and Ed25519.
#pragma once

#include <optional>
#include <span>

#include "handshake/crypto/openssl_ptr.h"
#include "handshake/error.h"
#include "handshake/wire/constants.h"

namespace sealcast::handshake {

// The best of our schemes that the key can make and the peer lists.
std::optional<SignatureScheme> choose_scheme(EVP_PKEY* key, std::span<const std::uint16_t> peer_schemes);

Outcome<Bytes> sign(EVP_PKEY* key, SignatureScheme scheme, ByteView message);

// Refuses schemes we did not offer or that do not fit the key, and signatures that do not verify.
Outcome<void> verify_signature(EVP_PKEY* key, std::uint16_t scheme, ByteView message, ByteView signature);

}  // namespace sealcast::handshake
