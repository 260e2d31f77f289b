// What sealing has in common in all modes. Inside the worker's own files only.
#pragma once

#include "dataplane/packet/packet.h"
#include "dataplane/path/worker_scratch.h"

namespace sealcast::dataplane {

// Bytes moved when the Ethernet header travels: 14 to 22 of them matter. A frame that was parsed has at least 34, and
// what is copied too much is overwritten by the outer IP header.
inline constexpr std::uint32_t link_copy_bytes = 24;
static_assert(link_copy_bytes >= ethernet_bytes + max_vlan_tags * vlan_tag_bytes);
static_assert(link_copy_bytes <= ethernet_bytes + min_ipv4_bytes && link_copy_bytes <= seal_headroom);

// AES blocks one sealed packet costs: its counter blocks and the tag's mask.
constexpr std::uint64_t blocks_of(std::uint32_t plaintext_bytes) {
  return (plaintext_bytes + 15) / 16 + 1;
}
// RFC 4303 §2.4: payload, padding and the two trailer bytes fill a multiple of 4.
constexpr std::uint32_t padded(std::uint32_t payload_bytes) {
  return (payload_bytes + esp_trailer_bytes + 3) & ~3U;
}

// Takes the next number of the SA (H9): from here the packet either leaves under it or the number stays unused.
inline std::uint64_t Worker::take_number(SealingSa& sa, std::uint32_t plaintext_bytes) noexcept {
  const std::uint64_t number = sa.next_number.get();
  sa.next_number.set(number + 1);
  count_blocks(sa, blocks_of(plaintext_bytes));
  return number;
}

inline void Worker::count_blocks(SealingSa& sa, std::uint64_t blocks) noexcept {
  sa.blocks.add(blocks);
  if (sa.blocks.get() >= settings_.soft_block_limit && !sa.limit_reported) [[unlikely]]
    sa.limit_reported = counter_limits_.push(sa.spi);
}

// ESP header and IV at esp, padding and trailer behind the payload_bytes that follow them.
inline void Worker::add_seal_item(SealingSa& sa, std::uint64_t number, std::uint8_t* esp, std::uint32_t payload_bytes,
                                  std::uint32_t plaintext_bytes, std::uint8_t next_header) noexcept {
  std::uint8_t* const text = esp + esp_front_bytes;
  store32(esp + esp::spi, sa.spi);
  store32(esp + esp::sequence, static_cast<std::uint32_t>(number));
  store64(esp + esp::iv, number);

  // Padding 1, 2, 3, ...; then its length and the next header.
  std::uint8_t* trailer = text + payload_bytes;
  const std::uint32_t pad = plaintext_bytes - payload_bytes - esp_trailer_bytes;
  for (std::uint32_t i = 1; i <= pad; ++i)
    *trailer++ = static_cast<std::uint8_t>(i);
  *trailer++ = static_cast<std::uint8_t>(pad);
  *trailer++ = next_header;

  push_seal_item(sa, number, esp, plaintext_bytes);
}

// RFC 4106 nonce and AAD.
inline void Worker::push_seal_item(SealingSa& sa, std::uint64_t number, std::uint8_t* esp,
                                   std::uint32_t plaintext_bytes) noexcept {
  std::uint8_t* const text = esp + esp_front_bytes;
  aead::SealItem& item = scratch_->seal.push(sa);
  item.data = text;
  item.length = plaintext_bytes;
  item.aad = esp;
  item.aad_length = esp_header_bytes;
  item.tag = text + plaintext_bytes;
  std::memcpy(item.nonce.data(), sa.salt.data(), 4);
  store64(item.nonce.data() + 4, number);
  item.ok = false;
}

}  // namespace sealcast::dataplane
