// Certificates for tests, made in memory: a certificate authority, key servers, members, and every way a certificate
// can be wrong. Not for production; the operator's tool makes real ones. A broken fixture ends the process.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "handshake/certificate/multicast_extension.h"
#include "handshake/endpoint.h"

namespace sealcast::handshake::testing {

inline constexpr std::int64_t test_now = 1'800'000'000;  // the time that in-process tests run at

enum class KeyKind { p256, p384, p224, ed25519, rsa2048, rsa1024 };

struct CertificateOptions {
  std::string name = "member-a";  // commonName and, unless dns_names says otherwise, the one dNSName
  std::optional<std::vector<std::string>> dns_names;
  KeyKind key = KeyKind::p256;
  bool server_auth = false;
  bool client_auth = true;
  std::string further_usage;      // an extended key usage beside these, as an OID
  bool stated_usage = true;       // false: neither key usage nor extended key usage
  bool digital_signature = true;  // false: keyAgreement only
  bool key_encipherment = false;  // beside it; variant 1's members
  std::optional<MulticastExtension> multicast;
  bool unknown_critical_extension = false;
  bool authority = false;            // basicConstraints CA
  std::int64_t valid_from = -86400;  // seconds relative to the PKI's now
  std::int64_t valid_until = 86400 * 365;
};

struct TestIdentity {
  std::string chain_pem;
  std::string key_pem;
  Credentials credentials;  // empty where from_pem refuses (weak keys)
  std::string serial_hex;
};

class TestPki {
 public:
  // now: certificates are valid around this moment; pass the real time in tests with real clocks.
  explicit TestPki(std::int64_t now = test_now, KeyKind ca_key = KeyKind::p256, const std::string& ca_name = "test CA");
  ~TestPki();

  TestIdentity issue(const CertificateOptions& options);
  // A key server's certificate that the policy accepts.
  TestIdentity server(const std::string& name, KeyKind key = KeyKind::p256);
  // A member's certificate for these groups (empty: not limited).
  TestIdentity member(const std::string& name, const std::vector<std::string>& groups = {},
                      KeyKind key = KeyKind::p256);
  // A member's certificate for variant 1: an RSA key that others may encrypt to.
  TestIdentity decrypting_member(const std::string& name, const std::vector<std::string>& groups = {});
  // A standard TLS client's certificate.
  TestIdentity standard_client(const std::string& name, KeyKind key = KeyKind::p256);
  // An intermediate authority of this one.
  std::unique_ptr<TestPki> intermediate(const std::string& name);

  void revoke(const TestIdentity& identity);
  std::string ca_pem() const;
  // The list of everything revoked so far; valid for valid_for seconds from now (negative: already expired).
  std::string crl_pem(std::int64_t valid_for = 86400) const;
  TrustStore trust() const;           // without revocation lists
  TrustStore trust_with_crl() const;  // with the current list

 private:
  struct Data;
  explicit TestPki(std::unique_ptr<Data> data);
  std::unique_ptr<Data> data_;
};

}  // namespace sealcast::handshake::testing
