// Finished (RFC 5246 §7.4.9): 12 bytes of verify_data, first (Finished1) under the first exchange's secret, in the
// multicast flows again (Finished2) under the channel's.
#pragma once

#include <algorithm>

#include "handshake/wire/constants.h"
#include "handshake/wire/reader.h"
#include "handshake/wire/writer.h"

namespace sealcast::handshake {

struct Finished {
  VerifyData verify_data{};
};

inline Outcome<SensitiveBytes> encode(const Finished& message) {
  Writer out;
  out.bytes(message.verify_data);
  return out.finish("Finished");
}

inline Outcome<Finished> decode_finished(ByteView body) {
  Reader reader("Finished", body);
  const ByteView data = reader.bytes(verify_data_size, "verify_data");
  SEALCAST_TRY(reader.finish());
  Finished message;
  std::copy(data.begin(), data.end(), message.verify_data.begin());
  return message;
}

}  // namespace sealcast::handshake
