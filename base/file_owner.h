// Which users may own a file with secrets.
#pragma once

#include <sys/types.h>
#include <unistd.h>

namespace sealcast {

// The process's user or root: another owner could replace a private key, a cluster key or a password file (H14).
inline bool good_owner(uid_t owner, uid_t running = ::geteuid()) {
  return owner == running || owner == 0;
}

}  // namespace sealcast
