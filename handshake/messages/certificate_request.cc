#include "handshake/messages/certificate_request.h"

#include <algorithm>

#include "handshake/messages/extensions.h"

namespace sealcast::handshake {

bool CertificateRequest::names(std::uint8_t certificate_type) const {
  return std::find(certificate_types.begin(), certificate_types.end(), certificate_type) != certificate_types.end();
}

Outcome<SensitiveBytes> encode(const CertificateRequest& message) {
  Writer out;
  out.vector8(message.certificate_types);
  out.vector(2, [&](Writer& list) {
    for (const std::uint16_t scheme : message.signature_schemes)
      list.u16(scheme);
  });
  out.u16(0);
  return out.finish("CertificateRequest");
}

Outcome<CertificateRequest> decode_certificate_request(ByteView body) {
  Reader reader("CertificateRequest", body);
  CertificateRequest message;
  const ByteView types = reader.vector8(1, 255, "certificate_types");
  message.certificate_types.assign(types.begin(), types.end());
  message.signature_schemes =
      read_codes(reader, reader.vector16(2, 0xfffe, "signature_algorithms"), "signature_algorithms");
  Reader names(reader.message(), reader.vector16(0, 0xffff, "certificate_authorities"));
  while (!names.at_end())
    (void)names.vector16(1, 0xffff, "distinguished name");
  reader.absorb(names);
  SEALCAST_TRY(reader.finish());
  return message;
}

}  // namespace sealcast::handshake
