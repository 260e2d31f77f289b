// The judge finds breaches: the rules that judge the mutations catch ends that were weakened, and an attacker with
// secrets that no attacker may have.
#include "handshake/adversary/judge.h"

#include <gtest/gtest.h>

namespace sealcast::handshake::adversary {
namespace {

using testing::find_event;
using testing::Puppet;
using testing::test_now;
using testing::World;

class Judging : public ::testing::TestWithParam<Flow> {};

struct Ends {
  explicit Ends(Flow flow) : client(world_of(flow).client()), server(world_of(flow).server()) {}
  Endpoint& of(Side side) { return side == Side::client ? *client : *server; }
  std::unique_ptr<Endpoint> client, server;
};

void tell(Judge& judge, Side side, Endpoint& end) {
  for (const Event& event : end.take_events()) {
    judge.observe(side, event);
    if (!std::holds_alternative<PasswordPresented>(event)) continue;
    (void)end.password_checked(true, test_now);
    tell(judge, side, end);
  }
}

// An honest handshake, record by record, until so many are delivered.
void play(Ends& ends, Judge& judge, std::size_t records) {
  for (bool moved = true; moved;) {
    moved = false;
    for (const Side from : {Side::client, Side::server}) {
      const Bytes sent = ends.of(from).take_output();
      judge.sent(from, sent);
      for (ByteView left = sent; !left.empty();) {
        if (records-- == 0) return;
        const ByteView record = left.first(record_header_size + load_be<std::uint16_t>(left.data() + 3));
        left = left.subspan(record.size());
        judge.delivered(other(from), record);
        (void)ends.of(other(from)).receive(record, test_now);
        tell(judge, other(from), ends.of(other(from)));
        moved = true;
      }
    }
  }
}

// An Established of a real handshake, to be reported at the wrong time.
Established stolen(Flow flow, Side side) {
  Ends ends(flow);
  std::vector<Event> events;
  for (bool moved = true; moved;) {
    moved = false;
    for (const Side from : {Side::client, Side::server}) {
      const Bytes sent = ends.of(from).take_output();
      moved |= !sent.empty();
      (void)ends.of(other(from)).receive(sent, test_now);
      for (Event& event : ends.of(Side::server).take_events()) {
        if (std::holds_alternative<PasswordPresented>(event)) {
          (void)ends.server->password_checked(true, test_now);
          moved = true;
        }
        if (side == Side::server) events.push_back(std::move(event));
      }
      if (side == Side::client)
        for (Event& event : ends.of(Side::client).take_events())
          events.push_back(std::move(event));
    }
  }
  auto established = find_event<Established>(events);
  EXPECT_TRUE(established);
  return std::move(*established);
}

TEST_P(Judging, AnHonestHandshakeBreaksNothing) {
  Ends ends(GetParam());
  Judge judge(GetParam());
  play(ends, judge, 1000);
  judge.finish(*ends.client, *ends.server, true);
  EXPECT_EQ(judge.established(), 2);
  EXPECT_FALSE(judge.violation()) << *judge.violation();
}

// A server that reports Established too early, and such a client: at every point before the other's Finished.
TEST_P(Judging, H3_AnEndThatDoesNotWaitForFinishedIsCaught) {
  for (const Side hasty : {Side::client, Side::server}) {
    int caught = 0;
    for (std::size_t records = 0; records < definition(GetParam()).steps.size(); ++records) {
      Ends ends(GetParam());
      Judge judge(GetParam());
      play(ends, judge, records);
      if (judge.established() > 0) continue;
      judge.observe(hasty, Event(stolen(GetParam(), hasty)));
      EXPECT_TRUE(judge.violation()) << "after " << records << " records";
      ++caught;
    }
    EXPECT_GT(caught, 4);
  }
}

// Finished proves nothing against an attacker with both ends' private keys who stands between them: each end runs a
// sound handshake with a puppet. Both finish, with different transcripts and keys, and the judge must see it.
TEST_P(Judging, H3_AnAttackerWhoMakesEveryFinishedFitIsCaught) {
  World& world = world_of(GetParam());
  const bool multicast = definition(GetParam()).multicast;
  Ends ends(GetParam());
  Judge judge(GetParam());
  Puppet to_client(Side::server, world, multicast);
  Puppet to_server(Side::client, world, multicast);
  const auto carry = [&](Side from, Puppet& puppet) {
    const Bytes sent = ends.of(from).take_output();
    judge.sent(from, sent);
    puppet.receive(sent);
  };
  for (const Step& step : definition(GetParam()).steps) {
    carry(Side::client, to_client);
    carry(Side::server, to_server);
    Puppet& speaker = step.from == Side::client ? to_server : to_client;
    const Side listener = other(step.from);
    speaker.send(step);
    const Bytes bytes = speaker.take_output();
    judge.delivered(listener, bytes);
    (void)ends.of(listener).receive(bytes, test_now);
    tell(judge, listener, ends.of(listener));
  }
  ASSERT_TRUE(ends.client->established()) << ends.client->failure()->message();
  ASSERT_TRUE(ends.server->established()) << ends.server->failure()->message();
  EXPECT_TRUE(judge.violation());
}

TEST_P(Judging, AnotherIdentityFlowGroupOrKeyingIsCaught) {
  const std::vector<std::function<void(Established&)>> lies = {
      [](Established& event) { event.peer.name = "member-b"; },
      [](Established& event) { event.flow = event.flow == Flow::standard ? Flow::variant2_claim5 : Flow::standard; },
      [](Established& event) { event.group_id = "radio"; },
      [](Established& event) { event.suite = CipherSuite::ecdhe_rsa_aes_256_gcm_sha384; },
  };
  for (const auto& lie : lies) {
    Ends ends(GetParam());
    Judge judge(GetParam());
    // All messages were sent and received; only the client's result is wrong.
    for (bool moved = true; moved;) {
      moved = false;
      for (const Side from : {Side::client, Side::server}) {
        const Bytes sent = ends.of(from).take_output();
        moved |= !sent.empty();
        judge.sent(from, sent);
        judge.delivered(other(from), sent);
        (void)ends.of(other(from)).receive(sent, test_now);
        for (const Event& event : ends.server->take_events())
          if (std::holds_alternative<PasswordPresented>(event)) {
            (void)ends.server->password_checked(true, test_now);
            moved = true;
          }
      }
    }
    auto events = ends.client->take_events();
    auto event = find_event<Established>(events);
    ASSERT_TRUE(event);
    lie(*event);
    judge.observe(Side::client, Event(std::move(*event)));
    EXPECT_TRUE(judge.violation());
  }
}

INSTANTIATE_TEST_SUITE_P(EveryFlow, Judging, ::testing::ValuesIn([] {
                           std::vector<Flow> flows;
                           for (const FlowDefinition& flow : flow_definitions)
                             flows.push_back(flow.flow);
                           return flows;
                         }()),
                         [](const auto& flow) { return identifier(flow.param); });

}  // namespace
}  // namespace sealcast::handshake::adversary
