// Room on a disk that is set aside while there is much, and given back to it when there is hardly any, so that a file
// beside it can still be written when others fill the disk (H29). Not where a quota ends before the disk does.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace sealcast::store {

class DiskReserve {
 public:
  static constexpr std::uint64_t size = 8 * 1024 * 1024;  // bytes
  static constexpr std::uint64_t low = size / 2;          // free bytes of the disk

  // path: a file of its own, which stays there.
  explicit DiskReserve(std::string path) : path_(std::move(path)) {}

  // Sets the room aside where the disk has four times as much, gives it back where the disk is nearly full. False: the
  // disk is nearly full, even so.
  bool look();
  // Gives it back where the disk is nearly full. One system call otherwise.
  void look_before_write();

 private:
  void release();

  std::string path_;
  bool held_ = false;
};

}  // namespace sealcast::store
