#include "handshake/messages/server_master_key_exchange.h"

namespace sealcast::handshake {
namespace {

constexpr std::string_view kName = "ServerMasterKeyExchange";

Outcome<VerifyData> to_verify_data(ByteView field) {
  if (field.size() != kVerifyDataSize)
    return refuse(Reason::decode_error, std::string(kName) + ": server_verify_data has length " +
                                            std::to_string(field.size()) + ", expected 12");
  VerifyData data{};
  std::copy(field.begin(), field.end(), data.begin());
  return data;
}

}  // namespace

Outcome<SensitiveBytes> encode(const ServerMasterKeyExchange& message) {
  if (auto sound = check_keying(message.keying); !sound)
    return refuse(Reason::internal_error, "refusing to send a keying no member accepts: " + sound.error().detail);
  Writer out;
  out.u8(kSmkeVersion);
  out.u8(message.flag);
  out.u8(static_cast<std::uint8_t>(message.second_ccs));
  write_keying(out, message.keying);
  out.vector16(message.extensions);
  if (message.server_verify_data)
    out.vector8(*message.server_verify_data);
  else
    out.vector8({});
  out.vector16(message.signature);
  return out.finish(kName);
}

Outcome<VerifyData> find_server_verify_data(ByteView body) {
  // The field stands before the last one, the signature, which variant 2 leaves empty: it is found from the end.
  constexpr std::size_t kTail = 1 + kVerifyDataSize + 2;
  if (body.size() < kTail)
    return refuse(Reason::decode_error, std::string(kName) + ": " + std::to_string(body.size()) + " bytes are too few");
  Reader tail(kName, body.last(kTail));
  const auto data = to_verify_data(tail.vector8(0, kVerifyDataSize, "server_verify_data"));
  (void)tail.vector16(0, 0, "signature");
  if (auto done = tail.finish(); !done) return tl::unexpected<HandshakeError>(done.error());
  return data;
}

Outcome<ServerMasterKeyExchange> decode_server_master_key_exchange(ByteView body) {
  Reader reader(kName, body);
  ServerMasterKeyExchange message;
  const std::uint8_t version = reader.u8("smke_version");
  if (reader.ok() && version != kSmkeVersion)
    reader.refuse(Reason::smke_version_unknown, "smke_version " + std::to_string(version) + ", expected 1");
  message.flag = reader.u8("flag");
  const std::uint8_t order = reader.u8("second_ccs");
  if (reader.ok() && order > static_cast<std::uint8_t>(SecondCcs::description))
    reader.refuse(Reason::wrong_second_ccs, "second_ccs " + std::to_string(order) + " is unknown");
  message.second_ccs = SecondCcs{order};
  message.keying = read_keying(reader);
  const ByteView extensions = reader.vector16(0, 0xffff, "extensions");
  message.extensions.assign(extensions.begin(), extensions.end());
  const ByteView verify = reader.vector8(0, kVerifyDataSize, "server_verify_data");
  if (reader.ok() && !verify.empty()) {
    auto data = to_verify_data(verify);
    if (!data) return tl::unexpected<HandshakeError>(data.error());
    message.server_verify_data = *data;
  }
  const ByteView signature = reader.vector16(0, 0xffff, "signature");
  message.signature.assign(signature.begin(), signature.end());
  if (auto done = reader.finish(); !done) return tl::unexpected<HandshakeError>(done.error());
  return message;
}

}  // namespace sealcast::handshake
