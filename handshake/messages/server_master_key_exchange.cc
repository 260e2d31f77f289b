#include "handshake/messages/server_master_key_exchange.h"

namespace sealcast::handshake {
namespace {

constexpr std::string_view smke_name = "ServerMasterKeyExchange";

Outcome<VerifyData> read_verify_data(ByteView field) {
  if (field.size() != verify_data_size)
    return refuse(Reason::decode_error, std::string(smke_name) + ": server_verify_data has length " +
                                            std::to_string(field.size()) + ", expected 12");
  VerifyData data{};
  std::copy(field.begin(), field.end(), data.begin());
  return data;
}

Outcome<ServerMasterKeyExchange> decode_as(ByteView body, bool sealed) {
  Reader reader(smke_name, body);
  ServerMasterKeyExchange message;
  const std::uint8_t version = reader.u8("smke_version");
  if (reader.ok() && version != smke_version)
    reader.refuse(Reason::smke_version_unknown,
                  "smke_version " + std::to_string(version) + ", expected " + std::to_string(smke_version));
  message.flag = reader.u8("flag");
  const std::uint8_t order = reader.u8("second_ccs");
  if (reader.ok() && order > static_cast<std::uint8_t>(SecondCcs::description))
    reader.refuse(Reason::wrong_second_ccs, "second_ccs " + std::to_string(order) + " is unknown");
  message.second_ccs = SecondCcs{order};
  message.keying = read_keying(reader, sealed ? &message.sealed_keys : nullptr);
  const ByteView extensions = reader.vector16(0, 0xffff, "extensions");
  message.extensions.assign(extensions.begin(), extensions.end());
  const ByteView verify = reader.vector8(0, verify_data_size, "server_verify_data");
  if (reader.ok() && !verify.empty()) {
    SEALCAST_TRY_ASSIGN(message.server_verify_data, read_verify_data(verify));
  }
  const ByteView signature = reader.vector16(0, 0xffff, "signature");
  message.signature.assign(signature.begin(), signature.end());
  SEALCAST_TRY(reader.finish());
  return message;
}

}  // namespace

Outcome<SensitiveBytes> encode_signed_part(const ServerMasterKeyExchange& message) {
  if (auto sound = check_keying(message.keying); !sound)
    return refuse(Reason::internal_error, "refusing to send a keying no member accepts: " + sound.error().detail);
  Writer out;
  out.u8(smke_version);
  out.u8(message.flag);
  out.u8(static_cast<std::uint8_t>(message.second_ccs));
  write_keying(out, message.keying, message.sealed_keys);
  out.vector16(message.extensions);
  if (message.server_verify_data)
    out.vector8(*message.server_verify_data);
  else
    out.vector8({});
  return out.finish(smke_name);
}

Outcome<SensitiveBytes> encode(const ServerMasterKeyExchange& message) {
  SEALCAST_TRY_ASSIGN(auto signed_part, encode_signed_part(message));
  Writer out;
  out.bytes(signed_part);
  out.vector16(message.signature);
  return out.finish(smke_name);
}

Outcome<VerifyData> find_server_verify_data(ByteView body) {
  // Found from the end: the field stands before the last one, the signature, which variant 2 leaves empty.
  constexpr std::size_t tail_size = 1 + verify_data_size + 2;
  if (body.size() < tail_size)
    return refuse(Reason::decode_error,
                  std::string(smke_name) + ": " + std::to_string(body.size()) + " bytes are too few");
  Reader tail(smke_name, body.last(tail_size));
  const auto data = read_verify_data(tail.vector8(0, verify_data_size, "server_verify_data"));
  (void)tail.vector16(0, 0, "signature");
  SEALCAST_TRY(tail.finish());
  return data;
}

Outcome<ServerMasterKeyExchange> decode_server_master_key_exchange(ByteView body) {
  return decode_as(body, false);
}

Outcome<ServerMasterKeyExchange> decode_sealed_master_key_exchange(ByteView body) {
  return decode_as(body, true);
}

Outcome<SmkeSignature> find_smke_signature(ByteView body) {
  Reader reader(smke_name, body);
  (void)reader.bytes(3, "smke_version");
  skip_keying(reader);
  (void)reader.vector16(0, 0xffff, "extensions");
  (void)reader.vector8(0, verify_data_size, "server_verify_data");
  SmkeSignature found;
  found.signed_part = body.first(reader.offset());
  const ByteView field = reader.vector16(0, 0xffff, "signature");
  SEALCAST_TRY(reader.finish());
  if (field.empty()) return refuse(Reason::signature_invalid, std::string(smke_name) + " is not signed");
  if (field.size() < 3)
    return refuse(Reason::decode_error,
                  std::string(smke_name) + ": signature has length " + std::to_string(field.size()));
  found.scheme = load_be<std::uint16_t>(field.data());
  found.signature = field.subspan(2);
  return found;
}

SensitiveBytes smke_signature_content(ByteView before_smke, ByteView signed_part) {
  Writer out;
  for (int i = 0; i < 64; ++i)
    out.u8(0x20);
  out.bytes(as_bytes("multicast server master key exchange"));
  out.u8(0);
  out.bytes(before_smke);
  out.bytes(signed_part);
  return *out.finish(smke_name);
}

}  // namespace sealcast::handshake
