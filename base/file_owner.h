// Whose a file with a secret may be.
#pragma once

#include <sys/types.h>
#include <unistd.h>

namespace sealcast {

// A private key, a cluster key or passwords that another user can replace are that user's, not ours (H14): the file
// belongs to whom the process runs as, or to root.
inline bool good_owner(uid_t owner, uid_t running = ::geteuid()) {
  return owner == running || owner == 0;
}

}  // namespace sealcast
