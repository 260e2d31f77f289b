#include "handshake/messages/client_hello.h"

#include <algorithm>

#include "handshake/messages/extensions.h"

namespace sealcast::handshake {
namespace {

void write_extension(Writer& out, std::uint16_t type, const auto& fill) {
  out.u16(type);
  out.vector(2, fill);
}

void write_codes(Writer& out, const std::vector<std::uint16_t>& codes) {
  out.vector(2, [&](Writer& list) {
    for (const std::uint16_t code : codes)
      list.u16(code);
  });
}

// RFC 6066 §3: one host_name at most; other kinds of name are skipped.
void read_server_name(Reader& reader, ClientHello& hello) {
  Reader list(reader.message(), reader.vector16(1, 0xffff, "server_name list"));
  while (!list.at_end()) {
    const std::uint8_t kind = list.u8("name type");
    const ByteView value = list.vector16(1, 0xffff, "server_name");
    if (kind != 0 || !list.ok()) continue;
    if (hello.server_name) list.refuse(Reason::illegal_parameter, "server_name holds two host names");
    hello.server_name = std::string(value.begin(), value.end());
  }
  reader.absorb(list);
}

void read_multicast_group(Reader& reader, ClientHello& hello) {
  const std::uint8_t version = reader.u8("protocol_version");
  if (reader.ok() && version != multicast_protocol_version)
    reader.refuse(Reason::group_protocol_version, "expected version " + std::to_string(multicast_protocol_version) +
                                                      " in multicast_group, got " + std::to_string(version));
  hello.multicast_group = reader.string8(1, 64, "multicast_group");
}

void read_known(const RawExtension& raw, Reader& reader, ClientHello& hello) {
  switch (raw.type) {
    case extension::server_name:
      read_server_name(reader, hello);
      break;
    case extension::supported_groups:
      hello.groups = read_codes(reader, reader.vector16(2, 0xfffe, "supported_groups"), "supported_groups");
      break;
    case extension::ec_point_formats: {
      const ByteView formats = reader.vector8(1, 255, "ec_point_formats");
      hello.point_formats = Bytes(formats.begin(), formats.end());
      break;
    }
    case extension::signature_algorithms:
      hello.signature_schemes =
          read_codes(reader, reader.vector16(2, 0xfffe, "signature_algorithms"), "signature_algorithms");
      break;
    case extension::extended_master_secret:
      hello.extended_master_secret = true;
      break;
    case extension::supported_versions:
      hello.supported_versions = read_codes(reader, reader.vector8(2, 254, "supported_versions"), "supported_versions");
      break;
    case extension::renegotiation_info: {
      const ByteView info = reader.vector8(0, 255, "renegotiated_connection");
      hello.renegotiation_info = Bytes(info.begin(), info.end());
      break;
    }
    case extension::multicast_group:
      read_multicast_group(reader, hello);
      break;
    default:
      (void)reader.bytes(raw.body.size(), "extension");  // unknown: ignored
  }
}

}  // namespace

bool ClientHello::offers(std::uint16_t suite) const {
  return std::find(suites.begin(), suites.end(), suite) != suites.end();
}

bool ClientHello::allows_uncompressed_points() const {
  return !point_formats || std::find(point_formats->begin(), point_formats->end(), 0) != point_formats->end();
}

Outcome<SensitiveBytes> encode(const ClientHello& hello) {
  Writer out;
  out.u16(hello.version);
  out.bytes(hello.random);
  out.vector8(hello.session_id);
  write_codes(out, hello.suites);
  out.vector8(hello.compression_methods);
  out.vector(2, [&](Writer& block) {
    if (hello.server_name)
      write_extension(block, extension::server_name, [&](Writer& w) {
        w.vector(2, [&](Writer& list) {
          list.u8(0);
          list.vector16(as_bytes(*hello.server_name));
        });
      });
    if (!hello.groups.empty())
      write_extension(block, extension::supported_groups, [&](Writer& w) { write_codes(w, hello.groups); });
    if (hello.point_formats)
      write_extension(block, extension::ec_point_formats, [&](Writer& w) { w.vector8(*hello.point_formats); });
    if (!hello.signature_schemes.empty())
      write_extension(block, extension::signature_algorithms,
                      [&](Writer& w) { write_codes(w, hello.signature_schemes); });
    if (!hello.supported_versions.empty())
      write_extension(block, extension::supported_versions, [&](Writer& w) {
        w.vector(1, [&](Writer& list) {
          for (const std::uint16_t version : hello.supported_versions)
            list.u16(version);
        });
      });
    if (hello.extended_master_secret) write_extension(block, extension::extended_master_secret, [](Writer&) {});
    if (hello.renegotiation_info)
      write_extension(block, extension::renegotiation_info, [&](Writer& w) { w.vector8(*hello.renegotiation_info); });
    if (hello.multicast_group)
      write_extension(block, extension::multicast_group, [&](Writer& w) {
        w.u8(multicast_protocol_version);
        w.string8(*hello.multicast_group);
      });
  });
  return out.finish("ClientHello");
}

Outcome<ClientHello> decode_client_hello(ByteView body) {
  Reader reader("ClientHello", body);
  ClientHello hello;
  hello.point_formats.reset();
  hello.version = reader.u16("client_version");
  const ByteView random = reader.bytes(random_size, "random");
  std::copy(random.begin(), random.end(), hello.random.begin());
  const ByteView session = reader.vector8(0, 32, "session_id");
  hello.session_id.assign(session.begin(), session.end());
  hello.suites = read_codes(reader, reader.vector16(2, 0xfffe, "cipher_suites"), "cipher_suites");
  const ByteView compressions = reader.vector8(1, 255, "compression_methods");
  hello.compression_methods.assign(compressions.begin(), compressions.end());
  for (const RawExtension& raw : read_extensions(reader)) {
    Reader part("ClientHello extension", raw.body);
    read_known(raw, part, hello);
    reader.absorb(part);
  }
  SEALCAST_TRY(reader.finish());
  return hello;
}

}  // namespace sealcast::handshake
