// Every flow travels in ISAKMP messages (P34), and in each SMKE brings all that a security association needs (P35 to
// P38).
#include <gtest/gtest.h>

#include "handshake/flow_lists.h"
#include "handshake/isakmp/carriage.h"
#include "handshake/isakmp/testing/peers.h"
#include "handshake/testing/in_process.h"

namespace sealcast::isakmp {
namespace {

using handshake::Authentication;
using handshake::Endpoint;
using handshake::Event;
using handshake::FlagPlace;
using handshake::Flow;
using handshake::GroupFlow;
using handshake::GroupKeying;
using handshake::Keepalive;
using handshake::testing::find_event;
using handshake::testing::test_now;
using handshake::testing::World;

struct Case {
  Flow flow;
  FlagPlace place = FlagPlace::certificate_request;
  GroupFlow group() const {
    GroupFlow out = handshake::testing::group_flow(flow);
    out.flag_place = place;
    return out;
  }
};
std::string name_of(const Case& one) {
  return handshake::testing::test_name(one.flow) + (one.place == FlagPlace::smke ? "FlagInSmke" : "");
}
void PrintTo(const Case& one, std::ostream* out) {
  *out << name_of(one);
}

// Every flow of a group, in every place of the flag.
std::vector<Case> cases() {
  std::vector<Case> out;
  for (const handshake::FlowDefinition& definition : handshake::flow_definitions) {
    if (definition.flow == Flow::standard || definition.flow == Flow::standard_mutual) continue;
    out.push_back({definition.flow});
    if (out.back().group().authentication != Authentication::password)
      out.push_back({definition.flow, FlagPlace::smke});
  }
  return out;
}

class EveryFlow : public testing::TestWithParam<Case> {
 protected:
  EveryFlow() : world_(GetParam().flow), keys_(key()) {
    world_.set_group_flow(GetParam().group());
    world_.passwords = nullptr;  // the test answers itself, through the carriage
    client_ = make_initiator(world_.client(), handshake::system_random());
    server_ = make_responder([this] { return world_.server(); }, keys_, peer_address);
  }
  static Secret<32> key() {
    Secret<32> out;
    out.data()[0] = 1;
    return out;
  }
  // Carries messages between the ends until both are silent. Notes the sender of each message ID.
  void run() {
    for (int turn = 0, quiet = 0; quiet < 2 && turn < 100; ++turn) {
      Endpoint& from = turn % 2 == 0 ? *client_ : *server_;
      Endpoint& to = turn % 2 == 0 ? *server_ : *client_;
      const Bytes bytes = from.take_output();
      quiet = bytes.empty() ? quiet + 1 : 0;
      note(turn % 2 == 0 ? 'C' : 'S', bytes);
      const auto received = to.receive(bytes, test_now);
      ASSERT_TRUE(received.has_value()) << received.error().message();
      for (Event& event : server_->take_events()) {
        if (std::holds_alternative<handshake::PasswordPresented>(event)) {
          ASSERT_TRUE(server_->password_checked(true, test_now).has_value());
          ++passwords_;
        } else {
          server_events_.push_back(std::move(event));
        }
      }
      for (Event& event : client_->take_events())
        client_events_.push_back(std::move(event));
    }
  }
  void note(char sender, const Bytes& bytes) {
    MessageReader reader;
    for (ByteView rest = bytes; !rest.empty();) {
      auto message = reader.take(rest, [](const Header&) { return Outcome<void>(); });
      ASSERT_TRUE(message && *message);
      seen_ += sender + std::to_string((*message)->header.message_id) + " ";
    }
  }

  World world_;
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
  EXPECT_EQ(passwords_, GetParam().group().authentication == Authentication::certificate ? 0 : 1);
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
  EXPECT_EQ(got.policy.cipher_suite, GetParam().group().suite);
  EXPECT_EQ(got.policy.replay_window, sent.policy.replay_window);
  EXPECT_EQ(got.remaining_ms, sent.remaining_ms);
  ASSERT_EQ(got.policy.selectors, sent.policy.selectors);
  EXPECT_TRUE(got.policy.selectors.at(0).destination.address.is_multicast()) << "P36";
  EXPECT_EQ(got.policy.spi_prefix, sent.policy.spi_prefix) << "P37: as the server set it";
  EXPECT_EQ(got.assignment.first_slot, sent.assignment.first_slot) << "P37";
  // P38: sender and receivers derive the same key for an SPI.
  const std::uint32_t spi = got.policy.spi_prefix + got.assignment.first_slot;
  const auto here =
      handshake::derive_sa_key(GetParam().group().suite, *joined->group_master, got.group_id, got.epoch, spi);
  const auto there = handshake::derive_sa_key(GetParam().group().suite,
                                              handshake::derive_group_master(GetParam().group().suite, sent.premaster),
                                              sent.group_id, sent.epoch, spi);
  EXPECT_TRUE(here.key.equals(there.key));
}

INSTANTIATE_TEST_SUITE_P(Isakmp, EveryFlow, testing::ValuesIn(cases()),
                         [](const auto& one) { return name_of(one.param); });

}  // namespace
}  // namespace sealcast::isakmp
