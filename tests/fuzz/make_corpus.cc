// Writes one well-formed example of everything into DIR/<target>/: the seeds of the fuzzers and the replay tests.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>

#include "handshake/certificate/credentials.h"
#include "handshake/messages/certificate.h"
#include "handshake/messages/certificate_request.h"
#include "handshake/messages/client_hello.h"
#include "handshake/messages/control_codec.h"
#include "handshake/messages/keying_codec.h"
#include "handshake/messages/server_hello.h"
#include "handshake/testing/puppet.h"
#include "tests/fuzz/keytree_world.h"
#include "tests/fuzz/worlds.h"

namespace {

using namespace sealcast;                      // NOLINT: a tool for it
using namespace sealcast::handshake;           // NOLINT
using namespace sealcast::handshake::testing;  // NOLINT

std::string root;

void save(const std::string& target, const std::string& name, const Bytes& bytes) {
  std::filesystem::create_directories(root + "/" + target);
  std::ofstream file(root + "/" + target + "/" + name, std::ios::binary);
  for (const std::uint8_t byte : bytes)
    file.put(static_cast<char>(byte));
}

void save_message(const std::string& name, std::uint8_t kind, ByteView body) {
  static std::set<std::string> saved;
  if (!saved.insert(name).second) return;  // the first one is enough
  Bytes bytes = {kind};
  bytes.insert(bytes.end(), body.begin(), body.end());
  save("fuzz_messages", name, bytes);
}

Bytes in_pieces(std::uint8_t choice, const Bytes& stream) {
  Bytes out = {choice};
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t size = std::min<std::size_t>(1020, stream.size() - at);
    out.push_back(static_cast<std::uint8_t>((size + 3) / 4));
    out.insert(out.end(), stream.begin() + static_cast<std::ptrdiff_t>(at),
               stream.begin() + static_cast<std::ptrdiff_t>(at + size));
    at += size;
  }
  return out;
}

// Answers the questions of a server to its owner.
void serve(Endpoint& end) {
  for (const Event& event : end.take_events())
    if (std::get_if<PasswordPresented>(&event) != nullptr) (void)end.password_checked(true, test_now);
}

// One side of a whole handshake: its messages, each once, and its stream.
void messages_of(std::size_t way, Side side, World& world, Endpoint& other) {
  const auto& chosen = handshake::fuzz::all_ways[way];
  Puppet puppet(side, world, chosen.multicast);
  puppet.bend = [way](const Step& step, SensitiveBytes& body) {
    std::string file(name(step.message));
    if (step.message == Message::server_master_key_exchange) file += "_way" + std::to_string(way);
    save_message(file, static_cast<std::uint8_t>(type_of(step.message)), body);
  };
  puppet.receive(other.take_output());
  Bytes stream;
  const Flow flow = chosen.multicast ? *flow_for(chosen.flow) : chosen.mutual ? Flow::standard_mutual : Flow::standard;
  for (const Step& step : definition(flow).steps) {
    if (step.from != side) continue;
    puppet.send(step);
    const Bytes bytes = puppet.take_output();
    stream.insert(stream.end(), bytes.begin(), bytes.end());
    (void)other.receive(bytes, test_now);
    serve(other);
    puppet.receive(other.take_output());
  }
  save(side == Side::client ? "fuzz_server" : "fuzz_client", "way" + std::to_string(way),
       in_pieces(static_cast<std::uint8_t>(way), stream));
}

