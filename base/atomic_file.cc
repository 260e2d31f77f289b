#include "base/atomic_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/descriptor.h"

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

constexpr std::string_view ending = ".tmp";
constexpr std::size_t random_bytes = 8;
constexpr int most_tries = 8;

bool is_temporary_of(std::string_view name, std::string_view file) {
  if (name.size() != file.size() + 1 + 2 * random_bytes + ending.size()) return false;
  if (!name.starts_with(file) || name[file.size()] != '.' || !name.ends_with(ending)) return false;
  const auto digits = name.substr(file.size() + 1, 2 * random_bytes);
  return std::all_of(digits.begin(), digits.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool lock(int fd, int how) {
  int rc = 0;
  do {
    rc = ::flock(fd, how);
  } while (rc != 0 && errno == EINTR);
  return rc == 0;
}

// Makes a file beside path, stores its name in temporary, and locks it: the lock shows that its writer is alive.
Result<Descriptor> open_temporary(const std::string& path, mode_t mode, std::string& temporary) {
  for (int i = 0; i < most_tries; ++i) {
    std::array<std::uint8_t, random_bytes> random{};
    if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
      return fail(path + ": getrandom: " + std::strerror(errno));
    temporary = path + "." + to_hex(random) + std::string(ending);
    Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0600));
    if (file.get() < 0) return fail(temporary + ": cannot create: " + std::strerror(errno));
    struct stat status {};
    // Without locks (some network file systems) the file is written all the same: there the clean-up cannot lock it
    // either, and leaves it alone.
    if (!lock(file.get(), LOCK_EX) || (::fstat(file.get(), &status) == 0 && status.st_nlink != 0)) return file;
    // The clean-up of another process removed the file between open() and lock().
  }
  return fail(path + ": its temporary file is removed again and again");
}

}  // namespace

std::size_t remove_stale_temporaries(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string file = slash == std::string::npos ? path : path.substr(slash + 1);
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(folder_of(path).c_str()), &::closedir);
  if (!folder || file.empty()) return 0;
  const int at = ::dirfd(folder.get());
  std::size_t removed = 0;
  while (const dirent* entry = ::readdir(folder.get())) {
    if (!is_temporary_of(entry->d_name, file)) continue;
    const Descriptor found(::openat(at, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat status {};
    if (found.get() < 0 || ::fstat(found.get(), &status) != 0) continue;
    if (!S_ISREG(status.st_mode) || status.st_uid != ::geteuid() || status.st_nlink != 1) continue;
    if (!lock(found.get(), LOCK_EX | LOCK_NB)) continue;  // its writer is alive
    // Fails if the writer has moved the file to its place meanwhile.
    if (::unlinkat(at, entry->d_name, 0) == 0) ++removed;
  }
  return removed;
}

Result<void> write_file_atomically(const std::string& path, ByteView content, mode_t mode, IfExists if_exists) {
  std::string temporary;
  SEALCAST_TRY_ASSIGN(const auto file, open_temporary(path, mode, temporary));
  Result<void> written = write_and_flush(file.get(), content, mode, temporary);
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
  // The directory entry must survive a crash, too.
  const int folder = ::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return fail(path + ": cannot open its folder: " + std::strerror(errno));
  const int rc = ::fsync(folder);
  const int error = errno;
  ::close(folder);
  if (rc != 0) return fail(path + ": fsync of its folder: " + std::strerror(error));
  return {};
}

}  // namespace sealcast
