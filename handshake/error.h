// Handshake failures as values: each has the alert for the peer, the reason that is counted, and one line for the log
// that says what was expected, what came, and where. It never holds a secret (H14).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
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

// One entry per kind of failure that operators must tell apart: one counter each. The table (reason -> alert, name,
// meaning) is in error.cc and in docs/protocol.md; a test holds the two together.
enum class Reason : std::uint8_t {
  // records
  not_tls,
  wrong_carriage,
  record_overflow,
  bad_record_mac,
  empty_record,
  warning_flood,
  malformed_alert,
  // order and form of messages
  unexpected_message,
  key_change_unaligned,
  trailing_data,
  handshake_too_large,
  decode_error,
  illegal_parameter,
  renegotiation_refused,
  // hellos
  protocol_version,
  group_protocol_version,
  inappropriate_fallback,
  no_extended_master_secret,
  no_secure_renegotiation,
  unsupported_extension,
  no_common_suite,
  group_suite_not_offered,
  no_common_curve,
  no_common_signature,
  key_share_refused,
  // multicast or nothing (H4)
  standard_client_refused,
  standard_server_refused,
  flag_missing,
  flag_unexpected,
  flow_unsupported,
  // the peer's identity (H8)
  certificate_missing,
  certificate_malformed,
  certificate_unknown_ca,
  certificate_invalid_chain,
  certificate_expired,
  certificate_not_yet_valid,
  certificate_revoked,
  revocation_unknown,
  certificate_wrong_name,
  certificate_wrong_usage,
  certificate_weak_key,
  certificate_wrong_key_type,
  certificate_unknown_critical_extension,
  certificate_not_multicast,
  certificate_wrong_group,
  certificate_is_member,
  signature_invalid,
  signature_algorithm_not_offered,
  own_certificate_missing,
  password_refused,
  own_password_missing,
  auth_method_refused,
  // proof of the shared transcript
  finished_invalid,
  server_verify_data_invalid,
  // the group's keying (SMKE, GroupUpdate)
  group_refused,
  group_unavailable,
  wrong_key_server,
  wrong_group,
  wrong_suite,
  wrong_second_ccs,
  smke_version_unknown,
  zero_premaster,
  key_material_refused,
  selector_refused,
  spi_refused,
  policy_refused,
  keying_refused,
  // control channel
  control_unknown_type,
  control_wrong_direction,
  control_too_large,
  // ends of a connection
  peer_alert,
  connection_closed,
  not_established,
  internal_error,
};
std::string_view name(Reason reason);  // "unexpected_message", "certificate_wrong_group", …
Alert alert_for(Reason reason);

struct ReasonEntry {
  Reason reason;
  Alert alert;  // the alert for the peer
  std::string_view name;
  std::string_view meaning;  // one sentence for the documentation
};
std::span<const ReasonEntry> reason_table();

struct HandshakeError {
  Alert alert = Alert::internal_error;
  Reason reason{};
  std::string detail;      // "expected Finished, got ServerKeyExchange"
  std::string place;       // "server, variant 2 (claim 5), waiting for Finished from the client"
  bool from_peer = false;  // the peer sent the alert; nothing is sent back
  // Of a client: what the server said that its clock shows, Unix seconds. Not proved: for explanations alone.
  std::optional<std::int64_t> server_time = {};
  std::string message() const;  // all of it in one line
};

template <typename T>
using Outcome = tl::expected<T, HandshakeError>;

// The failure for reason, with the table's alert; the machine adds the place.
tl::unexpected<HandshakeError> refuse(Reason reason, std::string detail);

}  // namespace sealcast::handshake
