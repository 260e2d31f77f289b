// Certificate (RFC 5246 §7.4.2): a chain, leaf first; empty when a client has none.
#pragma once

#include <vector>

#include "handshake/wire/reader.h"
#include "handshake/wire/writer.h"

namespace sealcast::handshake {

inline constexpr std::size_t max_chain_length = 8;  // leaf and intermediates

struct CertificateMessage {
  std::vector<Bytes> chain;  // DER
};

Outcome<SensitiveBytes> encode(const CertificateMessage& message);
Outcome<CertificateMessage> decode_certificate(ByteView body);

}  // namespace sealcast::handshake
