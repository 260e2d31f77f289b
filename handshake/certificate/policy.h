// Which certificates prove what (H8, AUTH-3): chain, validity, name, key usage, extended key usage, key strength,
// revocation, the multicast extension. Each refusal has its own reason.
#pragma once

#include <optional>
#include <span>

#include "handshake/certificate/credentials.h"

namespace sealcast::handshake {

// Proof that a chain was verified for its role. Only the functions below make one.
class VerifiedChain {
 public:
  const PeerIdentity& identity() const { return identity_; }
  EVP_PKEY* key() const { return key_.get(); }  // the leaf's public key
  // As Rechecked.
  std::int64_t holds_until() const { return checked_.until; }
  const std::string& late() const { return checked_.late; }

 private:
  friend class ChainVerifier;
  VerifiedChain(PeerIdentity identity, PkeyPtr key, Rechecked checked)
      : identity_(std::move(identity)), key_(std::move(key)), checked_(std::move(checked)) {}
  PeerIdentity identity_;
  PkeyPtr key_;
  Rechecked checked_;
};

// The server's chain: serverAuth, one of its dNSNames is server_name, no multicast extension (a member's certificate
// never passes for the key server's). A key server (multicast) must state key usage and extended key usage; for a
// standard server absent ones mean any use (RFC 5280).
Outcome<VerifiedChain> verify_server_chain(const TrustStore& trust, std::span<const Bytes> chain_der,
                                           const std::string& server_name, bool multicast, std::int64_t unix_now,
                                           const GraceFor& grace = {});

// The use of a member's key: to sign, or (variant 1) also to have the group's secret encrypted to it, which needs RSA
// with keyEncipherment stated.
enum class MemberKeyUse : std::uint8_t { sign, sign_and_decrypt };

// A member's chain: clientAuth only, digitalSignature, the multicast extension that permits group_id.
Outcome<VerifiedChain> verify_member_chain(const TrustStore& trust, std::span<const Bytes> chain_der,
                                           const std::string& group_id, std::int64_t unix_now,
                                           MemberKeyUse use = MemberKeyUse::sign, const GraceFor& grace = {});

// A standard client's chain: clientAuth and digitalSignature where usage is stated.
Outcome<VerifiedChain> verify_standard_client_chain(const TrustStore& trust, std::span<const Bytes> chain_der,
                                                    std::int64_t unix_now);

}  // namespace sealcast::handshake
