#include "handshake/error.h"

#include <array>
#include <utility>

namespace sealcast::handshake {
namespace {

// docs/protocol.md "Errors" holds the same lines; error_test compares them.
constexpr auto reason_entries = std::to_array<ReasonEntry>({
    {Reason::not_tls, Alert::unexpected_message, "not_tls", "the bytes are no TLS record: an unknown content type"},
    {Reason::wrong_carriage, Alert::unexpected_message, "wrong_carriage",
     "TLS records where ISAKMP messages were expected, or ISAKMP messages where TLS records were"},
    {Reason::record_overflow, Alert::record_overflow, "record_overflow", "a record is longer than the protocol allows"},
    {Reason::bad_record_mac, Alert::bad_record_mac, "bad_record_mac", "a protected record does not authenticate"},
    {Reason::empty_record, Alert::unexpected_message, "empty_record",
     "an empty record of a kind that must not be empty, or too many empty ones in a row"},
    {Reason::warning_flood, Alert::unexpected_message, "warning_flood", "too many warning alerts"},
    {Reason::malformed_alert, Alert::decode_error, "malformed_alert", "an alert that is not one level and one code"},
    {Reason::unexpected_message, Alert::unexpected_message, "unexpected_message",
     "a message that is not the next of the flow"},
    {Reason::key_change_unaligned, Alert::unexpected_message, "key_change_unaligned",
     "ChangeCipherSpec while a handshake message was incomplete"},
    {Reason::trailing_data, Alert::unexpected_message, "trailing_data",
     "bytes after the message that ends the peer's flight"},
    {Reason::handshake_too_large, Alert::illegal_parameter, "handshake_too_large",
     "a message, or the whole handshake, exceeds the configured limit"},
    {Reason::decode_error, Alert::decode_error, "decode_error", "a message is too short, too long, or out of bounds"},
    {Reason::illegal_parameter, Alert::illegal_parameter, "illegal_parameter",
     "a field holds a value that is not allowed there"},
    {Reason::renegotiation_refused, Alert::unexpected_message, "renegotiation_refused",
     "a handshake message on an established connection"},
    {Reason::protocol_version, Alert::protocol_version, "protocol_version", "the peer does not speak TLS 1.2"},
    {Reason::group_protocol_version, Alert::protocol_version, "group_protocol_version",
     "the member speaks another version of the group protocol; update it or the key server"},
    {Reason::inappropriate_fallback, Alert::inappropriate_fallback, "inappropriate_fallback",
     "the client fell back to an older version though both ends speak TLS 1.2"},
    {Reason::no_extended_master_secret, Alert::handshake_failure, "no_extended_master_secret",
     "the peer does not use the extended master secret (RFC 7627)"},
    {Reason::no_secure_renegotiation, Alert::handshake_failure, "no_secure_renegotiation",
     "renegotiation_info is missing or not empty (RFC 5746)"},
    {Reason::unsupported_extension, Alert::unsupported_extension, "unsupported_extension",
     "ServerHello answers an extension that was not offered"},
    {Reason::no_common_suite, Alert::handshake_failure, "no_common_suite", "no cipher suite in common"},
    {Reason::group_suite_not_offered, Alert::handshake_failure, "group_suite_not_offered",
     "the ClientHello does not offer the group's cipher suite (P32)"},
    {Reason::no_common_curve, Alert::handshake_failure, "no_common_curve", "neither x25519 nor secp256r1 is offered"},
    {Reason::no_common_signature, Alert::handshake_failure, "no_common_signature",
     "no signature algorithm in common that fits the key"},
    {Reason::key_share_refused, Alert::illegal_parameter, "key_share_refused",
     "the peer's public key is not a valid point of the agreed curve"},
    {Reason::standard_client_refused, Alert::handshake_failure, "standard_client_refused",
     "a client without the multicast extension where standard TLS is not allowed (H4)"},
    {Reason::standard_server_refused, Alert::handshake_failure, "standard_server_refused",
     "a server that ran the standard handshake; a member never falls back (H4)"},
    {Reason::flag_missing, Alert::handshake_failure, "flag_missing",
     "CertificateRequest, ClientAuthRequest or SMKE lacks the multicast flag (FLAG-1)"},
    {Reason::flag_unexpected, Alert::illegal_parameter, "flag_unexpected",
     "the multicast flag in a standard handshake or in a place where it was not expected, or another value of it "
     "(FLAG-2)"},
    {Reason::flow_unsupported, Alert::internal_error, "flow_unsupported",
     "the configuration names variant, suite, order and authentication that do not go together"},
    {Reason::certificate_missing, Alert::handshake_failure, "certificate_missing",
     "an empty Certificate where one is required"},
    {Reason::certificate_malformed, Alert::bad_certificate, "certificate_malformed", "a certificate cannot be parsed"},
    {Reason::certificate_unknown_ca, Alert::unknown_ca, "certificate_unknown_ca",
     "the chain does not end at a trusted certificate authority"},
    {Reason::certificate_invalid_chain, Alert::bad_certificate, "certificate_invalid_chain",
     "a signature or constraint in the chain does not hold"},
    {Reason::certificate_expired, Alert::certificate_expired, "certificate_expired", "a certificate has expired"},
    {Reason::certificate_not_yet_valid, Alert::certificate_expired, "certificate_not_yet_valid",
     "a certificate is not valid yet"},
    {Reason::certificate_revoked, Alert::certificate_revoked, "certificate_revoked", "a certificate is revoked"},
    {Reason::revocation_unknown, Alert::certificate_unknown, "revocation_unknown",
     "revocation lists are configured, but none that is current covers the certificate"},
    {Reason::certificate_wrong_name, Alert::certificate_unknown, "certificate_wrong_name",
     "the server's certificate names another server"},
    {Reason::certificate_wrong_usage, Alert::unsupported_certificate, "certificate_wrong_usage",
     "key usage or extended key usage does not allow this role"},
    {Reason::certificate_weak_key, Alert::insufficient_security, "certificate_weak_key",
     "a key or signature below RSA 2048, P-256 or SHA-256"},
    {Reason::certificate_wrong_key_type, Alert::illegal_parameter, "certificate_wrong_key_type",
     "the certificate's key does not fit the cipher suite or the request"},
    {Reason::certificate_unknown_critical_extension, Alert::unsupported_certificate,
     "certificate_unknown_critical_extension", "a certificate carries a critical extension that is not understood"},
    {Reason::certificate_not_multicast, Alert::access_denied, "certificate_not_multicast",
     "the member's certificate lacks the multicast extension or its permission (P40)"},
    {Reason::certificate_wrong_group, Alert::access_denied, "certificate_wrong_group",
     "the member's certificate names other groups"},
    {Reason::certificate_is_member, Alert::unsupported_certificate, "certificate_is_member",
     "a server shows a certificate with the multicast extension: it is a member's"},
    {Reason::signature_invalid, Alert::decrypt_error, "signature_invalid",
     "the signature in ServerKeyExchange, CertificateVerify or SMKE is missing or does not verify"},
    {Reason::signature_algorithm_not_offered, Alert::illegal_parameter, "signature_algorithm_not_offered",
     "a signature with an algorithm that was not offered or does not fit the key"},
    {Reason::own_certificate_missing, Alert::internal_error, "own_certificate_missing",
     "a certificate of ours is needed and none that fits is configured"},
    {Reason::password_refused, Alert::access_denied, "password_refused",
     "the user and password do not belong together, or were tried too often: one answer for all (AUTH-2)"},
    {Reason::own_password_missing, Alert::internal_error, "own_password_missing",
     "a password of ours is needed and none is configured, or it cannot be read"},
    {Reason::auth_method_refused, Alert::illegal_parameter, "auth_method_refused",
     "ClientAuthRequest or ClientAuthResponse names no method that both ends know"},
    {Reason::finished_invalid, Alert::decrypt_error, "finished_invalid", "the peer's Finished does not verify"},
    {Reason::server_verify_data_invalid, Alert::decrypt_error, "server_verify_data_invalid",
     "server_verify_data of SMKE or ClientAuthRequest does not verify (H3)"},
    {Reason::group_refused, Alert::access_denied, "group_refused",
     "no such group here, or this member may not join it"},
    {Reason::group_unavailable, Alert::internal_error, "group_unavailable",
     "this member may join the group, but it can be given nothing at the moment: it may come again soon"},
    {Reason::wrong_key_server, Alert::illegal_parameter, "wrong_key_server",
     "the keying comes from another key server than configured"},
    {Reason::wrong_group, Alert::illegal_parameter, "wrong_group", "the keying is for another group than asked for"},
    {Reason::wrong_suite, Alert::illegal_parameter, "wrong_suite",
     "the keying names another cipher suite than the connection's (P33)"},
    {Reason::wrong_second_ccs, Alert::illegal_parameter, "wrong_second_ccs",
     "SMKE announces another order of the second ChangeCipherSpec than configured"},
    {Reason::smke_version_unknown, Alert::illegal_parameter, "smke_version_unknown",
     "SMKE or GroupUpdate of an unknown version"},
    {Reason::zero_premaster, Alert::illegal_parameter, "zero_premaster", "the group's premaster secret is all zero"},
    {Reason::key_material_refused, Alert::decrypt_error, "key_material_refused",
     "variant 1: what SMKE holds under the member's key cannot be used, for whatever reason (H6)"},
    {Reason::selector_refused, Alert::illegal_parameter, "selector_refused",
     "a selector no group may have: unicast, link-local scope, mixed families (H12)"},
    {Reason::spi_refused, Alert::illegal_parameter, "spi_refused",
     "SPI prefix, slot bits or slots that do not fit together, or reach SPI 0-255 (H12)"},
    {Reason::policy_refused, Alert::illegal_parameter, "policy_refused",
     "another value of the group's policy that cannot be used"},
    {Reason::keying_refused, Alert::access_denied, "keying_refused",
     "the member's own policy refuses the keying (H5, H12)"},
    {Reason::control_unknown_type, Alert::unexpected_message, "control_unknown_type",
     "a control message of an unknown type that is not marked optional"},
    {Reason::control_wrong_direction, Alert::unexpected_message, "control_wrong_direction",
     "a control message that only the other end may send"},
    {Reason::control_too_large, Alert::illegal_parameter, "control_too_large", "a control message exceeds the limit"},
    {Reason::peer_alert, Alert::close_notify, "peer_alert", "the peer sent a fatal alert; nothing is sent back"},
    {Reason::connection_closed, Alert::close_notify, "connection_closed",
     "the connection has failed or was closed before; nothing is sent"},
    {Reason::not_established, Alert::internal_error, "not_established",
     "data or a control message was given before the handshake ended, or of the wrong kind for the flow"},
    {Reason::internal_error, Alert::internal_error, "internal_error", "the library or its surroundings failed"},
});

constexpr bool complete() {
  for (std::size_t i = 0; i < reason_entries.size(); ++i)
    if (reason_entries[i].reason != static_cast<Reason>(i)) return false;
  return reason_entries.size() == static_cast<std::size_t>(Reason::internal_error) + 1;
}
static_assert(complete(), "the table stands in the order of the enumeration and holds every reason");

}  // namespace

std::string_view name(Alert alert) {
  switch (alert) {
    case Alert::close_notify:
      return "close_notify";
    case Alert::unexpected_message:
      return "unexpected_message";
    case Alert::bad_record_mac:
      return "bad_record_mac";
    case Alert::record_overflow:
      return "record_overflow";
    case Alert::handshake_failure:
      return "handshake_failure";
    case Alert::bad_certificate:
      return "bad_certificate";
    case Alert::unsupported_certificate:
      return "unsupported_certificate";
    case Alert::certificate_revoked:
      return "certificate_revoked";
    case Alert::certificate_expired:
      return "certificate_expired";
    case Alert::certificate_unknown:
      return "certificate_unknown";
    case Alert::illegal_parameter:
      return "illegal_parameter";
    case Alert::unknown_ca:
      return "unknown_ca";
    case Alert::access_denied:
      return "access_denied";
    case Alert::decode_error:
      return "decode_error";
    case Alert::decrypt_error:
      return "decrypt_error";
    case Alert::protocol_version:
      return "protocol_version";
    case Alert::insufficient_security:
      return "insufficient_security";
    case Alert::internal_error:
      return "internal_error";
    case Alert::inappropriate_fallback:
      return "inappropriate_fallback";
    case Alert::user_canceled:
      return "user_canceled";
    case Alert::no_renegotiation:
      return "no_renegotiation";
    case Alert::unsupported_extension:
      return "unsupported_extension";
  }
  return "unknown alert";
}

std::span<const ReasonEntry> reason_table() {
  return reason_entries;
}

std::string_view name(Reason reason) {
  const auto index = static_cast<std::size_t>(reason);
  return index < reason_entries.size() ? reason_entries[index].name : "unknown reason";
}

Alert alert_for(Reason reason) {
  const auto index = static_cast<std::size_t>(reason);
  return index < reason_entries.size() ? reason_entries[index].alert : Alert::internal_error;
}

tl::unexpected<HandshakeError> refuse(Reason reason, std::string detail) {
  HandshakeError error;
  error.alert = alert_for(reason);
  error.reason = reason;
  error.detail = std::move(detail);
  return tl::unexpected<HandshakeError>(std::move(error));
}

std::string HandshakeError::message() const {
  std::string text(name(reason));
  if (!detail.empty()) text += ": " + detail;
  if (!place.empty()) text += " (" + place + ")";
  if (from_peer)
    text += "; alert from the peer: " + std::string(name(alert));
  else if (alert != Alert::close_notify)
    text += "; alert sent: " + std::string(name(alert));
  return text;
}

}  // namespace sealcast::handshake
