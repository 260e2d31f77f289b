#include "controlplane/keyserver/group/announcement.h"

#include <algorithm>

#include "handshake/crypto/aead.h"

namespace sealcast::keyserver {

Bytes seal_announcement(const SaKey& key, std::uint64_t number, ByteView datagram) {
  constexpr std::size_t header = 8, iv = 8, trailer = 2;
  const std::size_t padding = (4 - (datagram.size() + trailer) % 4) % 4;
  const std::size_t text = datagram.size() + padding + trailer;
  Bytes packet(header + iv + text + handshake::gcm_tag_size);
  store_be<std::uint32_t>(packet.data(), key.spi);
  store_be<std::uint32_t>(packet.data() + 4, static_cast<std::uint32_t>(number));
  store_be<std::uint64_t>(packet.data() + header, number);
  std::copy(datagram.begin(), datagram.end(), packet.data() + header + iv);
  std::uint8_t* at = packet.data() + header + iv + datagram.size();
  for (std::size_t i = 1; i <= padding; ++i)
    *at++ = static_cast<std::uint8_t>(i);
  *at++ = static_cast<std::uint8_t>(padding);
  *at = group_datagram_next_header;

  handshake::DirectionKeys keys;
  keys.key = SecretBytes(key.key_size);
  std::copy_n(key.key.data(), key.key_size, keys.key.data());
  std::copy(key.salt.begin(), key.salt.end(), keys.salt.data());
  handshake::AesGcm gcm(keys, handshake::AesGcm::Direction::seal);
  const ByteSpan body = ByteSpan(packet).subspan(header + iv);
  gcm.seal(number, ByteView(packet).first(header), body.first(text), body);
  return packet;
}

}  // namespace sealcast::keyserver
