#include "handshake/messages/extensions.h"

#include <algorithm>

namespace sealcast::handshake {
namespace {
constexpr std::size_t max_extensions = 64;  // far above what real stacks send; keeps the duplicate check cheap
}

std::vector<RawExtension> read_extensions(Reader& reader) {
  std::vector<RawExtension> list;
  if (reader.at_end()) return list;
  Reader block(reader.message(), reader.vector16(0, 0xffff, "extensions"));
  while (!block.at_end()) {
    const std::uint16_t type = block.u16("extension type");
    const ByteView body = block.vector16(0, 0xffff, "extension");
    if (!block.ok()) break;
    const bool duplicate =
        std::any_of(list.begin(), list.end(), [type](const RawExtension& seen) { return seen.type == type; });
    if (duplicate) block.refuse(Reason::illegal_parameter, "extension " + std::to_string(type) + " comes twice");
    if (list.size() == max_extensions)
      block.refuse(Reason::decode_error, "more than " + std::to_string(max_extensions) + " extensions");
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
