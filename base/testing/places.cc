#include "base/testing/places.h"

namespace sealcast::places {

std::string source_folder() {
  return SEALCAST_SOURCE_DIR;
}

std::string program(const std::string& name) {
  return SEALCAST_PROGRAM_DIR "/" + name;
}

}  // namespace sealcast::places
