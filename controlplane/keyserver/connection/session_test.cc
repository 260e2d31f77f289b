// A session from its first byte to its end, without a socket or a thread: what it waits for, what it tells its host,
// and what ends it.
#include "controlplane/keyserver/connection/session.h"

#include <array>

#include "base/asio_loop.h"
#include "controlplane/keyserver/testing/fake_transport.h"
#include "controlplane/keyserver/testing/session_host_fixture.h"
#include "handshake/isakmp/message.h"
#include "handshake/testing/test_pki.h"

namespace sealcast::keyserver::testing {
namespace {

using handshake::GroupJoin;
using handshake::GroupRefused;
using handshake::Keepalive;
using handshake::Leave;

class SessionTest : public SessionHostTest {
 protected:
  SessionTest() {
    const auto server = pki_.server("ks.example");
    server_config_ = std::make_shared<handshake::ServerConfig>();
    server_config_->credentials = server.credentials;
    server_config_->member_trust = pki_.trust();
    server_config_->key_server_id = "ks";
    host_.endpoint = [this](const Peer&, handshake::GroupAuthority& groups) {
      return handshake::make_server(server_config_, groups, handshake::system_random());
    };
  }

  ~SessionTest() override {
    if (transport_) transport_->forget();
  }

  // A connection of a peer that says nothing yet.
  void connect() {
    if (transport_) transport_->forget();
    auto transport = std::make_unique<FakeTransport>();
    transport_ = transport.get();
    Peer peer;
    peer.host = "10.0.0.1";
    peer.address = "10.0.0.1:5";
    session_ = std::make_shared<Session>(std::move(transport), peer, settings_, *turns_, host_);
    session_->start(10s);
  }
  // And of one that wants tv, whose ClientHello has come.
  void connect_member(const std::string& name) {
    connect();
    auto config = std::make_shared<handshake::ClientConfig>();
    config->credentials = pki_.member(name).credentials;
    config->server_trust = pki_.trust();
    config->server_name = "ks.example";
    if (name != "standard") config->multicast = handshake::MulticastWish{"tv", "ks", {config_.flow}};
    config->password = [] {
      SecretBytes secret(1);
      return Result<handshake::PasswordCredential>({"anna", std::move(secret)});
    };
    config->accept_keying = [](const GroupKeying&, const handshake::EpochId&) { return Result<void>{}; };
    client_ = handshake::make_client(std::move(config), handshake::system_random());
    send(client_->take_output());
  }
  void send(const Bytes& bytes) { transport_->incoming.insert(transport_->incoming.end(), bytes.begin(), bytes.end()); }
  void say(const ControlMessage& message) {
    ASSERT_TRUE(client_->send(message));
    send(client_->take_output());
  }
  // Does whatever there is to do, until both ends wait, or enough was done.
  void run(const std::function<bool()>& enough = {}) {
    for (bool more = true; more && !(enough && enough());) {
      more = transport_->tell_readable();
      more = transport_->run_posted() || more;
      io_.restart();
      more = io_.poll_one() != 0 || more;
      if (const auto bytes = transport_->take_written()) {
        more = true;
        if (client_) answer(*bytes);
      }
    }
  }
  void join(const std::string& name) {
    connect_member(name);
    run();
    ASSERT_TRUE(client_->established());
    ASSERT_EQ(group_->members().count(name), 1u);
    EXPECT_THAT(host_.take(), ElementsAre("completed variant 2 (claim 5)"));
  }
  template <typename T>
  std::size_t count_of() const {
    return static_cast<std::size_t>(std::count_if(heard_.begin(), heard_.end(), [](const ControlMessage& message) {
      return std::holds_alternative<T>(message);
    }));
  }

