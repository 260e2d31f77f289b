// A file descriptor that is closed when its owner goes. Holding -1 (a failed open or socket) is allowed; ask get().
#pragma once

#include <unistd.h>

namespace sealcast {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace sealcast
