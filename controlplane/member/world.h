// What the parts of a member agent ask of the world: time, connections, randomness. One of each, for all groups.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "base/bytes.h"
#include "base/loop.h"
#include "controlplane/member/link.h"
#include "handshake/endpoint.h"

namespace sealcast::member {

// Both references outlive whatever holds this.
struct World {
  Loop& loop;
  Link::Open open_link;
  handshake::Random& random;
  // Seconds since 1970 to judge certificates and lists by, whatever happens to the wall clock (H19).
  std::function<std::int64_t()> unix_now;

  SteadyTime now() const { return loop.now(); }
  // For back-off alone: how long to wait is no secret, but it must differ between members.
  std::uint64_t random_bits() const {
    std::array<std::uint8_t, 8> bytes{};
    random.fill(bytes);
    return load_be<std::uint64_t>(bytes.data());
  }
};

}  // namespace sealcast::member
