#include "controlplane/pki/certificates.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>

#include "controlplane/pki/openssl_handles.h"
#include "handshake/certificate/multicast_extension.h"

namespace sealcast::pki {
namespace {

constexpr int x509_version_3 = 2;  // RFC 5280 §4.1.2.1: the field holds the version less one
constexpr int crl_version_2 = 1;
constexpr std::size_t serial_bytes = 16;  // of randomness; at most 20 bytes are allowed (RFC 5280 §4.1.2.2)
constexpr int rsa_bits = 3072;
constexpr std::size_t max_name = 64;  // X.520's bound of commonName

bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

Result<Handle<EVP_PKEY>> generate(KeyKind kind) {
  Handle<EVP_PKEY> key(kind == KeyKind::ecdsa_p256 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")
                                                   : EVP_RSA_gen(static_cast<unsigned>(rsa_bits)));
  if (!key) return openssl_failure("cannot generate a private key");
  return key;
}

template <typename Write>
Result<std::string> pem_text(const char* what, Write write) {
  const Handle<BIO> out(BIO_new(BIO_s_mem()));
  if (!out || write(out.get()) != 1) return openssl_failure(std::string("cannot write ") + what);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

Result<SecretBytes> pem_of_key(EVP_PKEY* key) {
  const Handle<BIO> out(BIO_new(BIO_s_secmem()));
  if (!out || PEM_write_bio_PKCS8PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return openssl_failure("cannot write the private key");
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  SecretBytes pem(static_cast<std::size_t>(size));
  std::copy_n(data, size, reinterpret_cast<char*>(pem.data()));
  return pem;
}

Result<Handle<X509>> read_certificate(std::string_view pem) {
  const Handle<BIO> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Handle<X509> certificate(in ? PEM_read_bio_X509(in.get(), nullptr, no_password, nullptr) : nullptr);
  if (!certificate) return openssl_failure("expected a certificate in PEM");
  return certificate;
}

bool set_random_serial(ASN1_INTEGER* serial) {
  std::array<unsigned char, serial_bytes> random{};
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) return false;
  const Handle<BIGNUM> number(BN_bin2bn(random.data(), static_cast<int>(random.size()), nullptr));
  return number && BN_is_zero(number.get()) == 0 && BN_to_ASN1_INTEGER(number.get(), serial) != nullptr;
}

bool add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Handle<X509_EXTENSION> extension(X509V3_EXT_nconf_nid(nullptr, &context, nid, value));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// Not critical: a plain TLS 1.2 server that does not know it may still accept the certificate (P1).
bool add_multicast_extension(X509* certificate, const std::vector<std::string>& groups) {
  handshake::MulticastExtension content;
  content.decrypt = true;
  if (!groups.empty()) content.groups = groups;
  return handshake::add_multicast_extension(certificate, content).has_value();
}

// The common parts of all certificates; issuer_name nullptr: self-signed.
Result<Handle<X509>> start_certificate(std::string_view name, const X509_NAME* issuer_name, EVP_PKEY* public_key,
                                       const Validity& validity) {
  if (validity.not_after <= validity.not_before) return fail("a certificate's life must end after it begins");
  Handle<X509> certificate(X509_new());
  const Handle<X509_NAME> subject(X509_NAME_new());
  if (!certificate || !subject) return openssl_failure("out of memory");
  const bool good = X509_set_version(certificate.get(), x509_version_3) == 1 &&
                    set_random_serial(X509_get_serialNumber(certificate.get())) &&
                    ASN1_TIME_set(X509_getm_notBefore(certificate.get()), validity.not_before) != nullptr &&
                    ASN1_TIME_set(X509_getm_notAfter(certificate.get()), validity.not_after) != nullptr &&
                    X509_set_pubkey(certificate.get(), public_key) == 1 &&
                    X509_NAME_add_entry_by_NID(subject.get(), NID_commonName, MBSTRING_UTF8,
                                               reinterpret_cast<const unsigned char*>(name.data()),
                                               static_cast<int>(name.size()), -1, 0) == 1 &&
                    X509_set_subject_name(certificate.get(), subject.get()) == 1 &&
                    X509_set_issuer_name(certificate.get(), issuer_name != nullptr ? issuer_name : subject.get()) == 1;
  if (!good) return openssl_failure("cannot fill in the certificate");
  return certificate;
}

std::string hex_of(const ASN1_INTEGER* serial) {
  const Handle<BIGNUM> number(ASN1_INTEGER_to_BN(serial, nullptr));
  char* text = number ? BN_bn2hex(number.get()) : nullptr;
  const std::string hex = text != nullptr ? text : "";
  OPENSSL_free(text);
  return hex;
}

std::int64_t unix_seconds(const ASN1_TIME* time) {
  const Handle<ASN1_TIME> epoch(ASN1_TIME_set(nullptr, 0));
  int days = 0, seconds = 0;
  if (!epoch || ASN1_TIME_diff(&days, &seconds, epoch.get(), time) != 1) return 0;
  return std::int64_t{days} * 86400 + seconds;
}

}  // namespace

struct Authority::Data {
  Handle<X509> certificate;
  Handle<EVP_PKEY> key;

