#include "handshake/crypto/signature.h"

#include <openssl/rsa.h>

#include <algorithm>

namespace sealcast::handshake {
namespace {

struct SchemeEntry {
  SignatureScheme scheme;
  int key_type;
  const EVP_MD* (*digest)();  // nullptr: the scheme hashes itself
  bool pss;
};
constexpr std::array scheme_table = {
    SchemeEntry{SignatureScheme::ecdsa_secp256r1_sha256, EVP_PKEY_EC, EVP_sha256, false},
    SchemeEntry{SignatureScheme::ecdsa_secp384r1_sha384, EVP_PKEY_EC, EVP_sha384, false},
    SchemeEntry{SignatureScheme::ed25519, EVP_PKEY_ED25519, nullptr, false},
    SchemeEntry{SignatureScheme::rsa_pss_rsae_sha256, EVP_PKEY_RSA, EVP_sha256, true},
    SchemeEntry{SignatureScheme::rsa_pss_rsae_sha384, EVP_PKEY_RSA, EVP_sha384, true},
    SchemeEntry{SignatureScheme::rsa_pkcs1_sha256, EVP_PKEY_RSA, EVP_sha256, false},
    SchemeEntry{SignatureScheme::rsa_pkcs1_sha384, EVP_PKEY_RSA, EVP_sha384, false},
};

const SchemeEntry* find(std::uint16_t scheme) {
  const auto it = std::find_if(scheme_table.begin(), scheme_table.end(), [scheme](const SchemeEntry& entry) {
    return static_cast<std::uint16_t>(entry.scheme) == scheme;
  });
  return it == scheme_table.end() ? nullptr : &*it;
}

bool set_padding(EVP_PKEY_CTX* context, const SchemeEntry& entry) {
  if (!entry.pss) return true;
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

}  // namespace

std::optional<SignatureScheme> choose_scheme(EVP_PKEY* key, std::span<const std::uint16_t> peer_schemes) {
  for (const SignatureScheme ours : offered_schemes) {
    const auto number = static_cast<std::uint16_t>(ours);
    const SchemeEntry* entry = find(number);
    if (entry == nullptr || EVP_PKEY_get_base_id(key) != entry->key_type) continue;
    if (std::find(peer_schemes.begin(), peer_schemes.end(), number) != peer_schemes.end()) return ours;
  }
  return std::nullopt;
}

Outcome<Bytes> sign(EVP_PKEY* key, SignatureScheme scheme, ByteView message) {
  const SchemeEntry* entry = find(static_cast<std::uint16_t>(scheme));
  const MdCtxPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;  // owned by context
  std::size_t size = 0;
  if (entry != nullptr && context &&
      EVP_DigestSignInit(context.get(), &key_context, entry->digest ? entry->digest() : nullptr, nullptr, key) == 1 &&
      set_padding(key_context, *entry) &&
      EVP_DigestSign(context.get(), nullptr, &size, message.data(), message.size()) == 1) {
    Bytes signature(size);
    if (EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) == 1) {
      signature.resize(size);
      return signature;
    }
  }
  return refuse(Reason::internal_error, "signing with our private key: " + take_openssl_error());
}

Outcome<void> verify_signature(EVP_PKEY* key, std::uint16_t scheme, ByteView message, ByteView signature) {
  const SchemeEntry* entry = find(scheme);
  if (entry == nullptr)
    return refuse(Reason::signature_algorithm_not_offered, "signed with " + scheme_name(scheme) + ", never offered");
  if (EVP_PKEY_get_base_id(key) != entry->key_type)
    return refuse(Reason::signature_algorithm_not_offered, scheme_name(scheme) + " does not fit the certificate's key");
  const MdCtxPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;  // owned by context
  const bool valid =
      context &&
      EVP_DigestVerifyInit(context.get(), &key_context, entry->digest ? entry->digest() : nullptr, nullptr, key) == 1 &&
      set_padding(key_context, *entry) &&
      EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(), message.size()) == 1;
  ERR_clear_error();
  if (!valid) return refuse(Reason::signature_invalid, "the " + scheme_name(scheme) + " signature does not verify");
  return {};
}

}  // namespace sealcast::handshake
