#include "handshake/messages/server_hello.h"

#include <algorithm>

#include "handshake/messages/extensions.h"

namespace sealcast::handshake {

Outcome<SensitiveBytes> encode(const ServerHello& hello) {
  Writer out;
  out.u16(hello.version);
  out.bytes(hello.random);
  out.vector8(hello.session_id);
  out.u16(hello.suite);
  out.u8(hello.compression_method);
  out.vector(2, [&](Writer& block) {
    if (hello.renegotiation_info) {
      block.u16(extension::renegotiation_info);
      block.vector(2, [&](Writer& w) { w.vector8(*hello.renegotiation_info); });
    }
    if (hello.extended_master_secret) {
      block.u16(extension::extended_master_secret);
      block.u16(0);
    }
    if (hello.point_formats) {
      block.u16(extension::ec_point_formats);
      block.vector(2, [&](Writer& w) { w.vector8(*hello.point_formats); });
    }
  });
  return out.finish("ServerHello");
}

Outcome<ServerHello> decode_server_hello(ByteView body) {
  Reader reader("ServerHello", body);
  ServerHello hello;
  hello.version = reader.u16("server_version");
  const ByteView random = reader.bytes(random_size, "random");
  std::copy(random.begin(), random.end(), hello.random.begin());
  const ByteView session = reader.vector8(0, 32, "session_id");
  hello.session_id.assign(session.begin(), session.end());
  hello.suite = reader.u16("cipher_suite");
  hello.compression_method = reader.u8("compression_method");
  for (const RawExtension& raw : read_extensions(reader)) {
    Reader part("ServerHello extension", raw.body);
    switch (raw.type) {
      case extension::server_name:
        hello.server_name_acknowledged = true;
        break;
      case extension::extended_master_secret:
        hello.extended_master_secret = true;
        break;
      case extension::ec_point_formats: {
        const ByteView formats = part.vector8(1, 255, "ec_point_formats");
        hello.point_formats = Bytes(formats.begin(), formats.end());
        break;
      }
      case extension::renegotiation_info: {
        const ByteView info = part.vector8(0, 255, "renegotiated_connection");
        hello.renegotiation_info = Bytes(info.begin(), info.end());
        break;
      }
      default:
        if (!hello.unknown_extension) hello.unknown_extension = raw.type;
        (void)part.bytes(raw.body.size(), "extension");
    }
    reader.absorb(part);
  }
  SEALCAST_TRY(reader.finish());
  return hello;
}

}  // namespace sealcast::handshake
