#include "tests/kill/kill_at.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstdlib>
#include <cstring>

namespace sealcast::kill {
namespace {

std::atomic<long> counted{0};
std::atomic<long> target{0};
std::atomic<Where> place{Where::before};

[[noreturn]] void die() {
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;)
    pause();
}

// Logs (0 to 2), sockets and pipes do not count.
bool is_file(int fd) {
  struct stat status {};
  return fd > 2 && fstat(fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));
}

// The call is made between the two moments at which the process may be killed.
template <typename Call, typename Torn>
auto count(Call call, Torn torn) {
  const bool hit = ++counted == target.load();
  if (hit && place == Where::torn) torn();
  if (hit && place != Where::after) die();
  const auto result = call();
  if (hit) die();
  return result;
}

template <typename Call>
auto count(Call call) {
  return count(call, [] {});
}

struct FromEnvironment {
  FromEnvironment() {
    const char* const nth = std::getenv("KILL_AT");
    const char* const where = std::getenv("KILL_WHERE");
    if (nth == nullptr || where == nullptr) return;
    at(std::atol(nth), std::strcmp(where, "after") == 0  ? Where::after
                       : std::strcmp(where, "torn") == 0 ? Where::torn
                                                         : Where::before);
  }
} const from_environment;

}  // namespace

void at(long nth, Where where) {
  counted = 0;
  target = nth;
  place = where;
}

long calls() {
  return counted;
}

}  // namespace sealcast::kill

using sealcast::kill::count;
using sealcast::kill::is_file;

extern "C" {

ssize_t write(int fd, const void* data, size_t size) {
  const auto call = [&](size_t bytes) { return syscall(SYS_write, fd, data, bytes); };
  if (!is_file(fd)) return call(size);
  return count([&] { return call(size); }, [&] { call(size / 2); });
}

ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
  const auto call = [&](size_t bytes) { return syscall(SYS_pwrite64, fd, data, bytes, offset); };
  if (!is_file(fd)) return call(size);
  return count([&] { return call(size); }, [&] { call(size / 2); });
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  return pwrite64(fd, data, size, offset);
}

ssize_t writev(int fd, const struct iovec* parts, int number) {
  const auto call = [&] { return syscall(SYS_writev, fd, parts, number); };
  return is_file(fd) ? count(call) : call();
}

int fsync(int fd) {
  return static_cast<int>(count([&] { return syscall(SYS_fsync, fd); }));
}

int fdatasync(int fd) {
  return static_cast<int>(count([&] { return syscall(SYS_fdatasync, fd); }));
}

int ftruncate64(int fd, off64_t size) noexcept {
  return static_cast<int>(count([&] { return syscall(SYS_ftruncate, fd, size); }));
}

int ftruncate(int fd, off_t size) noexcept {
  return ftruncate64(fd, size);
}

int unlink(const char* path) noexcept {
  return static_cast<int>(count([&] { return syscall(SYS_unlink, path); }));
}

int rename(const char* from, const char* to) noexcept {
  return static_cast<int>(count([&] { return syscall(SYS_rename, from, to); }));
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned int flags) noexcept {
  return static_cast<int>(count([&] { return syscall(SYS_renameat2, from_folder, from, to_folder, to, flags); }));
}

// Creating a file is a change, too.
int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  const auto call = [&] { return static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode)); };
  return (flags & O_CREAT) != 0 ? count(call) : call();
}

int open64(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return open(path, flags, mode);
}

}  // extern "C"
