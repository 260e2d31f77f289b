#include "handshake/messages/server_key_exchange.h"

namespace sealcast::handshake {
namespace {

constexpr std::uint8_t named_curve_type = 3;

void write_parameters(Writer& out, std::uint16_t group, ByteView point) {
  out.u8(named_curve_type);
  out.u16(group);
  out.vector8(point);
}

}  // namespace

Bytes signed_parameters(const std::array<std::uint8_t, random_size>& client_random,
                        const std::array<std::uint8_t, random_size>& server_random, std::uint16_t group,
                        ByteView point) {
  Writer out;
  out.bytes(client_random);
  out.bytes(server_random);
  write_parameters(out, group, point);
  return {out.view().begin(), out.view().end()};
}

Outcome<SensitiveBytes> encode(const ServerKeyExchange& message) {
  Writer out;
  write_parameters(out, message.group, message.point);
  out.u16(message.signature_scheme);
  out.vector16(message.signature);
  return out.finish("ServerKeyExchange");
}

Outcome<ServerKeyExchange> decode_server_key_exchange(ByteView body) {
  Reader reader("ServerKeyExchange", body);
  ServerKeyExchange message;
  const std::uint8_t curve_type = reader.u8("curve_type");
  if (reader.ok() && curve_type != named_curve_type)
    reader.refuse(Reason::illegal_parameter, "curve_type " + std::to_string(curve_type) + ", expected named_curve (3)");
  message.group = reader.u16("named_curve");
  const ByteView point = reader.vector8(1, 255, "point");
  message.point.assign(point.begin(), point.end());
  message.signature_scheme = reader.u16("signature algorithm");
  const ByteView signature = reader.vector16(1, 0xffff, "signature");
  message.signature.assign(signature.begin(), signature.end());
  SEALCAST_TRY(reader.finish());
  return message;
}

}  // namespace sealcast::handshake
