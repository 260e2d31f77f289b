#include "handshake/certificate/credentials.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "handshake/messages/certificate.h"

namespace sealcast::handshake {
namespace {

BioPtr memory(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Daemons have no terminal to ask at: an encrypted key is refused.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

Result<std::vector<X509CrlPtr>> read_crls(std::string_view pem) {
  std::vector<X509CrlPtr> list;
  if (pem.find_first_not_of(" \t\r\n") == std::string_view::npos) return list;
  const BioPtr bio = memory(pem);
  while (bio) {
    X509CrlPtr crl(PEM_read_bio_X509_CRL(bio.get(), nullptr, no_passphrase, nullptr));
    if (!crl) break;
    list.push_back(std::move(crl));
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string why = take_openssl_error();
  if (!at_end) return fail("a revocation list cannot be read: " + why);
  if (list.empty()) return fail("no revocation list found, expected PEM with BEGIN X509 CRL");
  return list;
}

Result<Bytes> to_der(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  if (size < 0) return fail("encoding a certificate: " + take_openssl_error());
  Bytes bytes(der, der + size);
  OPENSSL_free(der);
  return bytes;
}

}  // namespace

Result<std::vector<X509Ptr>> read_certificates(std::string_view pem) {
  std::vector<X509Ptr> list;
  const BioPtr bio = memory(pem);
  while (bio) {
    X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
    if (!certificate) break;
    list.push_back(std::move(certificate));
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string why = take_openssl_error();
  if (!at_end) return fail("a certificate cannot be read: " + why);
  if (list.empty()) return fail("no certificate found, expected PEM with BEGIN CERTIFICATE");
  return list;
}

bool strong_enough(EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
      return EVP_PKEY_get_bits(key) >= 2048;
    case EVP_PKEY_EC:
      return EVP_PKEY_get_bits(key) >= 256;
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
      return true;
    default:
      return false;
  }
}

std::string describe(EVP_PKEY* key) {
  const char* type = EVP_PKEY_get0_type_name(key);
  return std::string(type != nullptr ? type : "unknown") + " " + std::to_string(EVP_PKEY_get_bits(key)) + " bits";
}

Credentials::Credentials() = default;
Credentials::~Credentials() = default;
Credentials::Credentials(Credentials&&) noexcept = default;
Credentials& Credentials::operator=(Credentials&&) noexcept = default;
Credentials::Credentials(const Credentials&) = default;
Credentials& Credentials::operator=(const Credentials&) = default;
TrustStore::TrustStore() = default;

Result<Credentials> Credentials::from_pem(std::string_view chain_pem, std::string_view private_key_pem) {
  auto data = std::make_shared<CredentialsData>();
  SEALCAST_TRY_ASSIGN(data->chain, read_certificates(chain_pem));
  if (data->chain.size() > max_chain_length)
    return fail("the chain has " + std::to_string(data->chain.size()) + " certificates, at most " +
                std::to_string(max_chain_length) + " are allowed");
  const BioPtr key_bio = memory(private_key_pem);
  if (key_bio) data->key.reset(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, no_passphrase, nullptr));
  if (!data->key) return fail("the private key cannot be read (PEM, not encrypted): " + take_openssl_error());
  if (X509_check_private_key(data->chain.front().get(), data->key.get()) != 1) {
    (void)take_openssl_error();
    return fail("the private key does not belong to the first certificate of the chain");
  }
  if (!strong_enough(data->key.get()))
    return fail("the private key is too weak (" + describe(data->key.get()) +
                "): expected RSA of 2048 bits or more, P-256 or better, or Ed25519");
  for (const X509Ptr& certificate : data->chain) {
    SEALCAST_TRY_ASSIGN(auto der, to_der(certificate.get()));
    data->chain_der.push_back(std::move(der));
  }
  Credentials credentials;
  credentials.data_ = std::move(data);
  return credentials;
}

Result<TrustStore> TrustStore::from_pem(std::string_view ca_pem, std::string_view crl_pem) {
  auto data = std::make_shared<TrustStoreData>();
  SEALCAST_TRY_ASSIGN(auto anchors, read_certificates(ca_pem));
  SEALCAST_TRY_ASSIGN(auto crls, read_crls(crl_pem));
  data->store.reset(X509_STORE_new());
  if (!data->store) return fail("making a trust store: " + take_openssl_error());
  for (const X509Ptr& anchor : anchors)
    if (X509_STORE_add_cert(data->store.get(), anchor.get()) != 1)
      return fail("adding a certificate authority: " + take_openssl_error());
  for (const X509CrlPtr& crl : crls)
    if (X509_STORE_add_crl(data->store.get(), crl.get()) != 1)
      return fail("adding a revocation list: " + take_openssl_error());
  // With lists configured, each certificate of a chain needs a current list of its issuer: a missing list refuses it.
  if (!crls.empty()) X509_STORE_set_flags(data->store.get(), X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  TrustStore trust;
  trust.data_ = std::move(data);
  return trust;
}

}  // namespace sealcast::handshake
