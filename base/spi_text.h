#pragma once

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

namespace sealcast {

// An SPI in the form for operators: "0x10000001".
inline std::string spi_text(std::uint32_t spi) {
  char digits[16];
  std::snprintf(digits, sizeof digits, "0x%08x", static_cast<unsigned>(spi));
  return digits;
}

// That form, or decimal digits; nothing for anything else.
inline std::optional<std::uint32_t> parse_spi(std::string_view text) {
  const bool hexadecimal = text.substr(0, 2) == "0x";
  if (hexadecimal) text.remove_prefix(2);
  std::uint32_t spi = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), spi, hexadecimal ? 16 : 10);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return spi;
}

}  // namespace sealcast
