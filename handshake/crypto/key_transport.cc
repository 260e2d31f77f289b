#include "handshake/crypto/key_transport.h"

#include <openssl/rsa.h>

#include <algorithm>

namespace sealcast::handshake {
namespace {

constexpr std::size_t kSecretSize = 48;
constexpr std::size_t kPlaintextSize = 2 * kSecretSize;

bool use_oaep(EVP_PKEY_CTX* context) {
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) == 1 &&
         EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) == 1;
}

// 1 if a and b are equal, else 0; no branch.
std::uint32_t same(std::size_t a, std::size_t b) {
  const std::uint64_t differ = std::uint64_t{a} ^ std::uint64_t{b};
  return static_cast<std::uint32_t>(1 ^ ((differ | (0 - differ)) >> 63));
}

}  // namespace

Outcome<Bytes> seal_keys(EVP_PKEY* member_key, const TransportedKeys& keys) {
  Secret<kPlaintextSize> plaintext;
  std::copy_n(keys.premaster.data(), kSecretSize, plaintext.data());
  std::copy_n(keys.member_secret.data(), kSecretSize, plaintext.data() + kSecretSize);
  const PkeyCtxPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, member_key, nullptr));
  Bytes sealed(static_cast<std::size_t>(EVP_PKEY_get_size(member_key)));
  std::size_t size = sealed.size();
  if (!context || EVP_PKEY_encrypt_init(context.get()) != 1 || !use_oaep(context.get()) ||
      EVP_PKEY_encrypt(context.get(), sealed.data(), &size, plaintext.data(), plaintext.size()) != 1)
    return refuse(Reason::internal_error, "encrypting to the member's key: " + take_openssl_error());
  sealed.resize(size);
  return sealed;
}

std::optional<TransportedKeys> open_keys(EVP_PKEY* own_key, ByteView sealed) {
  const PkeyCtxPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, own_key, nullptr));
  SecretBytes plaintext(std::max(static_cast<std::size_t>(EVP_PKEY_get_size(own_key)), kPlaintextSize));
  std::size_t size = plaintext.size();
  const bool able = context && EVP_PKEY_decrypt_init(context.get()) == 1 && use_oaep(context.get());
  const int opened = able ? EVP_PKEY_decrypt(context.get(), plaintext.data(), &size, sealed.data(), sealed.size()) : 0;
  ERR_clear_error();
  // From here to the one branch everything is done whatever came: libcrypto's own OAEP decoding is constant time, and
  // its verdict must not become visible by what we leave out.
  TransportedKeys keys;
  std::copy_n(plaintext.data(), kSecretSize, keys.premaster.data());
  std::copy_n(plaintext.data() + kSecretSize, kSecretSize, keys.member_secret.data());
  std::uint32_t any = 0;
  for (const std::uint8_t byte : keys.premaster.view())
    any |= byte;
  const auto good = static_cast<std::uint8_t>(same(static_cast<std::size_t>(opened), 1) & same(size, kPlaintextSize) &
                                              (1u ^ same(any, 0)));
  // The verdict becomes visible here and nowhere before.
  constexpr std::uint8_t kGood = 1;
  if (!equal_constant_time(&good, &kGood, 1)) return std::nullopt;
  return keys;
}

}  // namespace sealcast::handshake
