// Which connection may have a place (H13). Strangers and joined members do not share one pool: connections that are not
// joined yet, half-open ones, have a quarter of all places, so that no crowd of them shuts members out. Half of that
// quarter is for addresses that members were joined from, so that members that come back find a place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "base/result.h"

namespace sealcast::keyserver {

class ConnectionLimits {
 public:
  struct Most {
    std::size_t in_all = 0;
    std::size_t from_address = 0;
    // Not joined yet. Where more members than that were joined at a time, so many may come back at a time.
    std::size_t half_open_from_address = 0;
  };
  // Addresses as counted_address() counts them. nullptr: the connection has a place now. Else what is full:
  // "max_connections", "max_connections_per_address", "half_open", "half_open_per_address".
  const char* take(const std::string& address, const Most& most);
  // A connection of this address is joined.
  void joined(const std::string& address);
  void over(const std::string& address, bool was_joined);
  void clear();

  std::size_t half_open() const { return half_open_; }

  static constexpr std::size_t most_remembered = 16'384;  // addresses that members have left

 private:
  struct From {
    std::size_t half_open = 0;
    std::size_t members = 0;
    std::size_t most_members = 0;  // at a time
    bool is_there() const { return half_open + members != 0; }
  };
  void forget_some();

  std::unordered_map<std::string, From> from_;
  std::size_t half_open_ = 0;
  std::size_t members_ = 0;
  std::size_t remembered_ = 0;  // of from_, those without a connection
};

// Descriptors that connections leave for the admin socket, the files of state, trail and lists, and etcd.
inline constexpr std::size_t descriptors_kept = 64;
// How many connections fit beside what this process has open already, and descriptors_kept. An error where that is
// hardly any.
Result<std::size_t> connections_that_fit();

}  // namespace sealcast::keyserver
