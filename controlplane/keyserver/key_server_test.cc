// The key server over real TCP on loopback, with members and strangers at blocking sockets.
#include <gmock/gmock.h>
#include <malloc.h>
#include <sys/wait.h>

#include <csignal>

#include "controlplane/keyserver/key_server_fixture.h"

namespace sealcast::keyserver {
namespace {

using handshake::CipherSuite;
using handshake::EpochState;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::in;
using testing::KeyServerTest;
using ::testing::Not;
using ::testing::StartsWith;
using testing::TestClient;
using testing::Wire;
using namespace std::chrono_literals;
namespace pki = handshake::testing;

TEST_F(KeyServerTest, P4_P5_P7_H9_TwoMembersGetOneSecretAndDifferentSlots) {
  start();
  auto a = join("sender");
  auto b = join("sender2");
  EXPECT_EQ(a->established().flow, handshake::Flow::variant2_claim5);
  EXPECT_TRUE(a->keying().premaster.equals(b->keying().premaster));
  EXPECT_EQ(a->keying().epoch, b->keying().epoch);
  EXPECT_TRUE(a->established().group_master->equals(*b->established().group_master));
  EXPECT_NE(a->keying().assignment.first_slot, b->keying().assignment.first_slot);
  EXPECT_EQ(a->keying().assignment.member_id, "sender");
  EXPECT_TRUE(members_are(2));
}

TEST_F(KeyServerTest, H2_KEY1_CHAN1_ControlChannelsOfOneGroupDiffer) {
  start();
  auto a = join("sender");
  auto b = join("home");
  ASSERT_TRUE(members_are(2));
  ASSERT_TRUE(rekey().has_value());
  const auto to_a = a->wire().receive(in(5s));
  ASSERT_TRUE(to_a && !to_a->empty());
  const auto forged = b->endpoint().receive(*to_a, std::time(nullptr));
  ASSERT_FALSE(forged.has_value()) << "B must not be able to read what was said to A";
  EXPECT_EQ(forged.error().alert, handshake::Alert::bad_record_mac);
  EXPECT_TRUE(a->endpoint().receive(*to_a, std::time(nullptr)).has_value()) << "A itself reads it";
}

TEST_F(KeyServerTest, H9_SlotsAreGrantedOnRequestUpToTheQuota) {
  config_.groups[0].slots_per_member = 4;
  start();
  auto a = join("sender");
  ASSERT_TRUE(a->say(handshake::SlotRequest{"tv", a->keying().epoch, 3}));
  const auto grant = a->expect<handshake::SlotGrant>();
  ASSERT_TRUE(grant.has_value());
  EXPECT_EQ(grant->first_slot, 1);
  EXPECT_EQ(grant->count, 3);
  EXPECT_EQ(grant->slots_used, 4);
  ASSERT_TRUE(a->say(handshake::SlotRequest{"tv", a->keying().epoch, 1}));
  EXPECT_EQ(a->expect<handshake::SlotGrant>()->count, 0);
}

TEST_F(KeyServerTest, MakeBeforeBreakOverTheControlChannel) {
  config_.groups[0].activation_delay = 4s;
  start();
  auto a = join("sender");
  auto b = join("home");
  ASSERT_TRUE(members_are(2));
  ASSERT_TRUE(rekey().has_value());
  const auto to_a = a->expect<handshake::GroupUpdate>();
  const auto to_b = b->expect<handshake::GroupUpdate>();
  ASSERT_TRUE(to_a && to_b);
  EXPECT_TRUE(to_a->keying.premaster.equals(to_b->keying.premaster));
  EXPECT_FALSE(to_a->keying.premaster.equals(a->keying().premaster));
  EXPECT_GT(to_a->keying.epoch, a->keying().epoch);
  ASSERT_TRUE(a->say(handshake::GroupUpdateAck{"tv", to_a->keying.epoch}));
  ASSERT_TRUE(b->say(handshake::GroupUpdateAck{"tv", to_a->keying.epoch}));
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(a->expect<handshake::Activate>()->epoch, to_a->keying.epoch);
  EXPECT_EQ(b->expect<handshake::Activate>()->epoch, to_a->keying.epoch);
  EXPECT_LT(std::chrono::steady_clock::now() - before, config_.groups[0].activation_delay) << "all had acknowledged";
  EXPECT_EQ(a->expect<handshake::Retire>()->epoch, a->keying().epoch);
  EXPECT_EQ(b->expect<handshake::Retire>()->epoch, a->keying().epoch);
}

TEST_F(KeyServerTest, ActivationFollowsItsDelayWhenNobodyAcknowledges) {
  start();
  auto a = join("sender");
  ASSERT_TRUE(members_are(1));
  const auto before = std::chrono::steady_clock::now();
  ASSERT_TRUE(rekey().has_value());
  ASSERT_TRUE(a->expect<handshake::Activate>().has_value());
  EXPECT_GE(std::chrono::steady_clock::now() - before, config_.groups[0].activation_delay);
}

TEST_F(KeyServerTest, LEASE1_ControlRecordsComeWellInsideTheAuthorityLease) {
  config_.groups[0].authority_lease = 2s;  // a record every 500 ms
  start();
  auto a = join("sender");
  const auto before = std::chrono::steady_clock::now();
  for (int i = 1; i <= 2; ++i) {
    const auto keepalive = a->expect<handshake::Keepalive>(2s);
    ASSERT_TRUE(keepalive) << i;
    EXPECT_EQ(keepalive->sequence, 0u) << "nothing was asked";
  }
  EXPECT_LT(std::chrono::steady_clock::now() - before, config_.groups[0].authority_lease);
}

TEST_F(KeyServerTest, LEASE1_EveryKeepaliveIsAnsweredAtOnceWithItsNumber) {
  config_.groups[0].authority_lease = 60s;  // nothing comes unasked for 10 s
  start();
  auto a = join("sender");
  for (const std::uint64_t number : {1, 2, 7}) {
    a->say(handshake::Keepalive{number});
    const auto answer = a->expect<handshake::Keepalive>(2s);
    ASSERT_TRUE(answer) << number;
    EXPECT_EQ(answer->sequence, number);
  }
  a->say(handshake::Keepalive{3});
  const auto answer = a->expect<handshake::Keepalive>(2s);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->sequence, 7u) << "the highest";
}

TEST_F(KeyServerTest, H5_H9_ARestartGivesAHigherEpochPendingAndOtherSlots) {
  start();
  auto a = join("sender");
  auto b = join("home");
  const std::uint64_t old_epoch = a->keying().epoch;
  const std::uint32_t old_spi = a->keying().policy.spi_prefix | a->keying().assignment.first_slot;
  stop();
  EXPECT_TRUE(a->ended());
  EXPECT_TRUE(a->close_notified()) << "a clean stop says goodbye";
  start();
  auto a2 = join("sender");
  EXPECT_GT(a2->keying().epoch, old_epoch);
  EXPECT_NE(a2->keying().policy.spi_prefix | a2->keying().assignment.first_slot, old_spi);
  EXPECT_EQ(a2->keying().state, EpochState::pending);
  EXPECT_FALSE(a2->keying().premaster.equals(a->keying().premaster));
  auto b2 = join("home");
  EXPECT_EQ(a2->expect<handshake::Activate>()->epoch, a2->keying().epoch);
  EXPECT_EQ(b2->expect<handshake::Activate>()->epoch, a2->keying().epoch);
}

// A key server on a machine that was rolled back would hand out again what it has forgotten.
TEST_F(KeyServerTest, H9_KEY2_AResumedKeyServerIssuesNoSlotOfAnEpochFromBefore) {
  std::atomic<std::int64_t> seconds{1000};
  options_.clock_difference = [&seconds] { return std::chrono::seconds(seconds); };
  start();
  auto a = join("sender");
  seconds += 2;
  auto b = join("sender2");
  EXPECT_EQ(b->keying().epoch, a->keying().epoch) << "clocks may drift a little";
  seconds += 3;
  ASSERT_TRUE(b->say(handshake::SlotRequest{"tv", b->keying().epoch, 1}));
  EXPECT_FALSE(b->expect<handshake::SlotGrant>().has_value());
  EXPECT_TRUE(a->ended());
  auto again = join("sender");
  EXPECT_GT(again->keying().epoch, a->keying().epoch);
  EXPECT_EQ(again->keying().state, handshake::EpochState::pending) << "running senders go on until all are back";
  EXPECT_FALSE(again->keying().premaster.equals(a->keying().premaster));
  EXPECT_NE(again->keying().policy.spi_prefix, a->keying().policy.spi_prefix);
  EXPECT_TRUE(again->expect<handshake::Activate>().has_value());
}

TEST_F(KeyServerTest, NewestConnectionOfAMemberWins) {
  start();
  auto older = join("home");
  ASSERT_TRUE(members_are(1));
  auto newer = join("home");
  EXPECT_TRUE(older->ended());
  EXPECT_TRUE(older->close_notified());
  EXPECT_TRUE(members_are(1));
  EXPECT_TRUE(newer->expect<handshake::Keepalive>().has_value());
}

TEST_F(KeyServerTest, LeaveEndsTheMembershipAndTheConnection) {
  start();
  auto a = join("sender");
  ASSERT_TRUE(members_are(1));
  ASSERT_TRUE(a->say(handshake::Leave{"tv"}));
  EXPECT_TRUE(a->ended());
  EXPECT_TRUE(members_are(0));
}

// ---------------------------------------------------------------- who is refused

TEST_F(KeyServerTest, AUTH3_H4_H8_WrongCertificatesGetOneAlertAndNoGroupState) {
  start();
  pki::TestPki stranger(std::time(nullptr), pki::KeyKind::p256, "another CA");
  pki::CertificateOptions no_extension;
  no_extension.name = "home";
  pki::CertificateOptions expired = no_extension;
  expired.multicast = handshake::MulticastExtension{};
  expired.valid_until = -60;
  struct Case {
    pki::TestIdentity identity;
    std::string reason;
  };
  std::vector<Case> cases;
  cases.push_back({pki_.member("home", {"radio"}), "certificate_wrong_group"});
  cases.push_back({stranger.member("home", {"tv"}), "certificate_unknown_ca"});
  cases.push_back({pki_.issue(no_extension), "certificate_not_multicast"});
  cases.push_back({pki_.issue(expired), "certificate_expired"});
  for (auto& wrong : cases) {
    auto client = connect(member_config(wrong.identity));
    EXPECT_FALSE(client->join()) << wrong.reason;
    ASSERT_TRUE(client->error().has_value()) << wrong.reason;
    EXPECT_TRUE(client->error()->from_peer) << wrong.reason << ": " << client->error()->message();
    EXPECT_TRUE(client->ended());
    EXPECT_EQ(failed(wrong.reason), 1u) << status()["handshakes"].dump();
  }
  const json now = status();
  EXPECT_EQ(now["members"], 0);
  EXPECT_TRUE(now["groups"][0]["epochs"].empty()) << "not even an epoch was begun";
}

TEST_F(KeyServerTest, AUTH3_NotAMemberByNameAndUnknownGroupLookAlike) {
  config_.groups[0].members_by_certificate = false;
  config_.groups[0].members = {"sender"};
  start();
  auto by_name = connect(member_config("home"));
  EXPECT_FALSE(by_name->join());
  ASSERT_TRUE(by_name->error().has_value());
  EXPECT_EQ(by_name->error()->alert, handshake::Alert::access_denied);
  auto config = member_config(pki_.member("home"));
  config->multicast->group_id = "nothing";
  auto by_group = connect(config);
  EXPECT_FALSE(by_group->join());
  ASSERT_TRUE(by_group->error().has_value());
  EXPECT_EQ(by_group->error()->alert, handshake::Alert::access_denied);
  EXPECT_EQ(failed("group_refused"), 2u) << status()["handshakes"].dump();
  EXPECT_EQ(join("sender")->established().group_id, "tv");
}

TEST_F(KeyServerTest, P31_P32_AHelloWithoutTheGroupsSuiteIsAnsweredWithAnError) {
  start();
  auto config = member_config("home");
  config->multicast->flow.suite = CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256;
  auto client = connect(config);
  EXPECT_FALSE(client->join());
  ASSERT_TRUE(client->error().has_value());
  EXPECT_EQ(client->error()->alert, handshake::Alert::handshake_failure);
  EXPECT_EQ(failed("group_suite_not_offered"), 1u) << status()["handshakes"].dump();
}

TEST_F(KeyServerTest, H4_StandardClientsAreRefusedByDefault) {
  start();
  auto config = member_config("home");
  config->multicast.reset();
  auto client = connect(config);
  EXPECT_FALSE(client->join());
  EXPECT_TRUE(client->error().has_value());
  EXPECT_EQ(failed("standard_client_refused"), 1u) << status()["handshakes"].dump();
}

TEST_F(KeyServerTest, P1_H4_AStandardClientGetsOneLineAndNeverGroupState) {
  config_.allow_standard = true;
  start();
  auto config = member_config("home");
  config->multicast.reset();
  auto client = connect(config);
  ASSERT_TRUE(client->join());
  EXPECT_EQ(client->established().flow, handshake::Flow::standard);
  EXPECT_TRUE(client->ended());
  EXPECT_TRUE(client->close_notified());
  EXPECT_THAT(client->text(), AllOf(StartsWith("Sealcast "), HasSubstr(" key server ks: "),
                                    HasSubstr("multicast groups"), HasSubstr("no group state"), EndsWith("\n")));
  EXPECT_THAT(client->text(), Not(HasSubstr("tv"))) << "no group is named to a stranger";
  EXPECT_EQ(std::count(client->text().begin(), client->text().end(), '\n'), 1);
  const json now = status();
  EXPECT_EQ(now["members"], 0);
  EXPECT_EQ(now["handshakes"]["standard"], 1);
  EXPECT_TRUE(now["groups"][0]["epochs"].empty());
}

// ---------------------------------------------------------------- what strangers try

TEST_F(KeyServerTest, H13_GarbageGetsAtMostOneAlertAndIsCounted) {
  start();
  std::size_t sent = 0;
  for (const std::string& garbage :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(64, '\0'),
        std::string("\x16\x03\x01\xff\xff") + std::string(100, 'x'), std::string(5000, '\xee')}) {
    Wire wire(server_->port());
    wire.send(as_bytes(garbage));
    const auto answer = wire.receive_all(in(5s));
    ASSERT_TRUE(answer.has_value()) << "the connection must end";
    EXPECT_TRUE(answer->empty() || (answer->size() == 7 && (*answer)[0] == 21)) << to_hex(*answer);
    ++sent;
  }
  std::uint64_t counted = 0;
  const json now = status();
  for (const auto& [reason, count] : now["handshakes"]["failed"].items())
    counted += count.get<std::uint64_t>();
  EXPECT_EQ(counted, sent) << now["handshakes"].dump();
  EXPECT_TRUE(eventually([&] { return status()["connections"] == 0; }));
}

