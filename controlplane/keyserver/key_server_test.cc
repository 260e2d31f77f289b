// The key server over real TCP on loopback, with members and strangers at blocking sockets.
#include <gmock/gmock.h>

#include "controlplane/keyserver/testing/key_server_fixture.h"
#include "controlplane/store/store.h"

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

TEST_F(KeyServerTest, H13_DOS1_AMemberThatFloodsControlMessagesIsLeftAndTheOthersAreServed) {
  start();
  auto flooder = join("home");
  auto other = join("sender");
  // All in one go, answered once.
  for (std::uint64_t number = 1; number <= 400; ++number)
    ASSERT_TRUE(flooder->endpoint().send(handshake::Keepalive{number}).has_value());
  ASSERT_TRUE(flooder->wire().send(flooder->endpoint().take_output()));
  std::uint64_t answers = 0;
  for (std::uint64_t heard = 0; heard < 400; ++answers) {
    const auto answer = flooder->expect<handshake::Keepalive>(2s);
    ASSERT_TRUE(answer);
    heard = answer->sequence;
  }
  EXPECT_LE(answers, 40U) << "what comes together is answered together";
  for (std::uint64_t number = 401; number <= 2000; ++number)
    ASSERT_TRUE(flooder->endpoint().send(handshake::Keepalive{number}).has_value());
  flooder->wire().send(flooder->endpoint().take_output());
  EXPECT_TRUE(flooder->ended());
  other->say(handshake::Keepalive{9});
  for (;;) {
    const auto answer = other->expect<handshake::Keepalive>(2s);
    ASSERT_TRUE(answer);
    if (answer->sequence == 9) break;
  }
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

TEST_F(KeyServerTest, H5_H9_H11_WithAWrappingKeyARestartGoesOnUntilSomebodyIsRevoked) {
  config_.wrapping_key_file = write_file("wrap.key", std::string(64, 'a') + "\n");
  start();
  auto a = join("sender");
  auto b = join("home");
  const std::uint64_t epoch = a->keying().epoch;
  stop();
  start();
  auto a2 = join("sender");
  auto b2 = join("home");
  for (const auto* one : {&a2, &b2}) {
    EXPECT_EQ((*one)->keying().epoch, epoch);
    EXPECT_EQ((*one)->keying().state, EpochState::active);
    EXPECT_EQ((*one)->keying().assignment.slot_count, 0);
    EXPECT_TRUE((*one)->keying().premaster.equals(a->keying().premaster));
  }
  ASSERT_TRUE(a2->say(handshake::SlotRequest{"tv", epoch, 1}));
  EXPECT_EQ(a2->expect<handshake::SlotGrant>()->count, 0);
  const auto update = a2->expect<handshake::GroupUpdate>();
  ASSERT_TRUE(update.has_value());
  EXPECT_GT(update->keying.epoch, epoch);
  EXPECT_EQ(update->keying.assignment.slot_count, 1);
  ASSERT_TRUE(b2->expect<handshake::GroupUpdate>().has_value());
  for (const auto* one : {&a2, &b2})
    ASSERT_TRUE((*one)->say(handshake::GroupUpdateAck{"tv", update->keying.epoch}));
  ASSERT_TRUE(a2->expect<handshake::Activate>().has_value());
  stop();
  {  // as an operator could while it is away, were there a way
    auto file = store::open_sqlite(config_.state, "ks", std::time(nullptr));
    ASSERT_TRUE(file.has_value() && (*file)->revoke({"home", "", std::time(nullptr)}));
  }
  start();
  auto a3 = join("sender");
  EXPECT_GT(a3->keying().epoch, update->keying.epoch) << "who was revoked holds the one before";
  EXPECT_FALSE(connect(member_config("home"))->join());
  stop();
  config_.wrapping_key_file.reset();
  start();
  stop();
  auto file = store::open_sqlite(config_.state, "ks", std::time(nullptr));
  ASSERT_TRUE(file.has_value());
  EXPECT_FALSE((*file)->take_up("tv")->has_value()) << "without a key nothing stays";
}

TEST_F(KeyServerTest, H14_AWrappingKeyFileThatIsNoneIsRefused) {
  const auto error = [&] {
    const auto started = KeyServer(io_, config_, options_).start();
    return started ? "it started" : started.error().message;
  };
  config_.wrapping_key_file = write_file("wrap.key", std::string(63, 'a') + "\n");
  EXPECT_THAT(error(), HasSubstr("expected 64 hexadecimal digits"));
  config_.wrapping_key_file = write_file("wrap.key", std::string(64, 'a') + "\n");
  chmod(config_.wrapping_key_file->c_str(), 0644);
  EXPECT_THAT(error(), HasSubstr("others may access it"));
  config_.wrapping_key_file = folder_ + "/none";
  EXPECT_THAT(error(), HasSubstr("can't read it"));
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
  auto other = join("sender2");  // while it is away it may go on, and receivers are waited for
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

// ---------------------------------------------------------------- refused

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
  config->multicast->flows[0].suite = CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256;
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
  // A quarter of all places is for those that are not joined yet.
  ASSERT_TRUE(eventually([&] { return status()["refused"].value("half_open", 0) == 85; }));
  ASSERT_TRUE(rekey().has_value());
  EXPECT_TRUE(a->expect<handshake::GroupUpdate>(2s).has_value());
}

TEST_F(KeyServerTest, H13_AMemberThatTakesNoDataIsClosedAtABoundedQueue) {
  options_.max_output_bytes = 16 * 1024;
  options_.control_burst = std::chrono::hours(24);  // the other bound is looked at
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
  Bytes forged = {23, 3, 3, 0, 40};  // application data that was never sealed
  forged.resize(45, 0x5a);
  ASSERT_TRUE(a->wire().send(forged));
  EXPECT_TRUE(a->ended());
  EXPECT_TRUE(a->error() && a->error()->alert == handshake::Alert::bad_record_mac);
  EXPECT_TRUE(members_are(0));
}

}  // namespace
}  // namespace sealcast::keyserver
