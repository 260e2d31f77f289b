// ServerHelloDone (RFC 5246 §7.4.5): empty.
#pragma once

#include "handshake/wire/reader.h"

namespace sealcast::handshake {

inline Outcome<void> decode_server_hello_done(ByteView body) {
  return Reader("ServerHelloDone", body).finish();
}

}  // namespace sealcast::handshake
