// The TLS 1.2 PRF (RFC 5246 §5) of the suite's hash, by libcrypto's TLS1-PRF.
#pragma once

#include <string_view>

#include "base/bytes.h"
#include "handshake/wire/constants.h"

namespace sealcast::handshake {

// Fills out with PRF(secret, label, seed). secret and label are not empty; seed may be; label and seed together have at
// most 1024 bytes.
void prf(HashKind hash, ByteView secret, std::string_view label, ByteView seed, ByteSpan out);

}  // namespace sealcast::handshake
