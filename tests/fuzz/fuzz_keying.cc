// A member's policy (H5, H12, SMKE-4): a keying in the wire's form, and around it the member's memory and present
// state. Every accepted keying must keep all promises of the policy, checked here a second time in other words.
#include "controlplane/member/keying_check.h"
#include "handshake/messages/keying_codec.h"
#include "handshake/testing/in_process.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/length_mutator.h"

namespace {

using namespace sealcast;          // NOLINT: a fuzzer of it
using namespace sealcast::member;  // NOLINT
using fuzz::Input;
using fuzz::require;
using handshake::GroupKeying;

constexpr std::size_t circumstance_bytes = 24;  // bytes of input before the keying

const config::MemberGroup& configured() {
  static const config::MemberGroup group = [] {
    config::MemberGroup made;
    made.id = "tv";
    made.keyserver_id = "ks.example";
    made.selectors = handshake::testing::sample_keying().policy.selectors;
    Selector v6;
    v6.destination = *Prefix::parse("ff3e::/32");
    made.selectors.push_back(v6);
    made.max_lifetime = std::chrono::hours(48);
    return made;
  }();
  return group;
}

// Epochs and SPI ranges near those of the keying: far ones decide nothing.
KeyingContext circumstances(Input& input, const GroupKeying& keying, const handshake::EpochId& id) {
  KeyingContext context;
  context.source = input.flag() ? KeyingSource::group_update : KeyingSource::smke;
  const auto near_epoch = [&] { return keying.epoch + input.u8() % 3 - 1; };
  const auto some_id = [&] {
    handshake::EpochId made = id;
    if (input.flag()) made[0] ^= 1;
    return made;
  };
  if (input.flag()) context.remembered = RememberedEpoch{near_epoch(), some_id()};
  for (std::size_t n = input.pick(3); n > 0; --n) {
    LiveEpoch live;
    live.group_id = input.flag() ? keying.group_id : "radio";
    live.epoch = near_epoch();
    live.epoch_id = some_id();
    live.active = input.flag();
    live.first_spi = keying.policy.spi_prefix + (input.u8() % 3 - 1u) * 0x8000;
    live.last_spi = live.first_spi + (input.flag() ? 0xffffu : 0x7fffu);
    context.live.push_back(live);
  }
  return context;
}

void check_accepted(const GroupKeying& keying, const handshake::EpochId& id, const KeyingContext& context) {
  const config::MemberGroup& group = configured();
  const auto& policy = keying.policy;
  require(keying.group_id == "tv" && keying.key_server_id == "ks.example" && keying.epoch != 0);
  // H5
  if (context.remembered) {
    require(keying.epoch >= context.remembered->epoch);
    require(keying.epoch != context.remembered->epoch || id == context.remembered->epoch_id);
  }
  // H12
  for (const Selector& selector : policy.selectors) {
    require(selector.destination.address.is_multicast() && !selector.destination.address.is_link_local_scope());
    require(std::any_of(group.selectors.begin(), group.selectors.end(), [&](const Selector& ours) {
      return ours.destination.contains(selector.destination) && (!ours.ports || selector.ports);
    }));
  }
  const std::uint64_t first = policy.spi_prefix;
  const std::uint64_t last = first + (std::uint64_t{1} << policy.spi_slot_bits) - 1;
  require(first >= group.spi_range.first && last <= group.spi_range.last && first > 255);
  require(std::uint64_t{keying.assignment.first_slot} + keying.assignment.slot_count <= last - first + 1);
  for (const LiveEpoch& live : context.live) {
    const bool same = live.group_id == keying.group_id && live.epoch == keying.epoch;
    require(same ? live.epoch_id == id && live.first_spi == first : last < live.first_spi || first > live.last_spi);
    if (context.source == KeyingSource::group_update && live.active && live.group_id == keying.group_id)
      require(keying.epoch > live.epoch);
  }
  require(keying.remaining_ms > 0 && keying.remaining_ms <= 48u * 3600 * 1000);
  require(policy.authority_lease_s >= 1 && policy.replay_window >= 1024 && !keying.premaster.is_zero());
  require(policy.cipher_suite == handshake::CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384);
}

}  // namespace

SEALCAST_LENGTH_MUTATOR(circumstance_bytes)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  Input around(input.bytes(circumstance_bytes));
  handshake::Reader reader("keying", input.rest());
  const GroupKeying keying = handshake::read_keying(reader);
  if (!reader.finish()) return 0;

  handshake::Writer writer;  // writing what was read gives the same bytes
  handshake::write_keying(writer, keying);
  require(std::equal(writer.view().begin(), writer.view().end(), data + circumstance_bytes, data + size));
  require(handshake::check_keying(keying).has_value());

  const auto master = handshake::derive_group_master(keying.policy.cipher_suite, keying.premaster);
  const auto id = handshake::derive_epoch_id(keying.policy.cipher_suite, master);
  const KeyingContext context = circumstances(around, keying, id);
  const auto accepted = member::check_keying(configured(), keying, id, context);
  if (accepted) {
    check_accepted(keying, id, context);
  } else {
    require(!accepted.error().message.empty());
  }
  return 0;
}
