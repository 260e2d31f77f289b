// The patent's statements about flag, order and content, from the bytes that two real ends send. Expectations are
// written out by hand; the reader is witness.h.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "handshake/certificate/credentials.h"
#include "handshake/keys/key_schedule.h"
#include "handshake/testing/in_process.h"
#include "handshake/witness/witness.h"

namespace sealcast::handshake {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::Not;
using testing::test_now;
using testing::World;
using witness::Witness;

constexpr std::uint8_t flag_value = 30;  // the patent's example

class Recorded final : public Random {
 public:
  void fill(ByteSpan out) override {
    system_random().fill(out);
    drawn.emplace_back(out.begin(), out.end());
  }
  std::vector<Bytes> drawn;
};

// Two real ends of a world, and the witness between them.
struct Wire {
  // told: the premaster that the witness believes in; empty: the group's.
  explicit Wire(World& world, const Bytes& told = {})
      : premaster(world.authority.keying.premaster.view().begin(), world.authority.keying.premaster.view().end()),
        credentials(world.client_config.credentials),
        seen(random.drawn, told.empty() ? premaster : told, credentials ? credentials->key.get() : nullptr),
        server(world.server()),
        client(make_client(std::make_shared<ClientConfig>(world.client_config), random)) {
    pump();
  }
  void pump() {
    for (int turn = 0; turn < 20; ++turn) {
      const Bytes there = client->take_output();
      seen.pass('C', there);
      if (!there.empty()) (void)server->receive(there, test_now);
      const Bytes back = server->take_output();
      seen.pass('S', back);
      if (!back.empty()) (void)client->receive(back, test_now);
      for (Event& event : client->take_events())
        if (auto* end = std::get_if<Established>(&event)) established = std::move(*end);
    }
  }

