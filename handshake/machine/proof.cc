#include "handshake/machine/proof.h"

#include "base/secret.h"
#include "handshake/certificate/policy.h"
#include "handshake/crypto/signature.h"

namespace sealcast::handshake {

Outcome<PeerFinishedVerified> PeerFinishedVerified::check(const VerifyData& expected, const VerifyData& received) {
  if (!equal_constant_time(expected.data(), received.data(), expected.size()))
    return refuse(Reason::finished_invalid, "the peer's Finished does not match this handshake");
  return PeerFinishedVerified();
}

ServerProofVerified ServerProofVerified::by_signature(const PossessionProved&) {
  return {};
}

Outcome<ServerProofVerified> ServerProofVerified::check(const VerifyData& expected, const VerifyData& received) {
  if (!equal_constant_time(expected.data(), received.data(), expected.size()))
    return refuse(Reason::server_verify_data_invalid, "server_verify_data does not match this handshake");
  return ServerProofVerified();
}

Outcome<PossessionProved> PossessionProved::check(const VerifiedChain& chain, std::uint16_t scheme, ByteView message,
                                                  ByteView signature) {
  SEALCAST_TRY(verify_signature(chain.key(), scheme, message, signature));
  return PossessionProved();
}

}  // namespace sealcast::handshake
