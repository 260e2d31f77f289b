#pragma once

#include <algorithm>

namespace sealcast::handshake {

inline bool contains(const auto& list, auto value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace sealcast::handshake
