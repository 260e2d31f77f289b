#include "handshake/crypto/hash.h"

#include <cstdio>
#include <cstdlib>

namespace sealcast::handshake {

const EVP_MD* message_digest(HashKind kind) {
  return kind == HashKind::sha384 ? EVP_sha384() : EVP_sha256();
}

void crypto_unusable(const char* what) {
  std::fprintf(stderr, "sealcast: libcrypto is unusable: %s\n", what);
  std::abort();
}

Hash::Hash(HashKind kind) : context_(EVP_MD_CTX_new()) {
  if (!context_ || EVP_DigestInit_ex(context_.get(), message_digest(kind), nullptr) != 1)
    crypto_unusable("message digest");
}

void Hash::add(ByteView bytes) {
  if (EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) != 1) crypto_unusable("message digest");
}

Digest Hash::digest() const {
  Digest result;
  unsigned size = 0;
  const MdCtxPtr copy(EVP_MD_CTX_new());
  if (!copy || EVP_MD_CTX_copy_ex(copy.get(), context_.get()) != 1 ||
      EVP_DigestFinal_ex(copy.get(), result.bytes.data(), &size) != 1)
    crypto_unusable("message digest");
  result.size = size;
  return result;
}

}  // namespace sealcast::handshake
