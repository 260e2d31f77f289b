// Whether certificate files will do for what the configuration wants them for: what `sealcast check` asks before a
// daemon does. Reads no file and no clock.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace sealcast::pki {

enum class Purpose : std::uint8_t { key_server, member };

struct Findings {
  std::vector<std::string> errors;    // nobody would accept it
  std::vector<std::string> warnings;  // works now
};

// The leaf: validity at unix_now, key usage, extended key usage, multicast extension present (member) or absent (key
// server), every one of groups named by it (member), and the private key being the certificate's.
Findings inspect_identity(std::string_view chain_pem, ByteView private_key_pem, Purpose purpose,
                          const std::vector<std::string>& groups, std::int64_t unix_now);

// Trust anchors: each is a CA's and valid at unix_now. A revocation list: signed by one of the anchors, not past its
// nextUpdate.
Findings inspect_trust(std::string_view ca_pem, std::string_view crl_pem, std::int64_t unix_now);

}  // namespace sealcast::pki
