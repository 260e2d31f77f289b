// ServerMasterKeyExchange (P7, P35): the group's keying in place of the server's first Finished (P22). In variant 2 the
// record protection hides it (P24) and server_verify_data proves the transcript before anything is used (H3).
#pragma once

#include "handshake/messages/finished.h"
#include "handshake/messages/keying_codec.h"

namespace sealcast::handshake {

inline constexpr std::uint8_t kSmkeVersion = 1;

struct ServerMasterKeyExchange {
  std::uint8_t flag = 0;
  SecondCcs second_ccs = SecondCcs::not_applicable;
  GroupKeying keying;
  Bytes extensions;                              // 0..65535 bytes; unknown ones are ignored
  std::optional<VerifyData> server_verify_data;  // variants 2 and 3
  Bytes signature;                               // variant 1 only; 0..65535 bytes
};

Outcome<SensitiveBytes> encode(const ServerMasterKeyExchange& message);
Outcome<ServerMasterKeyExchange> decode_server_master_key_exchange(ByteView body);

// server_verify_data alone, without looking at the rest any closer than needed to find it: it is checked first.
Outcome<VerifyData> find_server_verify_data(ByteView body);

}  // namespace sealcast::handshake
