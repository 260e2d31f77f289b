// Typed-in secrets (H7, H14): never on a command line, never echoed, never in a stream's buffer.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"
#include "base/secret.h"

namespace sealcast::terminal {

// Asks on this process's terminal, whatever standard input is; echo is off meanwhile and back on whatever happens. The
// answer has 1 to max_bytes bytes, without its line end. No terminal, an empty or a longer answer is an error.
Result<SecretBytes> ask(const std::string& prompt, std::size_t max_bytes);

// One line of a pipe or file, without its line end: 1 to max_bytes bytes. Reads nothing beyond the line's end.
Result<SecretBytes> read_line(int descriptor, std::size_t max_bytes);

}  // namespace sealcast::terminal
