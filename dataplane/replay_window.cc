#include "dataplane/replay_window.h"

#include <algorithm>

namespace sealcast::dataplane {

void ReplayWindow::advance(std::uint64_t highest, std::uint64_t number) noexcept {
  if (number - highest >= size_) {
    std::fill(words_.begin(), words_.end(), 0);
    return;
  }
  for (std::uint64_t n = highest + 1; n <= number;) {
    if ((n & 63) == 0 && number - n >= 63) {
      words_[(n & (size_ - 1)) / 64] = 0;
      n += 64;
    } else {
      words_[(n & (size_ - 1)) / 64] &= ~bit(n);
      if (n++ == number) break;  // number may be 2^64 - 1
    }
  }
}

void ReplayWindow::rewind_for_benchmark() noexcept {
  std::fill(words_.begin(), words_.end(), 0);
  highest_.set(0);
}

}  // namespace sealcast::dataplane