TEST_F(KeyServerTest, LEASE_1_KeepalivesLeaveFourTimesALeaseHoweverShort) {
  config_.groups[0].authority_lease = 1s;
  start();
  auto a = join("sender");
  const auto end = in(1100ms);
  int heard = 0;
  while (std::chrono::steady_clock::now() < end)
    heard += a->expect<handshake::Keepalive>(50ms).has_value();
  EXPECT_GE(heard, 2);
  EXPECT_LE(heard, 5);
}

TEST_F(KeyServerTest, H13_HalfAHandshakeEndsAtItsDeadline) {
  config_.handshake_timeout = 200ms;
  start();
  Wire silent(server_->port());
  Wire half(server_->port());
  Wire whole(server_->port());
  const Bytes hello = handshake::make_client(member_config("home"), handshake::system_random())->take_output();
  half.send(ByteView(hello).first(hello.size() / 2));
  whole.send(hello);
  const auto before = std::chrono::steady_clock::now();
  for (Wire* wire : {&silent, &half, &whole})
    EXPECT_TRUE(wire->receive_all(in(5s)).has_value());
  EXPECT_GE(std::chrono::steady_clock::now() - before, 100ms);
  EXPECT_TRUE(eventually([&] { return failed("handshake_timeout") == 3; }));
  EXPECT_EQ(status()["connections"], 0);
}

