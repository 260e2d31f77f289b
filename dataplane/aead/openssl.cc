// OpenSSL's EVP AES-GCM: the portable engine and the oracle of the differential tests. Each key owns an EVP_CIPHER_CTX
// with the key preset; per packet only the IV is set, which allocates nothing in OpenSSL 3.0. So the expanded key lives
// in OpenSSL's own heap: wiped on release, but not locked into RAM; the arena only holds the pointer. docs/dataplane.md
// says so.
#include <openssl/err.h>
#include <openssl/evp.h>

#include <cstring>

#include "base/secret.h"
#include "dataplane/aead/engines.h"

namespace sealcast::dataplane::aead {
namespace {

constexpr std::size_t openssl_context_size = 64;

EVP_CIPHER_CTX* cipher_context_of(const Key& key) {
  EVP_CIPHER_CTX* context = nullptr;
  std::memcpy(&context, key.context, sizeof context);
  return context;
}

bool seal_one(const SealItem& item) {
  EVP_CIPHER_CTX* context = cipher_context_of(*item.key);
  int written = 0;
  if (EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, item.nonce.data()) != 1) return false;
  if (item.aad_length != 0 &&
      EVP_EncryptUpdate(context, nullptr, &written, item.aad, static_cast<int>(item.aad_length)) != 1)
    return false;
  if (item.length != 0 &&
      EVP_EncryptUpdate(context, item.data, &written, item.data, static_cast<int>(item.length)) != 1)
    return false;
  std::uint8_t rest[16];
  if (EVP_EncryptFinal_ex(context, rest, &written) != 1) return false;
  return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, tag_bytes, item.tag) == 1;
}

bool open_one(const OpenItem& item) {
  EVP_CIPHER_CTX* context = cipher_context_of(*item.key);
  int written = 0;
  std::uint8_t tag[tag_bytes];
  std::memcpy(tag, item.tag, tag_bytes);
  if (EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, item.nonce.data()) != 1) return false;
  if (EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, tag_bytes, tag) != 1) return false;
  if (item.aad_length != 0 &&
      EVP_DecryptUpdate(context, nullptr, &written, item.aad, static_cast<int>(item.aad_length)) != 1)
    return false;
  if (item.length != 0 &&
      EVP_DecryptUpdate(context, item.data, &written, item.data, static_cast<int>(item.length)) != 1)
    return false;
  std::uint8_t rest[16];
  return EVP_DecryptFinal_ex(context, rest, &written) == 1;
}

class OpensslEngine final : public Engine {
 public:
  std::string_view name() const override { return "openssl"; }
  std::size_t context_bytes() const override { return openssl_context_size; }

  Result<Key> expand_key(std::span<const std::uint8_t> key, Direction direction, void* context) const override {
    if (key.size() != 16 && key.size() != 32)
      return fail("AES key: expected 16 or 32 bytes, got " + std::to_string(key.size()));
    const EVP_CIPHER* cipher = key.size() == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm();
    EVP_CIPHER_CTX* evp = EVP_CIPHER_CTX_new();
    if (evp == nullptr ||
        EVP_CipherInit_ex(evp, cipher, nullptr, key.data(), nullptr, direction == Direction::seal ? 1 : 0) != 1) {
      EVP_CIPHER_CTX_free(evp);
      return fail("engine openssl: libcrypto refused an AES-GCM key");
    }
    std::memcpy(context, &evp, sizeof evp);
    return Key{context, static_cast<std::uint8_t>(key.size()), direction};
  }

  void release_key(Key& key) const override {
    EVP_CIPHER_CTX_free(cipher_context_of(key));  // wipes the key schedule
    wipe(key.context, openssl_context_size);
    key = Key{};
  }

  void seal(std::span<SealItem> items) const override {
    for (SealItem& item : items) {
      item.ok = seal_one(item);
      if (!item.ok) wipe(item.data, item.length);
    }
  }

  void open(std::span<OpenItem> items) const override {
    for (OpenItem& item : items) {
      item.ok = open_one(item);
      if (!item.ok) wipe(item.data, item.length);
    }
  }
};

}  // namespace

Result<std::unique_ptr<Engine>> create_openssl() {
  return std::make_unique<OpensslEngine>();
}

}  // namespace sealcast::dataplane::aead
