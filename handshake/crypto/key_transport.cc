#include "handshake/crypto/key_transport.h"

#include <openssl/rsa.h>

#include <algorithm>

namespace sealcast::handshake {
namespace {

constexpr std::size_t secret_size = 48;
constexpr std::size_t plaintext_size = 2 * secret_size;

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
  Secret<plaintext_size> plaintext;
  std::copy_n(keys.premaster.data(), secret_size, plaintext.data());
  std::copy_n(keys.member_secret.data(), secret_size, plaintext.data() + secret_size);
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
  SecretBytes plaintext(std::max(static_cast<std::size_t>(EVP_PKEY_get_size(own_key)), plaintext_size));
  std::size_t size = plaintext.size();
  const bool able = context && EVP_PKEY_decrypt_init(context.get()) == 1 && use_oaep(context.get());
  const int opened = able ? EVP_PKEY_decrypt(context.get(), plaintext.data(), &size, sealed.data(), sealed.size()) : 0;
  ERR_clear_error();
  // Up to the one branch, the work is the same for every input: libcrypto's own OAEP decoding is constant time, and
  // skipped work here must not reveal its verdict.
  TransportedKeys keys;
  std::copy_n(plaintext.data(), secret_size, keys.premaster.data());
  std::copy_n(plaintext.data() + secret_size, secret_size, keys.member_secret.data());
  std::uint32_t any = 0;
  for (const std::uint8_t byte : keys.premaster.view())
    any |= byte;
  const auto good = static_cast<std::uint8_t>(same(static_cast<std::size_t>(opened), 1) & same(size, plaintext_size) &
                                              (1u ^ same(any, 0)));
  // The verdict shows here and not before.
  constexpr std::uint8_t success = 1;
  if (!equal_constant_time(&good, &success, 1)) return std::nullopt;
  return keys;
}

}  // namespace sealcast::handshake
