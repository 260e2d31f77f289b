// Every flow travels in ISAKMP messages (P34), and in every one SMKE brings all that a security association needs
// (P35 to P38).
#include "handshake/flows.h"

#include <gtest/gtest.h>

#include "handshake/isakmp/carriage.h"
#include "handshake/testing/in_process.h"

namespace sealcast::isakmp {
namespace {

using handshake::Authentication;
using handshake::CipherSuite;
using handshake::Endpoint;
using handshake::Event;
using handshake::FlagPlace;
using handshake::GroupFlow;
using handshake::GroupKeying;
using handshake::Keepalive;
using handshake::SecondCcs;
using handshake::testing::find_event;
using handshake::testing::KeyKind;
using handshake::testing::kNow;
using handshake::testing::World;

struct Case {
  const char* name;
  GroupFlow flow;
};
void PrintTo(const Case& one, std::ostream* out) {
  *out << one.name;
}

std::vector<Case> cases() {
  std::vector<Case> out;
  const auto add = [&](const char* name, std::uint8_t variant, SecondCcs order, FlagPlace place, Authentication proof) {
    GroupFlow flow;
    flow.variant = variant;
    if (variant == 1) flow.suite = CipherSuite::rsa_aes_128_gcm_sha256;
    flow.second_ccs = order;
    flow.flag_place = place;
    flow.authentication = proof;
    out.push_back({name, flow});
  };
  const auto in_request = FlagPlace::certificate_request;
  add("Variant2Claim5", 2, SecondCcs::claim5, in_request, Authentication::certificate);
  return out;
}

const PeerAddress kPeer{IpAddress::v4(0x0a000001), 4000};

class EveryFlow : public testing::TestWithParam<Case> {
 protected:
  EveryFlow() : keys_(key()) {
    const GroupFlow& flow = GetParam().flow;
    world_.authority.flow = flow;
    world_.client_config.multicast->flow = flow;
    world_.server_config.key_server_id = world_.client_config.multicast->key_server_id;
    if (flow.authentication == Authentication::password) world_.client_config.credentials = {};
    if (flow.authentication != Authentication::certificate) {
      world_.client_config.password = [] {
        handshake::PasswordCredential credential;
        credential.user = "anna";
        credential.secret = SecretBytes(4);
        std::fill_n(credential.secret.data(), 4, std::uint8_t{'x'});
        return Result<handshake::PasswordCredential>(std::move(credential));
      };
    }
    client_ = make_initiator(world_.client(), handshake::system_random());
    server_ = make_responder([this] { return world_.server(); }, keys_, kPeer);
  }
  static Secret<32> key() {
    Secret<32> out;
    out.data()[0] = 1;
    return out;
  }
  // One end speaks until both are silent. Notes who sent which message ids.
  void run() {
    for (int turn = 0, quiet = 0; quiet < 2 && turn < 100; ++turn) {
      Endpoint& from = turn % 2 == 0 ? *client_ : *server_;
      Endpoint& to = turn % 2 == 0 ? *server_ : *client_;
      const Bytes bytes = from.take_output();
      quiet = bytes.empty() ? quiet + 1 : 0;
      note(turn % 2 == 0 ? 'C' : 'S', bytes);
      const auto received = to.receive(bytes, kNow);
      ASSERT_TRUE(received.has_value()) << received.error().message();
      for (Event& event : server_->take_events()) {
        if (std::holds_alternative<handshake::PasswordPresented>(event)) {
          ASSERT_TRUE(server_->password_checked(true, kNow).has_value());
          ++passwords_;
        } else {
          server_events_.push_back(std::move(event));
        }
      }
      for (Event& event : client_->take_events())
        client_events_.push_back(std::move(event));
    }
  }
  void note(char who, const Bytes& bytes) {
    MessageReader reader;
    for (ByteView rest = bytes; !rest.empty();) {
      auto message = reader.take(rest, [](const Header&) { return Outcome<void>(); });
      ASSERT_TRUE(message && *message);
      seen_ += who + std::to_string((*message)->header.message_id) + " ";
    }
  }

  World world_{KeyKind::p256, GetParam().flow.variant == 1 ? KeyKind::rsa2048 : KeyKind::p256, GetParam().flow.suite};
  CookieKeys keys_;
  std::unique_ptr<Endpoint> client_, server_;
  std::vector<Event> client_events_, server_events_;
  std::string seen_;
  int passwords_ = 0;
};

TEST_P(EveryFlow, P34_OneMessageForEachFlightAndIdsFromTheLastFinishedOn) {
  run();
  ASSERT_TRUE(client_->established() && server_->established());
  // No end sends two messages in a row: each flight is one, from the cookies to the last Finished.
  for (std::size_t at = 3; at < seen_.size(); at += 3)
    EXPECT_NE(seen_[at], seen_[at - 3]) << seen_;
  for (std::size_t at = 1; at < seen_.size(); at += 3)
    EXPECT_EQ(seen_[at], '0') << seen_;
  EXPECT_EQ(passwords_, GetParam().flow.authentication == Authentication::certificate ? 0 : 1);
  seen_.clear();
  ASSERT_TRUE(client_->send(Keepalive{1}).has_value());
  run();
  ASSERT_TRUE(server_->send(Keepalive{2}).has_value());
  run();
  EXPECT_EQ(seen_, "C1 S1 ");
}

TEST_P(EveryFlow, P35_P36_P37_P38_SmkeBringsAllThatAnSaNeeds) {
  run();
  const auto joined = find_event<handshake::Established>(client_events_);
  ASSERT_TRUE(joined && joined->keying && joined->group_master);
  const GroupKeying& got = *joined->keying;
  const GroupKeying& sent = world_.authority.keying;
  EXPECT_TRUE(got.premaster.equals(sent.premaster));
  // RFC 4301 §4.4.2.1: mode, algorithm, window, lifetime, selectors.
  EXPECT_EQ(got.policy.esp_mode, sent.policy.esp_mode);
  EXPECT_EQ(got.policy.cipher_suite, GetParam().flow.suite);
  EXPECT_EQ(got.policy.replay_window, sent.policy.replay_window);
  EXPECT_EQ(got.remaining_ms, sent.remaining_ms);
  ASSERT_EQ(got.policy.selectors, sent.policy.selectors);
  EXPECT_TRUE(got.policy.selectors.at(0).destination.address.is_multicast()) << "P36";
  EXPECT_EQ(got.policy.spi_prefix, sent.policy.spi_prefix) << "P37: as the server set it";
  EXPECT_EQ(got.assignment.first_slot, sent.assignment.first_slot) << "P37";
  // P38: whoever sends under an SPI and whoever receives derive one key for it.
  const std::uint32_t spi = got.policy.spi_prefix + got.assignment.first_slot;
  const auto here =
      handshake::derive_sa_key(GetParam().flow.suite, *joined->group_master, got.group_id, got.epoch, spi);
  const auto there = handshake::derive_sa_key(GetParam().flow.suite,
                                              handshake::derive_group_master(GetParam().flow.suite, sent.premaster),
                                              sent.group_id, sent.epoch, spi);
  EXPECT_TRUE(here.key.equals(there.key));
}

INSTANTIATE_TEST_SUITE_P(Isakmp, EveryFlow, testing::ValuesIn(cases()),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace sealcast::isakmp