TEST_F(KeyServerTest, H13_ConnectionsAreBoundedPerAddressAndInAll) {
  config_.max_connections_per_address = 3;
  start();
  std::vector<std::unique_ptr<Wire>> held;
  for (int i = 0; i < 3; ++i)
    held.push_back(std::make_unique<Wire>(server_->port()));
  ASSERT_TRUE(eventually([&] { return status()["connections"] == 3; }));
  Wire fourth(server_->port());
  EXPECT_EQ(fourth.receive(in(5s)), Bytes{}) << "closed at once";
  EXPECT_EQ(status()["refused"]["max_connections_per_address"], 1);
  held.pop_back();
  ASSERT_TRUE(eventually([&] { return status()["connections"] == 2; }));
  EXPECT_EQ(join("home")->established().group_id, "tv") << "a place became free";
}

TEST_F(KeyServerTest, H13_DOS1_AHalfOpenCrowdDoesNotKeepMembersFromTheirRekey) {
  config_.max_connections = 60;
  start();
  auto a = join("sender");
  ASSERT_TRUE(members_are(1));
  std::vector<std::unique_ptr<Wire>> crowd;
  for (int i = 0; i < 100; ++i) {
    crowd.push_back(std::make_unique<Wire>(server_->port()));
    crowd.back()->send(as_bytes(std::string("\x16\x03\x01\x02")));
  }
  ASSERT_TRUE(eventually([&] { return status()["refused"].value("max_connections", 0) == 41; }));
  ASSERT_TRUE(rekey().has_value());
  EXPECT_TRUE(a->expect<handshake::GroupUpdate>(2s).has_value());
}

