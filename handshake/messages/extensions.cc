#include "handshake/messages/extensions.h"

#include <bitset>

namespace sealcast::handshake {

std::vector<RawExtension> read_extensions(Reader& reader) {
  std::vector<RawExtension> list;
  if (reader.at_end()) return list;
  Reader block(reader.message(), reader.vector16(0, 0xffff, "extensions"));
  std::bitset<0x10000> seen;  // as many as there are bytes for: the check costs each of them the same
  while (!block.at_end()) {
    const std::uint16_t type = block.u16("extension type");
    const ByteView body = block.vector16(0, 0xffff, "extension");
    if (!block.ok()) break;
    if (seen[type]) block.refuse(Reason::illegal_parameter, "extension " + std::to_string(type) + " comes twice");
    seen.set(type);
    list.push_back({type, body});
  }
  reader.absorb(block);
  return list;
}

std::vector<std::uint16_t> read_codes(Reader& reader, ByteView list, std::string_view field) {
  std::vector<std::uint16_t> codes;
  if (list.size() % 2 != 0) {
    reader.refuse(Reason::decode_error, std::string(field) + " has an odd length of " + std::to_string(list.size()));
    return codes;
  }
  codes.reserve(list.size() / 2);
  for (std::size_t i = 0; i < list.size(); i += 2)
    codes.push_back(load_be<std::uint16_t>(list.data() + i));
  return codes;
}

}  // namespace sealcast::handshake
