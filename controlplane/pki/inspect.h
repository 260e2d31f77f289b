// Checks certificate files against their use in the configuration: `sealcast check` finds problems before a daemon
// does. Reads no file and no clock.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace sealcast::pki {

enum class Purpose : std::uint8_t { key_server, member };

struct Findings {
  std::vector<std::string> errors;    // every peer would refuse it
  std::vector<std::string> warnings;  // works now
};

// The leaf: validity at unix_now, key usage, extended key usage, multicast extension present (member) or absent (key
// server), every one of groups named by it (member), and the private key being the certificate's.
Findings inspect_identity(std::string_view chain_pem, ByteView private_key_pem, Purpose purpose,
                          const std::vector<std::string>& groups, std::int64_t unix_now);

// What a group's suite or variant needs of the leaf's key. A member signs with any kind; variant 1 decrypts, too (P16).
enum class KeyUse : std::uint8_t { rsa_signature, ecdsa_signature, rsa_decryption };
Findings inspect_key(std::string_view chain_pem, KeyUse use);

// With certificate and password both must belong to one principal: the user is one of the leaf's names.
Findings inspect_user(std::string_view chain_pem, std::string_view user);

// The leaf's first name; empty: it has none, or this is no certificate.
std::string first_name(std::string_view chain_pem);

// Trust anchors: each is a CA's and valid at unix_now. A revocation list: signed by one of the anchors, not past its
// nextUpdate.
Findings inspect_trust(std::string_view ca_pem, std::string_view crl_pem, std::int64_t unix_now);

}  // namespace sealcast::pki
