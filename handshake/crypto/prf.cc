#include "handshake/crypto/prf.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <array>

#include "handshake/crypto/hash.h"
#include "handshake/crypto/openssl_ptr.h"

namespace sealcast::handshake {
namespace {

// OSSL_PARAM takes non-const pointers; libcrypto only reads what they point at.
OSSL_PARAM octets(const char* key, const void* data, std::size_t size) {
  return OSSL_PARAM_construct_octet_string(key, const_cast<void*>(data), size);
}

}  // namespace

void prf(HashKind hash, ByteView secret, std::string_view label, ByteView seed, ByteSpan out) {
  const KdfPtr kdf(EVP_KDF_fetch(nullptr, "TLS1-PRF", nullptr));
  const KdfCtxPtr context(kdf ? EVP_KDF_CTX_new(kdf.get()) : nullptr);
  if (!context) crypto_unusable("TLS1-PRF");
  std::array<char, 7> digest = {'S', 'H', 'A', '2', '5', '6', '\0'};
  if (hash == HashKind::sha384) digest = {'S', 'H', 'A', '3', '8', '4', '\0'};
  std::array<OSSL_PARAM, 5> parameters;
  std::size_t count = 0;
  parameters[count++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0);
  parameters[count++] = octets(OSSL_KDF_PARAM_SECRET, secret.data(), secret.size());
  parameters[count++] = octets(OSSL_KDF_PARAM_SEED, label.data(), label.size());
  if (!seed.empty()) parameters[count++] = octets(OSSL_KDF_PARAM_SEED, seed.data(), seed.size());  // appended
  parameters[count] = OSSL_PARAM_construct_end();
  if (EVP_KDF_derive(context.get(), out.data(), out.size(), parameters.data()) != 1) crypto_unusable("TLS1-PRF");
}

}  // namespace sealcast::handshake
