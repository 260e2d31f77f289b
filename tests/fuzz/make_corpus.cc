// Writes one well-formed example of everything into DIR/<target>/: the seeds of the fuzzers and the replay tests.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "handshake/messages/certificate.h"
#include "handshake/messages/certificate_request.h"
#include "handshake/messages/client_hello.h"
#include "handshake/messages/control_codec.h"
#include "handshake/messages/server_hello.h"
#include "handshake/testing/puppet.h"

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

void messages_of(Puppet& puppet, Side side, Endpoint& other) {
  puppet.bend = [](const Step& step, SensitiveBytes& body) {
    save_message(std::string(name(step.message)), static_cast<std::uint8_t>(type_of(step.message)), body);
  };
  puppet.receive(other.take_output());
  Bytes stream;
  for (const Step& step : flow_list::variant2_claim5) {
    if (step.from != side) continue;
    puppet.send(step);
    const Bytes bytes = puppet.take_output();
    stream.insert(stream.end(), bytes.begin(), bytes.end());
    (void)other.receive(bytes, kNow);
    puppet.receive(other.take_output());
  }
  save(side == Side::client ? "fuzz_server" : "fuzz_client", "variant2", in_pieces(0, stream));
  save(side == Side::client ? "fuzz_server" : "fuzz_client", "variant2_to_standard", in_pieces(1, stream));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_corpus DIR\n");
    return 2;
  }
  root = argv[1];
  World world;
  const auto server = world.server();
  const auto client = world.client();
  Puppet member(Side::client, world, true);
  Puppet key_server(Side::server, world, true);
  messages_of(member, Side::client, *server);
  messages_of(key_server, Side::server, *client);
  save_message("Alert", 21, Bytes{2, 40});
  save_message("MulticastExtension", 22, *encode_multicast_extension({true, std::vector<std::string>{"tv"}}));
  std::vector<ControlMessage> all;
  all.emplace_back(GroupUpdate{clone(world.authority.keying)});
  all.emplace_back(GroupUpdateAck{"tv", 1});
  all.emplace_back(Activate{"tv", 1});
  all.emplace_back(ActivateAck{"tv", 1});
  all.emplace_back(Retire{"tv", 1});
  all.emplace_back(SlotRequest{"tv", 1, 1});
  all.emplace_back(SlotGrant{"tv", 1, 2, 3, 4});
  all.emplace_back(StatusReport{"tv", 1, 2, 3, 4, {{0x10000002, 5}}});
  all.emplace_back(Leave{"tv"});
  all.emplace_back(Revoked{"tv", "why"});
  all.emplace_back(Keepalive{7});
  for (const ControlMessage& message : all) {
    const auto bytes = encode(message);
    save_message("Control_" + std::string(name(type_of(message))),
                 static_cast<std::uint8_t>(128 + static_cast<int>(type_of(message))), ByteView(*bytes).subspan(4));
  }
  save("fuzz_pair", "untouched", Bytes{0xff, 0xff, 0, 1});
  for (std::uint8_t at = 0; at < 200; at = static_cast<std::uint8_t>(at + 23))
    save("fuzz_pair", "edit_" + std::to_string(at), Bytes{0, at, static_cast<std::uint8_t>(at % 3), 1});
  return 0;
}
