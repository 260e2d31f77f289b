#include "handshake/crypto/aead.h"

#include <algorithm>

#include "handshake/crypto/hash.h"

namespace sealcast::handshake {

AesGcm::AesGcm(const DirectionKeys& keys, Direction direction)
    : context_(EVP_CIPHER_CTX_new()), salt_(keys.salt.clone()), sealing_(direction == Direction::seal) {
  const EVP_CIPHER* cipher = keys.key.size() == 32 ? EVP_aes_256_gcm() : EVP_aes_128_gcm();
  if (!context_ || EVP_CipherInit_ex(context_.get(), cipher, nullptr, keys.key.data(), nullptr, sealing_ ? 1 : 0) != 1)
    crypto_unusable("AES-GCM");
}

void AesGcm::set_nonce(std::uint64_t explicit_nonce) {
  std::array<std::uint8_t, 12> nonce{};
  std::copy_n(salt_.data(), salt_.size(), nonce.begin());
  store_be<std::uint64_t>(nonce.data() + 4, explicit_nonce);
  if (EVP_CipherInit_ex(context_.get(), nullptr, nullptr, nullptr, nonce.data(), -1) != 1) crypto_unusable("AES-GCM");
}

void AesGcm::seal(std::uint64_t explicit_nonce, ByteView aad, ByteView plaintext, ByteSpan out) {
  set_nonce(explicit_nonce);
  int n = 0;
  bool done = EVP_CipherUpdate(context_.get(), nullptr, &n, aad.data(), static_cast<int>(aad.size())) == 1;
  if (!plaintext.empty())
    done = done &&
           EVP_CipherUpdate(context_.get(), out.data(), &n, plaintext.data(), static_cast<int>(plaintext.size())) == 1;
  done = done && EVP_CipherFinal_ex(context_.get(), out.data() + plaintext.size(), &n) == 1 &&
         EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, gcm_tag_size, out.data() + plaintext.size()) == 1;
  if (!done) crypto_unusable("AES-GCM");
}

bool AesGcm::open(std::uint64_t explicit_nonce, ByteView aad, ByteView sealed, ByteSpan out) {
  set_nonce(explicit_nonce);
  const ByteView ciphertext = sealed.first(sealed.size() - gcm_tag_size);
  std::array<std::uint8_t, gcm_tag_size> tag{};
  std::copy(sealed.end() - gcm_tag_size, sealed.end(), tag.begin());
  int n = 0;
  std::uint8_t none = 0;
  bool done = EVP_CipherUpdate(context_.get(), nullptr, &n, aad.data(), static_cast<int>(aad.size())) == 1;
  if (!ciphertext.empty())
    done = done && EVP_CipherUpdate(context_.get(), out.data(), &n, ciphertext.data(),
                                    static_cast<int>(ciphertext.size())) == 1;
  done = done && EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, gcm_tag_size, tag.data()) == 1 &&
         EVP_CipherFinal_ex(context_.get(), &none, &n) == 1;
  if (!done) {
    wipe(out.data(), ciphertext.size());
    ERR_clear_error();
  }
  return done;
}

}  // namespace sealcast::handshake
