// The client against a byte stream; the first byte chooses the variant of its handshake.
#include "tests/fuzz/fuzz_endpoint.h"
#include "tests/fuzz/worlds.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace fuzz = sealcast::handshake::fuzz;
  if (size == 0) return 0;
  auto* world = fuzz::world_of(data[0] % fuzz::all_ways.size());
  if (world == nullptr) return 0;
  const auto client = world->client();
  (void)client->take_output();
  fuzz::feed(*client, *world, {data + 1, size - 1});
  return 0;
}
