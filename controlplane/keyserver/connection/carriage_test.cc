// The key server's ISAKMP listener over real TCP on loopback: members, members that break the carriage, and strangers
// (P34, H13).
#include "controlplane/keyserver/connection/carriage.h"

#include <gmock/gmock.h>
#include <malloc.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>

#include "base/testing/manual_loop.h"
#include "controlplane/keyserver/testing/key_server_fixture.h"
#include "controlplane/passwords/password_file.h"
#include "handshake/isakmp/carriage.h"
#include "handshake/isakmp/message.h"

namespace sealcast::keyserver {
namespace {

using config::Carriage;
using handshake::Keepalive;
using handshake::Reason;
using isakmp::Cookie;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
namespace pki = handshake::testing;
using testing::in;
using testing::KeyServerTest;
using ::testing::SizeIs;
using testing::TestClient;
using testing::Wire;
using namespace std::chrono_literals;

class IsakmpListener : public KeyServerTest {
 protected:
  IsakmpListener() { config_.listen_isakmp = *config::ListenAddress::parse("127.0.0.1:0"); }
  ~IsakmpListener() override {
    stop();
    if (previous_) spdlog::set_default_logger(previous_);
  }

  std::uint16_t port() const { return server_->port(Carriage::isakmp); }
  std::unique_ptr<TestClient> carried(std::shared_ptr<handshake::ClientConfig> config) {
    return std::make_unique<TestClient>(
        port(), isakmp::make_initiator(handshake::make_client(std::move(config), handshake::system_random()),
                                       handshake::system_random()));
  }
  std::unique_ptr<TestClient> join_carried(const std::string& name) {
    auto client = carried(member_config(name));
    EXPECT_TRUE(client->join()) << name << ": " << (client->error() ? client->error()->message() : "no answer");
    return client;
  }
  Bytes hello() { return handshake::make_client(member_config("home"), handshake::system_random())->take_output(); }
  std::uint64_t shown() { return status()["isakmp"]["cookies_shown"].get<std::uint64_t>(); }

  // Asks for a cookie with the given initiator's; 0 if none came.
  static Cookie ask(Wire& wire, const Cookie& initiator) {
    wire.send(isakmp::encode(initiator, isakmp::no_cookie, 0, {}));
    const auto answer = wire.receive(in(5s));
    EXPECT_TRUE(answer && answer->size() == isakmp::isakmp_header_bytes);
    Cookie cookie{};
    if (answer && answer->size() == isakmp::isakmp_header_bytes) std::copy_n(answer->begin() + 8, 8, cookie.begin());
    return cookie;
  }
  // The bytes end the connection, unanswered.
  void expect_refused(const Bytes& bytes, const std::string& why) {
    Wire wire(port());
    wire.send(bytes);
    const auto answer = wire.receive_all(in(5s));
    ASSERT_TRUE(answer.has_value()) << why << ": the connection must end";
    EXPECT_TRUE(answer->empty()) << why << ": " << to_hex(*answer);
  }
  void record_log() {
    log_ = std::make_shared<std::ostringstream>();
    previous_ = spdlog::default_logger();
    auto logger = std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::ostream_sink_mt>(*log_));
    logger->set_pattern("%l %v");
    spdlog::set_default_logger(logger);
  }
  // What was logged, line by line, of those that contain word. Stops the server.
  std::vector<std::string> lines(const std::string& word) {
    stop();
    std::vector<std::string> out;
    std::istringstream all(log_->str());
    for (std::string line; std::getline(all, line);)
      if (line.find(word) != std::string::npos) out.push_back(line);
    return out;
  }

