// The client against a byte stream; the first byte chooses member or standard client.
#include "tests/fuzz/fuzz_endpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  auto& world = sealcast::handshake::fuzz::world((data[0] & 1) != 0);
  const auto client = world.client();
  (void)client->take_output();
  sealcast::handshake::fuzz::feed(*client, world, {data + 1, size - 1});
  return 0;
}