  struct LeafKind {
    const char* key_usage;
    const char* extended_key_usage;
    const std::vector<std::string>* groups;  // nullptr: no multicast extension
  };
  Result<Identity> issue(std::string_view name, KeyKind kind, const Validity& validity, const LeafKind& leaf) const;
};

Authority::Authority(std::unique_ptr<Data> data) : data_(std::move(data)) {}
Authority::Authority(Authority&&) noexcept = default;
Authority& Authority::operator=(Authority&&) noexcept = default;
Authority::~Authority() = default;

Result<Authority> Authority::create(std::string_view name, KeyKind kind, const Validity& validity) {
  if (name.empty() || name.size() > max_name) return fail("a CA's name has 1 to 64 bytes");
  SEALCAST_TRY_ASSIGN(auto key, generate(kind));
  SEALCAST_TRY_ASSIGN(auto certificate, start_certificate(name, nullptr, key.get(), validity));
  X509* x = certificate.get();
  const bool good = add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                    add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                    add_extension(x, x, NID_subject_key_identifier, "hash") &&
                    add_extension(x, x, NID_authority_key_identifier, "keyid:always") &&
                    X509_sign(x, key.get(), EVP_sha256()) > 0;
  if (!good) return openssl_failure("cannot make the CA's certificate");
  auto data = std::make_unique<Data>();
  data->certificate = std::move(certificate);
  data->key = std::move(key);
  return Authority(std::move(data));
}

Result<Authority> Authority::load(std::string_view certificate_pem, ByteView private_key_pem) {
  auto certificate = read_certificate(certificate_pem);
  if (!certificate) return fail("CA certificate: " + certificate.error().message);
  const Handle<BIO> in(BIO_new_mem_buf(private_key_pem.data(), static_cast<int>(private_key_pem.size())));
  Handle<EVP_PKEY> key(in ? PEM_read_bio_PrivateKey(in.get(), nullptr, no_password, nullptr) : nullptr);
  if (!key) return openssl_failure("CA key: expected an unencrypted private key in PEM");
  if (X509_check_private_key(certificate->get(), key.get()) != 1) {
    ERR_clear_error();
    return fail("the CA's private key does not belong to its certificate");
  }
  if (X509_check_ca(certificate->get()) != 1) return fail("the certificate is not a CA's");
  auto data = std::make_unique<Data>();
  data->certificate = std::move(*certificate);
  data->key = std::move(key);
  return Authority(std::move(data));
}

std::string Authority::certificate_pem() const {
  return pem_text("a certificate", [this](BIO* out) { return PEM_write_bio_X509(out, data_->certificate.get()); })
      .value_or("");
}

Result<SecretBytes> Authority::private_key_pem() const {
  return pem_of_key(data_->key.get());
}

std::int64_t Authority::not_after() const {
  return unix_seconds(X509_get0_notAfter(data_->certificate.get()));
}

Result<Identity> Authority::Data::issue(std::string_view name, KeyKind kind, const Validity& validity,
                                        const LeafKind& leaf) const {
  SEALCAST_TRY_ASSIGN(auto leaf_key, generate(kind));
  SEALCAST_TRY_ASSIGN(auto made,
                      start_certificate(name, X509_get_subject_name(certificate.get()), leaf_key.get(), validity));
  X509* x = made.get();
  X509* issuer = certificate.get();
  const std::string alternative = "DNS:" + std::string(name);  // check_name() refuses what could add a second entry
  const bool good = add_extension(x, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
                    add_extension(x, issuer, NID_key_usage, leaf.key_usage) &&
                    add_extension(x, issuer, NID_ext_key_usage, leaf.extended_key_usage) &&
                    add_extension(x, issuer, NID_subject_alt_name, alternative.c_str()) &&
                    add_extension(x, issuer, NID_subject_key_identifier, "hash") &&
                    add_extension(x, issuer, NID_authority_key_identifier, "keyid:always") &&
                    (leaf.groups == nullptr || add_multicast_extension(x, *leaf.groups)) &&
                    X509_sign(x, key.get(), EVP_sha256()) > 0;
  if (!good) return openssl_failure("cannot make the certificate");
  Identity identity;
  SEALCAST_TRY_ASSIGN(identity.certificate_pem,
                      pem_text("a certificate", [x](BIO* out) { return PEM_write_bio_X509(out, x); }));
  SEALCAST_TRY_ASSIGN(identity.private_key_pem, pem_of_key(leaf_key.get()));
  return identity;
}

Result<Identity> Authority::issue(const ServerRequest& request) const {
  SEALCAST_TRY(check_server_name(request.name));
  return data_->issue(request.name, request.key, request.validity,
                      {"critical,digitalSignature", "serverAuth", nullptr});
}

Result<Identity> Authority::issue(const MemberRequest& request) const {
  SEALCAST_TRY(check_name(request.name));
  for (const std::string& group : request.groups)
    if (group.empty() || group.size() > max_name) return fail("group \"" + group + "\": expected 1 to 64 bytes");
  return data_->issue(
      request.name, request.key, request.validity,
      {request.key == KeyKind::rsa_3072 ? "critical,digitalSignature,keyEncipherment" : "critical,digitalSignature",
       "clientAuth", &request.groups});
}

Result<std::string> Authority::revocation_list(std::string_view previous_pem, std::string_view revoked_pem,
                                               const Validity& validity) const {
  Handle<X509_CRL> list;
  std::int64_t number = 1;
  if (previous_pem.empty()) {
    list.reset(X509_CRL_new());
  } else {
    const Handle<BIO> in(BIO_new_mem_buf(previous_pem.data(), static_cast<int>(previous_pem.size())));
    list.reset(in ? PEM_read_bio_X509_CRL(in.get(), nullptr, no_password, nullptr) : nullptr);
    if (!list) return openssl_failure("expected a revocation list in PEM");
    EVP_PKEY* own = X509_get0_pubkey(data_->certificate.get());
    if (X509_CRL_verify(list.get(), own) != 1) {
      ERR_clear_error();
      return fail("the revocation list is not this CA's, or it was changed");
    }
    const Handle<ASN1_INTEGER> previous(
        static_cast<ASN1_INTEGER*>(X509_CRL_get_ext_d2i(list.get(), NID_crl_number, nullptr, nullptr)));
    if (previous && ASN1_INTEGER_get_int64(&number, previous.get()) == 1) ++number;
    // Only the entries carry over; number and identifier are new, see below.
    while (X509_CRL_get_ext_count(list.get()) > 0)
      Handle<X509_EXTENSION>(X509_CRL_delete_ext(list.get(), 0));
  }
  const Handle<ASN1_TIME> begin(ASN1_TIME_set(nullptr, validity.not_before));
  const Handle<ASN1_TIME> end(ASN1_TIME_set(nullptr, validity.not_after));
  if (!list || !begin || !end) return openssl_failure("out of memory");

  if (!revoked_pem.empty()) {
    SEALCAST_TRY_ASSIGN(auto certificate, read_certificate(revoked_pem));
    if (X509_verify(certificate.get(), X509_get0_pubkey(data_->certificate.get())) != 1) {
      ERR_clear_error();
      return fail("the certificate to revoke was not issued by this CA");
    }
    const ASN1_INTEGER* serial = X509_get0_serialNumber(certificate.get());
    X509_REVOKED* present = nullptr;
    if (X509_CRL_get0_by_serial(list.get(), &present, serial) == 0) {
      Handle<X509_REVOKED> entry(X509_REVOKED_new());
      const Handle<ASN1_INTEGER> copy(ASN1_INTEGER_dup(serial));
      if (!entry || !copy || X509_REVOKED_set_serialNumber(entry.get(), copy.get()) != 1 ||
          X509_REVOKED_set_revocationDate(entry.get(), begin.get()) != 1 ||
          X509_CRL_add0_revoked(list.get(), entry.get()) != 1)
        return openssl_failure("cannot add the certificate to the revocation list");
      static_cast<void>(entry.release());  // the list owns it
    }
  }

  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, data_->certificate.get(), nullptr, nullptr, list.get(), 0);
  const Handle<X509_EXTENSION> identifier(
      X509V3_EXT_nconf_nid(nullptr, &context, NID_authority_key_identifier, "keyid:always"));
  const Handle<ASN1_INTEGER> list_number(ASN1_INTEGER_new());
  const bool good = identifier && list_number && ASN1_INTEGER_set_int64(list_number.get(), number) == 1 &&
                    X509_CRL_set_version(list.get(), crl_version_2) == 1 &&
                    X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(data_->certificate.get())) == 1 &&
                    X509_CRL_set1_lastUpdate(list.get(), begin.get()) == 1 &&
                    X509_CRL_set1_nextUpdate(list.get(), end.get()) == 1 &&
                    X509_CRL_add_ext(list.get(), identifier.get(), -1) == 1 &&
                    X509_CRL_add1_ext_i2d(list.get(), NID_crl_number, list_number.get(), 0, 0) == 1 &&
                    X509_CRL_sort(list.get()) == 1 && X509_CRL_sign(list.get(), data_->key.get(), EVP_sha256()) > 0;
  if (!good) return openssl_failure("cannot make the revocation list");
  return pem_text("a revocation list", [&list](BIO* out) { return PEM_write_bio_X509_CRL(out, list.get()); });
}

Result<void> check_name(std::string_view name) {
  const auto allowed = [](char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-'; };
  if (name.empty() || name.size() > max_name || !is_alnum(name.front()) ||
      !std::all_of(name.begin(), name.end(), allowed))
    return fail("name \"" + std::string(name) +
                "\": expected 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit");
  return {};
}

Result<void> check_server_name(std::string_view name) {
  SEALCAST_TRY(check_name(name));
  bool good = name.find('_') == std::string_view::npos;
  for (std::size_t begin = 0; good && begin <= name.size();) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view label = name.substr(begin, end - begin);
    good = !label.empty() && label.size() <= 63 && is_alnum(label.front()) && is_alnum(label.back());
    begin = end + 1;
  }
  if (!good)
    return fail("name \"" + std::string(name) + "\": expected a DNS name such as ks.example (letters, digits, '-')");
  return {};
}

Result<CertificateFacts> facts_of(std::string_view certificate_pem) {
  SEALCAST_TRY_ASSIGN(auto certificate, read_certificate(certificate_pem));
  X509* x = certificate.get();
  CertificateFacts facts;
  facts.serial_hex = hex_of(X509_get0_serialNumber(x));
  std::array<char, 256> subject{};
  const int length = X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, subject.data(),
                                               static_cast<int>(subject.size()));
  if (length > 0) facts.subject.assign(subject.data(), static_cast<std::size_t>(length));
  facts.not_after = unix_seconds(X509_get0_notAfter(x));
  return facts;
}

}  // namespace sealcast::pki
