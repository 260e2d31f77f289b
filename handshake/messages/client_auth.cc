#include "handshake/messages/client_auth.h"

#include <algorithm>

#include "base/limits.h"
#include "handshake/messages/keying_codec.h"

namespace sealcast::handshake {
namespace {

constexpr std::string_view request_name = "ClientAuthRequest";
constexpr std::string_view response_name = "ClientAuthResponse";

VerifyData to_verify_data(ByteView field) {
  VerifyData data{};
  std::copy(field.begin(), field.end(), data.begin());
  return data;
}

bool has_control_characters(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

}  // namespace

Outcome<SensitiveBytes> encode(const ClientAuthRequest& message) {
  Writer out;
  out.u8(message.flag);
  out.vector8(message.methods);
  out.string8(message.key_server_id);
  out.string8(message.group_id);
  out.string8(message.realm);
  out.bytes(message.server_verify_data);
  return out.finish(request_name);
}

Outcome<ClientAuthRequest> decode_client_auth_request(ByteView body) {
  Reader reader(request_name, body);
  ClientAuthRequest message;
  message.flag = reader.u8("flag");
  const ByteView methods = reader.vector8(1, 255, "methods");
  message.methods.assign(methods.begin(), methods.end());
  message.key_server_id = reader.string8(1, max_name_bytes, "key_server_id");
  message.group_id = reader.string8(1, max_name_bytes, "group_id");
  message.realm = reader.string8(0, max_realm, "realm");
  message.server_verify_data = to_verify_data(reader.bytes(verify_data_size, "server_verify_data"));
  SEALCAST_TRY(reader.finish());
  return message;
}

Outcome<VerifyData> find_request_verify_data(ByteView body) {
  if (body.size() < verify_data_size)
    return refuse(Reason::decode_error,
                  std::string(request_name) + ": " + std::to_string(body.size()) + " bytes are too few");
  return to_verify_data(body.last(verify_data_size));
}

Outcome<SensitiveBytes> encode(const ClientAuthResponse& message) {
  if (message.user.empty() || message.user.size() > max_name_bytes || has_control_characters(message.user))
    return refuse(Reason::own_password_missing, "our user name must have 1 to 64 bytes and no control characters");
  if (message.secret.empty() || message.secret.size() > max_password_bytes)
    return refuse(Reason::own_password_missing, "our password must have 1 to 128 bytes");
  Writer out;
  out.u8(message.method);
  out.string8(message.user);
  out.vector8(message.secret.view());
  while (out.view().size() < client_auth_response_size)
    out.u8(0);
  return out.finish(response_name);
}

Outcome<ClientAuthResponse> decode_client_auth_response(ByteView body) {
  if (body.size() != client_auth_response_size)
    return refuse(Reason::decode_error, std::string(response_name) + ": " + std::to_string(body.size()) +
                                            " bytes, expected " + std::to_string(client_auth_response_size));
  Reader reader(response_name, body);
  ClientAuthResponse message;
  message.method = reader.u8("method");
  message.user = reader.string8(1, max_name_bytes, "user");
  const ByteView secret = reader.vector8(1, max_password_bytes, "secret");
  message.secret = SecretBytes(secret.size());
  std::copy(secret.begin(), secret.end(), message.secret.data());
  std::uint8_t padding = 0;
  for (const std::uint8_t byte : reader.bytes(reader.ok() ? body.size() - reader.offset() : 0, "padding"))
    padding = static_cast<std::uint8_t>(padding | byte);
  if (reader.ok() && padding != 0) reader.refuse(Reason::illegal_parameter, "the padding is not zero");
  if (reader.ok() && has_control_characters(message.user))
    reader.refuse(Reason::illegal_parameter, "the user name holds control characters");
  SEALCAST_TRY(reader.finish());
  return message;
}

}  // namespace sealcast::handshake
