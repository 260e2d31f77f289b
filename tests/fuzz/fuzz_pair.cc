// Two real ends and an attacker between them without a key. If both are established, both had the same handshake: same
// flow, suite, group, peers and keying; and if nothing was changed, both are established. Input: the variant of the
// handshake, options, then the edits (middle.h).
#include "tests/fuzz/pair.h"

namespace {

using namespace sealcast;             // NOLINT: a fuzzer of it
using namespace sealcast::handshake;  // NOLINT
using sealcast::fuzz::require;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sealcast::fuzz::Input input(data, size);
  const std::size_t way = input.pick(handshake::fuzz::all_ways.size());
  const bool accept_password = !input.flag();
  testing::World* world = handshake::fuzz::world_of(way);
  if (world == nullptr) return 0;
  handshake::fuzz::Middle middle(handshake::fuzz::read_edits(input), false);
  handshake::fuzz::PairRun pair(*world);
  pair.run(middle, accept_password);
  pair.check_keying_of_client();

  const bool refused = pair.passwords > 0 && !accept_password;
  if (refused) require(!pair.client_side && !pair.server_side && world->authority.issued == 0);
  if (!middle.changed() && !refused) require(pair.client_side && pair.server_side);
  // A record's outer version is not authenticated before the first keys, and the division of messages into records
  // never is; everything else is.
  if (pair.client_side) {
    const Established& client = *pair.client_side;
    require(client.peer.name == "ks.example");
    require(!client.keying || client.keying->premaster.equals(world->authority.keying.premaster));
    require(client.keying.has_value() == handshake::fuzz::all_ways[way].multicast);
  }
  if (pair.client_side && pair.server_side)
    require(pair.client_side->flow == pair.server_side->flow && pair.client_side->suite == pair.server_side->suite &&
            pair.client_side->group_id == pair.server_side->group_id);
  return 0;
}
