// Handshake failures as values: each carries the alert the peer gets, the reason that is counted, and one line for the
// log that says what was expected and what came, and where. Nothing secret is ever in it (H14).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace sealcast::handshake {

// RFC 5246 §7.2; inappropriate_fallback RFC 7507.
enum class Alert : std::uint8_t {
  close_notify = 0,
  unexpected_message = 10,
  bad_record_mac = 20,
  record_overflow = 22,
  handshake_failure = 40,
  bad_certificate = 42,
  unsupported_certificate = 43,
  certificate_revoked = 44,
  certificate_expired = 45,
  certificate_unknown = 46,
  illegal_parameter = 47,
  unknown_ca = 48,
  access_denied = 49,
  decode_error = 50,
  decrypt_error = 51,
  protocol_version = 70,
  insufficient_security = 71,
  internal_error = 80,
  inappropriate_fallback = 86,
  user_canceled = 90,
  no_renegotiation = 100,
  unsupported_extension = 110,
};
std::string_view name(Alert alert);

// One entry per failure the field knows apart: one counter each. The table (reason -> alert, name, meaning) is in
// error.cc and in docs/protocol.md; a test holds the two together.
enum class Reason : std::uint8_t;
std::string_view name(Reason reason);  // "unexpected_message", "certificate_wrong_group", …

struct HandshakeError {
  Alert alert = Alert::internal_error;
  Reason reason{};
  std::string detail;           // "expected Finished, got ServerKeyExchange"
  std::string_view place;       // "server, variant 2, waiting for Finished1"; static storage
  bool from_peer = false;       // the peer sent the alert; nothing is sent back
  std::string message() const;  // one line of all of it
};

template <typename T>
using Outcome = tl::expected<T, HandshakeError>;

}  // namespace sealcast::handshake
