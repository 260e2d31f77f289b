// The certificate extension that makes a certificate a multicast member's (P39, P40): non-critical, OID under 2.25
// (ITU-T X.667: derived from a UUID, no registration needed),
//   MulticastExtension ::= SEQUENCE { decrypt BOOLEAN, groups SEQUENCE OF UTF8String OPTIONAL }
// Used by the handshake's policy and by the tool that makes certificates.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

struct x509_st;  // OpenSSL's X509

namespace sealcast::handshake {

// UUID 87917a81-48ac-4a89-b6f1-9094619dcc0c
inline constexpr const char* multicast_extension_oid = "2.25.180201147172347010635658854406855445516";

struct MulticastExtension {
  bool decrypt = true;                             // may decrypt the groups' data
  std::optional<std::vector<std::string>> groups;  // nullopt: not limited to certain groups

  bool allows(const std::string& group_id) const;
};

Result<Bytes> encode_multicast_extension(const MulticastExtension& extension);  // the extension's value, DER
Result<MulticastExtension> decode_multicast_extension(ByteView der);            // refuses trailing bytes

// Adds the extension, non-critical, to a certificate that is being made; call before signing it.
Result<void> add_multicast_extension(x509_st* certificate, const MulticastExtension& extension);
// nullopt: the certificate has none. A malformed or doubled one is an error.
Result<std::optional<MulticastExtension>> find_multicast_extension(const x509_st* certificate);

}  // namespace sealcast::handshake
