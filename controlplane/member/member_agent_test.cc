// The member agent against a key server that says what the test wants, over real TCP and the real handshake.
#include "controlplane/member/member_agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/atomic_file.h"
#include "controlplane/member/testing/fake_data_plane.h"
#include "controlplane/member/testing/scripted_key_server.h"
#include "controlplane/pki/certificates.h"

namespace sealcast::member {
namespace {

using namespace std::chrono_literals;
using handshake::EpochState;
using handshake::GroupKeying;
using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FakeDataPlane;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::ScriptedKeyServer;
using Json = nlohmann::json;

constexpr std::int64_t day = 86400;

class Agent : public ::testing::Test {
 protected:
  explicit Agent(std::uint32_t workers = 1) : plane_(workers) {}

  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "sealcast-agent-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    write("ca.pem", ca_.certificate_pem());
    member_certificate(now_ - day, now_ + day);

    config::MemberGroup group;
    group.id = "tv";
    group.role = config::MemberRole::both;
    group.keyserver_name = "ks.example";
    group.keyserver_id = "ks.example";
    group.selectors = handshake::testing::sample_keying().policy.selectors;
    settings_.member.certificate = folder_ + "/member.pem";
    settings_.member.private_key = folder_ + "/member.key";
    settings_.member.ca = folder_ + "/ca.pem";
    settings_.member.groups.push_back(group);
    settings_.state_file = folder_ + "/state";
    settings_.timing.poll = 5ms;
    settings_.timing.backoff_first = 10ms;
    settings_.timing.backoff_max = 100ms;
    settings_.timing.keepalive = 100ms;
    settings_.timing.status_report = 50ms;

    log_ = std::make_shared<std::ostringstream>();
    previous_ = spdlog::default_logger();
    auto logger = std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::ostream_sink_st>(*log_));
    logger->set_pattern("%l %v");
    spdlog::set_default_logger(logger);
  }
  void TearDown() override {
    agent_.reset();
    server_.reset();
    io_.poll();
    spdlog::set_default_logger(previous_);
    std::filesystem::remove_all(folder_);
  }

