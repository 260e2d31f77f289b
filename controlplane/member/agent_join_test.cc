// Joining: in time, in order, and every way in which it must not come to pass, each with one clear line.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "controlplane/member/testing/agent_fixture.h"

namespace sealcast::member {
namespace {

using namespace std::chrono_literals;
using handshake::GroupKeying;
using ::testing::Contains;
using testing::day;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

class Agent : public testing::AgentFixture {};

// ---------------------------------------------------------------- joining

TEST_F(Agent, P27_JoinsAndInstalls) {
  serve();
  start();
  EXPECT_THAT(plane_.calls, ElementsAre("protect tv")) << "H10: the policy stands before any key";
  ASSERT_TRUE(joined()) << admin::to_json(agent_->status());
  const auto* held = plane_.find(epoch_);
  ASSERT_NE(held, nullptr);
  EXPECT_TRUE(held->active);
  EXPECT_THAT(held->outbound, ElementsAre(0x10000002u));
  const Json status = group();
  EXPECT_EQ(status["member_id"], "studio");
  EXPECT_EQ(status["epoch"], epoch_);
  EXPECT_EQ(status["epoch_state"], "active");
  EXPECT_EQ(status["epoch_id"].get<std::string>().size(), 32u);
  EXPECT_EQ(status["own_slots"], Json::array({"0x10000002"}));
  EXPECT_GT(status["remaining_s"], 3590.0);
  EXPECT_EQ(status["why"], "");
  EXPECT_EQ(server_->joins, 1);
}

TEST_F(Agent, JoiningTakesWellBelowHalfASecond) {
  serve();
  // The quickest of a few: a machine that is busy with other things must not fail the test.
  auto quickest = std::chrono::steady_clock::duration::max();
  for (int i = 0; i < 5; ++i) {
    plane_.held.clear();
    const auto begin = std::chrono::steady_clock::now();
    start();
    ASSERT_TRUE(joined());
    quickest = std::min(quickest, std::chrono::steady_clock::now() - begin);
    agent_.reset();
  }
  EXPECT_LT(quickest, 400ms);
}

TEST_F(Agent, H3_NothingIsInstalledBeforeTheClosingFinished) {
  serve();
  // The authority is asked when SMKE is made: the handshake is not over then.
  tamper_ = [&](GroupKeying&) { EXPECT_TRUE(plane_.held.empty()); };
  start();
  ASSERT_TRUE(joined());
}

TEST_F(Agent, TriesKeyServersInTheirOrder) {
  serve();
  const auto good = settings_.member.groups[0].keyservers[0];
  settings_.member.groups[0].keyservers = {{"127.0.0.1", 1}, {"localhost", good.port}};
  start();
  ASSERT_TRUE(joined()) << admin::to_json(agent_->status());
  EXPECT_EQ(group()["failures"], 1);
  EXPECT_EQ(group()["keyserver"], "localhost:" + std::to_string(good.port));
  EXPECT_THAT(log_->str(), HasSubstr("127.0.0.1:1: Connection refused: no program listens there"));
}

TEST_F(Agent, BindsTheConfiguredLocalAddress) {
  serve();
  settings_.member.local_address = IpAddress::v4(0x7f000005);
  start();
  ASSERT_TRUE(joined());
  agent_.reset();
  settings_.member.local_address = IpAddress::v4(0xc6336401);  // 198.51.100.1, RFC 5737: never this machine's
  start();
  ASSERT_TRUE(until([&] { return group()["failures"] > 0; }));
  EXPECT_THAT(why(), HasSubstr("local_address is not an address of this machine"));
}

// ---------------------------------------------------------------- refusals, one clear line each

TEST_F(Agent, SaysWhenNobodyListens) {
  settings_.member.groups[0].keyservers = {{"127.0.0.1", 1}};
  start();
  EXPECT_THAT(refusal(),
              HasSubstr("127.0.0.1:1: Connection refused: no program listens there; is the key server running"));
}

TEST_F(Agent, SaysWhenANameDoesNotResolve) {
  settings_.member.groups[0].keyservers = {{"no-such-host.invalid", 7400}};
  start();
  ASSERT_TRUE(until([&] { return group()["failures"] > 0; }));
  EXPECT_THAT(why(), HasSubstr("no-such-host.invalid:7400: "));
  EXPECT_THAT(why(), HasSubstr("check the name and DNS"));
}

TEST_F(Agent, SaysWhenThePeerIsMuteOrTalksNonsense) {
  serve();
  server_->mute = true;
  settings_.timing.handshake_timeout = 300ms;
  start();
  EXPECT_THAT(refusal(), HasSubstr("the handshake was not finished within 300 ms"));
  agent_.reset();
  settings_.timing.handshake_timeout = 10s;
  server_->mute = false;
  server_->babble = "HTTP/1.1 400 Bad Request\r\n\r\n";
  start();
  EXPECT_THAT(refusal(), HasSubstr("this is not a Sealcast key server"));
}

TEST_F(Agent, H8_ServerNameMustMatch) {
  serve();
  settings_.member.groups[0].keyserver_name = "other.example";
  start();
  EXPECT_THAT(refusal(), HasSubstr("is keyserver_name the name in the key server's certificate?"));
}

TEST_F(Agent, H8_AnExpiredServerCertificateIsRefused) {
  serve_with(server_config(server_identity(now_ - 2 * day, now_ - day)));
  start();
  EXPECT_THAT(refusal(), HasSubstr("certificate_expired"));
}

TEST_F(Agent, H8_AnotherCasServerIsRefused) {
  const pki::Authority other = authority();
  serve_with(server_config(
      *other.issue(pki::ServerRequest{"ks.example", pki::KeyKind::ecdsa_p256, {now_ - day, now_ + day}})));
  start();
  EXPECT_THAT(refusal(), HasSubstr("do this gateway and the key server use the same CA"));
}

// A certificate without a trusted issuer may hold any text; what is done after a failure must not follow it.
TEST_F(Agent, H6_AStrangersCertificateCannotNameAPenalty) {
  const auto other =
      pki::Authority::create("key_material_refused access_denied", pki::KeyKind::ecdsa_p256, {now_ - day, now_ + day});
  ASSERT_TRUE(other);
  serve_with(server_config(
      *other->issue(pki::ServerRequest{"ks.example", pki::KeyKind::ecdsa_p256, {now_ - day, now_ + day}})));
  start();
  EXPECT_THAT(refusal(), ::testing::AllOf(HasSubstr("certificate_unknown_ca"), HasSubstr("use the same CA"),
                                          ::testing::Not(HasSubstr("next attempt in"))));
}

TEST_F(Agent, H8_AMemberCannotPlayTheKeyServer) {
  serve_with(server_config(
      *ca_.issue(pki::MemberRequest{"ks.example", {"tv"}, pki::KeyKind::ecdsa_p256, {now_ - day, now_ + day}})));
  start();
  EXPECT_THAT(refusal(), HasSubstr("certificate"));
}

TEST_F(Agent, H8_OurOwnExpiredCertificateIsRefusedByTheServer) {
  member_certificate(now_ - 2 * day, now_ - day);
  serve();
  start();
  EXPECT_THAT(refusal(), HasSubstr("certificate_expired"));
  // Renewed files are read at the next attempt, without a restart.
  member_certificate(now_ - day, now_ + day);
  EXPECT_TRUE(joined());
}

TEST_F(Agent, P40_ACertificateForAnotherGroupIsRefusedByTheServer) {
  member_certificate(now_ - day, now_ + day, "radio");
  serve();
  start();
  EXPECT_THAT(refusal(), HasSubstr("access_denied"));
}

TEST_F(Agent, H4_AStandardServerIsRefused) {
  serve();
  server_->authority.keying.group_id = "radio";  // no such group there
  start();
  EXPECT_THAT(refusal(), HasSubstr("handshake: "));
  agent_.reset();
  // A real TLS 1.2 server that knows nothing of multicast: certificate, ECDHE, Finished, and no flag.
  const auto identity = server_identity(now_ - day, now_ + day);
  write_identity(identity, "s");
  const std::uint16_t port = static_cast<std::uint16_t>(20000 + (::getpid() % 20000));
  const std::string command = "exec openssl s_server -accept 127.0.0.1:" + std::to_string(port) +
                              " -tls1_2 -quiet -cert " + folder_ + "/s.pem -key " + folder_ + "/s.key -CAfile " +
                              folder_ + "/ca.pem -Verify 2 </dev/null >" + folder_ + "/s.log 2>&1";
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  settings_.member.groups[0].keyservers = {{"127.0.0.1", port}};
  start();
  // It needs a moment to listen.
  const bool seen =
      until([&] { return group()["failures"] > 0 && why().find("Connection refused") == std::string::npos; });
  ::kill(child, SIGTERM);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(seen) << why();
  EXPECT_THAT(why(), ::testing::AnyOf(HasSubstr("flag_missing"), HasSubstr("standard_server_refused")));
  EXPECT_TRUE(plane_.held.empty());
  EXPECT_EQ(group()["joins"], 0);
}

TEST_F(Agent, H12_ForgedKeyingIsRefusedAndNothingInstalled) {
  struct Case {
    const char* says;
    std::function<void(GroupKeying&)> bend;
  };
  const Case cases[] = {
      {"not within the configured ones",
       [](GroupKeying& k) { k.policy.selectors[0].destination = *Prefix::parse("239.2.0.0/24"); }},
      {"not within the configured 0x10000000", [](GroupKeying& k) { k.policy.spi_prefix = 0x30000000; }},
      {"expected the mode", [](GroupKeying& k) { k.policy.esp_mode = EspMode::transport; }},
      {"of life", [](GroupKeying& k) { k.remaining_ms = 1ull << 60; }},
      {"authority lease", [](GroupKeying& k) { k.policy.authority_lease_s = 90000; }},
  };
  for (const Case& c : cases) {
    serve();
    tamper_ = c.bend;
    start();
    EXPECT_TRUE(until([&] { return group()["failures"] > 0; }));
    EXPECT_THAT(why(), HasSubstr("handshake: "));
    EXPECT_THAT(why(), ::testing::AnyOf(HasSubstr(c.says), HasSubstr("policy_refused")));
    EXPECT_TRUE(plane_.held.empty());
    EXPECT_FALSE(std::filesystem::exists(settings_.state_file)) << "a refused epoch must not be remembered";
    EXPECT_EQ(server_->joins, 0) << "H3: the server must not count a member that refused";
    agent_.reset();
    server_.reset();
  }
}

TEST_F(Agent, OnDemand_JoinsWhenSomebodyListensAndForgetsTheKeysAfterTheLast) {
  serve();
  settings_.member.groups[0].role = config::MemberRole::receiver;
  settings_.member.groups[0].on_demand = true;
  start();
  pass(200ms);
  EXPECT_EQ(group()["state"], "idle");
  EXPECT_EQ(server_->joins, 0) << "joined before anybody listened";
  plane_.events.interests = {{"radio", true}, {"tv", true}};
  ASSERT_TRUE(joined());
  EXPECT_FALSE(plane_.held.empty());
  plane_.events.interests = {{"tv", true}};  // said again: nothing happens
  pass(100ms);
  EXPECT_EQ(group()["joins"], 1);
  plane_.events.interests = {{"tv", false}};
  ASSERT_TRUE(until([&] { return group()["state"] == "idle"; }));
  EXPECT_TRUE(plane_.held.empty()) << "keys of a group that nobody wants";
  pass(200ms);
  EXPECT_EQ(group()["joins"], 1) << "came back by itself";
  plane_.events.interests = {{"tv", true}};
  EXPECT_TRUE(joined(2)) << group();
}

TEST_F(Agent, IdenticalFailuresAreLoggedOnce) {
  settings_.member.groups[0].keyservers = {{"127.0.0.1", 1}};
  settings_.timing.backoff_max = 5ms;
  start();
  ASSERT_TRUE(until([&] { return group()["failures"] >= 10; }));
  const std::string log = log_->str();
  const std::string line = "Connection refused";
  std::size_t lines = 0;
  for (std::size_t at = 0; (at = log.find(line, at)) != std::string::npos; at += line.size())
    ++lines;
  EXPECT_EQ(lines, 1u) << log;
}

TEST_F(Agent, BackoffGrowsWhileNobodyAnswers) {
  settings_.member.groups[0].keyservers = {{"127.0.0.1", 1}};
  settings_.timing.backoff_first = 20ms;
  settings_.timing.backoff_max = 200ms;
  start();
  pass(1500ms);
  // Full jitter: waits average half their bound; 20+40+80+160+200·n ms. Without growth there would be over a hundred.
  EXPECT_GE(group()["failures"], 5);
  EXPECT_LE(group()["failures"], 60);
}

// ---------------------------------------------------------------- starting

TEST_F(Agent, StartSaysWhatIsMissing) {
  settings_.member.groups[0].keyservers = {{"127.0.0.1", 1}};
  const auto error = [&] {
    MemberAgent agent(io_, settings_, plane_);
    const auto started = agent.start();
    return started ? std::string("started") : started.error().message;
  };
  std::ofstream(settings_.state_file) << "{";
  EXPECT_THAT(error(), HasSubstr("state file " + settings_.state_file + " is damaged"));
  std::filesystem::remove(settings_.state_file);
  ::chmod(settings_.member.private_key.c_str(), 0644);
  EXPECT_THAT(error(), HasSubstr("chmod 600"));
  ::chmod(settings_.member.private_key.c_str(), 0600);
  const std::string good = settings_.member.certificate + ".good";
  std::filesystem::rename(settings_.member.certificate, good);
  write("member.pem", "nonsense");
  EXPECT_THAT(error(), HasSubstr(settings_.member.certificate));
  std::filesystem::rename(good, settings_.member.certificate);
  std::filesystem::remove(settings_.member.ca);
  EXPECT_THAT(error(), HasSubstr(settings_.member.ca));
  EXPECT_THAT(plane_.calls, Not(Contains("install")));
}

// ---------------------------------------------------------------- H5

TEST_F(Agent, H5_ALowerEpochIsRefusedEvenAfterARestart) {
  serve();
  start();
  ASSERT_TRUE(joined());
  agent_.reset();
  plane_.held.clear();
  server_->authority.keying.epoch = epoch_ - 1;
  start();
  EXPECT_TRUE(until([&] { return group()["failures"] > 0; }));
  EXPECT_THAT(why(), HasSubstr("a replay"));
  EXPECT_TRUE(plane_.held.empty());
  server_->authority.keying.epoch = epoch_ + 1;
  EXPECT_TRUE(joined());
}

TEST_F(Agent, H5_OneNumberNeverNamesTwoEpochs) {
  serve();
  start();
  ASSERT_TRUE(joined());
  agent_.reset();
  plane_.held.clear();
  server_->authority.keying.premaster.data()[5] ^= 1;
  start();
  EXPECT_TRUE(until([&] { return group()["failures"] > 0; }));
  EXPECT_THAT(why(), HasSubstr("one number must not name two epochs"));
  EXPECT_TRUE(plane_.held.empty());
}

TEST_F(Agent, H5_WhatCannotBeRememberedIsNotUsed) {
  serve();
  start();
  settings_.state_file = folder_ + "/no/state";
  agent_.reset();
  start();
  EXPECT_TRUE(until([&] { return group()["failures"] > 0; }));
  EXPECT_THAT(why(), HasSubstr("state file"));
  EXPECT_TRUE(plane_.held.empty());
}

}  // namespace
}  // namespace sealcast::member
