#include "handshake/crypto/key_exchange.h"

#include <openssl/ec.h>

namespace sealcast::handshake {
namespace {

constexpr std::size_t x25519_size = 32;
constexpr std::size_t p256_point_size = 65;
constexpr std::uint8_t uncompressed_point = 4;

PkeyPtr make_x25519(Random& random) {
  Secret<x25519_size> seed;
  random.fill(seed.span());
  return PkeyPtr(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, seed.data(), seed.size()));
}

PkeyPtr peer_key(NamedGroup group, EVP_PKEY* own, ByteView point) {
  if (group == NamedGroup::x25519)
    return PkeyPtr(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, point.data(), point.size()));
  PkeyPtr key(EVP_PKEY_new());
  if (!key || EVP_PKEY_copy_parameters(key.get(), own) != 1 ||
      EVP_PKEY_set1_encoded_public_key(key.get(), point.data(), point.size()) != 1)
    return nullptr;
  return key;
}

}  // namespace

Outcome<KeyShare> KeyShare::generate(NamedGroup group, Random& random) {
  PkeyPtr key =
      group == NamedGroup::x25519 ? make_x25519(random) : PkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  unsigned char* encoded = nullptr;
  const std::size_t size = key ? EVP_PKEY_get1_encoded_public_key(key.get(), &encoded) : 0;
  if (size == 0) return refuse(Reason::internal_error, "generating an ephemeral key: " + take_openssl_error());
  Bytes point(encoded, encoded + size);
  OPENSSL_free(encoded);
  return KeyShare(group, std::move(key), std::move(point));
}

Outcome<SecretBytes> KeyShare::agree(ByteView peer_point) const {
  const std::size_t expected = group_ == NamedGroup::x25519 ? x25519_size : p256_point_size;
  if (peer_point.size() != expected)
    return refuse(Reason::key_share_refused, "the peer's point has " + std::to_string(peer_point.size()) +
                                                 " bytes, expected " + std::to_string(expected));
  if (group_ == NamedGroup::secp256r1 && peer_point[0] != uncompressed_point)
    return refuse(Reason::key_share_refused, "the peer's point is not in uncompressed form");
  const PkeyPtr peer = peer_key(group_, key_.get(), peer_point);
  const PkeyCtxPtr context(EVP_PKEY_CTX_new(key_.get(), nullptr));
  SecretBytes premaster(32);
  std::size_t size = premaster.size();
  // libcrypto refuses points off the curve, and x25519 results that are all zero (small order).
  if (!peer || !context || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), peer.get()) != 1 ||
      EVP_PKEY_derive(context.get(), premaster.data(), &size) != 1 || size != premaster.size())
    return refuse(Reason::key_share_refused, "the peer's point is not usable: " + take_openssl_error());
  return premaster;
}

}  // namespace sealcast::handshake
