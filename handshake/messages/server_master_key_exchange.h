// ServerMasterKeyExchange (P7, P35): the group's keying in place of the server's first Finished (P22). In variants 2
// and 3 record protection hides it (P24) and server_verify_data proves the transcript before anything is used (H3). In
// variant 1 the key material is under the member's RSA key (P16) and the server signs the whole (H1).
#pragma once

#include "handshake/messages/finished.h"
#include "handshake/messages/keying_codec.h"

namespace sealcast::handshake {

inline constexpr std::uint8_t smke_version = 2;

struct ServerMasterKeyExchange {
  std::uint8_t flag = 0;
  SecondCcs second_ccs = SecondCcs::not_applicable;
  GroupKeying keying;
  Bytes sealed_keys;                             // variant 1: key_material as it travels, 1..2048 bytes; else empty
  Bytes extensions;                              // 0..65535 bytes; unknown ones are ignored
  std::optional<VerifyData> server_verify_data;  // variants 2 and 3
  Bytes signature;                               // variant 1: algorithm u16, signature; 0..65535 bytes in all
};

Outcome<SensitiveBytes> encode(const ServerMasterKeyExchange& message);
// The body up to the field signature: the signed part (H1).
Outcome<SensitiveBytes> encode_signed_part(const ServerMasterKeyExchange& message);
Outcome<ServerMasterKeyExchange> decode_server_master_key_exchange(ByteView body);
// Variant 1's form: sealed_keys holds the key material; the caller must open it to get the premaster.
Outcome<ServerMasterKeyExchange> decode_sealed_master_key_exchange(ByteView body);

// server_verify_data alone, found with as little parsing as possible: it is checked first.
Outcome<VerifyData> find_server_verify_data(ByteView body);

// Variant 1's signature alone, found by walking the lengths before it: it is checked first.
struct SmkeSignature {
  ByteView signed_part;
  std::uint16_t scheme = 0;
  ByteView signature;
};
Outcome<SmkeSignature> find_smke_signature(ByteView body);
// 64 × 0x20 ‖ "multicast server master key exchange" ‖ 0x00 ‖ Hash(messages before SMKE) ‖ signed part: no signature of
// another kind or handshake covers this (H1, SMKE-1, SMKE-2).
SensitiveBytes smke_signature_content(ByteView before_smke, ByteView signed_part);

}  // namespace sealcast::handshake
