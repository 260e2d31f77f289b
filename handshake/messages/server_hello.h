// ServerHello (RFC 5246 §7.4.1.3). Answers extended_master_secret, renegotiation_info and ec_point_formats, nothing
// else.
#pragma once

#include <array>
#include <optional>

#include "handshake/wire/constants.h"
#include "handshake/wire/reader.h"
#include "handshake/wire/writer.h"

namespace sealcast::handshake {

struct ServerHello {
  std::uint16_t version = tls12;
  std::array<std::uint8_t, random_size> random{};
  Bytes session_id;  // always empty from us: nothing is ever resumed
  std::uint16_t suite = 0;
  std::uint8_t compression_method = 0;
  bool extended_master_secret = false;
  std::optional<Bytes> renegotiation_info;
  std::optional<Bytes> point_formats;              // RFC 8422 §5.2; ours: uncompressed
  bool server_name_acknowledged = false;           // read only
  std::optional<std::uint16_t> unknown_extension;  // read only: the first one that we never offered
};

Outcome<SensitiveBytes> encode(const ServerHello& hello);
Outcome<ServerHello> decode_server_hello(ByteView body);

}  // namespace sealcast::handshake
