// Where this build's sources and programs are. Only places.cc has the paths compiled in, so that all other objects are
// the same in every work tree and the compiler cache serves them.
#pragma once

#include <string>

namespace sealcast::places {

// The root of the source tree, absolute, without a slash at its end.
std::string source_folder();

// One of this build's programs, absolute: program("sealcast") is build/<preset>/bin/sealcast.
std::string program(const std::string& name);

}  // namespace sealcast::places
