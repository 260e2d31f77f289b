// Shared by the endpoint fuzzers: a world with certificates made once, and a stream cut into pieces.
#pragma once

#include "handshake/testing/in_process.h"
#include "tests/fuzz/input.h"

namespace sealcast::handshake::fuzz {

using sealcast::fuzz::require;

inline testing::World& world(bool standard) {
  static testing::World multicast;
  static testing::World plain;
  static const bool prepared = [] {
    plain.make_standard(true);
    return true;
  }();
  (void)prepared;
  return standard ? plain : multicast;
}

// Feeds the stream: each piece has a length byte before it. An outsider without keys must never get anywhere.
inline void feed(Endpoint& endpoint, testing::World& around, ByteView stream) {
  around.authority.issued = 0;
  while (!stream.empty() && !endpoint.failed()) {
    const std::size_t size = std::min<std::size_t>(stream[0] * 4u, stream.size() - 1);
    const auto done = endpoint.receive(stream.subspan(1, size), testing::test_now);
    require(done.has_value() != endpoint.failed());
    stream = stream.subspan(1 + size);
  }
  require(!endpoint.established() && around.authority.issued == 0);
  require(!endpoint.failed() || endpoint.failure()->from_peer || endpoint.take_output().size() >= 7);
}

}  // namespace sealcast::handshake::fuzz
