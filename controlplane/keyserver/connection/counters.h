// What became of the connections that strangers made.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace sealcast::keyserver {

struct Counters {
  std::uint64_t handshakes_completed = 0;        // multicast
  std::uint64_t standard_clients = 0;            // P1: answered with one line
  std::map<std::string, std::uint64_t> failed;   // handshakes, by reason
  std::map<std::string, std::uint64_t> refused;  // connections that were closed at once, by reason
};

}  // namespace sealcast::keyserver
