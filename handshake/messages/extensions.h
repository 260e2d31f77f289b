// The extension block shared by ClientHello and ServerHello: each type at most once (RFC 5246 §7.4.1.4).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "handshake/wire/reader.h"

namespace sealcast::handshake {

struct RawExtension {
  std::uint16_t type;
  ByteView body;  // into the message
};

// Reads the optional block at the end of a hello; nothing left means no extensions. Duplicates are refused.
std::vector<RawExtension> read_extensions(Reader& reader);

// A list of 16-bit codes, read from a vector with an even number of bytes.
std::vector<std::uint16_t> read_codes(Reader& reader, ByteView list, std::string_view field);

}  // namespace sealcast::handshake
