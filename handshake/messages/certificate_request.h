// CertificateRequest (RFC 5246 §7.4.4). Its certificate types carry the multicast flag (P10, P12).
#pragma once

#include <vector>

#include "handshake/wire/constants.h"
#include "handshake/wire/reader.h"
#include "handshake/wire/writer.h"

namespace sealcast::handshake {

struct CertificateRequest {
  Bytes certificate_types;                       // 1..255
  std::vector<std::uint16_t> signature_schemes;  // 1..32767
  // certificate_authorities: sent empty, read and ignored

  bool names(std::uint8_t certificate_type) const;
};

Outcome<SensitiveBytes> encode(const CertificateRequest& message);
Outcome<CertificateRequest> decode_certificate_request(ByteView body);

}  // namespace sealcast::handshake
