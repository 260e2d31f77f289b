// How gateways know each other's output on red: its source MAC address begins with these three bytes, of the locally
// administered ones, and goes on with three random ones. What bears it is never sealed again (H18).
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "dataplane/packet/headers.h"

namespace sealcast::dataplane {

inline constexpr std::array<std::uint8_t, 3> red_mark = {0x0a, 0x53, 0x43};

// Six bytes of an address as the first ones of a word in memory; the other two are those given.
constexpr std::uint64_t address_word(const std::array<std::uint8_t, 6>& address, std::uint8_t others) {
  const std::array<std::uint8_t, 8> bytes = {address[0], address[1], address[2], address[3],
                                             address[4], address[5], others,     others};
  return std::bit_cast<std::uint64_t>(bytes);
}

// Puts a gateway's address into frames that it hands to red.
class RedSignature {
 public:
  // Zeros: frames keep their sender's.
  explicit RedSignature(const std::array<std::uint8_t, 6>& address)
      : address_(address_word(address, 0)), kept_(address_ == 0 ? ~std::uint64_t{0} : address_word({}, 0xff)) {}
  // Eight bytes as they lie in memory, from the source address of an Ethernet header on.
  std::uint64_t signed_word(std::uint64_t word) const noexcept { return (word & kept_) | address_; }
  // frame: an Ethernet frame of at least 14 bytes.
  void sign(std::uint8_t* frame) const noexcept {
    std::uint64_t word;
    std::memcpy(&word, frame + ethernet::source, sizeof word);
    word = signed_word(word);
    std::memcpy(frame + ethernet::source, &word, sizeof word);
  }

 private:
  std::uint64_t address_, kept_;
};

// word: eight bytes as they lie in memory, from the source address of an Ethernet header on.
constexpr bool bears_red_mark(std::uint64_t word) noexcept {
  constexpr std::uint64_t mask = address_word({0xff, 0xff, 0xff, 0, 0, 0}, 0);
  constexpr std::uint64_t mark = address_word({red_mark[0], red_mark[1], red_mark[2], 0, 0, 0}, 0);
  return (word & mask) == mark;
}
// frame: an Ethernet frame of at least 14 bytes.
inline bool bears_red_mark(const std::uint8_t* frame) noexcept {
  std::uint64_t word;
  std::memcpy(&word, frame + ethernet::source, sizeof word);
  return bears_red_mark(word);
}

}  // namespace sealcast::dataplane