  static pki::Authority authority() {
    return std::move(*pki::Authority::create("CA", pki::KeyKind::ecdsa_p256,
                                             {std::time(nullptr) - 2 * day, std::time(nullptr) + 100 * day}));
  }
  void write(const std::string& file, const std::string& text) {
    ASSERT_TRUE(write_file_atomically(folder_ + "/" + file, as_bytes(text), 0600, IfExists::replace));
  }
  void write_identity(const pki::Identity& identity, const std::string& name) {
    write(name + ".pem", identity.certificate_pem);
    ASSERT_TRUE(
        write_file_atomically(folder_ + "/" + name + ".key", identity.private_key_pem.view(), 0600, IfExists::replace));
  }
  void member_certificate(std::int64_t from, std::int64_t to, const std::string& group = "tv") {
    write_identity(*ca_.issue(pki::MemberRequest{"studio", {group}, pki::KeyKind::ecdsa_p256, {from, to}}), "member");
  }
  handshake::ServerConfig server_config(const pki::Identity& identity) {
    handshake::ServerConfig config;
    config.credentials = *handshake::Credentials::from_pem(
        identity.certificate_pem,
        {reinterpret_cast<const char*>(identity.private_key_pem.data()), identity.private_key_pem.size()});
    config.member_trust = *handshake::TrustStore::from_pem(ca_.certificate_pem(), "");
    return config;
  }
  pki::Identity server_identity(std::int64_t from, std::int64_t to) {
    return std::move(*ca_.issue(pki::ServerRequest{"ks.example", pki::KeyKind::ecdsa_p256, {from, to}}));
  }
  // Hands out the sample keying, a new slot each time as a key server must (H9).
  void serve(std::uint16_t port = 0) { serve_with(server_config(server_identity(now_ - day, now_ + day)), port); }
  void serve_with(handshake::ServerConfig config, std::uint16_t port = 0) {
    server_ = std::make_unique<ScriptedKeyServer>(io_, std::move(config), port);
    server_->authority.keying.epoch = epoch_;
    server_->authority.tamper = [this](GroupKeying& keying) {
      keying.assignment.first_slot = next_slot_++;
      keying.policy.slots_used = next_slot_;
      if (tamper_) tamper_(keying);
    };
    settings_.member.groups[0].keyservers = {{"127.0.0.1", server_->port()}};
  }
  void start() {
    agent_ = std::make_unique<MemberAgent>(io_, settings_, plane_);
    const auto started = agent_->start();
    ASSERT_TRUE(started) << started.error().message;
  }
  template <typename Condition>
  bool until(Condition condition, std::chrono::milliseconds limit = 15s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
      if (std::chrono::steady_clock::now() >= end) return false;
      io_.run_one_for(10ms);
    }
    return true;
  }
  void pass(std::chrono::milliseconds time) { io_.run_for(time); }
  Json group() const { return Json::parse(agent_->status_json())["groups"][0]; }
  bool joined(int times = 1) {
    return until([&] { return group()["state"] == "joined" && group()["joins"] >= times; });
  }
  std::string why() const { return group()["why"]; }
  // Runs until a join failed; returns the reason.
  std::string refusal() {
    EXPECT_TRUE(until([&] { return group()["failures"] > 0; })) << agent_->status_json();
    EXPECT_EQ(group()["joins"], 0);
    EXPECT_TRUE(plane_.held.empty()) << "H3: keys were installed all the same";
    EXPECT_THAT(log_->str(), HasSubstr(why())) << "one clear line";
    return why();
  }
  // The next epoch as GroupUpdate carries it.
  GroupKeying next(std::uint64_t step = 1, EpochState state = EpochState::pending) {
    GroupKeying keying = handshake::testing::sample_keying();
    keying.epoch = epoch_ + step;
    keying.state = state;
    keying.policy.spi_prefix = 0x10000000u + static_cast<std::uint32_t>(step) * 0x10000u;
    keying.policy.deactivation_delay_ms = 200;
    keying.premaster.data()[0] = static_cast<std::uint8_t>(0x80 + step);
    return keying;
  }
  bool update(const GroupKeying& keying) {
    return server_->say(handshake::GroupUpdate{handshake::testing::clone(keying)});
  }

  const std::int64_t now_ = std::time(nullptr);
  const std::uint64_t epoch_ = 1ull << 40;
  pki::Authority ca_ = authority();
  std::string folder_;
  asio::io_context io_;
  FakeDataPlane plane_;
  MemberSettings settings_;
  std::uint16_t next_slot_ = 2;
  std::function<void(GroupKeying&)> tamper_;
  std::unique_ptr<ScriptedKeyServer> server_;
  std::unique_ptr<MemberAgent> agent_;
  std::shared_ptr<std::ostringstream> log_;
  std::shared_ptr<spdlog::logger> previous_;
};

// ---------------------------------------------------------------- joining

