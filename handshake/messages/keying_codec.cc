#include "handshake/messages/keying_codec.h"

#include <algorithm>

#include "base/limits.h"
#include "handshake/wire/constants.h"

namespace sealcast::handshake {
namespace {

constexpr std::uint8_t timed_numbers = 1, foreign_numbers = 2;

enum SelectorField : std::uint8_t { has_source = 1, has_protocol = 2, has_ports = 4 };

void write_prefix(Writer& out, const Prefix& prefix) {
  out.bytes({prefix.address.bytes.data(), prefix.address.size()});
  out.u8(prefix.length);
}

void write_selector(Writer& out, const Selector& selector) {
  out.u8(selector.destination.address.family);
  out.u8(static_cast<std::uint8_t>((selector.source ? has_source : 0) | (selector.protocol ? has_protocol : 0) |
                                   (selector.ports ? has_ports : 0)));
  write_prefix(out, selector.destination);
  if (selector.source) write_prefix(out, *selector.source);
  if (selector.protocol) out.u8(*selector.protocol);
  if (selector.ports) {
    out.u16(selector.ports->first);
    out.u16(selector.ports->last);
  }
}

// Canonical only: bits beyond the prefix length are refused, so that equal selectors have equal bytes.
Prefix read_prefix(Reader& reader, std::uint8_t family, std::string_view field) {
  Prefix prefix;
  prefix.address.family = family;
  const ByteView address = reader.bytes(prefix.address.size(), field);
  std::copy(address.begin(), address.end(), prefix.address.bytes.begin());
  prefix.length = reader.u8(field);
  if (!reader.ok()) return {};
  const std::size_t bits = prefix.address.size() * 8;
  if (prefix.length > bits) {
    reader.refuse(Reason::selector_refused, std::string(field) + " has prefix length " + std::to_string(prefix.length));
    return {};
  }
  for (std::size_t bit = prefix.length; bit < bits; ++bit)
    if ((prefix.address.bytes[bit / 8] >> (7 - bit % 8)) & 1) {
      reader.refuse(Reason::selector_refused,
                    std::string(field) + " " + prefix.text() + " has address bits beyond its length");
      return {};
    }
  return prefix;
}

Selector read_selector(Reader& reader) {
  Selector selector;
  const std::uint8_t family = reader.u8("selector family");
  const std::uint8_t fields = reader.u8("selector fields");
  if (reader.ok() && family != 4 && family != 6)
    reader.refuse(Reason::selector_refused, "selector family " + std::to_string(family) + ", expected 4 or 6");
  if (reader.ok() && (fields & ~(has_source | has_protocol | has_ports)) != 0)
    reader.refuse(Reason::decode_error, "unknown selector fields " + std::to_string(fields));
  if (!reader.ok()) return selector;
  selector.destination = read_prefix(reader, family, "selector destination");
  if (fields & has_source) selector.source = read_prefix(reader, family, "selector source");
  if (fields & has_protocol) selector.protocol = reader.u8("selector protocol");
  if (fields & has_ports) {
    PortRange ports;
    ports.first = reader.u16("selector port");
    ports.last = reader.u16("selector port");
    if (reader.ok() && ports.first > ports.last)
      reader.refuse(Reason::selector_refused,
                    "selector ports run from " + std::to_string(ports.first) + " to " + std::to_string(ports.last));
    selector.ports = ports;
  }
  return selector;
}

void write_policy(Writer& out, const GroupPolicy& policy) {
  out.vector(2, [&](Writer& list) {
    for (const Selector& selector : policy.selectors)
      write_selector(list, selector);
  });
  out.u8(static_cast<std::uint8_t>(policy.esp_mode));
  out.u8(policy.numbers == Numbers::timed ? timed_numbers : foreign_numbers);
  out.u16(static_cast<std::uint16_t>(policy.cipher_suite));
  out.u32(policy.replay_window);
  out.u32(policy.activation_delay_ms);
  out.u32(policy.deactivation_delay_ms);
  out.u32(policy.authority_lease_s);
  out.u32(policy.spi_prefix);
  out.u8(policy.spi_slot_bits);
  out.u16(policy.slots_used);
}

GroupPolicy read_policy(Reader& reader) {
  GroupPolicy policy;
  Reader list(reader.message(), reader.vector16(1, 0xffff, "selectors"));
  while (!list.at_end() && policy.selectors.size() <= max_selectors)
    policy.selectors.push_back(read_selector(list));
  if (policy.selectors.size() > max_selectors)
    list.refuse(Reason::decode_error, "more than " + std::to_string(max_selectors) + " selectors");
  reader.absorb(list);
  const std::uint8_t mode = reader.u8("esp_mode");
  if (reader.ok() && (mode < 1 || mode > 3))
    reader.refuse(Reason::policy_refused, "esp_mode " + std::to_string(mode) + " is unknown");
  policy.esp_mode = EspMode{mode};
  const std::uint8_t numbers = reader.u8("numbers");
  if (reader.ok() && numbers != timed_numbers && numbers != foreign_numbers)
    reader.refuse(Reason::policy_refused, "numbers " + std::to_string(numbers) + " are unknown");
  policy.numbers = numbers == foreign_numbers ? Numbers::foreign : Numbers::timed;
  const std::uint16_t suite = reader.u16("cipher_suite");
  if (reader.ok() && !known_suite(suite))
    reader.refuse(Reason::wrong_suite, "cipher_suite " + std::to_string(suite) + " is unknown");
  policy.cipher_suite = CipherSuite{suite};
  policy.replay_window = reader.u32("replay_window");
  policy.activation_delay_ms = reader.u32("activation_delay_ms");
  policy.deactivation_delay_ms = reader.u32("deactivation_delay_ms");
  policy.authority_lease_s = reader.u32("authority_lease_s");
  policy.spi_prefix = reader.u32("spi_prefix");
  policy.spi_slot_bits = reader.u8("spi_slot_bits");
  policy.slots_used = reader.u16("slots_used");
  return policy;
}

void write_assignment(Writer& out, const Assignment& assignment) {
  out.string8(assignment.member_id);
  out.u8(assignment.roles);
  out.u16(assignment.first_slot);
  out.u16(assignment.slot_count);
}

Assignment read_assignment(Reader& reader) {
  Assignment assignment;
  assignment.member_id = reader.string8(1, max_name_bytes, "member_id");
  const std::uint8_t roles = reader.u8("roles");
  if (reader.ok() && (roles < 1 || roles > 3))
    reader.refuse(Reason::policy_refused, "roles " + std::to_string(roles) + " are unknown");
  assignment.roles = static_cast<Role>(roles);
  assignment.first_slot = reader.u16("first_slot");
  assignment.slot_count = reader.u16("slot_count");
  return assignment;
}

bool valid_id(const std::string& id) {
  return !id.empty() && id.size() <= max_name_bytes;
}

Outcome<void> check_all_but_premaster(const GroupKeying& keying) {
  const GroupPolicy& policy = keying.policy;
  if (!valid_id(keying.key_server_id) || !valid_id(keying.group_id) || !valid_id(keying.assignment.member_id))
    return refuse(Reason::decode_error, "an id that is empty or longer than 64 bytes");
  if (policy.selectors.empty() || policy.selectors.size() > max_selectors)
    return refuse(Reason::selector_refused, std::to_string(policy.selectors.size()) + " selectors, expected 1 to " +
                                                std::to_string(max_selectors));
  for (const Selector& selector : policy.selectors)
    if (auto valid = validate(selector); !valid) return refuse(Reason::selector_refused, valid.error().message);
  if (policy.spi_slot_bits < 1 || policy.spi_slot_bits > max_slot_bits)
    return refuse(Reason::spi_refused, "spi_slot_bits " + std::to_string(policy.spi_slot_bits) + ", expected 1 to 16");
  const std::uint32_t slots = 1u << policy.spi_slot_bits;
  if ((policy.spi_prefix & (slots - 1)) != 0)
    return refuse(Reason::spi_refused, "spi_prefix " + std::to_string(policy.spi_prefix) + " has bits within its " +
                                           std::to_string(policy.spi_slot_bits) + " slot bits");
  if (policy.spi_prefix < first_usable_spi)
    return refuse(Reason::spi_refused, "spi_prefix " + std::to_string(policy.spi_prefix) + " reaches SPI 0-255");
  if (policy.slots_used > slots || std::uint32_t{keying.assignment.first_slot} + keying.assignment.slot_count > slots)
    return refuse(Reason::spi_refused, "slots beyond the " + std::to_string(slots) + " the SPI has room for");
  if (!valid_replay_window(policy.replay_window))
    return refuse(Reason::policy_refused, "replay_window " + std::to_string(policy.replay_window) +
                                              ", expected a power of two from " + replay_window_limits.range());
  if (policy.authority_lease_s == 0) return refuse(Reason::policy_refused, "authority_lease_s is 0");
  return {};
}

}  // namespace

Outcome<void> check_keying(const GroupKeying& keying) {
  SEALCAST_TRY(check_all_but_premaster(keying));
  if (keying.premaster.is_zero()) return refuse(Reason::zero_premaster, "the premaster secret is all zero");
  return {};
}

void write_reading(Writer& out, const ClockReading& reading) {
  out.u64(reading.clock_id);
  out.u64(reading.now_ms);
  out.u32(reading.error_ms);
}

ClockReading read_reading(Reader& reader) {
  ClockReading reading;
  reading.clock_id = reader.u64("clock_id");
  reading.now_ms = reader.u64("clock's now_ms");
  reading.error_ms = reader.u32("clock's error_ms");
  return reading;
}

void write_keying(Writer& out, const GroupKeying& keying, ByteView sealed) {
  out.string8(keying.key_server_id);
  out.string8(keying.group_id);
  out.u64(keying.epoch);
  out.u8(static_cast<std::uint8_t>(keying.state));
  out.u64(keying.remaining_ms);
  out.u64(keying.zero.clock_id);
  out.u64(keying.zero.at_ms);
  write_reading(out, keying.clock);
  write_policy(out, keying.policy);
  write_assignment(out, keying.assignment);
  if (sealed.empty())
    out.vector16(keying.premaster.view());
  else
    out.vector16(sealed);
}

GroupKeying read_keying(Reader& reader, Bytes* sealed) {
  GroupKeying keying;
  keying.key_server_id = reader.string8(1, max_name_bytes, "key_server_id");
  keying.group_id = reader.string8(1, max_name_bytes, "group_id");
  keying.epoch = reader.u64("epoch");
  const std::uint8_t state = reader.u8("epoch_state");
  if (reader.ok() && state != 1 && state != 2)
    reader.refuse(Reason::policy_refused, "epoch_state " + std::to_string(state) + ", expected 1 or 2");
  keying.state = EpochState{state};
  keying.remaining_ms = reader.u64("remaining_ms");
  keying.zero.clock_id = reader.u64("epoch's clock_id");
  keying.zero.at_ms = reader.u64("epoch's zero");
  keying.clock = read_reading(reader);
  keying.policy = read_policy(reader);
  keying.assignment = read_assignment(reader);
  if (sealed != nullptr) {
    const ByteView material = reader.vector16(1, max_sealed_keys, "key_material");
    sealed->assign(material.begin(), material.end());
  } else {
    const ByteView material = reader.vector16(48, 48, "key_material");
    std::copy(material.begin(), material.end(), keying.premaster.data());
  }
  if (reader.ok())
    if (auto sound = sealed != nullptr ? check_all_but_premaster(keying) : check_keying(keying); !sound)
      reader.refuse(sound.error().reason, sound.error().detail);
  return keying;
}

void skip_keying(Reader& reader) {
  (void)reader.vector8(1, max_name_bytes, "key_server_id");
  (void)reader.vector8(1, max_name_bytes, "group_id");
  (void)reader.bytes(8 + 1 + 8, "epoch");
  (void)reader.bytes(2 * 8 + 8 + 8 + 4, "clock");
  (void)reader.vector16(1, 0xffff, "selectors");
  (void)reader.bytes(1 + 1 + 2 + 4 * 4 + 4 + 1 + 2, "policy");
  (void)reader.vector8(1, max_name_bytes, "member_id");
  (void)reader.bytes(1 + 2 + 2, "assignment");
  (void)reader.vector16(1, 0xffff, "key_material");
}

}  // namespace sealcast::handshake
