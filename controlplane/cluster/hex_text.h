// Texts of operators and peers in keys of etcd and in lines of a file: in hexadecimal no character of theirs can be
// taken for a separator.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace sealcast::cluster {

inline std::string hex_text(std::string_view text) {
  return to_hex(as_bytes(text));
}

// Nothing unless hex is exactly what hex_text makes of a text: one text has one key.
inline std::optional<std::string> text_from_hex(std::string_view hex) {
  const auto bytes = from_hex(hex);
  if (!bytes || to_hex(*bytes) != hex) return std::nullopt;
  return std::string(bytes->begin(), bytes->end());
}

}  // namespace sealcast::cluster
