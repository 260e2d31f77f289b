// A key server's tree of seven members that is the same in every process, so that an input can be a datagram for it.
#pragma once

#include "handshake/keytree/key_tree.h"
#include "handshake/keytree/rekey_datagram.h"

namespace sealcast::fuzz {

using namespace sealcast::handshake;  // NOLINT: names of the tree

class CountingRandom : public Random {
 public:
  void fill(ByteSpan out) override {
    for (std::uint8_t& byte : out) {
      next_ = next_ * 6364136223846793005u + 1442695040888963407u;
      byte = static_cast<std::uint8_t>(next_ >> 56);
    }
  }

 private:
  std::uint64_t next_ = 1;
};

struct KeytreeWorld {
  static constexpr auto suite = CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384;
  static constexpr std::uint64_t epoch = 41;
  static constexpr std::int64_t now = 1'800'000'000;
  static constexpr LeafPosition watched = 2;  // the member that the target plays

  KeytreeWorld() : tree(suite, random) {
    for (int i = 0; i < 7; ++i)
      (void)tree.join();
    premaster.data()[0] = 1;
    (void)tree.renew({}, premaster);
  }
  // The next epoch's, without the leaving members.
  RekeyDatagram datagram(std::span<const LeafPosition> leaving) {
    RekeyDatagram d;
    d.key_server_id = "ks.example";
    d.group_id = "tv";
    d.from_epoch = epoch;
    d.to_epoch = d.sequence = epoch + 1;
    d.not_after = now + 60;
    d.remaining_ms = 86'400'000;
    d.spi_prefix = 0x10010000;
    d.spi_slot_bits = 16;
    d.update = tree.renew(leaving, premaster);
    return d;
  }

  CountingRandom random;
  KeyTree tree;
  Secret<48> premaster;
};

}  // namespace sealcast::fuzz
