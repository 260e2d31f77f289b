// ChangeCipherSpec (RFC 5246 §7.1): one record with the single byte 1; not a handshake message, never hashed.
#pragma once

#include <array>
#include <string>

#include "base/bytes.h"
#include "handshake/error.h"

namespace sealcast::handshake {

inline constexpr std::array<std::uint8_t, 1> change_cipher_spec_body = {1};

inline Outcome<void> decode_change_cipher_spec(ByteView record) {
  if (record.size() != 1)
    return refuse(Reason::decode_error,
                  "ChangeCipherSpec: a record of " + std::to_string(record.size()) + " bytes, expected 1");
  if (record[0] != 1)
    return refuse(Reason::illegal_parameter, "ChangeCipherSpec: value " + std::to_string(record[0]) + ", expected 1");
  return {};
}

}  // namespace sealcast::handshake
