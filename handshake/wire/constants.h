// The numbers of the wire: RFC 5246, RFC 8422, RFC 8446 §4.2.3 (signature schemes), RFC 7627, RFC 5746, and our own.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "handshake/group_keying.h"

namespace sealcast::handshake {

inline constexpr std::uint16_t tls12 = 0x0303;
inline constexpr std::size_t max_plaintext = 1u << 14;  // RFC 5246 §6.2.1
inline constexpr std::size_t random_size = 32;
inline constexpr std::size_t verify_data_size = 12;  // RFC 5246 §7.4.9
using VerifyData = std::array<std::uint8_t, verify_data_size>;

enum class ContentType : std::uint8_t { change_cipher_spec = 20, alert = 21, handshake = 22, application_data = 23 };

enum class HandshakeType : std::uint8_t {
  hello_request = 0,
  client_hello = 1,
  server_hello = 2,
  certificate = 11,
  server_key_exchange = 12,
  certificate_request = 13,
  server_hello_done = 14,
  certificate_verify = 15,
  client_key_exchange = 16,
  finished = 20,
  server_master_key_exchange = 240,  // ours, these three
  client_auth_request = 241,
  client_auth_response = 242,
};
// "ServerKeyExchange"; "message type 77" for a type without a name.
std::string type_name(std::uint8_t handshake_type);

enum class NamedGroup : std::uint16_t { secp256r1 = 23, x25519 = 29 };

enum class SignatureScheme : std::uint16_t {
  rsa_pkcs1_sha256 = 0x0401,
  ecdsa_secp256r1_sha256 = 0x0403,
  rsa_pkcs1_sha384 = 0x0501,
  ecdsa_secp384r1_sha384 = 0x0503,
  rsa_pss_rsae_sha256 = 0x0804,
  rsa_pss_rsae_sha384 = 0x0805,
  ed25519 = 0x0807,
};
// Offered and accepted by us, best first.
inline constexpr std::array offered_schemes = {
    SignatureScheme::ecdsa_secp256r1_sha256, SignatureScheme::ed25519,
    SignatureScheme::rsa_pss_rsae_sha256,    SignatureScheme::ecdsa_secp384r1_sha384,
    SignatureScheme::rsa_pss_rsae_sha384,    SignatureScheme::rsa_pkcs1_sha256,
    SignatureScheme::rsa_pkcs1_sha384,
};
std::string scheme_name(std::uint16_t scheme);

namespace extension {
inline constexpr std::uint16_t server_name = 0;
inline constexpr std::uint16_t supported_groups = 10;
inline constexpr std::uint16_t ec_point_formats = 11;
inline constexpr std::uint16_t signature_algorithms = 13;
inline constexpr std::uint16_t extended_master_secret = 23;
inline constexpr std::uint16_t supported_versions = 43;
inline constexpr std::uint16_t renegotiation_info = 0xff01;
inline constexpr std::uint16_t multicast_group = 0xff78;  // ours, private range: the group id wanted
}  // namespace extension

// Of SMKE, GroupUpdate and the control channel; in multicast_group. Bit 7 is always set: the first version had none,
// and the group id's length of at most 64 stood in its place.
inline constexpr std::uint8_t multicast_protocol_version = 0x82;

inline constexpr std::uint16_t fallback_scsv = 0x5600;       // RFC 7507
inline constexpr std::uint16_t renegotiation_scsv = 0x00ff;  // RFC 5746 §3.3

// ClientCertificateType (RFC 5246 §7.4.4, RFC 8422 §5.5); the multicast flag stands beside them (P10).
inline constexpr std::uint8_t rsa_sign = 1;
inline constexpr std::uint8_t ecdsa_sign = 64;

// Methods of ClientAuthRequest and ClientAuthResponse (P28, P29).
inline constexpr std::uint8_t auth_password = 1;  // a password or a PIN

inline constexpr std::array ecdhe_suites = {
    CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384, CipherSuite::ecdhe_rsa_aes_256_gcm_sha384,
    CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256, CipherSuite::ecdhe_rsa_aes_128_gcm_sha256};

enum class HashKind : std::uint8_t { sha256, sha384 };
HashKind prf_hash(CipherSuite suite);
enum class ServerAuthentication : std::uint8_t { rsa, ecdsa };  // ecdsa: EC or Ed25519 keys (RFC 8422)
ServerAuthentication server_authentication(CipherSuite suite);
bool is_ecdhe(CipherSuite suite);
bool known_suite(std::uint16_t number);

}  // namespace sealcast::handshake
