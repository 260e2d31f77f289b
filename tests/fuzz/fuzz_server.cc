// The server against a byte stream; the first byte chooses whether standard clients are allowed.
#include "tests/fuzz/fuzz_endpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  auto& world = sealcast::handshake::fuzz::world((data[0] & 1) != 0);
  sealcast::handshake::fuzz::feed(*world.server(), world, {data + 1, size - 1});
  return 0;
}
