#include "handshake/testing/test_pki.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>

#include "handshake/crypto/openssl_ptr.h"

namespace sealcast::handshake::testing {
namespace {

void require(bool done, const char* what) {
  if (done) return;
  std::fprintf(stderr, "test PKI: %s: %s\n", what, take_openssl_error().c_str());
  std::abort();
}

PkeyPtr make_key(KeyKind kind) {
  EVP_PKEY* key = nullptr;
  switch (kind) {
    case KeyKind::p256:
      key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
      break;
    case KeyKind::p384:
      key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384");
      break;
    case KeyKind::p224:
      key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-224");
      break;
    case KeyKind::ed25519:
      key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
      break;
    case KeyKind::rsa2048:
      key = EVP_RSA_gen(2048);
      break;
    case KeyKind::rsa1024:
      key = EVP_RSA_gen(1024);
      break;
  }
  require(key != nullptr, "making a key");
  return PkeyPtr(key);
}

std::string contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string to_pem(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  require(bio && PEM_write_bio_X509(bio.get(), certificate) == 1, "writing a certificate");
  return contents(bio.get());
}

std::string to_pem(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  require(bio && PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
          "writing a private key");
  return contents(bio.get());
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  require(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1, "adding an extension");
  X509_EXTENSION_free(extension);
}

void add_unknown_critical(X509* certificate) {
  ASN1_OBJECT* oid = OBJ_txt2obj("2.25.1", 1);
  ASN1_OCTET_STRING* octets = ASN1_OCTET_STRING_new();
  const std::uint8_t null_value[] = {5, 0};
  require(oid != nullptr && octets != nullptr && ASN1_OCTET_STRING_set(octets, null_value, 2) == 1, "an extension");
  X509_EXTENSION* extension = X509_EXTENSION_create_by_OBJ(nullptr, oid, 1, octets);
  require(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1, "adding an extension");
  X509_EXTENSION_free(extension);
  ASN1_OCTET_STRING_free(octets);
  ASN1_OBJECT_free(oid);
}

const EVP_MD* signature_digest(EVP_PKEY* key) {
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
}

struct Made {
  X509Ptr certificate;
  PkeyPtr key;
};

Made make_certificate(const CertificateOptions& options, std::int64_t now, long serial, X509* issuer,
                      EVP_PKEY* issuer_key) {
  Made made{X509Ptr(X509_new()), make_key(options.key)};
  X509* certificate = made.certificate.get();
  require(certificate != nullptr && X509_set_version(certificate, X509_VERSION_3) == 1, "a certificate");
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
  ASN1_TIME_set(X509_getm_notBefore(certificate), now + options.valid_from);
  ASN1_TIME_set(X509_getm_notAfter(certificate), now + options.valid_until);
  X509_NAME* subject = X509_get_subject_name(certificate);
  require(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                     reinterpret_cast<const unsigned char*>(options.name.c_str()), -1, -1, 0) == 1,
          "a subject");
  X509* parent = issuer != nullptr ? issuer : certificate;
  X509_set_issuer_name(certificate, X509_get_subject_name(parent));
  X509_set_pubkey(certificate, made.key.get());
  add_extension(certificate, parent, NID_subject_key_identifier, "hash");
  add_extension(certificate, parent, NID_basic_constraints, options.authority ? "critical,CA:TRUE" : "CA:FALSE");
  if (options.authority) {
    add_extension(certificate, parent, NID_key_usage, "critical,keyCertSign,cRLSign");
  } else {
    if (options.stated_usage) {
      add_extension(certificate, parent, NID_key_usage,
                    std::string(options.digital_signature ? "critical,digitalSignature" : "critical,keyAgreement") +
                        (options.key_encipherment ? ",keyEncipherment" : ""));
      std::string usage;
      if (options.server_auth) usage += "serverAuth";
      if (options.client_auth) usage += usage.empty() ? "clientAuth" : ",clientAuth";
      if (!options.further_usage.empty()) usage += "," + options.further_usage;
      add_extension(certificate, parent, NID_ext_key_usage, usage.empty() ? "codeSigning" : usage);
    }
    std::string names;
    for (const std::string& dns : options.dns_names.value_or(std::vector<std::string>{options.name}))
      names += (names.empty() ? "DNS:" : ",DNS:") + dns;
    if (!names.empty()) add_extension(certificate, parent, NID_subject_alt_name, names);
  }
  if (options.multicast)
    require(add_multicast_extension(certificate, *options.multicast).has_value(), "the multicast extension");
  if (options.unknown_critical_extension) add_unknown_critical(certificate);
  EVP_PKEY* signer = issuer_key != nullptr ? issuer_key : made.key.get();
  require(X509_sign(certificate, signer, signature_digest(signer)) != 0, "signing a certificate");
  return made;
}

}  // namespace

struct TestPki::Data {
  std::int64_t now = test_now;
  X509Ptr certificate;
  PkeyPtr key;
  std::string upper_chain_pem;  // of an intermediate: its own certificate, which goes along with every leaf
  long next_serial = 1000;
  std::vector<long> revoked;
};

