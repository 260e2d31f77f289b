// CertificateVerify (RFC 5246 §7.4.8): the client's signature over all handshake messages before this one (P15).
#pragma once

#include "handshake/wire/reader.h"
#include "handshake/wire/writer.h"

namespace sealcast::handshake {

struct CertificateVerify {
  std::uint16_t signature_scheme = 0;
  Bytes signature;  // 1..65535 bytes
};

inline Outcome<SensitiveBytes> encode(const CertificateVerify& message) {
  Writer out;
  out.u16(message.signature_scheme);
  out.vector16(message.signature);
  return out.finish("CertificateVerify");
}

inline Outcome<CertificateVerify> decode_certificate_verify(ByteView body) {
  Reader reader("CertificateVerify", body);
  CertificateVerify message;
  message.signature_scheme = reader.u16("signature algorithm");
  const ByteView signature = reader.vector16(1, 0xffff, "signature");
  message.signature.assign(signature.begin(), signature.end());
  SEALCAST_TRY(reader.finish());
  return message;
}

}  // namespace sealcast::handshake