  handshake::testing::TestPki pki_{now_.unix_seconds};
  std::shared_ptr<handshake::ServerConfig> server_config_;
  std::array<std::uint8_t, 4096> scratch_{};
  SessionSettings settings_{"what this port is for\n", 10s, 64 * 1024, 10s, scratch_};
  asio::io_context io_{1};
  AsioLoop loop_{io_};
  std::shared_ptr<HandshakeTurns> turns_ = std::make_shared<HandshakeTurns>(loop_);
  std::shared_ptr<Session> session_;
  FakeTransport* transport_ = nullptr;  // the session's
  std::unique_ptr<handshake::Endpoint> client_;
  std::vector<ControlMessage> heard_;  // by the client
  std::string text_;                   // likewise, of a standard one
  bool goodbye_ = false;

 private:
  void answer(const Bytes& bytes) {
    (void)client_->receive(bytes, now_.unix_seconds);
    for (handshake::Event& event : client_->take_events()) {
      if (auto* control = std::get_if<handshake::ControlReceived>(&event))
        heard_.push_back(std::move(control->message));
      if (auto* data = std::get_if<handshake::ApplicationData>(&event))
        text_.append(data->data.begin(), data->data.end());
      goodbye_ = goodbye_ || std::holds_alternative<handshake::PeerClosed>(event);
    }
    send(client_->take_output());
  }
};

// ---------------------------------------------------------------- handshakes

TEST_F(SessionTest, LEASE_1_AMemberJoinsAndIsSentKeepalives) {
  join("sender");
  EXPECT_EQ(transport_->timer_delay, std::min<std::chrono::milliseconds>(10s, config_.authority_lease / 4));
  transport_->fire_timer();
  run();
  EXPECT_EQ(count_of<Keepalive>(), 1u);
  EXPECT_TRUE(transport_->timer) << "and again";
}

TEST_F(SessionTest, H13_AHandshakeReadsNothingBeforeItsTurn) {
  connect_member("sender");
  EXPECT_TRUE(transport_->tell_readable());
  EXPECT_EQ(turns_->newcomers(), 1u);
  EXPECT_EQ(transport_->reads, 0);
  run();
  EXPECT_TRUE(client_->established());
}

TEST_F(SessionTest, H13_WhatHasBegunIsNoNewcomerAnyMore) {
  connect();
  send({22});
  run();
  send({3});
  EXPECT_TRUE(transport_->tell_readable());
  EXPECT_EQ(turns_->newcomers(), 0u);
}

TEST_F(SessionTest, H13_ASilentConnectionEndsAtItsDeadline) {
  connect();
  EXPECT_EQ(transport_->timer_delay, 10s);
  transport_->fire_timer();
  EXPECT_THAT(host_.take(), ElementsAre("handshake_timeout 10.0.0.1:5: nothing came in time", "over"));
  EXPECT_TRUE(transport_->closed);
}

TEST_F(SessionTest, H13_HalfAHandshakeEndsAtItsDeadline) {
  connect();
  send({22, 3, 1});
  run();
  transport_->fire_timer();
  EXPECT_THAT(host_.take(),
              ElementsAre("handshake_timeout 10.0.0.1:5: the handshake was not complete in time", "over"));
}

TEST_F(SessionTest, APeerThatGoesIsSaidToHaveGone) {
  connect();
  transport_->peer_ended = true;
  run();
  EXPECT_THAT(host_.take(), ElementsAre("disconnected 10.0.0.1:5: nothing came", "over"));
  connect();
  send({22});
  transport_->peer_ended = true;
  run();
  EXPECT_THAT(host_.take(), ElementsAre("disconnected 10.0.0.1:5: the peer ended the connection: End of file", "over"));
}

TEST_F(SessionTest, P34_AnIsakmpMessageForTlsIsCalledThat) {
  connect();
  send(isakmp::encode({1, 2, 3, 4, 5, 6, 7, 8}, isakmp::no_cookie, 0, {}));
  run();
  EXPECT_THAT(host_.take(), ElementsAre(HasSubstr("wrong_carriage 10.0.0.1:5: ")));
}

TEST_F(SessionTest, AMemberThatTheGroupTurnsDownIsToldNoReasonAndTheLogIs) {
  revoked_ = "home";
  connect_member("home");
  run();
  ASSERT_TRUE(client_->failed());
  EXPECT_THAT(client_->failure()->message(), Not(HasSubstr("revoked")));
  EXPECT_THAT(host_.take(), ElementsAre(AllOf(HasSubstr("group_refused"), HasSubstr("certificate revoked"))));
  EXPECT_TRUE(transport_->output_ended) << "behind the alert";
}

TEST_F(SessionTest, P1_AStandardClientGetsItsLineAndAGoodbye) {
  server_config_->allow_standard = true;
  connect_member("standard");
  run();
  EXPECT_EQ(text_, settings_.standard_answer);
  EXPECT_TRUE(goodbye_);
  EXPECT_THAT(host_.take(), ElementsAre("completed standard", "standard client 10.0.0.1:5"));
}

TEST_F(SessionTest, H11_ASenderWhoseHandshakeEndsIsNotWaitedFor) {
  const auto home = GroupStateTest::join("home");
  const auto other = GroupStateTest::join("sender2");
  connect_member("sender");
  run([this] { return !host_.changed.empty(); });  // it was issued slots
  transport_->incoming.clear();                    // its Finished never comes
  transport_->peer_ended = true;
  run();
  EXPECT_TRUE(transport_->closed);
  revoked_ = "home";
  group_->shut_out(now_);
  const std::uint64_t next = pending();
  EXPECT_TRUE(GroupStateTest::say(other, GroupUpdateAck{"tv", next}));
  EXPECT_TRUE(GroupStateTest::say(other, ActivateAck{"tv", next}));
  EXPECT_TRUE(group_->exclusion(now_)->complete);
}

// ---------------------------------------------------------------- slots of a cluster

TEST_F(SessionTest, AHandshakeWaitsForSlotsOfItsGroupAndGoesOn) {
  host_.slots = false;
  connect_member("sender");
  run();
  ASSERT_EQ(host_.waiting.size(), 1u) << "once its group is known";
  EXPECT_EQ(host_.waiting[0].first, "tv");
  EXPECT_FALSE(transport_->readable) << "what it says next waits";
  EXPECT_FALSE(client_->established());
  host_.slots = true;
  host_.waiting[0].second();
  run();
  EXPECT_TRUE(client_->established());
}

TEST_F(SessionTest, AHandshakeDoesNotWaitForSlotsForLong) {
  host_.slots = false;
  connect_member("sender");
  run();
  ASSERT_EQ(host_.waiting.size(), 1u);
  now_.steady += SlotWait::longest;
  host_.waiting[0].second();
  run();
  EXPECT_TRUE(client_->established()) << "the group itself has slots here";
}

TEST_F(SessionTest, SlotsThatComeTooLateWakeNothing) {
  host_.slots = false;
  connect_member("sender");
  run();
  ASSERT_EQ(host_.waiting.size(), 1u);
  transport_->fire_timer();
  EXPECT_TRUE(transport_->closed);
  const int reads = transport_->reads;
  host_.waiting[0].second();
  run();
  EXPECT_EQ(transport_->reads, reads);
}

// ---------------------------------------------------------------- passwords

class SessionPasswordTest : public SessionTest {
 protected:
  SessionPasswordTest() {
    config_.flow.variant = 3;
    config_.flow.authentication = handshake::Authentication::certificate_and_password;
    group_->reconfigure(config_, now_);
  }
  // Its user is none of the names of its certificate, so the gate answers without a file. The answer waits for slots.
  void present_password() {
    host_.gate = [this] {
      host_.slots = false;
      return &gate_;
    };
    connect_member("sender");
    run();
    ASSERT_EQ(host_.waiting.size(), 1u);
  }

