// The packet path against frames of any kind, with valid keys: raw frames on black and on red, and ESP packets that
// authenticate but lie in every other field (H10, H16, DATA-1, DATA-2). Frames lie in exactly sized buffers.
#include <set>

#include "dataplane/testing/harness.h"
#include "tests/fuzz/input.h"

namespace {

using namespace sealcast;                      // NOLINT: a fuzzer of it
using namespace sealcast::dataplane;           // NOLINT
using namespace sealcast::dataplane::testing;  // NOLINT
using fuzz::Input;
using fuzz::require;

constexpr std::uint32_t first_opened_spi =
    0x10000008;  // and the next: slots of other members, which this gateway opens

// The IPv4 packet of a frame a worker let through, behind its tags.
ByteView packet_of(const Bytes& frame) {
  std::size_t at = 12;
  while (frame.size() >= at + 4 &&
         (load_be<std::uint16_t>(&frame[at]) == 0x8100 || load_be<std::uint16_t>(&frame[at]) == 0x88a8))
    at += 4;
  require(frame.size() >= at + 22 && load_be<std::uint16_t>(&frame[at]) == 0x0800);
  return ByteView(frame).subspan(at + 2);
}

// IPv6 of hop limit 1 behind Router Alert: no group of this gateway is IPv6, so that no other IPv6 passes.
bool is_mld_frame(const Bytes& frame) {
  std::size_t at = 12;
  while (frame.size() >= at + 4 &&
         (load_be<std::uint16_t>(&frame[at]) == 0x8100 || load_be<std::uint16_t>(&frame[at]) == 0x88a8))
    at += 4;
  if (frame.size() < at + 2 + 48 || load_be<std::uint16_t>(&frame[at]) != 0x86dd) return false;
  const std::uint8_t* const ip = &frame[at + 2];
  require(ip[6] == 0 && ip[7] == 1 && ip[40] == 58);
  return true;
}

Bytes edited(Bytes frame, Input& input) {
  for (std::size_t n = input.pick(4); n > 0 && !frame.empty(); --n) {
    const std::size_t place = input.u16() % frame.size();
    frame[place] = static_cast<std::uint8_t>(frame[place] ^ input.u8());
  }
  return frame;
}

void on_black(Harness& gateway, const Bytes& frame, bool authentic_key) {
  const Outcome outcome = gateway.black(frame);
  if (outcome.verdict != Verdict::forward) {
    require(outcome.verdict == Verdict::park ||
            (outcome.verdict == Verdict::drop && outcome.reason != DropReason::none));
    return;
  }
  // Output is the group's own traffic, or an IGMP or MLD message that both sides may see.
  if (is_mld_frame(outcome.frame)) return;
  const ByteView packet = packet_of(outcome.frame);
  const bool igmp = packet[9] == 2;
  require(packet[9] != 50 && (packet[0] >> 4) == 4);
  require(igmp || (authentic_key && packet[16] == 239 && packet[17] == 1 && packet[18] == 1));
  // Never a second time.
  if (!igmp) require(gateway.black(frame).verdict == Verdict::drop);
}

void on_red(Harness& gateway, const Bytes& frame, std::set<std::uint64_t>& numbers) {
  const Outcome outcome = gateway.red(frame);
  if (outcome.verdict != Verdict::forward) {
    require(outcome.verdict == Verdict::drop && outcome.reason != DropReason::none);
    return;
  }
  if (is_mld_frame(outcome.frame)) return;
  const ByteView packet = packet_of(outcome.frame);
  if (packet[9] == 2) return;
  const std::size_t header = (packet[0] & 0x0fU) * 4;
  require(packet[9] == 50 && packet.size() >= header + 36);
  require(load_be<std::uint32_t>(&packet[header]) == 0x10000000);               // the one slot we seal under
  require(numbers.insert(load_be<std::uint64_t>(&packet[header + 8])).second);  // H9
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  Harness::Options options;
  const std::uint8_t shape = input.u8();
  options.engine = (shape & 1) != 0 ? "openssl" : "auto";
  if ((shape & 2) != 0) options.headroom = options.tailroom = 0;
  if ((shape & 4) != 0) options.path.local_red_sources = {*Prefix::parse("10.0.0.0/30")};
  if ((shape & 8) != 0) options.path.red_mtu = 576;
  options.path.learn_sources = (shape & 16) != 0;
  Harness gateway(options);
  gateway.install_tv();
  std::set<std::uint64_t> numbers;
  for (int count = 0; count < 16 && !input.empty(); ++count) {
    switch (input.pick(6)) {
      case 0:
        on_black(gateway, fuzz::copy(input.block()), false);
        break;
      case 1:
        on_red(gateway, fuzz::copy(input.block()), numbers);
        break;
      case 2: {
        const Bytes frame = udp_frame(input.u16() % 1600, {}, input.u16());
        on_red(gateway, edited(frame, input), numbers);
        break;
      }
      case 3:
        gateway.advance(std::chrono::milliseconds(input.u16()));
        break;
      default: {
        EspFields fields;
        const std::uint8_t lies = input.u8();
        fields.spi = first_opened_spi + input.u8() % 3;  // the third belongs to no sender
        fields.number = (lies & 1) != 0 ? input.u64() : input.u8();
        if ((lies & 2) != 0) fields.sequence = input.u32();
        if ((lies & 4) != 0) fields.next_header = input.u8();
        if ((lies & 8) != 0) fields.trailer = fuzz::copy(input.short_block());
        if ((lies & 16) != 0) fields.outer.options = Bytes(input.pick(11) * 4, 1);
        if ((lies & 32) != 0) fields.outer.tos = input.u8();
        Bytes inner = (lies & 64) != 0 ? fuzz::copy(input.block())
                                       : testing::ipv4({}, testing::udp(4000, input.u16(), pattern(input.u8())));
        inner = edited(std::move(inner), input);
        const bool sound = (lies & 128) == 0;
        on_black(gateway, sound ? esp_frame(fields, inner) : edited(esp_frame(fields, inner), input), true);
      }
    }
  }
  return 0;
}
