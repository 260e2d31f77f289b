#include "controlplane/member/rekey_datagrams.h"

#include <algorithm>

#include "handshake/keytree/rekey_datagram.h"
#include "handshake/messages/keying_codec.h"

namespace sealcast::member {

void RekeyDatagrams::joined(Bytes certificate, handshake::CipherSuite suite) {
  certificate_ = std::move(certificate);
  suite_ = suite;
  path_.reset();
}

bool RekeyDatagrams::may_verify(SteadyTime now) {
  const auto next = std::max(verified_until_, now) + signature_every;
  if (next - now > signature_every * signatures_at_once) return false;
  verified_until_ = next;
  return true;
}

// What costs least is looked at first; whatever any member can send ends before the signature, or is counted there.
std::optional<handshake::GroupKeying> RekeyDatagrams::take(const GroupDatagram& datagram, const Held& held,
                                                           std::int64_t unix_now, SteadyTime now) {
  const auto none = [](std::uint64_t& count) -> std::optional<handshake::GroupKeying> {
    ++count;
    return std::nullopt;
  };
  if (!path_ || certificate_.empty() || datagram.epoch != held.epoch) return none(counts_.old);
  const auto received = handshake::decode_rekey_datagram(datagram.bytes);
  if (!received) return none(counts_.refused);
  const handshake::RekeyDatagram& said = received->datagram;
  if (said.key_server_id != group_.keyserver_id || said.group_id != group_.id) return none(counts_.refused);
  if (said.from_epoch != held.epoch) return none(counts_.old);
  if (said.sequence != said.to_epoch || unix_now < 0 || said.not_after < static_cast<std::uint64_t>(unix_now))
    return none(counts_.refused);
  if (!may_verify(now)) return none(counts_.held_back);
  if (!received->verify_with(certificate_)) return none(counts_.refused);
  auto premaster = path_->apply(said.update);
  if (!premaster) return none(counts_.refused);

  handshake::GroupKeying keying;
  keying.key_server_id = said.key_server_id;
  keying.group_id = said.group_id;
  keying.epoch = said.to_epoch;
  keying.state = handshake::EpochState::pending;
  keying.remaining_ms = said.remaining_ms;
  keying.zero = said.zero;
  keying.policy = held.policy;
  keying.policy.spi_prefix = said.spi_prefix;
  keying.policy.spi_slot_bits = said.spi_slot_bits;
  // About as many as now: senders get theirs at the same time.
  if (said.spi_slot_bits < 16)
    keying.policy.slots_used =
        static_cast<std::uint16_t>(std::min<std::uint32_t>(held.policy.slots_used, 1U << said.spi_slot_bits));
  keying.assignment.member_id = held.member_id;
  keying.assignment.roles = handshake::receiver;
  keying.premaster = std::move(*premaster);
  if (!handshake::check_keying(keying)) return none(counts_.refused);
  ++counts_.taken;
  return keying;
}

}  // namespace sealcast::member