TEST_F(KeyServerTest, H13_AMemberThatTakesNoDataIsClosedAtABoundedQueue) {
  options_.max_output_bytes = 16 * 1024;
  start();
  TestClient glutton(server_->port(), member_config("sender"), 4096);
  ASSERT_TRUE(glutton.join());
  ASSERT_TRUE(members_are(1));
  // Each request is answered; the answers are never read. The kernel's buffers fill, then the queue.
  bool open = true;
  const auto before = std::chrono::steady_clock::now();
  for (int i = 0; i < 100'000 && open; ++i)
    open = glutton.say(handshake::SlotRequest{"tv", 1, 1});
  EXPECT_FALSE(open) << "the server must have closed the connection";
  EXPECT_LT(std::chrono::steady_clock::now() - before, 20s) << "by its own bound, not by the kernel's timeout";
  EXPECT_TRUE(members_are(0));
}

TEST_F(KeyServerTest, CHAN2_AForgedRecordEndsTheConnectionAndTheMembership) {
  start();
  auto a = join("sender");
  ASSERT_TRUE(members_are(1));
  Bytes forged = {23, 3, 3, 0, 40};  // application data that nobody sealed
  forged.resize(45, 0x5a);
  ASSERT_TRUE(a->wire().send(forged));
  EXPECT_TRUE(a->ended());
  EXPECT_TRUE(a->error() && a->error()->alert == handshake::Alert::bad_record_mac);
  EXPECT_TRUE(members_are(0));
}

// ---------------------------------------------------------------- running it

TEST_F(KeyServerTest, H8_H11_ReloadWithARevocationListShutsOutAndRekeys) {
  config_.crl = write_file("crl.pem", pki_.crl_pem());
  start();
  const auto lost = pki_.member("home", {"tv"});
  auto a = join("sender");
  auto b = connect(member_config(lost));
  ASSERT_TRUE(b->join());
  ASSERT_TRUE(members_are(2));
  pki_.revoke(lost);
  write_file("crl.pem", pki_.crl_pem());
  const auto reloaded = on_loop([this] { return server_->reload(config_); });
  ASSERT_TRUE(reloaded.has_value()) << reloaded.error().message;
  const auto told = b->expect<handshake::Revoked>();
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->group_id, "tv");
  EXPECT_TRUE(b->ended());
  EXPECT_TRUE(a->expect<handshake::GroupUpdate>().has_value()) << "the others get a new epoch at once";
  auto again = connect(member_config(lost));
  EXPECT_FALSE(again->join());
  EXPECT_EQ(failed("certificate_revoked"), 1u) << status()["handshakes"].dump();
}

