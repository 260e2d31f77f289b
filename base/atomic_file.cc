#include "base/atomic_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace sealcast {
namespace {

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<void> write_and_flush(int fd, ByteView content, mode_t mode, const std::string& path) {
  const auto problem = [&](const char* call) { return fail(path + ": " + call + ": " + std::strerror(errno)); };
  if (::fchmod(fd, mode) != 0) return problem("fchmod");
  for (std::size_t done = 0; done < content.size();) {
    const ssize_t n = ::write(fd, content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return problem("write");
    done += static_cast<std::size_t>(n);
  }
  if (::fsync(fd) != 0) return problem("fsync");
  return {};
}

}  // namespace

Result<void> write_file_atomically(const std::string& path, ByteView content, mode_t mode, IfExists if_exists) {
  std::array<std::uint8_t, 8> random{};
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    return fail(path + ": getrandom: " + std::strerror(errno));
  const std::string temporary = path + "." + to_hex(random) + ".tmp";
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0600);
  if (fd < 0) return fail(temporary + ": cannot create: " + std::strerror(errno));
  Result<void> written = write_and_flush(fd, content, mode, temporary);
  ::close(fd);
  if (written) {
    const unsigned flags = if_exists == IfExists::refuse ? RENAME_NOREPLACE : 0u;
    if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), flags) != 0) {
      written = errno == EEXIST ? fail(path + ": exists already; it is left as it is")
                                : fail(path + ": rename: " + std::strerror(errno));
    }
  }
  if (!written) {
    ::unlink(temporary.c_str());
    return written;
  }
  // The name, too, must survive a crash.
  const int folder = ::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return fail(path + ": cannot open its folder: " + std::strerror(errno));
  const int rc = ::fsync(folder);
  const int error = errno;
  ::close(folder);
  if (rc != 0) return fail(path + ": fsync of its folder: " + std::strerror(error));
  return {};
}

}  // namespace sealcast
