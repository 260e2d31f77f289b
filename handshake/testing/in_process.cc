#include "handshake/testing/in_process.h"

#include <algorithm>

namespace sealcast::handshake::testing {

GroupKeying clone(const GroupKeying& keying) {
  GroupKeying copy;
  copy.key_server_id = keying.key_server_id;
  copy.group_id = keying.group_id;
  copy.epoch = keying.epoch;
  copy.state = keying.state;
  copy.remaining_ms = keying.remaining_ms;
  copy.policy = keying.policy;
  copy.assignment = keying.assignment;
  copy.premaster = keying.premaster.clone();
  return copy;
}

GroupKeying sample_keying(CipherSuite suite) {
  GroupKeying keying;
  keying.key_server_id = "ks.example";
  keying.group_id = "tv";
  keying.epoch = std::uint64_t{1'800'000'000} << 20;
  keying.remaining_ms = 3'600'000;
  Selector selector;
  selector.destination = Prefix{IpAddress::v4(0xef010100), 24};
  selector.protocol = 17;
  selector.ports = PortRange{5000, 5010};
  keying.policy.selectors = {selector};
  keying.policy.cipher_suite = suite;
  keying.policy.spi_prefix = 0x10000000;
  keying.policy.slots_used = 3;
  keying.assignment.member_id = "member-a";
  keying.assignment.roles = sender_and_receiver;
  keying.assignment.first_slot = 2;
  keying.assignment.slot_count = 1;
  keying.assignment.floors = {{0, 17}, {1, 1}};
  for (std::size_t i = 0; i < 48; ++i)
    keying.premaster.data()[i] = static_cast<std::uint8_t>(i + 1);
  return keying;
}

Result<GroupKeying> TestAuthority::issue(const std::string&, const PeerIdentity& member) {
  if (refusal) return fail(*refusal);
  ++issued;
  GroupKeying answer = clone(keying);
  if (!member.name.empty()) answer.assignment.member_id = member.name;
  if (tamper) tamper(answer);
  return answer;
}

World::World(KeyKind server_key, KeyKind client_key, CipherSuite suite) : authority(suite) {
  server_config.credentials = pki.server("ks.example", server_key).credentials;
  server_config.member_trust = pki.trust();
  client_config.credentials = pki.member("member-a", {"tv"}, client_key).credentials;
  client_config.server_trust = pki.trust();
  client_config.server_name = "ks.example";
  client_config.multicast = MulticastWish{"tv", "ks.example", authority.flow};
}

void World::make_standard(bool mutual) {
  client_config.multicast.reset();
  server_config.allow_standard = true;
  server_config.standard_requests_certificate = mutual;
}

std::unique_ptr<Endpoint> World::server() {
  return make_server(std::make_shared<ServerConfig>(server_config), authority, system_random());
}

std::unique_ptr<Endpoint> World::client() {
  return make_client(std::make_shared<ClientConfig>(client_config), system_random());
}

void pump(Endpoint& a, Endpoint& b, std::size_t chunk, std::int64_t now) {
  const auto deliver = [&](Endpoint& from, Endpoint& to) {
    const Bytes bytes = from.take_output();
    ByteView rest = bytes;
    while (!rest.empty()) {
      const ByteView part = rest.first(chunk == 0 ? rest.size() : std::min(chunk, rest.size()));
      rest = rest.subspan(part.size());
      if (!to.failed()) (void)to.receive(part, now);
    }
    return !bytes.empty();
  };
  bool moved = true;
  while (moved) {
    moved = deliver(a, b);
    moved = deliver(b, a) || moved;
  }
}

}  // namespace sealcast::handshake::testing