TEST_F(KeyServerTest, H8_H11_AConnectionOpenedBeforeTheReloadGetsNothingAfterIt) {
  config_.crl = write_file("crl.pem", pki_.crl_pem());
  start();
  const auto lost = pki_.member("home", {"tv"});
  auto a = join("sender");
  auto late = connect(member_config(lost));
  ASSERT_TRUE(eventually([this] { return status()["connections"] == 2; }));
  pki_.revoke(lost);
  write_file("crl.pem", pki_.crl_pem());
  ASSERT_TRUE(on_loop([this] { return server_->reload(config_); }).has_value());
  EXPECT_FALSE(late->join());
  EXPECT_EQ(failed("group_refused"), 1u) << status()["handshakes"].dump();
  EXPECT_TRUE(members_are(1));
}

TEST_F(KeyServerTest, ReloadIsAtomicAndSaysWhatNeedsARestart) {
  start();
  auto changed = config_;
  changed.id = "other";
  changed.allow_standard = true;
  const auto refused = on_loop([&] { return server_->reload(changed); });
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("keyserver.id"), HasSubstr("restart")));
  changed = config_;
  changed.ca = folder_ + "/none.pem";
  changed.allow_standard = true;
  EXPECT_THAT(on_loop([&] { return server_->reload(changed); }).error().message, HasSubstr("none.pem"));
  auto config = member_config("home");
  config->multicast.reset();
  EXPECT_FALSE(connect(config)->join()) << "nothing of a refused reload holds";
  changed = config_;
  changed.groups.push_back(config_.groups[0]);
  changed.groups[1].id = "radio";
  ASSERT_TRUE(on_loop([&] { return server_->reload(changed); }).has_value());
  auto radio = member_config(pki_.member("home", {"radio"}));
  radio->multicast->group_id = "radio";
  EXPECT_TRUE(connect(radio)->join());
}