  std::shared_ptr<std::ostringstream> log_;
  std::shared_ptr<spdlog::logger> previous_;
};

constexpr Cookie initiator_cookie{1, 2, 3, 4, 5, 6, 7, 8};

// ---------------------------------------------------------------- members

TEST_F(IsakmpListener, P34_AMemberJoinsAndIsRekeyedOverTheControlChannel) {
  record_log();
  start();
  auto a = join_carried("sender");
  ASSERT_TRUE(members_are(1));
  EXPECT_EQ(shown(), 1u);
  const json member = status()["groups"][0]["members"][0];
  EXPECT_EQ(member["carriage"], "isakmp");
  ASSERT_TRUE(rekey().has_value());
  const auto update = a->expect<handshake::GroupUpdate>();
  ASSERT_TRUE(update.has_value());
  EXPECT_GT(update->keying.epoch, a->keying().epoch);
  ASSERT_TRUE(a->say(handshake::GroupUpdateAck{"tv", update->keying.epoch}));
  const auto activate = a->expect<handshake::Activate>();
  ASSERT_TRUE(activate.has_value());
  EXPECT_EQ(activate->epoch, update->keying.epoch);
  ASSERT_TRUE(a->say(Keepalive{7}));
  EXPECT_TRUE(a->expect<Keepalive>().has_value());
  EXPECT_THAT(lines("member_joined"), ::testing::ElementsAre(HasSubstr("carriage=isakmp")));
}

TEST_F(IsakmpListener, P16_P34_VariantOneInIsakmp) {
  const auto server = pki_.server("ks.example", pki::KeyKind::rsa2048);
  config_.certificate = write_file("rsa.pem", server.chain_pem);
  config_.private_key = write_file("rsa.key", server.key_pem);
  auto& flow = config_.groups[0].flow;
  flow.variant = 1;
  flow.suite = handshake::CipherSuite::rsa_aes_128_gcm_sha256;
  start();
  auto config = member_config(pki_.decrypting_member("home", {"tv"}));
  config->multicast->flows = {flow};
  auto member = carried(config);
  ASSERT_TRUE(member->join()) << (member->error() ? member->error()->message() : "no answer");
  EXPECT_EQ(member->established().flow, handshake::Flow::variant1);
  EXPECT_TRUE(members_are(1));
  ASSERT_TRUE(rekey().has_value());
  EXPECT_TRUE(member->expect<handshake::GroupUpdate>().has_value());
}

TEST_F(IsakmpListener, P28_P34_APasswordIsAskedForAndCheckedInIsakmp) {
  const auto secret = [](std::string_view text) {
    SecretBytes out(text.size());
    std::copy(text.begin(), text.end(), out.data());
    return out;
  };
  config_.password_file = folder_ + "/passwd";
  ASSERT_TRUE(passwords::update(*config_.password_file, {}, [&](passwords::PasswordFile& file) {
                return file.set("anna", secret("open sesame"));
              }).has_value());
  auto& flow = config_.groups[0].flow;
  flow.variant = 3;
  flow.authentication = handshake::Authentication::password;
  start();
  const auto with = [&](const std::string& password) {
    auto config = member_config("home");
    config->credentials = {};
    config->multicast->flows = {flow};
    config->password = [secret, password]() -> Result<handshake::PasswordCredential> {
      return handshake::PasswordCredential{"anna", secret(password)};
    };
    return carried(config);
  };
  auto right = with("open sesame");
  ASSERT_TRUE(right->join()) << (right->error() ? right->error()->message() : "no answer");
  EXPECT_EQ(right->established().flow, handshake::Flow::variant3_password_claim5);
  ASSERT_TRUE(members_are(1));
  EXPECT_EQ(status()["groups"][0]["members"][0]["member"], "anna");
  EXPECT_EQ(status()["groups"][0]["members"][0]["carriage"], "isakmp");
  auto wrong = with("open barley");
  EXPECT_FALSE(wrong->join());
  ASSERT_TRUE(wrong->error().has_value()) << "the refusal's alert comes in a message of its own";
  EXPECT_THAT(wrong->error()->message(), HasSubstr("access_denied"));
  EXPECT_TRUE(members_are(1));
}

TEST_F(IsakmpListener, P34_BothListenersServeOneGroup) {
  start();
  EXPECT_NE(port(), server_->port());
  auto a = join_carried("sender");
  auto b = join("sender2");
  ASSERT_TRUE(members_are(2));
  EXPECT_TRUE(a->keying().premaster.equals(b->keying().premaster));
  EXPECT_NE(a->keying().assignment.first_slot, b->keying().assignment.first_slot);
  EXPECT_EQ(status()["listen"], "127.0.0.1:" + std::to_string(server_->port()));
  EXPECT_EQ(status()["listen_isakmp"], "127.0.0.1:" + std::to_string(port()));
  std::map<std::string, std::string> carriages;
  const json now = status();
  for (const json& member : now["groups"][0]["members"])
    carriages[member["member"]] = member["carriage"];
  EXPECT_EQ(carriages, (std::map<std::string, std::string>{{"sender", "isakmp"}, {"sender2", "tls"}}));
  // The newest connection of a member wins, whichever way it comes.
  auto again = join("sender");
  EXPECT_TRUE(a->ended());
  EXPECT_TRUE(members_are(2));
}

TEST_F(IsakmpListener, P34_AKeyServerMayListenForIsakmpAlone) {
  config_.listen.reset();
  start();
  EXPECT_EQ(server_->port(), 0);
  EXPECT_FALSE(status().contains("listen"));
  EXPECT_EQ(join_carried("home")->established().group_id, "tv");
  config_.listen_isakmp.reset();
  config_.state = folder_ + "/second.db";
  EXPECT_THAT(KeyServer(io_, config_).start().error().message, HasSubstr("expected keyserver.listen"));
}

TEST_F(IsakmpListener, StartErrorsLeaveNothingBehind) {
  start();
  auto second = config_;
  second.state = folder_ + "/second.db";
  second.listen_isakmp->port = port();
  KeyServer server(io_, second);
  EXPECT_THAT(server.start().error().message, AllOf(HasSubstr("can't listen at 127.0.0.1:"), HasSubstr("in use")));
  EXPECT_EQ(server.port(), 0) << "the TLS port is closed again";
}

TEST_F(IsakmpListener, AListenerComesAndGoesOnlyWithARestart) {
  start();
  auto without = config_;
  without.listen_isakmp.reset();
  const auto reloaded = on_loop([&] { return server_->reload(without); });
  ASSERT_FALSE(reloaded.has_value());
  EXPECT_THAT(reloaded.error().message, HasSubstr("keyserver.listen_isakmp can't change"));
  EXPECT_TRUE(on_loop([&] { return server_->reload(config_); }).has_value());
  join_carried("home");
}

TEST_F(IsakmpListener, P1_P34_TheStandardFlowIsForTheTlsListenerAlone) {
  config_.allow_standard = true;
  start();
  auto standard = std::make_shared<handshake::ClientConfig>();
  standard->server_trust = pki_.trust();
  standard->server_name = "ks.example";
  EXPECT_TRUE(connect(standard)->join()) << "over TLS";
  auto client = carried(standard);
  EXPECT_FALSE(client->join());
  ASSERT_TRUE(client->error().has_value()) << "one alert, not a silent end";
  EXPECT_EQ(client->error()->reason, Reason::peer_alert);
  EXPECT_EQ(failed("standard_client_refused"), 1u);
  EXPECT_EQ(status()["handshakes"]["standard"], 1);
}

// ---------------------------------------------------------------- the wrong port

TEST_F(IsakmpListener, P34_APlainTlsClientGetsOneAlertAndOneLine) {
  record_log();
  start();
  TestClient member(port(), member_config("home"));
  EXPECT_FALSE(member.join());
  ASSERT_TRUE(member.error().has_value()) << "not left hanging";
  EXPECT_EQ(member.error()->reason, Reason::peer_alert);
  EXPECT_THAT(member.error()->message(), HasSubstr("unexpected_message"));
  EXPECT_TRUE(member.ended());
  EXPECT_EQ(failed("wrong_carriage"), 1u);
  EXPECT_EQ(shown(), 0u);
  EXPECT_THAT(lines("handshake_failed"),
              ::testing::ElementsAre(AllOf(HasSubstr("reason=wrong_carriage"),
                                           HasSubstr("expected an ISAKMP message, got a TLS record"))));
}

TEST_F(IsakmpListener, P34_AnIsakmpMemberAtTheTlsPortGetsOneAlertAndOneLine) {
  record_log();
  start();
  TestClient member(server_->port(),
                    isakmp::make_initiator(handshake::make_client(member_config("home"), handshake::system_random()),
                                           handshake::system_random()));
  EXPECT_FALSE(member.join());
  ASSERT_TRUE(member.error().has_value()) << "not left hanging";
  EXPECT_EQ(member.error()->reason, Reason::wrong_carriage) << member.error()->message();
  EXPECT_TRUE(member.ended());
  EXPECT_EQ(failed("wrong_carriage"), 1u);
  EXPECT_THAT(lines("handshake_failed"),
              ::testing::ElementsAre(AllOf(HasSubstr("reason=wrong_carriage"), HasSubstr("listen_isakmp"))));
}

// ---------------------------------------------------------------- what strangers try (H13)

TEST_F(IsakmpListener, H13_NoTlsBeforeTheCookieAndOnlyOneWhoShowsItGetsAny) {
  start();
  Wire wire(port());
  const Cookie cookie = ask(wire, initiator_cookie);
  EXPECT_NE(cookie, isakmp::no_cookie);
  EXPECT_EQ(shown(), 0u);
  wire.send(isakmp::encode(initiator_cookie, cookie, 0, hello()));
  const auto flight = wire.receive(in(5s));
  ASSERT_TRUE(flight && flight->size() > 500) << "ServerHello, Certificate, …";
  EXPECT_EQ(shown(), 1u);
}

TEST_F(IsakmpListener, H13_AReplayedFirstMessageIsAnsweredByTheSameMacOverAnotherPortAndKeepsNothing) {
  start();
  Wire first(port());
  const Cookie cookie = ask(first, initiator_cookie);
  Wire second(port());
  const Cookie other = ask(second, initiator_cookie);
  EXPECT_NE(other, cookie) << "the port enters the cookie";
  // The first connection's cookie is worth nothing on the second, nor on a third that never asked.
  second.send(isakmp::encode(initiator_cookie, cookie, 0, hello()));
  EXPECT_EQ(second.receive_all(in(5s)), Bytes{});
  expect_refused(isakmp::encode(initiator_cookie, cookie, 0, hello()), "a cookie without a question");
  // Twice on one connection: the second is no second question.
  first.send(isakmp::encode(initiator_cookie, isakmp::no_cookie, 0, {}));
  EXPECT_EQ(first.receive_all(in(5s)), Bytes{});
  EXPECT_EQ(shown(), 0u);
  EXPECT_TRUE(eventually([&] { return status()["connections"] == 0; }));
}

TEST_F(IsakmpListener, P34_ACookieThatChangesLaterEndsTheMembership) {
  start();
  for (const std::size_t at : {0u, 7u, 8u, 15u}) {  // of either cookie
    auto a = join_carried("home");
    ASSERT_TRUE(members_are(1));
    ASSERT_TRUE(a->endpoint().send(Keepalive{1}).has_value());
    Bytes message = a->endpoint().take_output();
    message[at] ^= 1;
    a->wire().send(message);
    EXPECT_TRUE(a->ended());
    EXPECT_FALSE(a->close_notified()) << "the carriage's own failures are answered with nothing";
    EXPECT_TRUE(members_are(0)) << at;
  }
}

TEST_F(IsakmpListener, P34_ARepeatedMessageEndsTheMembership) {
  start();
  auto a = join_carried("home");
  ASSERT_TRUE(members_are(1));
  ASSERT_TRUE(a->endpoint().send(Keepalive{1}).has_value());
  const Bytes message = a->endpoint().take_output();
  a->wire().send(message);
  ASSERT_TRUE(a->expect<Keepalive>().has_value());
  a->wire().send(message);
  EXPECT_TRUE(a->ended());
  EXPECT_TRUE(members_are(0));
}

TEST_F(IsakmpListener, PARSE_1_EveryOtherFirstHeaderEndsTheConnection) {
  start();
  const Bytes good = isakmp::encode(initiator_cookie, isakmp::no_cookie, 0, {});
  struct Change {
    std::size_t at;
    std::uint8_t value;
    const char* why;
  };
  int count = 0;
  for (const Change& change :
       {Change{8, 1, "a responder cookie of its own making"}, Change{16, 1, "next payload: SA"},
        Change{16, 128, "a payload before the cookies"}, Change{17, 0x20, "version 2.0: IKEv2"},
        Change{18, 2, "exchange type: identity protection"}, Change{18, 5, "exchange type: informational"},
        Change{18, 241, "exchange type: another private one"}, Change{19, 1, "the encryption flag"},
        Change{23, 1, "message id 1"}, Change{27, 0, "length 0"}, Change{27, 27, "length 27"},
        Change{27, 29, "length 29 without a payload"}, Change{24, 0xff, "length 2^32"}}) {
    Bytes bytes = good;
    bytes[change.at] = change.value;
    expect_refused(bytes, change.why);
    ++count;
  }
  Bytes nobody = good;
  std::fill_n(nobody.begin(), 8, std::uint8_t{0});
  expect_refused(nobody, "initiator cookie 0");
  EXPECT_EQ(shown(), 0u);
  EXPECT_TRUE(eventually([&] {
    const json failures = status()["handshakes"]["failed"];
    std::uint64_t sum = 0;
    for (const auto& [reason, number] : failures.items())
      sum += number.get<std::uint64_t>();
    return sum == static_cast<std::uint64_t>(count) + 1;
  })) << status()["handshakes"].dump();
}

TEST_F(IsakmpListener, PARSE_1_LyingLengthsAfterTheCookiesEndTheConnection) {
  start();
  const Bytes records = hello();
  for (const int lie : {-1, 1, -4, 4, 30'000}) {
    Wire wire(port());
    const Cookie cookie = ask(wire, initiator_cookie);
    Bytes message = isakmp::encode(initiator_cookie, cookie, 0, records);
    const auto said = static_cast<std::uint16_t>(static_cast<int>(records.size()) + 4 + lie);
    store_be<std::uint16_t>(message.data() + isakmp::isakmp_header_bytes + 2, said);  // the payload's own length
    wire.send(message);
    EXPECT_EQ(wire.receive_all(in(5s)), Bytes{}) << "payload length " << lie;
  }
  for (const std::uint32_t length : {0u, 28u, 32u, 70u * 1024, 128u * 1024 + 1, 0xffffffffu}) {
    Wire wire(port());
    const Cookie cookie = ask(wire, initiator_cookie);
    Bytes message = isakmp::encode(initiator_cookie, cookie, 0, records);
    store_be<std::uint32_t>(message.data() + 24, length);
    wire.send(ByteView(message).first(isakmp::isakmp_header_bytes));  // the header alone decides
    EXPECT_EQ(wire.receive_all(in(5s)), Bytes{}) << "message length " << length;
  }
  EXPECT_EQ(shown(), 0u) << "no TLS endpoint for any of them";
}

TEST_F(IsakmpListener, H13_HalfOpenConnectionsEndAtTheDeadline) {
  config_.handshake_timeout = 1s;
  start();
  Wire silent(port()), part(port()), asked(port()), waiting(port());
  part.send(ByteView(isakmp::encode(initiator_cookie, isakmp::no_cookie, 0, {})).first(27));
  ask(asked, initiator_cookie);
  const Cookie cookie = ask(waiting, initiator_cookie);
  // Says that 5000 bytes follow, and sends none of them.
  Bytes promise = isakmp::encode(initiator_cookie, cookie, 0, hello());
  store_be<std::uint32_t>(promise.data() + 24, 5000);
  waiting.send(ByteView(promise).first(isakmp::isakmp_header_bytes));
  for (Wire* wire : {&silent, &part, &asked, &waiting})
    EXPECT_TRUE(wire->receive_all(in(5s)).has_value());
  EXPECT_TRUE(eventually([&] { return failed("handshake_timeout") == 4; }));
  EXPECT_EQ(status()["connections"], 0);
  EXPECT_EQ(shown(), 0u);
}

TEST_F(IsakmpListener, H13_QuotasCountBothListenersTogether) {
  config_.max_connections_per_address = 3;
  start();
  Wire a(server_->port()), b(port()), c(port());
  ASSERT_TRUE(eventually([&] { return status()["connections"] == 3; }));
  Wire over_tls(server_->port()), over_isakmp(port());
  EXPECT_EQ(over_tls.receive(in(5s)), Bytes{});
  EXPECT_EQ(over_isakmp.receive(in(5s)), Bytes{});
  EXPECT_EQ(status()["refused"]["max_connections_per_address"], 2);
}

TEST_F(IsakmpListener, H13_DOS_1_AFloodOfFirstMessagesLeavesNothingAndDelaysNobody) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's allocator does not count like the system's";
#endif
  start();
  auto a = join_carried("sender");
  ASSERT_TRUE(members_are(1));
  const auto flood = [&](int connections) {
    for (int i = 0; i < connections; ++i) {
      Wire wire(port());
      Cookie initiator = initiator_cookie;
      initiator[0] = static_cast<std::uint8_t>(1 + i % 255);
      EXPECT_NE(ask(wire, initiator), isakmp::no_cookie);
    }
    EXPECT_TRUE(eventually([&] { return status()["connections"] == 1; }));
  };
  flood(100);  // tables and pools have their size now
  const std::size_t before = on_loop([] { return mallinfo2().uordblks; });
  flood(2000);
  const std::size_t after = on_loop([] { return mallinfo2().uordblks; });
  EXPECT_LT(after, before + 16 * 1024) << "8 bytes for each would show";
  EXPECT_EQ(shown(), 1u) << "nobody of the flood got a TLS endpoint";
  ASSERT_TRUE(rekey().has_value());
  EXPECT_TRUE(a->expect<handshake::GroupUpdate>().has_value()) << "members are served all the same";
}

// What a half-open peer costs while it is there.
TEST_F(IsakmpListener, H13_AHalfOpenPeerCostsLessThan4KiB) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's allocator does not count like the system's";
#endif
  config_.max_handshakes_per_address = 1000;
  start();
  std::vector<std::unique_ptr<Wire>> crowd;
  const auto come = [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      crowd.push_back(std::make_unique<Wire>(port()));
      ask(*crowd.back(), initiator_cookie);
    }
  };
  crowd.reserve(300);
  come(100);
  const std::size_t before = on_loop([] { return mallinfo2().uordblks; });
  come(200);
  const std::size_t after = on_loop([] { return mallinfo2().uordblks; });
  std::printf("  %zu bytes a half-open peer\n", (after - before) / 200);
  EXPECT_LT((after - before) / 200, 4096u);
  EXPECT_EQ(shown(), 0u);
}