TEST_F(Agent, P27_JoinsAndInstalls) {
  serve();
  start();
  EXPECT_THAT(plane_.calls, ElementsAre("protect tv")) << "H10: the policy stands before any key";
  ASSERT_TRUE(joined()) << agent_->status_json();
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
  ASSERT_TRUE(joined()) << agent_->status_json();
  EXPECT_EQ(group()["failures"], 1);
  EXPECT_EQ(group()["keyserver"], "localhost:" + std::to_string(good.port));
  EXPECT_THAT(log_->str(), HasSubstr("127.0.0.1:1: Connection refused: nobody listens there"));
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
  EXPECT_THAT(refusal(), HasSubstr("127.0.0.1:1: Connection refused: nobody listens there; is the key server running"));
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
  write("member.pem", "nonsense");
  EXPECT_THAT(error(), HasSubstr(settings_.member.certificate));
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

// ---------------------------------------------------------------- rekey

TEST_F(Agent, MakeBeforeBreakOverTheControlChannel) {
  serve();
  start();
  ASSERT_TRUE(joined());
  ASSERT_TRUE(update(next()));
  ASSERT_TRUE(until([&] { return !server_->all<handshake::GroupUpdateAck>().empty(); }));
  EXPECT_EQ(server_->all<handshake::GroupUpdateAck>()[0].epoch, epoch_ + 1);
  ASSERT_NE(plane_.find(epoch_ + 1), nullptr) << "acknowledged before it was installed";
  EXPECT_TRUE(plane_.find(epoch_)->active);
  EXPECT_FALSE(plane_.find(epoch_ + 1)->active) << "only Activate switches a sender";
  pass(100ms);
  EXPECT_FALSE(plane_.find(epoch_ + 1)->active);
  server_->say(handshake::Activate{"tv", epoch_ + 1});
  ASSERT_TRUE(until([&] { return !server_->all<handshake::ActivateAck>().empty(); }));
  EXPECT_TRUE(plane_.find(epoch_ + 1)->active);
  EXPECT_NE(plane_.find(epoch_), nullptr);
  EXPECT_EQ(group()["rekeys"], 1);
  EXPECT_EQ(group()["epoch"], epoch_ + 1);
  ASSERT_TRUE(until([&] { return plane_.find(epoch_) == nullptr; })) << "deactivation_delay is over";
  EXPECT_EQ(group()["epochs"].size(), 1u);
  EXPECT_THAT(Json::parse(std::ifstream(settings_.state_file))["epochs"][0]["epoch"], epoch_ + 1);
}

TEST_F(Agent, RetireEndsAnEpochAtOnce) {
  serve();
  start();
  ASSERT_TRUE(joined());
  GroupKeying slow = next();
  slow.policy.deactivation_delay_ms = 3600 * 1000;  // so that Retire alone can end the old one
  update(slow);
  server_->say(handshake::Activate{"tv", epoch_ + 1});
  server_->say(handshake::Retire{"tv", epoch_});
  ASSERT_TRUE(until([&] { return plane_.find(epoch_ + 1) && plane_.find(epoch_) == nullptr; }));
  EXPECT_TRUE(plane_.find(epoch_ + 1)->active);
}

TEST_F(Agent, H12_AForgedGroupUpdateIsRefusedAndWhatIsHeldStays) {
  serve();
  start();
  ASSERT_TRUE(joined());
  GroupKeying wide = next();
  wide.policy.selectors[0].destination = *Prefix::parse("239.0.0.0/8");
  update(wide);
  ASSERT_TRUE(until([&] { return group()["joins"] == 2; })) << "it joins again";
  EXPECT_THAT(log_->str(), HasSubstr("not within the configured ones"));
  EXPECT_EQ(plane_.find(epoch_ + 1), nullptr);
  EXPECT_TRUE(plane_.find(epoch_)->active);
  EXPECT_TRUE(server_->all<handshake::GroupUpdateAck>().empty());
}

TEST_F(Agent, H12_AGroupUpdateThatOverlapsALiveRangeIsRefused) {
  serve();
  start();
  ASSERT_TRUE(joined());
  GroupKeying same_range = next();
  same_range.policy.spi_prefix = 0x10000000;
  update(same_range);
  ASSERT_TRUE(until([&] { return group()["joins"] == 2; }));
  EXPECT_THAT(log_->str(), HasSubstr("overlaps that of epoch"));
  EXPECT_EQ(plane_.find(epoch_ + 1), nullptr);
}

TEST_F(Agent, H5_AGroupUpdateMustRise) {
  serve();
  start();
  ASSERT_TRUE(joined());
  GroupKeying old = next();
  old.epoch = epoch_ - 1;
  update(old);
  ASSERT_TRUE(until([&] { return group()["joins"] == 2; }));
  EXPECT_EQ(plane_.find(epoch_ - 1), nullptr);
}

TEST_F(Agent, JoiningDuringARekeyTakesThePendingEpochAgain) {
  serve();
  start();
  ASSERT_TRUE(joined());
  update(next());
  ASSERT_TRUE(until([&] { return plane_.find(epoch_ + 1) != nullptr; }));
  server_->say_goodbye();
  ASSERT_TRUE(joined(2)) << agent_->status_json();  // SMKE: the active epoch again
  GroupKeying again = next();
  again.assignment.first_slot = 9;
  update(again);
  ASSERT_TRUE(until([&] { return server_->all<handshake::GroupUpdateAck>().size() == 2; })) << log_->str();
  EXPECT_EQ(plane_.count("install " + std::to_string(epoch_ + 1)), 1);
  EXPECT_THAT(plane_.find(epoch_ + 1)->outbound, ElementsAre(0x10010009u));
}

// ---------------------------------------------------------------- loss and return

TEST_F(Agent, H9_AfterAServersDeathItReturnsWithNewSlotsAndKeepsReceiving) {
  serve();
  start();
  ASSERT_TRUE(joined());
  const auto inbound = plane_.find(epoch_)->inbound;
  const std::uint16_t port = server_->port();
  server_->die();
  ASSERT_TRUE(until([&] { return group()["state"] == "reconnecting"; }));
  EXPECT_NE(plane_.find(epoch_), nullptr);
  EXPECT_TRUE(plane_.find(epoch_)->active) << "it goes on with what it has";
  pass(100ms);
  serve(port);
  ASSERT_TRUE(joined(2));
  EXPECT_EQ(plane_.count("install " + std::to_string(epoch_)), 1);
  EXPECT_THAT(plane_.find(epoch_)->outbound, ElementsAre(0x10000003u));
  for (const std::uint32_t spi : inbound)
    EXPECT_EQ(plane_.find(epoch_)->inbound.count(spi), 1u);
}

TEST_F(Agent, AfterAServersDeathANewerPendingEpochWaitsForActivate) {
  serve();
  start();
  ASSERT_TRUE(joined());
  const std::uint16_t port = server_->port();
  server_->die();
  // A restarted key server hands out its first epoch as pending, so that running senders go on until all are back.
  serve(port);
  server_->authority.keying = next();
  ASSERT_TRUE(joined(2));
  EXPECT_TRUE(plane_.find(epoch_)->active);
  ASSERT_NE(plane_.find(epoch_ + 1), nullptr);
  EXPECT_FALSE(plane_.find(epoch_ + 1)->active);
  server_->say(handshake::Activate{"tv", epoch_ + 1});
  ASSERT_TRUE(until([&] { return plane_.find(epoch_ + 1)->active; }));
  ASSERT_TRUE(until([&] { return plane_.find(epoch_) == nullptr; }));
}

TEST_F(Agent, H10_AnEpochEndsWhenNobodyRenewsIt) {
  serve();
  server_->authority.keying.remaining_ms = 1500;
  start();
  ASSERT_TRUE(joined());
  server_->die();
  ASSERT_TRUE(until([&] { return plane_.held.empty(); }));
  EXPECT_THAT(log_->str(), HasSubstr("the epoch expired before the key server made a new one"));
  EXPECT_EQ(group().count("epoch"), 0u);
}

TEST_F(Agent, H11_TheLeaseIsExtendedByRecordsAndByNothingElse) {
  serve();
  server_->authority.keying.policy.authority_lease_s = 2;
  start();
  ASSERT_TRUE(joined());
  const auto first = plane_.lease["tv"];
  pass(300ms);
  EXPECT_EQ(plane_.lease["tv"], first) << "our own keepalives must not renew our lease";
  server_->say(handshake::Keepalive{1});
  ASSERT_TRUE(until([&] { return plane_.lease["tv"] > first + 200ms; }));
  server_->die();
  const auto last = plane_.lease["tv"];
  pass(300ms);
  EXPECT_EQ(plane_.lease["tv"], last);
}

TEST_F(Agent, ASilentKeyServerIsLeft) {
  serve();
  server_->authority.keying.policy.authority_lease_s = 1;
  start();
  ASSERT_TRUE(joined());
  ASSERT_TRUE(until([&] { return group()["joins"] == 2; }));
  EXPECT_THAT(log_->str(), HasSubstr("nothing heard for"));
}

TEST_F(Agent, RevokedMeansKeysAreGoneAtOnce) {
  serve();
  start();
  ASSERT_TRUE(joined());
  server_->say(handshake::Revoked{"tv", "lost laptop"});
  ASSERT_TRUE(until([&] { return group()["state"] == "revoked"; }));
  EXPECT_TRUE(plane_.held.empty());
  EXPECT_THAT(log_->str(), HasSubstr("lost laptop"));
}

TEST_F(Agent, LeavesWithAWord) {
  serve();
  start();
  ASSERT_TRUE(joined());
  agent_->stop();
  EXPECT_EQ(group()["state"], "stopped");
  ASSERT_TRUE(until([&] { return !server_->all<handshake::Leave>().empty(); }));
  pass(50ms);
  EXPECT_EQ(server_->established(), 0u);
  EXPECT_NE(plane_.find(epoch_), nullptr) << "what is held ends by itself";
  server_.reset();
  io_.restart();
  EXPECT_LE(io_.run_for(500ms), 20u);
  EXPECT_TRUE(io_.stopped()) << "a stopped agent must leave the loop without work";
}

// ---------------------------------------------------------------- slots and reports

TEST_F(Agent, DATA2_DerivesSlotsTheDataPlaneAsksFor) {
  serve();
  start();
  ASSERT_TRUE(joined());
  plane_.events.slots_wanted = {{"tv", epoch_, 200}, {"tv", epoch_, 5000}, {"radio", epoch_, 201}};
  ASSERT_TRUE(until([&] { return plane_.find(epoch_)->inbound.count(0x10000000u + 200) == 1; }));
  EXPECT_EQ(plane_.find(epoch_)->inbound.count(0x10000000u + 5000), 0u);
}

TEST_F(Agent, ReportsItsOwnSlotsAndNoOthers) {
  serve();
  start();
  ASSERT_TRUE(joined());
  SaStatistics out, in;
  out.group_id = in.group_id = "tv";
  out.epoch = in.epoch = epoch_;
  out.outbound = true;
  out.spi = 0x10000002;
  out.packets = 100;
  out.next_number = 101;
  in.spi = 0x10000000;
  in.packets = 7;
  in.bad_tags = 2;
  in.replays = 1;
  in.next_number = 1ull << 60;
  plane_.stats.sas = {out, in};
  server_->received.clear();
  ASSERT_TRUE(until([&] { return !server_->all<handshake::StatusReport>().empty(); }));
  const auto report = server_->all<handshake::StatusReport>().back();
  EXPECT_EQ(report.sealed, 100u);
  EXPECT_EQ(report.opened, 7u);
  EXPECT_EQ(report.dropped, 3u);
  ASSERT_EQ(report.own_slots.size(), 1u);
  EXPECT_EQ(report.own_slots[0].spi, 0x10000002u);
  EXPECT_EQ(report.own_slots[0].next_number, 101u);
  EXPECT_FALSE(server_->all<handshake::Keepalive>().empty() &&
               !until([&] { return !server_->all<handshake::Keepalive>().empty(); }));
}

TEST_F(Agent, CounterLimitIsReportedAtOnce) {
  serve();
  settings_.timing.status_report = 1h;
  start();
  ASSERT_TRUE(joined());
  plane_.events.counter_limits = {{"tv", epoch_, 0x10000002}};
  ASSERT_TRUE(until([&] { return !server_->all<handshake::StatusReport>().empty(); }));
}

class AgentOfThree : public Agent {
 protected:
  AgentOfThree() : Agent(3) {}
};

TEST_F(AgentOfThree, H9_EveryWorkerGetsASlotOfItsOwn) {
  serve();
  start();
  ASSERT_TRUE(joined());
  ASSERT_TRUE(until([&] { return !server_->all<handshake::SlotRequest>().empty(); }));
  EXPECT_EQ(server_->all<handshake::SlotRequest>()[0].count, 3);
  server_->say(handshake::SlotGrant{"tv", epoch_, 10, 3, 13});
  ASSERT_TRUE(until([&] { return plane_.find(epoch_)->outbound.size() == 3; }));
  EXPECT_THAT(plane_.find(epoch_)->outbound, ElementsAre(0x1000000au, 0x1000000bu, 0x1000000cu));
  // A grant of slots that were ours already is a key server's grave error: nothing of it is used.
  server_->say(handshake::SlotGrant{"tv", epoch_, 10, 3, 13});
  ASSERT_TRUE(until([&] { return log_->str().find("H9") != std::string::npos; }));
}

TEST_F(AgentOfThree, ARefusedSlotRequestIsSaid) {
  serve();
  start();
  ASSERT_TRUE(joined());
  server_->say(handshake::SlotGrant{"tv", epoch_, 0, 0, 3});
  ASSERT_TRUE(until([&] { return log_->str().find("slots_per_member") != std::string::npos; }));
  EXPECT_EQ(group()["state"], "joined");
  EXPECT_EQ(plane_.find(epoch_)->outbound.size(), 1u);
}

TEST_F(Agent, SaysWhenItMayNotSend) {
  serve();
  tamper_ = [](GroupKeying& k) {
    k.assignment.roles = handshake::receiver;
    k.assignment.slot_count = 0;
    k.assignment.first_slot = 0;
  };
  start();
  ASSERT_TRUE(joined());
  EXPECT_THAT(why(), HasSubstr("does not let this member send"));
  EXPECT_TRUE(plane_.find(epoch_)->outbound.empty());
  EXPECT_FALSE(plane_.find(epoch_)->inbound.empty());
}

}  // namespace
}  // namespace sealcast::member
