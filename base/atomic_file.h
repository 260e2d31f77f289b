// Files that are whole or not there: written beside their place, flushed to the disk, then moved there.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace sealcast {

enum class IfExists { replace, refuse };

// Writes content to path with the given mode (not cut by the umask, never wider at any moment). After a crash path
// holds either what it held before or all of content. With IfExists::refuse an existing file of any kind is left alone
// and reported. Errors name the path and the failing call.
Result<void> write_file_atomically(const std::string& path, ByteView content, mode_t mode, IfExists if_exists);

// Removes what writers of this path that were killed left beside it: `<name>.<16 hexadecimal digits>.tmp`, a regular
// file of this user's with that one name, which no writer holds now. Whatever else is there, or can't be removed,
// stays. Call it at start. Returns how many it removed.
std::size_t remove_stale_temporaries(const std::string& path);

}  // namespace sealcast
