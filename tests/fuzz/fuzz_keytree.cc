// Rekeying by datagram, a member's and a gateway's side: the datagram as it comes from the group, the path and the
// packet as they come from the key server. The first byte says which:
//   0: a datagram from any sender;
//   1: the signed part of a datagram, signed here as the key server would: as a lying key server could;
//   2: KeyPath (0x81), and then a datagram's update for the path it gave;
//   3: Announce (0x82).
#include "controlplane/member/rekey_datagrams.h"
#include "handshake/certificate/credentials.h"
#include "handshake/keytree/member_path.h"
#include "handshake/messages/control_codec.h"
#include "handshake/messages/keying_codec.h"
#include "handshake/testing/in_process.h"
#include "handshake/testing/test_pki.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/keytree_world.h"
#include "tests/fuzz/length_mutator.h"

namespace {

using namespace sealcast;             // NOLINT: a fuzzer of it
using namespace sealcast::handshake;  // NOLINT
using fuzz::Input;
using fuzz::KeytreeWorld;
using fuzz::require;
using member::RekeyDatagrams;

const CredentialsData& key_server() {
  static const testing::TestIdentity identity = testing::TestPki().server("ks.example");
  return *identity.credentials.operator->();
}

const config::MemberGroup& configured() {
  static const config::MemberGroup group = [] {
    config::MemberGroup made;
    made.id = "tv";
    made.keyserver_id = "ks.example";
    made.flows[0].suite = KeytreeWorld::suite;
    return made;
  }();
  return group;
}

TreePath watched_path() {
  static const SensitiveBytes path = [] {
    KeytreeWorld world;
    return encode_tree_path(world.tree.path(KeytreeWorld::watched));
  }();
  return *decode_tree_path(path);
}

Bytes signed_by_the_key_server(ByteView part) {
  Bytes covered(64, 0x20);
  for (const char c : std::string_view("multicast rekey datagram"))
    covered.push_back(static_cast<std::uint8_t>(c));
  covered.push_back(0);
  covered.insert(covered.end(), part.begin(), part.end());
  constexpr auto scheme = SignatureScheme::ecdsa_secp256r1_sha256;
  const auto signature = sign(key_server().key.get(), scheme, covered);
  require(signature.has_value());
  Bytes out(part.begin(), part.end());
  for (const std::size_t number : {static_cast<std::size_t>(scheme), signature->size()}) {
    out.push_back(static_cast<std::uint8_t>(number >> 8));
    out.push_back(static_cast<std::uint8_t>(number));
  }
  out.insert(out.end(), signature->begin(), signature->end());
  return out;
}

// Decoded datagrams have the form that the header promises.
void check_form(const ReceivedRekeyDatagram& received, ByteView bytes) {
  const RekeyDatagram& said = received.datagram;
  require(!said.key_server_id.empty() && said.key_server_id.size() <= 64);
  require(!said.group_id.empty() && said.group_id.size() <= 64);
  require(said.to_epoch > said.from_epoch && said.update.depth <= max_tree_depth);
  require(received.signed_part.size() + 2 + 2 + received.signature.size() == bytes.size());
  require(said.update.wrapped_keys() <= 1 + 2 * said.update.nodes.size());
  require(said.update.nodes.size() <= bytes.size());  // no amplification
  for (std::size_t i = 0; i < said.update.nodes.size(); ++i) {
    const NodeUpdate& node = said.update.nodes[i];
    require(node.level >= 1 && node.level <= said.update.depth);
    require((node.index >> (said.update.depth - node.level)) == 0);
    if (i == 0) continue;
    const NodeUpdate& before = said.update.nodes[i - 1];
    require(before.level < node.level || (before.level == node.level && before.index < node.index));
  }
}

void datagram(ByteView bytes, bool from_the_key_server) {
  if (const auto received = decode_rekey_datagram(bytes)) {
    check_form(*received, bytes);
    require(from_the_key_server || !received->verify_with(key_server().chain_der.front()));
  }
  RekeyDatagrams receiver(configured());
  receiver.joined(key_server().chain_der.front(), KeytreeWorld::suite);
  receiver.set_path(watched_path());
  RekeyDatagrams::Held held{KeytreeWorld::epoch, handshake::testing::sample_keying().policy, "home"};
  const GroupDatagram came{"tv", KeytreeWorld::epoch, {bytes.begin(), bytes.end()}};
  const auto keying = receiver.take(came, held, KeytreeWorld::now, SteadyTime(std::chrono::hours(1)));
  const auto& counts = receiver.counts();
  require(counts.taken + counts.old + counts.refused + counts.held_back == 1);
  require(keying.has_value() == (counts.taken == 1));
  if (!keying) return;
  require(from_the_key_server);
  require(keying->epoch > held.epoch && keying->group_id == "tv" && keying->key_server_id == "ks.example");
  require(keying->state == EpochState::pending && keying->assignment.roles == handshake::receiver);
  require(keying->assignment.slot_count == 0 && handshake::check_keying(*keying).has_value());
  require(keying->policy.cipher_suite == held.policy.cipher_suite && keying->policy.selectors == held.policy.selectors);
  // A copy, and a replay once the epoch is there, do nothing.
  held.epoch = keying->epoch;
  require(!receiver.take(came, held, KeytreeWorld::now, SteadyTime(std::chrono::hours(1))));
  require(receiver.counts().old == 1);
}

void key_path(ByteView bytes) {
  Input input(bytes);
  const ByteView message = input.block();
  auto heard = decode_control(0x81, message);
  if (!heard || !*heard) return;
  auto* path = std::get_if<KeyPath>(&**heard);
  require(path != nullptr && valid_path(path->path) && path->path.levels.size() <= max_tree_depth + 1u);
  const auto again = encode(**heard);
  require(again && std::equal(again->begin() + 4, again->end(), message.begin(), message.end()));
  MemberPath member(KeytreeWorld::suite, std::move(path->path));
  const LeafPosition position = member.position();
  if (const auto received = decode_rekey_datagram(input.rest())) (void)member.apply(received->datagram.update);
  require(member.position() == position);
}

void announce(ByteView bytes) {
  const auto heard = decode_control(0x82, bytes);
  if (!heard || !*heard) return;
  const auto* message = std::get_if<Announce>(&**heard);
  require(message != nullptr && !message->packet.empty() && message->packet.size() <= max_announced_packet);
  const auto again = encode(**heard);
  require(again && std::equal(again->begin() + 4, again->end(), bytes.begin(), bytes.end()));
}

}  // namespace

SEALCAST_LENGTH_MUTATOR(1)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView rest(data + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      datagram(rest, false);
      break;
    case 1:
      datagram(signed_by_the_key_server(rest), true);
      break;
    case 2:
      key_path(rest);
      break;
    default:
      announce(rest);
  }
  return 0;
}
