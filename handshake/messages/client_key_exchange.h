// ClientKeyExchange for ECDHE (RFC 8422 §5.7): the client's point.
#pragma once

#include "handshake/wire/reader.h"
#include "handshake/wire/writer.h"

namespace sealcast::handshake {

struct ClientKeyExchange {
  Bytes point;  // 1..255 bytes
};

inline Outcome<SensitiveBytes> encode(const ClientKeyExchange& message) {
  Writer out;
  out.vector8(message.point);
  return out.finish("ClientKeyExchange");
}

inline Outcome<ClientKeyExchange> decode_client_key_exchange(ByteView body) {
  Reader reader("ClientKeyExchange", body);
  const ByteView point = reader.vector8(1, 255, "point");
  SEALCAST_TRY(reader.finish());
  return ClientKeyExchange{Bytes(point.begin(), point.end())};
}

}  // namespace sealcast::handshake
