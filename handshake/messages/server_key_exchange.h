// ServerKeyExchange for ECDHE (RFC 8422 §5.4): a named curve, the server's point, and its signature over both randoms
// and these parameters.
#pragma once

#include <array>

#include "handshake/wire/constants.h"
#include "handshake/wire/reader.h"
#include "handshake/wire/writer.h"

namespace sealcast::handshake {

struct ServerKeyExchange {
  std::uint16_t group = 0;
  Bytes point;  // 1..255 bytes
  std::uint16_t signature_scheme = 0;
  Bytes signature;  // 1..65535 bytes
};

// What the signature covers: client_random ‖ server_random ‖ curve parameters and point.
Bytes signed_parameters(const std::array<std::uint8_t, random_size>& client_random,
                        const std::array<std::uint8_t, random_size>& server_random, std::uint16_t group,
                        ByteView point);

Outcome<SensitiveBytes> encode(const ServerKeyExchange& message);
Outcome<ServerKeyExchange> decode_server_key_exchange(ByteView body);

}  // namespace sealcast::handshake
