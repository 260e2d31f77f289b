#include "handshake/wire/constants.h"

#include <array>
#include <utility>

namespace sealcast::handshake {
namespace {

struct SuiteEntry {
  CipherSuite suite;
  std::string_view name;
  std::size_t key_size;
  HashKind hash;
  ServerAuthentication authentication;
  bool ecdhe;
};
constexpr std::array suite_table = {
    SuiteEntry{CipherSuite::rsa_aes_128_gcm_sha256, "RSA_AES_128_GCM_SHA256", 16, HashKind::sha256,
               ServerAuthentication::rsa, false},
    SuiteEntry{CipherSuite::rsa_aes_256_gcm_sha384, "RSA_AES_256_GCM_SHA384", 32, HashKind::sha384,
               ServerAuthentication::rsa, false},
    SuiteEntry{CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256, "ECDHE_ECDSA_AES_128_GCM_SHA256", 16, HashKind::sha256,
               ServerAuthentication::ecdsa, true},
    SuiteEntry{CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384, "ECDHE_ECDSA_AES_256_GCM_SHA384", 32, HashKind::sha384,
               ServerAuthentication::ecdsa, true},
    SuiteEntry{CipherSuite::ecdhe_rsa_aes_128_gcm_sha256, "ECDHE_RSA_AES_128_GCM_SHA256", 16, HashKind::sha256,
               ServerAuthentication::rsa, true},
    SuiteEntry{CipherSuite::ecdhe_rsa_aes_256_gcm_sha384, "ECDHE_RSA_AES_256_GCM_SHA384", 32, HashKind::sha384,
               ServerAuthentication::rsa, true},
};

const SuiteEntry& entry(CipherSuite suite) {
  for (const SuiteEntry& candidate : suite_table)
    if (candidate.suite == suite) return candidate;
  return suite_table[3];  // unreachable: the enumeration's values are checked on entry
}

}  // namespace

std::string_view name(CipherSuite suite) {
  return entry(suite).name;
}

std::optional<CipherSuite> cipher_suite(std::string_view configuration_name) {
  for (const SuiteEntry& candidate : suite_table)
    if (candidate.name == configuration_name) return candidate.suite;
  return std::nullopt;
}

std::size_t aes_key_size(CipherSuite suite) {
  return entry(suite).key_size;
}
HashKind prf_hash(CipherSuite suite) {
  return entry(suite).hash;
}
ServerAuthentication server_authentication(CipherSuite suite) {
  return entry(suite).authentication;
}
bool is_ecdhe(CipherSuite suite) {
  return entry(suite).ecdhe;
}

bool known_suite(std::uint16_t number) {
  for (const SuiteEntry& candidate : suite_table)
    if (static_cast<std::uint16_t>(candidate.suite) == number) return true;
  return false;
}

std::string type_name(std::uint8_t handshake_type) {
  switch (HandshakeType{handshake_type}) {
    case HandshakeType::hello_request:
      return "HelloRequest";
    case HandshakeType::client_hello:
      return "ClientHello";
    case HandshakeType::server_hello:
      return "ServerHello";
    case HandshakeType::certificate:
      return "Certificate";
    case HandshakeType::server_key_exchange:
      return "ServerKeyExchange";
    case HandshakeType::certificate_request:
      return "CertificateRequest";
    case HandshakeType::server_hello_done:
      return "ServerHelloDone";
    case HandshakeType::certificate_verify:
      return "CertificateVerify";
    case HandshakeType::client_key_exchange:
      return "ClientKeyExchange";
    case HandshakeType::finished:
      return "Finished";
    case HandshakeType::server_master_key_exchange:
      return "ServerMasterKeyExchange";
    case HandshakeType::client_auth_request:
      return "ClientAuthRequest";
    case HandshakeType::client_auth_response:
      return "ClientAuthResponse";
  }
  return "message type " + std::to_string(handshake_type);
}

std::string scheme_name(std::uint16_t scheme) {
  switch (SignatureScheme{scheme}) {
    case SignatureScheme::rsa_pkcs1_sha256:
      return "rsa_pkcs1_sha256";
    case SignatureScheme::ecdsa_secp256r1_sha256:
      return "ecdsa_secp256r1_sha256";
    case SignatureScheme::rsa_pkcs1_sha384:
      return "rsa_pkcs1_sha384";
    case SignatureScheme::ecdsa_secp384r1_sha384:
      return "ecdsa_secp384r1_sha384";
    case SignatureScheme::rsa_pss_rsae_sha256:
      return "rsa_pss_rsae_sha256";
    case SignatureScheme::rsa_pss_rsae_sha384:
      return "rsa_pss_rsae_sha384";
    case SignatureScheme::ed25519:
      return "ed25519";
  }
  return "signature algorithm " + std::to_string(scheme);
}

}  // namespace sealcast::handshake