TestPki::TestPki(std::int64_t now, KeyKind ca_key, const std::string& ca_name) : data_(std::make_unique<Data>()) {
  data_->now = now;
  CertificateOptions options;
  options.name = ca_name;
  options.key = ca_key;
  options.authority = true;
  Made made = make_certificate(options, now, 1, nullptr, nullptr);
  data_->certificate = std::move(made.certificate);
  data_->key = std::move(made.key);
}

TestPki::TestPki(std::unique_ptr<Data> data) : data_(std::move(data)) {}
TestPki::~TestPki() = default;

TestIdentity TestPki::issue(const CertificateOptions& options) {
  const long serial = data_->next_serial++;
  Made made = make_certificate(options, data_->now, serial, data_->certificate.get(), data_->key.get());
  TestIdentity identity;
  identity.chain_pem = to_pem(made.certificate.get()) + data_->upper_chain_pem;
  identity.key_pem = to_pem(made.key.get());
  identity.serial_hex = std::to_string(serial);
  if (auto credentials = Credentials::from_pem(identity.chain_pem, identity.key_pem))
    identity.credentials = *credentials;
  return identity;
}

TestIdentity TestPki::server(const std::string& name, KeyKind key) {
  CertificateOptions options;
  options.name = name;
  options.key = key;
  options.server_auth = true;
  options.client_auth = false;
  return issue(options);
}

TestIdentity TestPki::member(const std::string& name, const std::vector<std::string>& groups, KeyKind key) {
  CertificateOptions options;
  options.name = name;
  options.key = key;
  options.multicast = MulticastExtension{};
  if (!groups.empty()) options.multicast->groups = groups;
  return issue(options);
}

TestIdentity TestPki::decrypting_member(const std::string& name, const std::vector<std::string>& groups) {
  CertificateOptions options;
  options.name = name;
  options.key = KeyKind::rsa2048;
  options.key_encipherment = true;
  options.multicast = MulticastExtension{};
  if (!groups.empty()) options.multicast->groups = groups;
  return issue(options);
}

TestIdentity TestPki::standard_client(const std::string& name, KeyKind key) {
  CertificateOptions options;
  options.name = name;
  options.key = key;
  return issue(options);
}

std::unique_ptr<TestPki> TestPki::intermediate(const std::string& name) {
  CertificateOptions options;
  options.name = name;
  options.authority = true;
  Made made = make_certificate(options, data_->now, data_->next_serial++, data_->certificate.get(), data_->key.get());
  auto data = std::make_unique<Data>();
  data->now = data_->now;
  data->upper_chain_pem = to_pem(made.certificate.get()) + data_->upper_chain_pem;
  data->certificate = std::move(made.certificate);
  data->key = std::move(made.key);
  data->next_serial = 5000;
  return std::unique_ptr<TestPki>(new TestPki(std::move(data)));
}

void TestPki::revoke(const TestIdentity& identity) {
  data_->revoked.push_back(std::stol(identity.serial_hex));
}

std::string TestPki::ca_pem() const {
  return to_pem(data_->certificate.get());
}

std::string TestPki::crl_pem(std::int64_t valid_for) const {
  const X509CrlPtr crl(X509_CRL_new());
  require(crl && X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2) == 1, "a revocation list");
  X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(data_->certificate.get()));
  ASN1_TIME* time = ASN1_TIME_set(nullptr, data_->now - 3600);
  X509_CRL_set1_lastUpdate(crl.get(), time);
  ASN1_TIME_set(time, data_->now + valid_for);
  X509_CRL_set1_nextUpdate(crl.get(), time);
  ASN1_TIME_set(time, data_->now - 3600);
  for (const long serial : data_->revoked) {
    X509_REVOKED* entry = X509_REVOKED_new();
    ASN1_INTEGER* number = ASN1_INTEGER_new();
    ASN1_INTEGER_set(number, serial);
    X509_REVOKED_set_serialNumber(entry, number);
    X509_REVOKED_set_revocationDate(entry, time);
    ASN1_INTEGER_free(number);
    X509_CRL_add0_revoked(crl.get(), entry);
  }
  ASN1_TIME_free(time);
  X509_CRL_sort(crl.get());
  require(X509_CRL_sign(crl.get(), data_->key.get(), signature_digest(data_->key.get())) != 0,
          "signing a revocation list");
  const BioPtr bio(BIO_new(BIO_s_mem()));
  require(bio && PEM_write_bio_X509_CRL(bio.get(), crl.get()) == 1, "writing a revocation list");
  return contents(bio.get());
}

TrustStore TestPki::trust() const {
  auto trust = TrustStore::from_pem(ca_pem(), "");
  require(trust.has_value(), "a trust store");
  return *trust;
}

TrustStore TestPki::trust_with_crl() const {
  auto trust = TrustStore::from_pem(ca_pem(), crl_pem());
  require(trust.has_value(), "a trust store");
  return *trust;
}

}  // namespace sealcast::handshake::testing
