#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace sealcast::dataplane {

// An SPI in the form for operators: "0x10000001".
inline std::string spi_text(std::uint32_t spi) {
  char digits[16];
  std::snprintf(digits, sizeof digits, "0x%08x", spi);
  return digits;
}

}  // namespace sealcast::dataplane
