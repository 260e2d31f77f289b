#include "controlplane/store/disk_reserve.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <optional>

#include "base/descriptor.h"

namespace sealcast::store {
namespace {

// Bytes that this user may still write; nothing: not known.
std::optional<std::uint64_t> free_beside(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  struct statvfs disk {};
  if (::statvfs(folder.c_str(), &disk) != 0) return std::nullopt;
  return std::uint64_t{disk.f_bavail} * disk.f_frsize;
}

}  // namespace

bool DiskReserve::look() {
  const auto free = free_beside(path_);
  if (!free) return true;
  if (*free < low) {
    release();
    return free_beside(path_).value_or(0) >= low;
  }
  if (held_ || *free < 4 * size) return true;
  const Descriptor file(::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  held_ = file.get() >= 0 && ::posix_fallocate(file.get(), 0, static_cast<off_t>(size)) == 0;
  return true;
}

void DiskReserve::look_before_write() {
  const auto free = free_beside(path_);
  if (free && *free < low) release();
}

// A process before this one may have made it.
void DiskReserve::release() {
  held_ = false;
  if (::truncate(path_.c_str(), 0) != 0) return;  // there is none
}

}  // namespace sealcast::store