  Recorded random;
  Bytes premaster;
  Credentials credentials;
  Witness seen;
  std::unique_ptr<Endpoint> server, client;
  std::optional<Established> established;
};

bool names_the_flag(const witness::Message* request) {  // certificate_types<1..2^8-1> comes first
  if (request == nullptr) return false;
  const auto types = request->body.begin() + 1;
  return std::find(types, types + request->body[0], flag_value) != types + request->body[0];
}

bool holds(const Bytes& whole, const Bytes& part) {
  return std::search(whole.begin(), whole.end(), part.begin(), part.end()) != whole.end();
}

const std::vector<std::string> up_to_the_first_change = {
    "C ClientHello (clear)",       "S ServerHello (clear)",        "S Certificate (clear)",
    "S ServerKeyExchange (clear)", "S CertificateRequest (clear)", "S ServerHelloDone (clear)",
    "C Certificate (clear)",       "C ClientKeyExchange (clear)",  "C CertificateVerify (clear)",
    "C ChangeCipherSpec (clear)",  "C Finished (first)",           "S ChangeCipherSpec (clear)",
};

std::vector<std::string> and_then(std::vector<std::string> list, const std::vector<std::string>& more) {
  list.insert(list.end(), more.begin(), more.end());
  return list;
}

TEST(OnTheWire, P1_P2_P3_WithoutTheFlagTheOrderIsTheStandardOne) {
  World world(Flow::standard_mutual);
  const Wire wire(world);
  ASSERT_TRUE(wire.client->established() && wire.server->established());
  EXPECT_FALSE(names_the_flag(wire.seen.find("CertificateRequest")));
  EXPECT_THAT(wire.seen.order(), ElementsAreArray(and_then(up_to_the_first_change, {"S Finished (first)"})));
  EXPECT_TRUE(wire.seen.find("Finished", 0)->proved && wire.seen.find("Finished", 1)->proved);
}

// The flag stands in the server's CertificateRequest (P2, P10). What the client sends next is another order (P3): no
// ClientKeyExchange, no ChangeCipherSpec, no Finished (P13, P14), and CertificateVerify (P15).
TEST(OnTheWire, P2_P3_P13_P14_P15_P17_P18_P19_Variant1) {
  World world(Flow::variant1);
  const Wire wire(world);
  ASSERT_TRUE(wire.client->established() && wire.server->established());
  EXPECT_TRUE(names_the_flag(wire.seen.find("CertificateRequest")));
  EXPECT_THAT(wire.seen.order(),
              ElementsAre("C ClientHello (clear)", "S ServerHello (clear)", "S Certificate (clear)",
                          "S CertificateRequest (clear)", "S ServerHelloDone (clear)", "C Certificate (clear)",
                          "C CertificateVerify (clear)", "S ServerMasterKeyExchange (clear)",
                          // P17: right after SMKE the server's ChangeCipherSpec, then Finished, under the new keys
                          "S ChangeCipherSpec (clear)", "S Finished (channel)",
                          // P18, P19: the client's, which ends it
                          "C ChangeCipherSpec (clear)", "C Finished (channel)"));
  const witness::Message* smke = wire.seen.find("ServerMasterKeyExchange");
  const witness::Message *servers = wire.seen.find("Finished", 0), *clients = wire.seen.find("Finished", 1);
  EXPECT_TRUE(servers->proved && clients->proved) << "under keys made of what SMKE brought";
  EXPECT_EQ(smke->flight, servers->flight) << "P17: in one flight";
  EXPECT_EQ(wire.seen.transported(), wire.premaster) << "P16: under the client's public key";
  EXPECT_FALSE(holds(smke->body, wire.premaster)) << "and in no other way";
  EXPECT_EQ(smke->body[1], flag_value) << "P11";
}

class Variant2Wire : public ::testing::TestWithParam<SecondCcs> {};

TEST_P(Variant2Wire, P2_P3_P21_P22_P25_P26_TheOrder) {
  World world(GetParam() == SecondCcs::claim5 ? Flow::variant2_claim5 : Flow::variant2_description);
  const Wire wire(world);
  ASSERT_TRUE(wire.client->established() && wire.server->established());
  EXPECT_TRUE(names_the_flag(wire.seen.find("CertificateRequest")));
  // P21: the standard handshake up to the server's first ChangeCipherSpec; P22: SMKE there instead of Finished.
  std::vector<std::string> expected = and_then(up_to_the_first_change, {"S ServerMasterKeyExchange (first)"});
  if (GetParam() == SecondCcs::claim5)  // P25, P26
    expected = and_then(expected, {"S ChangeCipherSpec (first)", "C ChangeCipherSpec (first)", "C Finished (channel)",
                                   "S Finished (channel)"});
  else
    expected = and_then(expected, {"C ChangeCipherSpec (first)", "C Finished (channel)", "S ChangeCipherSpec (first)",
                                   "S Finished (channel)"});
  EXPECT_THAT(wire.seen.order(), ElementsAreArray(expected));
  for (std::size_t nth = 0; nth < 3; ++nth)
    EXPECT_TRUE(wire.seen.find("Finished", nth)->proved) << nth;
  // P25: the server's second change leaves with SMKE, or only when the client's Finished has come.
  const std::size_t smke = wire.seen.find("ServerMasterKeyExchange")->flight;
  const witness::Message* change = nullptr;
  for (const auto& message : wire.seen.messages())
    if (message.from == 'S' && message.name == "ChangeCipherSpec") change = &message;
  EXPECT_EQ(change->flight, GetParam() == SecondCcs::claim5 ? smke : smke + 2);
}

// P23: at least the new MasterKey (here: what it is made of, P42), and the flag, wherever else it stands.
TEST_P(Variant2Wire, P23_P24_SmkeHoldsTheNewKeyAndTheFlag) {
  for (const FlagPlace place : {FlagPlace::certificate_request, FlagPlace::smke}) {
    World world(GetParam() == SecondCcs::claim5 ? Flow::variant2_claim5 : Flow::variant2_description);
    GroupFlow flow = world.authority.flow;
    flow.flag_place = place;
    world.set_group_flow(flow);
    const Wire wire(world);
    ASSERT_TRUE(wire.client->established());
    EXPECT_EQ(names_the_flag(wire.seen.find("CertificateRequest")), place == FlagPlace::certificate_request);
    const witness::Message* smke = wire.seen.find("ServerMasterKeyExchange");
    ASSERT_NE(smke, nullptr);
    EXPECT_EQ(smke->protection, "first") << "P24: record protection is all that hides it";
    EXPECT_EQ(smke->body[1], flag_value);
    EXPECT_EQ(smke->body[2], GetParam() == SecondCcs::claim5 ? 1 : 2) << "the order that follows";
    Bytes material{0, 48};
    material.insert(material.end(), wire.premaster.begin(), wire.premaster.end());
    EXPECT_TRUE(holds(smke->body, material));
  }
}

// P27: what comes after the second change opens under keys made of the new MasterKey, and no more under the first ones;
// the group's keys come from it alone (P42).
TEST_P(Variant2Wire, P27_P33_P42_TheNewMasterKeyIsInUse) {
  World world(GetParam() == SecondCcs::claim5 ? Flow::variant2_claim5 : Flow::variant2_description);
  Wire wire(world);
  ASSERT_TRUE(wire.established && wire.established->keying);
  ASSERT_TRUE(wire.client->send(Keepalive{7}));
  ASSERT_TRUE(wire.server->send(Keepalive{7}));
  wire.pump();
  EXPECT_EQ(wire.seen.find("data", 0)->protection, "channel");
  EXPECT_EQ(wire.seen.find("data", 1)->protection, "channel");
  EXPECT_EQ(wire.seen.opened_by_both(), 0);
  EXPECT_THAT(wire.seen.order(), Not(Contains(::testing::HasSubstr("sealed")))) << "all of it was read";

  // Whoever has another MasterKey opens none of it, though it has the first exchange's secret.
  World again(GetParam() == SecondCcs::claim5 ? Flow::variant2_claim5 : Flow::variant2_description);
  const Wire other(again, Bytes(48, 1));
  ASSERT_TRUE(other.client->established());
  EXPECT_THAT(other.seen.order(), Contains("S ServerMasterKeyExchange (first)"));
  EXPECT_THAT(other.seen.order(), Contains("C record of type 22 (sealed)"));
  EXPECT_THAT(other.seen.order(), Not(Contains(::testing::HasSubstr("(channel)"))));

  const GroupKeying& keying = *wire.established->keying;
  for (const std::uint32_t slot : {0u, 1u, 77u}) {
    const std::uint32_t spi = keying.policy.spi_prefix | slot;
    const SaKey ours =
        derive_sa_key(keying.policy.cipher_suite, *wire.established->group_master, keying.group_id, keying.epoch, spi);
    Bytes key(ours.key.data(), ours.key.data() + ours.key_size);
    key.insert(key.end(), ours.salt.begin(), ours.salt.end());
    EXPECT_EQ(key, wire.seen.sa_key("tv", keying.epoch, spi)) << "what seals the group's packets";
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, Variant2Wire, ::testing::Values(SecondCcs::claim5, SecondCcs::description),
                         [](const auto& play) { return play.param == SecondCcs::claim5 ? "Claim5" : "Description"; });

TEST(OnTheWire, P28_P29_P30_Variant3AsksBeforeSmke) {
  for (const Flow flow : {Flow::variant3_password_claim5, Flow::variant3_both_description}) {
    World world(flow);
    const Wire wire(world);
    ASSERT_TRUE(wire.client->established());
    auto order = wire.seen.order();
    const auto asks = std::find(order.begin(), order.end(), "S ClientAuthRequest (first)");
    ASSERT_NE(asks, order.end());
    EXPECT_EQ(*(asks - 1), "S ChangeCipherSpec (clear)");
    EXPECT_EQ(*(asks + 1), "C ClientAuthResponse (first)");
    EXPECT_EQ(*(asks + 2), "S ServerMasterKeyExchange (first)");
    const std::string password = testing::test_password;
    EXPECT_TRUE(holds(wire.seen.find("ClientAuthResponse")->body, Bytes(password.begin(), password.end())));
  }
}

// P31: clients that offer several suites, each in its own order, all get the group's; P32 stands in hello_test.cc.
TEST(OnTheWire, P31_EveryClientOfTheGroupGetsItsSuite) {
  using enum CipherSuite;
  World world(Flow::variant2_claim5);
  GroupFlow flow = world.authority.flow;
  flow.suite = ecdhe_ecdsa_aes_128_gcm_sha256;
  world.set_group_flow(flow);
  for (const std::vector<CipherSuite>& offer :
       {std::vector{ecdhe_ecdsa_aes_256_gcm_sha384, flow.suite},
        std::vector{flow.suite, ecdhe_ecdsa_aes_256_gcm_sha384},
        std::vector{ecdhe_rsa_aes_256_gcm_sha384, ecdhe_ecdsa_aes_256_gcm_sha384, ecdhe_rsa_aes_128_gcm_sha256,
                    flow.suite},
        std::vector{flow.suite}}) {
    auto& flows = world.client_config.multicast->flows;
    flows.clear();
    for (const CipherSuite suite : offer) {
      flows.push_back(flow);
      flows.back().suite = suite;
    }
    const Wire wire(world);
    ASSERT_TRUE(wire.client->established());
    EXPECT_EQ(wire.seen.offered().size(), offer.size());
    EXPECT_EQ(wire.seen.offered().front(), static_cast<std::uint16_t>(offer.front()));
    EXPECT_EQ(wire.seen.suite(), 0xc02b);
    EXPECT_TRUE(wire.seen.find("Finished", 2)->proved) << "P33: under its hash and key size to the end";
  }
}

}  // namespace
}  // namespace sealcast::handshake
