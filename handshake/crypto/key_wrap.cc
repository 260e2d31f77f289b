#include "handshake/crypto/key_wrap.h"

#include "base/secret.h"
#include "handshake/crypto/hash.h"
#include "handshake/crypto/openssl_ptr.h"

namespace sealcast::handshake {
namespace {

CipherCtxPtr context_for(ByteView key, bool wrapping) {
  CipherCtxPtr context(EVP_CIPHER_CTX_new());
  if (!context) crypto_unusable("AES key wrap");
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  const EVP_CIPHER* cipher = key.size() == 16 ? EVP_aes_128_wrap() : EVP_aes_256_wrap();
  if ((key.size() != 16 && key.size() != 32) ||
      EVP_CipherInit_ex(context.get(), cipher, nullptr, key.data(), nullptr, wrapping ? 1 : 0) != 1)
    crypto_unusable("AES key wrap");
  return context;
}

}  // namespace

void wrap_key(ByteView key_encryption_key, ByteView secret, ByteSpan wrapped) {
  const CipherCtxPtr context = context_for(key_encryption_key, true);
  int size = 0;
  if (wrapped.size() != secret.size() + key_wrap_overhead ||
      EVP_CipherUpdate(context.get(), wrapped.data(), &size, secret.data(), static_cast<int>(secret.size())) != 1 ||
      static_cast<std::size_t>(size) != wrapped.size())
    crypto_unusable("AES key wrap");
}

bool unwrap_key(ByteView key_encryption_key, ByteView wrapped, ByteSpan secret) {
  const CipherCtxPtr context = context_for(key_encryption_key, false);
  int size = 0;
  const bool good =
      wrapped.size() == secret.size() + key_wrap_overhead &&
      EVP_CipherUpdate(context.get(), secret.data(), &size, wrapped.data(), static_cast<int>(wrapped.size())) == 1 &&
      static_cast<std::size_t>(size) == secret.size();
  if (!good) {
    wipe(secret.data(), secret.size());
    ERR_clear_error();
  }
  return good;
}

}  // namespace sealcast::handshake
