// The folder `sealcast pki` works in:
//
//   ca.pem  ca.key         the certification authority     NAME.pem  NAME.key   a key server's or member's
//   crl.pem                the revocation list, from init on
//
// Private keys have mode 0600 and appear whole or not at all. Nothing existing is overwritten unless the caller says
// so.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "controlplane/pki/certificates.h"

namespace sealcast::pki {

struct FolderOptions {
  std::string folder = "pki";
  std::int64_t now = 0;  // Unix seconds
  int days = 0;          // lifetime; 0: the default below
  KeyKind key = KeyKind::ecdsa_p256;
  bool force = false;  // overwrite
};

inline constexpr int default_ca_days = 3650;
inline constexpr int default_leaf_days = 397;
inline constexpr int default_crl_days = 365;
inline constexpr std::int64_t backdate_seconds = 300;  // the clocks of checking machines may lag a little

// The result, for the caller's output.
struct Made {
  std::vector<std::string> files;  // key and certificate; none where only a list was signed
  std::string serial_hex;
  std::int64_t not_after = 0;   // of the certificate, Unix seconds
  bool cut_to_ca_life = false;  // asked for longer than the CA lives
  struct List {                 // the revocation list
    std::string file;
    std::int64_t next_update = 0;  // Unix seconds; from then on it covers no certificate any more
  };
  std::optional<List> list;
};

// Makes folder (mode 0700) if need be, the CA and its first, empty revocation list.
Result<Made> init(const FolderOptions& options, const std::string& ca_name);
Result<Made> make_server(const FolderOptions& options, const std::string& name);
Result<Made> make_member(const FolderOptions& options, const std::string& name, const std::vector<std::string>& groups);
// Signs the revocation list anew; with a name, NAME.pem is on it from now on.
Result<Made> renew_revocation_list(const FolderOptions& options);
Result<Made> revoke(const FolderOptions& options, const std::string& name);

}  // namespace sealcast::pki