TEST_F(KeyServerTest, StartErrorsAreOneClearLine) {
  start();
  auto second = config_;
  second.state = folder_ + "/second.db";
  second.listen->port = server_->port();
  EXPECT_THAT(KeyServer(io_, second).start().error().message,
              AllOf(HasSubstr("can't listen at 127.0.0.1:"), HasSubstr("in use")));
  second = config_;
  second.certificate = folder_ + "/none.pem";
  EXPECT_THAT(KeyServer(io_, second).start().error().message, AllOf(HasSubstr("certificate"), HasSubstr("none.pem")));
  second = config_;
  second.private_key = write_file("other.key", pki_.server("ks.example").key_pem);
  EXPECT_THAT(KeyServer(io_, second).start().error().message, HasSubstr("other.key"));
  second = config_;
  second.listen = *config::ListenAddress::parse("192.0.2.1:7400");
  second.state = folder_ + "/third.db";
  EXPECT_THAT(KeyServer(io_, second).start().error().message, HasSubstr("no such address"));
}

TEST_F(KeyServerTest, H14_StatusShowsWhatOperatorsNeedAndNoSecret) {
  start();
  auto a = join("sender");
  auto b = join("home");
  ASSERT_TRUE(members_are(2));
  ASSERT_TRUE(a->say(handshake::StatusReport{"tv", a->keying().epoch, 7, 8, 9, {}}));
  ASSERT_TRUE(eventually([&] { return status()["groups"][0]["members"][1].contains("report"); }));
  const json now = status();
  const json& group = now["groups"][0];
  EXPECT_EQ(now["id"], "ks");
  EXPECT_EQ(now["connections"], 2);
  EXPECT_EQ(now["handshakes"]["completed"], 2);
  EXPECT_EQ(group["group"], "tv");
  EXPECT_EQ(group["suite"], "ECDHE_ECDSA_AES_256_GCM_SHA384");
  EXPECT_EQ(group["selectors"][0], "239.1.1.0/24");
  EXPECT_EQ(group["epochs"][0]["epoch"], a->keying().epoch);
  EXPECT_EQ(group["epochs"][0]["state"], "active");
  EXPECT_EQ(group["epochs"][0]["epoch_id"],
            to_hex(handshake::derive_epoch_id(a->keying().policy.cipher_suite, *a->established().group_master)));
  EXPECT_GT(group["epochs"][0]["remaining_s"], 86000.0);
  EXPECT_EQ(group["members"][0]["member"], "home");
  EXPECT_EQ(group["members"][0]["roles"], "receiver");
  EXPECT_EQ(group["members"][1]["member"], "sender");
  EXPECT_THAT(group["members"][1]["address"].get<std::string>(), HasSubstr("127.0.0.1:"));
  EXPECT_EQ(group["members"][1]["slots"].size(), 1u);
  EXPECT_EQ(group["members"][1]["report"]["opened"], 8);
  const std::string text = now.dump();
  EXPECT_EQ(text.find(to_hex(a->keying().premaster.view())), std::string::npos);
  EXPECT_EQ(text.find(to_hex(a->established().group_master->view())), std::string::npos);
}

