// What opening has in common in all modes. Inside the worker's own files only.
#pragma once

#include "dataplane/packet/link_address.h"
#include "dataplane/path/worker_seal.h"

namespace sealcast::dataplane {

template <typename Family>
inline DropReason Worker::check_opened(const EpochRules& rules, const std::uint8_t* ip, const Packet& packet) noexcept {
  if (packet.protocol == protocol_esp || packet.protocol == protocol_ah) return DropReason::nested_esp;
  if (is_membership_message(ip, packet)) return membership_not_allowed<Family>;
  PacketKeyOf<typename Family::Address> key;
  if (!packet_key<Family>(ip, packet, key)) return DropReason::bad_inner_packet;
  if (match_any(rules.of<typename Family::Address>(), key) == Match::none) return DropReason::selector_mismatch;  // H16
  if constexpr (Family::family == 4) {
    for (const Rule& rule : local_red_)
      if (((packet.source ^ rule.source) & rule.source_mask) == 0) return DropReason::local_red_source;
  } else {
    for (const Rule6& rule : local_red6_)
      if (is_zero((packet.source6 ^ rule.source) & rule.source_mask)) return DropReason::local_red_source;
  }
  if (packet.total_bytes > settings_.red_mtu) return DropReason::too_big_for_red;
  if (packet.fragment) [[unlikely]]
    return opened_fragment(ip, Packet(packet), key, rules.of<typename Family::Address>());
  return DropReason::none;
}

// RFC 4106 nonce and AAD.
inline void Worker::push_open_item(OpeningSa& sa, std::uint8_t* esp, std::uint32_t length,
                                   const Opened& opened) noexcept {
  Scratch& scratch = *scratch_;
  scratch.opened[scratch.open.size] = opened;
  aead::OpenItem& item = scratch.open.push(sa);
  item.data = esp + esp_front_bytes;
  item.length = length;
  item.aad = esp;
  item.aad_length = esp_header_bytes;
  item.tag = item.data + length;
  std::memcpy(item.nonce.data(), sa.salt.data(), 4);
  std::memcpy(item.nonce.data() + 4, esp + esp::iv, esp_iv_bytes);
  item.ok = false;
}

}  // namespace sealcast::dataplane
