// Certificates: the multicast extension's bytes, a chain of bytes as a peer sends it, and certificates made of the
// input and signed by a real authority, so that every rule of the policy is reached (AUTH-3). No certificate ever
// passes for both a member's and a key server's.
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "handshake/certificate/multicast_extension.h"
#include "handshake/certificate/policy.h"
#include "handshake/testing/test_pki.h"
#include "tests/fuzz/input.h"

namespace {

using namespace sealcast;             // NOLINT: a fuzzer of it
using namespace sealcast::handshake;  // NOLINT
using fuzz::Input;
using fuzz::require;
using handshake::testing::test_now;

struct Authority {
  PkeyPtr key{EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")};
  PkeyPtr leaf_key{EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")};
  X509Ptr certificate{X509_new()};
  TrustStore trust;

  Authority() {
    X509* self = certificate.get();
    X509_set_version(self, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(self), 1);
    ASN1_TIME_set(X509_getm_notBefore(self), test_now - 1000);
    ASN1_TIME_set(X509_getm_notAfter(self), test_now + 1000);
    name(self, "fuzz CA");
    X509_set_issuer_name(self, X509_get_subject_name(self));
    X509_set_pubkey(self, key.get());
    extend(self, NID_basic_constraints, "critical,CA:TRUE");
    extend(self, NID_key_usage, "critical,keyCertSign,cRLSign");
    require(X509_sign(self, key.get(), EVP_sha256()) != 0);
    const BioPtr bio(BIO_new(BIO_s_mem()));
    require(PEM_write_bio_X509(bio.get(), self) == 1);
    char* pem = nullptr;
    const long length = BIO_get_mem_data(bio.get(), &pem);
    auto made = TrustStore::from_pem({pem, static_cast<std::size_t>(length)}, "");
    require(made.has_value());
    trust = *made;
  }

  static void name(X509* certificate, const char* common) {
    X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate), NID_commonName, MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common), -1, -1, 0);
  }
  static void extend(X509* certificate, int nid, const char* value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
    require(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
  }
  // A value as it is, under a known or any other OID.
  static void extend_raw(X509* certificate, const char* oid, bool critical, ByteView value) {
    ASN1_OBJECT* object = OBJ_txt2obj(oid, 0);
    ASN1_OCTET_STRING* octets = ASN1_OCTET_STRING_new();
    require(object != nullptr && ASN1_OCTET_STRING_set(octets, value.data(), static_cast<int>(value.size())) == 1);
    X509_EXTENSION* extension = X509_EXTENSION_create_by_OBJ(nullptr, object, critical ? 1 : 0, octets);
    require(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(octets);
    ASN1_OBJECT_free(object);
  }

  // Nothing if the input makes no certificate that can be encoded.
  std::optional<Bytes> leaf(Input& input) const {
    const X509Ptr made(X509_new());
    X509* leaf = made.get();
    X509_set_version(leaf, input.pick(4) == 3 ? X509_VERSION_1 : X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(leaf), input.u8());
    ASN1_TIME_set(X509_getm_notBefore(leaf), test_now - 500 + input.u8() * 10);
    ASN1_TIME_set(X509_getm_notAfter(leaf), test_now + 500 - input.u8() * 10);
    const ByteView common = input.short_block();
    if (!common.empty())
      X509_NAME_add_entry_by_NID(X509_get_subject_name(leaf), NID_commonName, MBSTRING_UTF8, common.data(),
                                 static_cast<int>(common.size()), -1, 0);
    X509_set_issuer_name(leaf, X509_get_subject_name(certificate.get()));
    X509_set_pubkey(leaf, leaf_key.get());
    for (int count = 0; count < 12 && !input.empty(); ++count) {
      switch (input.pick(12)) {
        case 0:
          extend(leaf, NID_key_usage, input.flag() ? "critical,digitalSignature" : "keyEncipherment,digitalSignature");
          break;
        case 1:
          extend(leaf, NID_key_usage, "keyAgreement");
          break;
        case 2:
          extend(leaf, NID_ext_key_usage, "clientAuth");
          break;
        case 3:
          extend(leaf, NID_ext_key_usage, input.flag() ? "serverAuth" : "serverAuth,clientAuth");
          break;
        case 4:
          extend(leaf, NID_subject_alt_name, input.flag() ? "DNS:ks.example" : "DNS:a,DNS:*.example,IP:10.0.0.1");
          break;
        case 5: {
          MulticastExtension multicast{input.flag(), std::nullopt};
          if (input.flag()) multicast.groups = {input.flag() ? "tv" : "radio"};
          require(add_multicast_extension(leaf, multicast).has_value());
          break;
        }
        case 6:
          extend_raw(leaf, multicast_extension_oid, input.flag(), input.short_block());
          break;
        case 7:
          extend_raw(leaf, "subjectAltName", input.flag(), input.short_block());
          break;
        case 8:
          extend_raw(leaf, input.flag() ? "keyUsage" : "extendedKeyUsage", input.flag(), input.short_block());
          break;
        case 9:
          extend_raw(leaf, "basicConstraints", input.flag(), input.short_block());
          break;
        case 10:
          extend_raw(leaf, "2.25.7", input.flag(), input.short_block());
          break;
        default:
          extend(leaf, NID_basic_constraints, input.flag() ? "CA:TRUE" : "CA:FALSE");
      }
    }
    if (X509_sign(leaf, key.get(), EVP_sha256()) == 0) {
      (void)take_openssl_error();
      return std::nullopt;
    }
    unsigned char* der = nullptr;
    const int size = i2d_X509(leaf, &der);
    if (size <= 0) return std::nullopt;
    Bytes bytes(der, der + size);
    OPENSSL_free(der);
    return bytes;
  }
};

void judge(const TrustStore& trust, const std::vector<Bytes>& chain) {
  const auto member = verify_member_chain(trust, chain, "tv", test_now);
  const auto server = verify_server_chain(trust, chain, "ks.example", true, test_now);
  const auto any_server = verify_server_chain(trust, chain, "ks.example", false, test_now);
  const auto standard = verify_standard_client_chain(trust, chain, test_now);
  require(!(member && (server || any_server)));
  require(!server || any_server);  // a key server must show more than a standard server
  require(!member || standard);    // likewise
  if (member) {
    const PeerIdentity& identity = member->identity();
    require(identity.may_decrypt && !identity.leaf_der.empty());
    require(!identity.groups ||
            std::find(identity.groups->begin(), identity.groups->end(), "tv") != identity.groups->end());
    require(recheck_member(identity.leaf_der, trust, "tv", test_now).has_value());
    require(!recheck_member(identity.leaf_der, trust, "tv", test_now + 2000).has_value());  // all of it has expired
    require(identity.groups.has_value() == !verify_member_chain(trust, chain, "radio2", test_now).has_value());
  }
  require(ERR_peek_error() == 0);  // nothing is left behind for the next connection
}

void extension_alone(ByteView der) {
  const auto extension = decode_multicast_extension(der);
  if (!extension) return;
  const auto again = encode_multicast_extension(*extension);
  require(again.has_value());
  const auto back = decode_multicast_extension(*again);
  require(back && back->decrypt == extension->decrypt && back->groups == extension->groups);
  require(!extension->allows("tv") || extension->decrypt);
}

}  // namespace

// The first byte: 0 the extension alone, 1 a chain of bytes, else a certificate made of what follows.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Authority authority;
  Input input(data, size);
  switch (input.pick(4)) {
    case 0:
      extension_alone(input.rest());
      break;
    case 1: {
      std::vector<Bytes> chain;
      while (!input.empty() && chain.size() < 4)
        chain.push_back(fuzz::copy(input.block()));
      judge(authority.trust, chain);
      break;
    }
    default:
      if (const auto leaf = authority.leaf(input)) judge(authority.trust, {*leaf});
  }
  return 0;
}