TEST_F(KeyServerTest, DestroyingItWithMembersAndHandshakesUnderWayIsSafe) {
  start();
  auto a = join("sender");
  Wire half(server_->port());
  half.send(as_bytes(std::string("\x16\x03\x01")));
  ASSERT_TRUE(eventually([&] { return status()["connections"] == 2; }));
  on_loop([this] { server_.reset(); });  // the loop runs on, as an embedding gateway's would
  EXPECT_TRUE(a->ended());
  EXPECT_TRUE(half.receive_all(in(5s)).has_value());
  work_.reset();
  loop_.join();
}

TEST_F(KeyServerTest, JoinToKeyingTakesLessThanHalfASecond) {
  start();
  auto best = std::chrono::steady_clock::duration::max();
  for (int i = 0; i < 3; ++i) {  // the best one: the machine may be busy with other tests
    const auto before = std::chrono::steady_clock::now();
    join("sender");
    best = std::min(best, std::chrono::steady_clock::now() - before);
  }
  EXPECT_LT(best, 500ms);
}

// The members live in a child process, so that only the server's own memory is counted.
TEST_F(KeyServerTest, H13_AJoinedMemberCostsLessThan64KiB) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's allocator does not count like the system's";
#endif
  constexpr std::size_t members = 60;
  int port_pipe[2], done_pipe[2];
  ASSERT_EQ(pipe(port_pipe), 0);
  ASSERT_EQ(pipe(done_pipe), 0);
  const pid_t child = fork();
  if (child == 0) {
    std::uint16_t port = 0;
    if (read(port_pipe[0], &port, sizeof port) != sizeof port) _exit(1);
    std::vector<std::unique_ptr<TestClient>> clients;
    for (std::size_t i = 0; i < members; ++i) {
      clients.push_back(std::make_unique<TestClient>(port, member_config("member-" + std::to_string(i))));
      const char joined = clients.back()->join() ? '+' : '-';
      if (write(done_pipe[1], &joined, 1) != 1) _exit(2);
    }
    pause();
    _exit(0);
  }
  start();
  const std::uint16_t port = server_->port();
  std::size_t before = 0;
  char joined = '+';
  ASSERT_EQ(write(port_pipe[1], &port, sizeof port), static_cast<ssize_t>(sizeof port));
  for (std::size_t i = 0; i < members && joined == '+'; ++i) {
    ASSERT_EQ(read(done_pipe[0], &joined, 1), 1);
    if (i == 9) before = on_loop([] { return mallinfo2().uordblks; });  // libraries are warm now
  }
  EXPECT_EQ(joined, '+');
  EXPECT_TRUE(members_are(members));
  const std::size_t after = on_loop([] { return mallinfo2().uordblks; });
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  const std::size_t each = (after - before) / (members - 10);
  RecordProperty("bytes_per_member", static_cast<int>(each));
  std::printf("  %zu bytes a joined member\n", each);
  EXPECT_LT(each, 64u * 1024);
}

}  // namespace
}  // namespace sealcast::keyserver
