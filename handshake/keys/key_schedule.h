// Every key of a connection (docs/protocol.md "Keys"): RFC 5246 §6.3, §8.1 with RFC 7627, and the group's mixed in.
#pragma once

#include <array>

#include "handshake/crypto/aead.h"
#include "handshake/crypto/hash.h"
#include "handshake/group_keying.h"
#include "handshake/wire/constants.h"

namespace sealcast::handshake {

using MasterSecret = Secret<48>;
using HelloRandom = std::array<std::uint8_t, random_size>;

enum class Side : std::uint8_t { client, server };

// ms1 = PRF(premaster, "extended master secret", Hash(ClientHello … ClientKeyExchange))[48]
MasterSecret extended_master_secret(HashKind hash, ByteView premaster, const Digest& session_hash);

// PRF(ms1 ‖ group_master, "multicast channel", Hash(messages up to and with SMKE))[48]: no other member knows ms1 (H2).
MasterSecret channel_master(HashKind hash, const MasterSecret& first, const GroupMaster& group,
                            const Digest& with_smke);

struct KeyBlock {
  DirectionKeys client_write;
  DirectionKeys server_write;
};
// PRF(master, "key expansion", server_random ‖ client_random), split as RFC 5246 §6.3.
KeyBlock expand_keys(CipherSuite suite, const MasterSecret& master, const HelloRandom& server_random,
                     const HelloRandom& client_random);

// PRF(master, "client finished" | "server finished", transcript)[12]
VerifyData finished_data(HashKind hash, const MasterSecret& master, Side sender, const Digest& transcript);

// PRF(ms1, "multicast server verify", Hash(messages before SMKE))[12] (H3)
VerifyData server_verify_data(HashKind hash, const MasterSecret& first, const Digest& before_smke);

}  // namespace sealcast::handshake
