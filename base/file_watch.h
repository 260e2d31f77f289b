// Whether a file is another one than when it was last looked at: replaced, or written anew. One stat a look.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <tuple>

namespace sealcast {

class FileWatch {
 public:
  // True at the first look after a change; a file that is not there is no change: it comes back or was never meant.
  bool changed(const std::string& path) {
    struct stat found {};
    if (::stat(path.c_str(), &found) != 0) return false;
    const Mark now{found.st_dev, found.st_ino, found.st_size, found.st_mtim.tv_sec, found.st_mtim.tv_nsec};
    const bool another = path == path_ && now != mark_;
    path_ = path;
    mark_ = now;
    return another;
  }

 private:
  using Mark = std::tuple<dev_t, ino_t, off_t, std::int64_t, std::int64_t>;
  std::string path_;
  Mark mark_{};
};

}  // namespace sealcast