// ---------------------------------------------------------------- cookie keys

TEST_F(IsakmpListener, H13_CookiesDieWithTheirKeyEvenIfTheyAreYoung) {
  options_.cookie_rotation = 300ms;
  start();
  Wire wire(port());
  const Cookie cookie = ask(wire, initiator_cookie);
  std::this_thread::sleep_for(1500ms);  // more than two rotations, and within 5 s
  wire.send(isakmp::encode(initiator_cookie, cookie, 0, hello()));
  EXPECT_EQ(wire.receive_all(in(5s)), Bytes{});
  EXPECT_EQ(shown(), 0u);
}

TEST(CookieJar, H13_KeysComeFromTheGivenGeneratorAndRotateOnATimer) {
  struct Counting : handshake::Random {
    void fill(ByteSpan out) override {
      ++calls;
      EXPECT_EQ(out.size(), 32u);
      std::fill(out.begin(), out.end(), static_cast<std::uint8_t>(calls));
    }
    int calls = 0;
  } random;
  sealcast::testing::ManualLoop loop;
  const auto jar = std::make_shared<CookieJar>(loop, random, 20ms);
  EXPECT_EQ(random.calls, 1);
  jar->start();
  loop.run_for(59ms);
  EXPECT_EQ(random.calls, 3);
  loop.run_for(1ms);
  EXPECT_EQ(random.calls, 4);
  jar->stop();
  loop.run_for(100ms);
  EXPECT_EQ(random.calls, 4) << "stopped";
}

TEST(CookieJar, AnEndpointOutlivesTheKeyServerThatMadeIt) {
  sealcast::testing::ManualLoop loop;
  auto jar = std::make_shared<CookieJar>(loop, handshake::system_random(), 60s);
  const auto endpoint =
      jar->responder({IpAddress::v4(0x7f000001), 1}, []() -> std::unique_ptr<handshake::Endpoint> { return nullptr; });
  const std::weak_ptr<CookieJar> watch = jar;
  jar.reset();
  EXPECT_FALSE(watch.expired());
  EXPECT_TRUE(
      endpoint->receive(isakmp::encode(initiator_cookie, isakmp::no_cookie, 0, {}), std::time(nullptr)).has_value());
  EXPECT_THAT(endpoint->take_output(), SizeIs(isakmp::isakmp_header_bytes));
}

}  // namespace
}  // namespace sealcast::keyserver
