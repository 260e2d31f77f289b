#include "controlplane/terminal/secret_input.h"

#include <bsd/readpassphrase.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace sealcast::terminal {
namespace {

Result<SecretBytes> cut(const SecretBytes& buffer, std::size_t size, std::size_t max_bytes) {
  if (size == 0) return fail("expected a password, got nothing");
  if (size > max_bytes) return fail("expected a password of at most " + std::to_string(max_bytes) + " bytes");
  SecretBytes secret(size);
  std::memcpy(secret.data(), buffer.data(), size);
  return secret;
}

}  // namespace

Result<SecretBytes> ask(const std::string& prompt, std::size_t max_bytes) {
  SecretBytes buffer(max_bytes + 2);  // one byte more than allowed, and the zero at the end
  char* text = reinterpret_cast<char*>(buffer.data());
  errno = 0;
  if (::readpassphrase(prompt.c_str(), text, buffer.size(), RPP_ECHO_OFF | RPP_REQUIRE_TTY) == nullptr) {
    if (errno == ENOTTY || errno == ENXIO || errno == ENOENT)
      return fail("expected a terminal to ask for the password, but there is none");
    return fail(std::string("asking for the password: ") + std::strerror(errno));
  }
  return cut(buffer, std::strlen(text), max_bytes);
}

Result<SecretBytes> read_line(int descriptor, std::size_t max_bytes) {
  SecretBytes buffer(max_bytes + 1);
  std::size_t size = 0;
  while (size < buffer.size()) {
    const ssize_t n = ::read(descriptor, buffer.data() + size, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(std::string("reading the password: ") + std::strerror(errno));
    if (n == 0 || buffer.data()[size] == '\n') break;
    ++size;
  }
  return cut(buffer, size, max_bytes);
}

}  // namespace sealcast::terminal