  PasswordGate gate_{loop_, {}, handshake::system_random()};
};

TEST_F(SessionPasswordTest, H7_NothingIsReadUntilThePasswordIsAnswered) {
  present_password();
  EXPECT_FALSE(transport_->readable);
  host_.slots = true;
  host_.waiting[0].second();
  run();
  EXPECT_TRUE(client_->failed());
  EXPECT_THAT(host_.take(), ElementsAre(HasSubstr("user \"anna\": not a name of the member's certificate")));
}

TEST_F(SessionPasswordTest, H7_H13_AConnectionThatEndedMeanwhileIsGivenNothing) {
  present_password();
  transport_->peer_ended = true;
  host_.slots = true;
  host_.waiting[0].second();
  EXPECT_THAT(
      host_.take(),
      ElementsAre("disconnected 10.0.0.1:5: the peer ended the connection while its password was checked", "over"));
}

TEST_F(SessionPasswordTest, H13_TheHandshakesDeadlineHolds) {
  present_password();
  transport_->fire_timer();
  EXPECT_THAT(host_.take(),
              ElementsAre("handshake_timeout 10.0.0.1:5: the handshake was not complete in time", "over"));
}

TEST_F(SessionPasswordTest, AConnectionWhoseHostGoesMeanwhileReadsOnUntilItEnds) {
  bool presented = false;
  host_.gate = [&] {
    presented = true;
    return &gate_;
  };
  connect_member("sender");
  run([&] { return presented; });
  EXPECT_FALSE(transport_->readable);
  session_->detach();
  run();
  EXPECT_TRUE(transport_->readable);
  transport_->peer_ended = true;
  run();
  EXPECT_TRUE(transport_->closed);
  EXPECT_THAT(host_.take(), IsEmpty()) << "nor is the password answered";
}

TEST_F(SessionPasswordTest, WithoutAPasswordFileTheConnectionEnds) {
  connect_member("sender");
  run();
  EXPECT_THAT(host_.take(), ElementsAre("password_unchecked 10.0.0.1:5: there is no password file", "over"));
}

// ---------------------------------------------------------------- members

TEST_F(SessionTest, LEASE_1_KeepalivesThatComeTogetherAreAnsweredOnceWithTheHighest) {
  join("sender");
  for (const std::uint64_t sequence : {1, 3, 2})
    say(Keepalive{sequence});
  run();
  ASSERT_EQ(count_of<Keepalive>(), 1u);
  EXPECT_EQ(std::get<Keepalive>(heard_.back()).sequence, 3u);
}

TEST_F(SessionTest, H11_AKeyServerThatIsCutOffAnswersNoKeepalive) {
  join("sender");
  host_.serves = false;
  say(Keepalive{1});
  run();
  transport_->fire_timer();
  run();
  EXPECT_EQ(count_of<Keepalive>(), 0u);
}

TEST_F(SessionTest, AFurtherGroupIsJoinedInATurnOfItsOwn) {
  add_group("radio", [](config::KeyserverGroup& group) { group.authority_lease = 4s; });
  join("sender");
  say(GroupJoin{"radio"});
  EXPECT_TRUE(transport_->tell_readable());
  EXPECT_EQ(host_.groups["radio"]->members().size(), 0u) << "not before its turn";
  run();
  EXPECT_EQ(host_.groups["radio"]->members().size(), 1u);
  EXPECT_EQ(count_of<GroupUpdate>(), 1u);
  EXPECT_EQ(transport_->timer_delay, 1s) << "its lease is shorter";
}

TEST_F(SessionTest, LEASE_1_JoiningAGroupWithNoShorterLeasePutsOffNoKeepalive) {
  add_group("radio");
  join("sender");
  const int before = transport_->timers_set;
  say(GroupJoin{"radio"});
  run();
  ASSERT_EQ(count_of<GroupUpdate>(), 1u);
  EXPECT_EQ(transport_->timers_set, before);
}

TEST_F(SessionTest, AFurtherGroupThatIsLeftBeforeItsTurnIsNotJoined) {
  add_group("radio");
  join("sender");
  say(GroupJoin{"radio"});
  say(Leave{"radio"});
  run();
  EXPECT_EQ(host_.groups["radio"]->members().size(), 0u);
  EXPECT_FALSE(transport_->output_ended);
}

TEST_F(SessionTest, H13_AGroupThatIsAskedForTwiceEndsTheConnection) {
  add_group("radio");
  join("sender");
  say(GroupJoin{"radio"});
  say(GroupJoin{"radio"});
  run();
  EXPECT_TRUE(goodbye_);
  EXPECT_EQ(group_->members().size(), 0u);
}

TEST_F(SessionTest, LeavingTheLastGroupEndsTheConnection) {
  join("sender");
  say(Leave{"tv"});
  run();
  EXPECT_TRUE(goodbye_);
  EXPECT_TRUE(transport_->output_ended);
  EXPECT_FALSE(transport_->closed) << "the peer may have sent something still";
  transport_->peer_ended = true;
  run();
  EXPECT_TRUE(transport_->closed);
  EXPECT_THAT(host_.take(), ElementsAre("over"));
}

TEST_F(SessionTest, H13_ThousandsOfMessagesEndTheConnection) {
  join("sender");
  for (int i = 0; i < 600; ++i)
    say(Keepalive{1});
  run();
  EXPECT_TRUE(goodbye_) << "500 at once are allowed";
  EXPECT_EQ(group_->members().size(), 0u);
}

// ---------------------------------------------------------------- ends

TEST_F(SessionTest, H13_AMemberThatTakesNoDataIsClosedInATurnOfItsOwn) {
  settings_.max_output_bytes = 1000;
  join("sender");
  for (int i = 0; i < 1000 && transport_->posted.empty(); ++i)
    session_->deliver(GroupRefused{"a group", handshake::Refusal::refused});
  const ByteView in_flight = transport_->in_flight;
  session_->deliver(GroupRefused{"a group", handshake::Refusal::refused});
  EXPECT_EQ(transport_->in_flight.data(), in_flight.data()) << "one write, and nothing is sent behind it";
  EXPECT_EQ(group_->members().size(), 1u) << "the caller may be the group";
  const int reads = transport_->reads;
  say(Leave{"tv"});
  transport_->tell_readable();
  EXPECT_EQ(transport_->reads, reads) << "nothing is read any more";
  EXPECT_TRUE(transport_->run_posted());
  EXPECT_EQ(group_->members().size(), 0u);
  EXPECT_TRUE(transport_->closed);
  EXPECT_THAT(host_.take(), ElementsAre("over"));
}

TEST_F(SessionTest, H11_AMemberThatOneGroupDismissesLeavesTheOthersInATurnOfItsOwn) {
  GroupState& radio = add_group("radio");
  join("sender");
  say(GroupJoin{"radio"});
  run();
  ASSERT_EQ(radio.members().size(), 1u);
  revoked_ = "sender";
  group_->shut_out(now_);
  EXPECT_EQ(radio.members().size(), 1u) << "the first group is still at it";
  radio.shut_out(now_);
  run();
  EXPECT_EQ(count_of<Revoked>(), 2u) << "each group tells it";
  EXPECT_TRUE(goodbye_);
  EXPECT_EQ(group_->members().size() + radio.members().size(), 0u);
}

TEST_F(SessionTest, AConnectionWhoseHostGoesSaysGoodbyeAndEndsByItself) {
  join("sender");
  session_->detach();
  run();
  EXPECT_TRUE(goodbye_);
  EXPECT_TRUE(transport_->output_ended);
  EXPECT_EQ(transport_->timer_delay, 1s);
  transport_->fire_timer();
  EXPECT_TRUE(transport_->closed);
  EXPECT_THAT(host_.take(), IsEmpty()) << "the host is not there any more";
}

TEST_F(SessionTest, WhatComesWhileItClosesIsDiscarded) {
  join("sender");
  session_->detach();
  say(GroupJoin{"radio"});
  run();
  EXPECT_TRUE(transport_->incoming.empty());
  EXPECT_THAT(host_.take(), IsEmpty());
}

TEST_F(SessionTest, AWriteThatFailsEndsTheMembership) {
  join("sender");
  session_->deliver(Keepalive{1});
  ASSERT_TRUE(transport_->written);
  std::exchange(transport_->written, {})(fail("Broken pipe"));
  EXPECT_EQ(group_->members().size(), 0u);
  EXPECT_TRUE(transport_->closed);
}

}  // namespace
}  // namespace sealcast::keyserver::testing
