// The datagram's bytes: decoding returns what was encoded, every byte is signed, and each error of form is refused with
// its reason.
#include "handshake/keytree/rekey_datagram.h"

#include <gtest/gtest.h>

#include "handshake/certificate/credentials.h"
#include "handshake/keytree/key_tree.h"
#include "handshake/keytree/member_path.h"

namespace sealcast::handshake {
namespace {

constexpr CipherSuite datagram_suite = CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384;

PkeyPtr make_key() {
  return PkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
}

RekeyDatagram sample(KeyTree& tree, std::span<const LeafPosition> leaving) {
  RekeyDatagram d;
  d.key_server_id = "ks.example";
  d.group_id = "tv";
  d.from_epoch = 41;
  d.to_epoch = 42;
  d.sequence = 7;
  d.not_after = 1'800'000'000;
  d.remaining_ms = 86'400'000;
  d.spi_prefix = 0x10010000;
  d.spi_slot_bits = 16;
  d.update = tree.renew(leaving, Secret<48>{});
  return d;
}

struct Signed {
  explicit Signed(int members = 21, std::vector<LeafPosition> leaving = {3, 4, 17})
      : tree(datagram_suite, system_random()) {
    for (int i = 0; i < members; ++i)
      (void)tree.join();
    datagram = sample(tree, leaving);
    bytes = encode_rekey_datagram(datagram, key.get(), SignatureScheme::ecdsa_secp256r1_sha256).value();
  }
  PkeyPtr key = make_key();
  KeyTree tree;
  RekeyDatagram datagram;
  Bytes bytes;
};

TEST(RekeyDatagram, WhatIsWrittenIsRead) {
  const Signed s;
  const auto read = decode_rekey_datagram(s.bytes);
  ASSERT_TRUE(read) << read.error().message();
  const RekeyDatagram& d = read->datagram;
  EXPECT_EQ(d.key_server_id, "ks.example");
  EXPECT_EQ(d.group_id, "tv");
  EXPECT_EQ(d.from_epoch, 41U);
  EXPECT_EQ(d.to_epoch, 42U);
  EXPECT_EQ(d.sequence, 7U);
  EXPECT_EQ(d.not_after, 1'800'000'000U);
  EXPECT_EQ(d.remaining_ms, 86'400'000U);
  EXPECT_EQ(d.spi_prefix, 0x10010000U);
  EXPECT_EQ(d.spi_slot_bits, 16);
  ASSERT_EQ(d.update.nodes.size(), s.datagram.update.nodes.size());
  for (std::size_t i = 0; i < d.update.nodes.size(); ++i) {
    const NodeUpdate &a = d.update.nodes[i], &b = s.datagram.update.nodes[i];
    EXPECT_EQ(a.level, b.level);
    EXPECT_EQ(a.index, b.index);
    for (std::size_t side = 0; side < 2; ++side) {
      ASSERT_EQ(a.for_child[side].has_value(), b.for_child[side].has_value());
      if (!a.for_child[side]) continue;
      EXPECT_EQ(a.for_child[side]->step, b.for_child[side]->step);
      EXPECT_EQ(a.for_child[side]->bytes, b.for_child[side]->bytes);
    }
  }
  EXPECT_EQ(d.update.premaster, s.datagram.update.premaster);
  EXPECT_TRUE(read->verify(s.key.get()));
}

TEST(RekeyDatagram, AnotherKeyServersSignatureIsRefused) {
  const Signed s;
  const auto read = decode_rekey_datagram(s.bytes);
  ASSERT_TRUE(read);
  const auto verified = read->verify(make_key().get());
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().reason, Reason::signature_invalid);
}

TEST(RekeyDatagram, EveryBitCounts) {
  const Signed s(5, {2});
  for (std::size_t bit = 0; bit < s.bytes.size() * 8; ++bit) {
    Bytes bent = s.bytes;
    bent[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    const auto read = decode_rekey_datagram(bent);
    EXPECT_FALSE(read && read->verify(s.key.get())) << "bit " << bit;
  }
}

TEST(RekeyDatagram, EveryPrefixIsRefused) {
  const Signed s;
  for (std::size_t length = 0; length < s.bytes.size(); ++length)
    EXPECT_FALSE(decode_rekey_datagram(ByteView(s.bytes).first(length))) << length;
  Bytes longer = s.bytes;
  longer.push_back(0);
  EXPECT_FALSE(decode_rekey_datagram(longer));
}

TEST(RekeyDatagram, OneLeaverOfTenThousandFitsOnePacket) {
  Signed s(10'000, {});  // renews the nodes that the tree's growth left without a key
  s.datagram = sample(s.tree, std::vector<LeafPosition>{4321});
  s.bytes = encode_rekey_datagram(s.datagram, s.key.get(), SignatureScheme::ecdsa_secp256r1_sha256).value();
  // 1500 less the headers of IPv4 and UDP and the overhead of ESP in tunnel mode.
  EXPECT_LE(s.bytes.size(), 1500U - 28 - 57);
  EXPECT_EQ(s.datagram.update.wrapped_keys(), 15U);
}

struct Lie {
  const char* name;
  void (*bend)(RekeyDatagram&);
};
class RekeyDatagramLies : public ::testing::TestWithParam<Lie> {};
TEST_P(RekeyDatagramLies, AreRefused) {
  Signed s;
  GetParam().bend(s.datagram);
  const auto bytes = encode_rekey_datagram(s.datagram, s.key.get(), SignatureScheme::ecdsa_secp256r1_sha256);
  ASSERT_TRUE(bytes);
  EXPECT_FALSE(decode_rekey_datagram(*bytes));
}
INSTANTIATE_TEST_SUITE_P(
    All, RekeyDatagramLies,
    ::testing::Values(Lie{"EpochDoesNotRise", [](RekeyDatagram& d) { d.to_epoch = d.from_epoch; }},
                      Lie{"NoKeyServer", [](RekeyDatagram& d) { d.key_server_id.clear(); }},
                      Lie{"LongGroup", [](RekeyDatagram& d) { d.group_id = std::string(65, 'x'); }},
                      Lie{"TooDeep", [](RekeyDatagram& d) { d.update.depth = 25; }},
                      Lie{"LevelAboveTheRoot", [](RekeyDatagram& d) { d.update.nodes.back().level = 6; }},
                      Lie{"LevelZero", [](RekeyDatagram& d) { d.update.nodes.front().level = 0; }},
                      Lie{"IndexBeyondTheLevel", [](RekeyDatagram& d) { d.update.nodes.front().index = 1U << 16; }},
                      Lie{"NodeTwice",
                          [](RekeyDatagram& d) { d.update.nodes.insert(d.update.nodes.begin(), d.update.nodes[0]); }},
                      Lie{"OutOfOrder", [](RekeyDatagram& d) { std::swap(d.update.nodes[0], d.update.nodes[1]); }}),
    [](const auto& lie) { return lie.param.name; });

TEST(RekeyDatagram, StepsAreReadInTheirShortestFormOnly) {
  Signed s(1, {});
  const auto read = decode_rekey_datagram(s.bytes);
  ASSERT_TRUE(read);
  const std::size_t step_at = read->signed_part.size() - wrapped_premaster_size - 1;
  for (const Bytes& form :
       {Bytes{0x80, 0x00}, Bytes{0xff, 0xff, 0xff, 0xff, 0x1f}, Bytes{0x80, 0x80, 0x80, 0x80, 0x80}}) {
    Bytes bent = s.bytes;
    bent.erase(bent.begin() + static_cast<std::ptrdiff_t>(step_at));
    bent.insert(bent.begin() + static_cast<std::ptrdiff_t>(step_at), form.begin(), form.end());
    EXPECT_FALSE(decode_rekey_datagram(bent));
  }
  Bytes longest = s.bytes;
  longest.erase(longest.begin() + static_cast<std::ptrdiff_t>(step_at));
  const Bytes most{0xff, 0xff, 0xff, 0xff, 0x0f};
  longest.insert(longest.begin() + static_cast<std::ptrdiff_t>(step_at), most.begin(), most.end());
  const auto largest = decode_rekey_datagram(longest);
  ASSERT_TRUE(largest) << largest.error().message();
  EXPECT_EQ(largest->datagram.update.root_step, 0xffffffffU);
}

TEST(TreePathCodec, WhatIsWrittenIsReadAndEveryPrefixIsRefused) {
  KeyTree tree(datagram_suite, system_random());
  for (int i = 0; i < 9; ++i)
    (void)tree.join();
  const SensitiveBytes bytes = encode_tree_path(tree.path(8));
  const auto read = decode_tree_path(ByteView(bytes.data(), bytes.size()));
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->position, 8U);
  ASSERT_EQ(read->levels.size(), 5U);
  for (std::size_t length = 0; length < bytes.size(); ++length)
    EXPECT_FALSE(decode_tree_path(ByteView(bytes.data(), length))) << length;
  MemberPath member(datagram_suite, std::move(*decode_tree_path(ByteView(bytes.data(), bytes.size()))));
  EXPECT_TRUE(member.apply(tree.renew(std::vector<LeafPosition>{2}, Secret<48>{})));
}

}  // namespace
}  // namespace sealcast::handshake