// fuzz_keytree: a datagram without leavers, one for two leavers, signed and not; a path with both; a packet.
void keytree() {
  using sealcast::fuzz::KeytreeWorld;
  const auto tagged = [](std::uint8_t kind, ByteView bytes) {
    Bytes out{kind};
    out.insert(out.end(), bytes.begin(), bytes.end());
    return out;
  };
  const TestIdentity server = TestPki().server("ks.example");
  for (const std::vector<LeafPosition>& leaving : {std::vector<LeafPosition>{}, {0, 5}, {KeytreeWorld::watched}}) {
    KeytreeWorld of;
    const SensitiveBytes path = *encode(ControlMessage(KeyPath{"tv", of.tree.path(KeytreeWorld::watched)}));
    const Bytes whole = *encode_rekey_datagram(of.datagram(leaving), server.credentials->key.get(),
                                               SignatureScheme::ecdsa_secp256r1_sha256);
    const std::string name = std::to_string(leaving.size()) + "_leave";
    save("fuzz_keytree", "datagram_" + name, tagged(0, whole));
    save("fuzz_keytree", "signed_" + name + (leaving.size() == 1 ? "_watched" : ""),
         tagged(1, decode_rekey_datagram(whole)->signed_part));
    const ByteView message = ByteView(path).subspan(4);
    Bytes pair(3 + message.size() + whole.size());
    pair[0] = 2;
    pair[1] = static_cast<std::uint8_t>(message.size() >> 8);
    pair[2] = static_cast<std::uint8_t>(message.size());
    std::copy(message.begin(), message.end(), pair.begin() + 3);
    std::copy(whole.begin(), whole.end(), pair.begin() + 3 + static_cast<std::ptrdiff_t>(message.size()));
    save("fuzz_keytree", "path_" + name, pair);
  }
  const auto announce = *encode(ControlMessage(Announce{"tv", Bytes(200, 7)}));
  save("fuzz_keytree", "announce", tagged(3, ByteView(announce).subspan(4)));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_corpus DIR\n");
    return 2;
  }
  root = argv[1];
  for (std::size_t way = 0; way < handshake::fuzz::all_ways.size(); ++way) {
    World* world = handshake::fuzz::world_of(way);
    if (world == nullptr) continue;
    messages_of(way, Side::client, *world, *world->server());
    messages_of(way, Side::server, *world, *world->client());
  }
  World& world = *handshake::fuzz::world_of(0);
  Writer keying;
  keying.bytes(Bytes(24));  // fuzz_keying's circumstances
  write_keying(keying, world.authority.keying);
  save("fuzz_keying", "accepted", Bytes(keying.view().begin(), keying.view().end()));
  save_message("Alert", 21, Bytes{2, 40});
  save_message("MulticastExtension", 22, *encode_multicast_extension({true, std::vector<std::string>{"tv"}}));
  std::vector<ControlMessage> all;
  all.reserve(32);  // growing it makes g++ 12 report writes that are not there
  all.emplace_back(GroupUpdate{clone(world.authority.keying)});
  all.emplace_back(GroupUpdateAck{"tv", 1});
  all.emplace_back(Activate{"tv", 1});
  all.emplace_back(ActivateAck{"tv", 1});
  all.emplace_back(Retire{"tv", 1});
  all.emplace_back(SlotRequest{"tv", 1, 1});
  all.emplace_back(SlotGrant{"tv", 1, 2, 3, 4});
  all.emplace_back(StatusReport{"tv", 1, 2, 3, 4, {{0x10000002, 5, 700}}});
  all.emplace_back(Leave{"tv"});
  all.emplace_back(Revoked{"tv", "why"});
  all.emplace_back(Keepalive{7});
  all.emplace_back(Announce{"tv", Bytes(40, 7)});
  all.emplace_back(GroupJoin{"radio"});
  all.emplace_back(GroupRefused{"radio", Refusal::come_again});
  all.emplace_back(Expired{"tv", "why"});
  for (const ControlMessage& message : all) {
    const auto bytes = encode(message);
    const int type = static_cast<int>(type_of(message));
    save_message("Control_" + std::string(name(type_of(message))),
                 static_cast<std::uint8_t>(type < optional_control ? 128 + type : 192 + type - optional_control),
                 ByteView(*bytes).subspan(4));
  }
  keytree();
  for (std::uint8_t way = 0; way < handshake::fuzz::all_ways.size(); ++way) {
    save("fuzz_pair", "way" + std::to_string(way), Bytes{way, 0});
    save("fuzz_open_pair", "way" + std::to_string(way), Bytes{way, 0});
  }
  return 0;
}
