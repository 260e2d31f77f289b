// Alerts (RFC 5246 §7.2): exactly one per record, level and code. Fragments are refused, so that bytes under protection
// can never complete an alert begun in clear.
#pragma once

#include <array>

#include "base/bytes.h"
#include "handshake/error.h"

namespace sealcast::handshake {

struct AlertMessage {
  bool fatal = true;
  std::uint8_t code = 0;
};

inline std::array<std::uint8_t, 2> encode(const AlertMessage& message) {
  return {static_cast<std::uint8_t>(message.fatal ? 2 : 1), message.code};
}

inline Outcome<AlertMessage> decode_alert(ByteView record) {
  if (record.size() != 2)
    return refuse(Reason::malformed_alert,
                  "an alert record of " + std::to_string(record.size()) + " bytes, expected 2");
  if (record[0] != 1 && record[0] != 2)
    return refuse(Reason::malformed_alert, "alert level " + std::to_string(record[0]) + ", expected 1 or 2");
  return AlertMessage{record[0] == 2, record[1]};
}

}  // namespace sealcast::handshake
