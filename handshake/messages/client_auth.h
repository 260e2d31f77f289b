// ClientAuthRequest and ClientAuthResponse (P28, P29), both under the first exchange's keys. The request proves the
// server by server_verify_data, which is checked before a password is even fetched (H3, H7). The response always has
// the same length, so that the record does not reveal the password's length.
#pragma once

#include <string>

#include "base/secret.h"
#include "handshake/messages/finished.h"

namespace sealcast::handshake {

inline constexpr std::size_t max_realm = 64;
inline constexpr std::size_t client_auth_response_size = 256;

struct ClientAuthRequest {
  std::uint8_t flag = 0;
  Bytes methods;              // 1..255 of auth_password …; unknown ones are ignored
  std::string key_server_id;  // 1..64 bytes
  std::string group_id;       // 1..64 bytes
  std::string realm;          // 0..64 bytes
  VerifyData server_verify_data{};
};

Outcome<SensitiveBytes> encode(const ClientAuthRequest& message);
Outcome<ClientAuthRequest> decode_client_auth_request(ByteView body);
// server_verify_data alone, the last 12 bytes: it is checked first.
Outcome<VerifyData> find_request_verify_data(ByteView body);

struct ClientAuthResponse {
  std::uint8_t method = 0;
  std::string user;    // 1..64 bytes, no control characters
  SecretBytes secret;  // 1..128 bytes
};

// 256 bytes: method u8, user<1..64>, secret<1..128>, zeros.
Outcome<SensitiveBytes> encode(const ClientAuthResponse& message);
Outcome<ClientAuthResponse> decode_client_auth_response(ByteView body);

}  // namespace sealcast::handshake
