// Small types that prove something happened. What needs the proof takes it as a parameter, so forgetting a check does
// not compile: keys are installed only with RecordAligned (record/record_aligned.h), SMKE is looked into only with
// ServerProofVerified, and Established is built only from PeerFinishedVerified.
#pragma once

#include <optional>

#include "handshake/error.h"
#include "handshake/messages/finished.h"
#include "handshake/record/record_aligned.h"

namespace sealcast::handshake {

// The peer's Finished matched what we computed.
class PeerFinishedVerified {
 public:
  static Outcome<PeerFinishedVerified> check(const VerifyData& expected, const VerifyData& received);

 private:
  PeerFinishedVerified() = default;
};

// The server proved that it saw the same messages (H3): server_verify_data of SMKE or ClientAuthRequest matched, so it
// knows ms1; or in variant 1 its signature over the transcript and SMKE verified (H1). Nothing of the message is used
// before.
class ServerProofVerified {
 public:
  static ServerProofVerified by_signature(const class PossessionProved& over_smke);
  static Outcome<ServerProofVerified> check(const VerifyData& expected, const VerifyData& received);

 private:
  ServerProofVerified() = default;
};

// The peer signed this handshake's transcript with the key of its verified chain.
class PossessionProved {
 public:
  static Outcome<PossessionProved> check(const class VerifiedChain& chain, std::uint16_t scheme, ByteView message,
                                         ByteView signature);

 private:
  PossessionProved() = default;
};

// The owner of a server endpoint found user and password to belong together (H7).
class PasswordAccepted {
  friend class Machine;
  PasswordAccepted() = default;
};

// The flow was walked to its end and the peer's closing Finished verified: Established may be told.
class EstablishedProof {
  friend class Machine;
  explicit EstablishedProof(const PeerFinishedVerified&) {}
};

}  // namespace sealcast::handshake
