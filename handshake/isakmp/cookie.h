// The responder's cookies (RFC 2408 §2.5.3): a peer shows that it receives what is sent to its address, before the
// responder keeps anything about it or uses a private key (H13). Nothing is stored per peer: a cookie is a MAC over the
// peer's address, its cookie and the time, and is checked by computing it again.
#pragma once

#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/secret.h"
#include "handshake/isakmp/message.h"

namespace sealcast::isakmp {

struct PeerAddress {
  IpAddress address;
  std::uint16_t port = 0;
};

class CookieKeys {
 public:
  static constexpr std::int64_t slot_seconds = 5;  // a cookie is valid in its slot and the next: 5 to 10 s

  // key from the system's CSPRNG.
  explicit CookieKeys(Secret<32> key) : current_(std::move(key)) {}

  // From now on new cookies are made with key; those of the previous key are accepted until they expire. Rotating more
  // often than once in two slots cuts that short.
  void rotate(Secret<32> key);

  // Never 0. An Error is libcrypto's failure.
  handshake::Outcome<Cookie> make(const PeerAddress& peer, const Cookie& initiator, std::int64_t unix_now) const;

  // Was responder made for this peer and initiator cookie, in this slot or the one before? Compared in constant time.
  handshake::Outcome<bool> check(const PeerAddress& peer, const Cookie& initiator, const Cookie& responder,
                                 std::int64_t unix_now) const;

 private:
  Secret<32> current_;
  std::optional<Secret<32>> previous_;
};

}  // namespace sealcast::isakmp
