// Writes files that are whole or absent: beside their place, flushed to the disk, then moved there.
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

// Removes the temporary files of killed writers of this path: regular files of this user, named `<name>.<16 hexadecimal
// digits>.tmp`, with one link, which no writer holds now. All other files stay, and those that cannot be removed. Call
// it at start. Returns how many it removed.
std::size_t remove_stale_temporaries(const std::string& path);

}  // namespace sealcast
