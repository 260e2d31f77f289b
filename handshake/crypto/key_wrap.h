// AES key wrap (RFC 3394) with its default initial value, by libcrypto.
#pragma once

#include "base/bytes.h"

namespace sealcast::handshake {

inline constexpr std::size_t key_wrap_overhead = 8;

// key_encryption_key has 16 or 32 bytes; secret a multiple of 8, at least 16; wrapped exactly 8 more.
void wrap_key(ByteView key_encryption_key, ByteView secret, ByteSpan wrapped);
// secret has wrapped.size() - 8 bytes. False: wrapped under another key, or changed since; secret is wiped.
[[nodiscard]] bool unwrap_key(ByteView key_encryption_key, ByteView wrapped, ByteSpan secret);

}  // namespace sealcast::handshake
