#pragma once

#include <fstream>
#include <iterator>
#include <string>

namespace sealcast::load {

// A file's content; nothing where there is none.
inline std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace sealcast::load
