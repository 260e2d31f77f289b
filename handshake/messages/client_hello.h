// ClientHello (RFC 5246 §7.4.1.2) with the extensions Sealcast knows; multicast_group makes it a member's hello.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "handshake/wire/constants.h"
#include "handshake/wire/reader.h"
#include "handshake/wire/writer.h"

namespace sealcast::handshake {

struct ClientHello {
  std::uint16_t version = tls12;
  std::array<std::uint8_t, random_size> random{};
  Bytes session_id;                   // 0..32 bytes
  std::vector<std::uint16_t> suites;  // 1..32767, signalling values included
  Bytes compression_methods{0};       // must contain null
  std::optional<std::string> server_name;
  std::vector<std::uint16_t> groups;              // supported_groups; empty: extension absent
  std::optional<Bytes> point_formats = Bytes{0};  // ec_point_formats, as sent; absent means uncompressed
  std::vector<std::uint16_t> signature_schemes;   // empty: extension absent
  std::vector<std::uint16_t> supported_versions;  // empty: extension absent
  bool extended_master_secret = false;
  std::optional<Bytes> renegotiation_info;     // renegotiated_connection, as sent
  std::optional<std::string> multicast_group;  // 1..64 bytes

  bool offers(std::uint16_t suite) const;
  bool allows_uncompressed_points() const;
};

Outcome<SensitiveBytes> encode(const ClientHello& hello);
Outcome<ClientHello> decode_client_hello(ByteView body);

}  // namespace sealcast::handshake
