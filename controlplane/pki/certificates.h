// Makes the certificates of docs/certificates.md in memory, as PEM texts: a certification authority, key servers and
// members (P39, P40), and revocation lists. Uses no file and no clock: callers pass contents and times.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"

namespace sealcast::pki {

enum class KeyKind : std::uint8_t { ecdsa_p256, rsa_3072 };

// Unix seconds, inclusive both (RFC 5280 §4.1.2.5).
struct Validity {
  std::int64_t not_before = 0;
  std::int64_t not_after = 0;
};

struct ServerRequest {
  std::string name;  // DNS name; becomes commonName and the dNSName of subjectAltName
  KeyKind key = KeyKind::ecdsa_p256;
  Validity validity;
};

struct MemberRequest {
  std::string name;                 // 1..64 of A-Z a-z 0-9 . _ -; becomes commonName and dNSName
  std::vector<std::string> groups;  // named in the multicast extension; empty: not limited to groups
  KeyKind key = KeyKind::ecdsa_p256;
  Validity validity;
};

// A leaf certificate and its private key (PKCS #8, PEM, not encrypted).
struct Identity {
  std::string certificate_pem;
  SecretBytes private_key_pem;
};

struct CertificateFacts {
  std::string serial_hex;
  std::string subject;
  std::int64_t not_after = 0;
};

// A certification authority: its certificate and its private key. Signs leaves only (pathlen 0).
class Authority {
 public:
  static Result<Authority> create(std::string_view name, KeyKind key, const Validity& validity);
  // Refuses a key that is not the certificate's, and a certificate that is no CA's.
  static Result<Authority> load(std::string_view certificate_pem, ByteView private_key_pem);
  Authority(Authority&&) noexcept;
  Authority& operator=(Authority&&) noexcept;
  ~Authority();

  std::string certificate_pem() const;
  Result<SecretBytes> private_key_pem() const;
  std::int64_t not_after() const;

  // serverAuth, digitalSignature, no multicast extension.
  Result<Identity> issue(const ServerRequest& request) const;
  // clientAuth, digitalSignature (with an RSA key also keyEncipherment, which variant 1 needs), multicast extension.
  Result<Identity> issue(const MemberRequest& request) const;

  // A newly signed list, its number one higher: with every entry of previous_pem (empty: none; else it must be this
  // authority's) and, unless empty, the certificate in revoked_pem, which this authority must have issued.
  Result<std::string> revocation_list(std::string_view previous_pem, std::string_view revoked_pem,
                                      const Validity& validity) const;

 private:
  struct Data;
  explicit Authority(std::unique_ptr<Data> data);
  std::unique_ptr<Data> data_;
};

// A name of 1..64 letters, digits, '.', '_', '-', beginning with a letter or digit: safe as a file's name, too.
Result<void> check_name(std::string_view name);
// The same for a key server: labels of letters, digits and '-' only (RFC 1123 §2.1).
Result<void> check_server_name(std::string_view name);

Result<CertificateFacts> facts_of(std::string_view certificate_pem);

}  // namespace sealcast::pki
