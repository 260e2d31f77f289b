#include "handshake/messages/certificate.h"

namespace sealcast::handshake {

Outcome<SensitiveBytes> encode(const CertificateMessage& message) {
  Writer out;
  out.vector(3, [&](Writer& list) {
    for (const Bytes& certificate : message.chain)
      list.vector24(certificate);
  });
  return out.finish("Certificate");
}

Outcome<CertificateMessage> decode_certificate(ByteView body) {
  Reader reader("Certificate", body);
  CertificateMessage message;
  Reader list(reader.message(), reader.vector24(0, 0xffffff, "certificate_list"));
  while (!list.at_end()) {
    const ByteView der = list.vector24(1, 0xffffff, "certificate");
    if (message.chain.size() == max_chain_length)
      list.refuse(Reason::certificate_invalid_chain,
                  "more than " + std::to_string(max_chain_length) + " certificates in the chain");
    if (list.ok()) message.chain.emplace_back(der.begin(), der.end());
  }
  reader.absorb(list);
  SEALCAST_TRY(reader.finish());
  return message;
}

}  // namespace sealcast::handshake
