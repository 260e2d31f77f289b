// Every variant, order, flag place and way to prove oneself, from a configuration to keys in two data planes: real
// agents and the real key server over loopback TCP. Certificates and password files are made as an operator makes them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "controlplane/keyserver/key_server.h"
#include "controlplane/member/member_agent.h"
#include "controlplane/member/testing/fake_data_plane.h"
#include "controlplane/passwords/password_file.h"
#include "controlplane/pki/folder.h"
#include "handshake/wire/constants.h"

namespace sealcast::member {
namespace {

using namespace std::chrono_literals;
using handshake::Authentication;
using handshake::CipherSuite;
using handshake::FlagPlace;
using handshake::GroupFlow;
using handshake::SecondCcs;
using ::testing::AllOf;
using testing::FakeDataPlane;
using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr auto ecdsa_suite = CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384;
constexpr auto rsa_suite = CipherSuite::rsa_aes_256_gcm_sha384;
constexpr passwords::HashPolicy cheap_policy{{8, 1}, {8, 1}, {128 * 1024, 8}};
constexpr passwords::HashPolicy slow_policy{{32 * 1024, 4}, {8, 1}, {128 * 1024, 8}};  // tens of milliseconds each

GroupFlow flow(std::uint8_t variant, SecondCcs order = SecondCcs::claim5,
               Authentication proof = Authentication::certificate, FlagPlace place = FlagPlace::certificate_request,
               CipherSuite suite = ecdsa_suite) {
  return {suite, variant, order, place, proof};
}
const GroupFlow password_flow = flow(3, SecondCcs::claim5, Authentication::password, FlagPlace::smke);

class Variants : public ::testing::Test {
 protected:
  struct Member {
    FakeDataPlane plane{1};
    std::unique_ptr<MemberAgent> agent;
    Json group() const { return Json::parse(admin::to_json(agent->status()))["groups"][0]; }
    std::uint64_t epoch() const { return group().value("epoch", std::uint64_t{0}); }
    std::string state() const { return group()["state"]; }
    std::string why() const { return group()["why"]; }
    std::uint64_t failures() const { return group()["failures"]; }
  };

  // Keys cost time to make: once for all.
  static void SetUpTestSuite() {
    std::string pattern = ::testing::TempDir() + "sealcast-variants-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    pki::FolderOptions options;
    options.folder = folder_;
    options.now = std::time(nullptr);
    ASSERT_TRUE(pki::init(options, "CA"));
    ASSERT_TRUE(pki::make_server(options, "ks.example"));
    for (const char* name : {"studio", "home"})
      ASSERT_TRUE(pki::make_member(options, name, {"tv"}));
    options.key = pki::KeyKind::rsa_3072;
    ASSERT_TRUE(pki::make_server(options, "rsa.example"));
    for (const char* name : {"rsa-studio", "rsa-home"})
      ASSERT_TRUE(pki::make_member(options, name, {"tv"}));
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(folder_); }

  void SetUp() override {
    spdlog::set_level(spdlog::level::off);
    for (const char* user : {"studio", "home", "rsa-studio", "rsa-home"})
      set(user, std::string(user) + "'s password");
  }
  void TearDown() override {
    stop();
    ::unlink((folder_ + "/users").c_str());
    spdlog::set_level(spdlog::level::info);
  }
  void set(const std::string& user, const std::string& password) {
    change([&](passwords::PasswordFile& file) { return file.set(user, secret(password)); });
  }
  void change(const std::function<Result<void>(passwords::PasswordFile&)>& how) {
    const auto done = passwords::update(folder_ + "/users", policy_, how);
    ASSERT_TRUE(done.has_value()) << done.error().message;
  }
  static SecretBytes secret(const std::string& text) {
    SecretBytes out(text.size());
    std::memcpy(out.data(), text.data(), text.size());
    return out;
  }

  void serve(const GroupFlow& group_flow) {
    const bool rsa = handshake::server_authentication(group_flow.suite) == handshake::ServerAuthentication::rsa;
    config_ = {};
    config_.id = "cluster-1";
    config_.listen = *config::ListenAddress::parse("127.0.0.1:0");
    if (carriage_ == config::Carriage::isakmp) config_.listen_isakmp = config_.listen;
    config_.certificate = folder_ + (rsa ? "/rsa.example.pem" : "/ks.example.pem");
    config_.private_key = folder_ + (rsa ? "/rsa.example.key" : "/ks.example.key");
    config_.ca = folder_ + "/ca.pem";
    config_.crl = folder_ + "/crl.pem";
    config_.password_file = folder_ + "/users";
    config_.state = folder_ + "/keyserver-" + std::to_string(++servers_) + ".db";
    config_.handshake_timeout = timeout_;
    config::KeyserverGroup group;
    group.id = "tv";
    group.selectors = {{*Prefix::parse("239.1.1.0/24"), {}, {}, {}}};
    group.flow = group_flow;
    group.senders = {"studio", "rsa-studio"};
    group.activation_delay = 300ms;
    group.deactivation_delay = 200ms;
    config_.groups = {group};
    options_.passwords.policy = policy_;
    options_.passwords.threads = 1;
    server_ = std::make_unique<keyserver::KeyServer>(io_, config_, options_);
    const auto started = server_->start();
    ASSERT_TRUE(started) << started.error().message;
  }
  void stop() {
    for (auto& member : members_)
      member->agent.reset();
    members_.clear();
    server_.reset();
    io_.poll();
  }
  MemberSettings settings_of(const std::string& name, const GroupFlow& group_flow, const std::string& password) {
    MemberSettings settings;
    if (group_flow.authentication != Authentication::password) {
      settings.member.certificate = folder_ + "/" + name + ".pem";
      settings.member.private_key = folder_ + "/" + name + ".key";
    }
    settings.member.ca = folder_ + "/ca.pem";
    settings.member.crl = folder_ + "/crl.pem";
    settings.state_file = folder_ + "/" + name + "-" + std::to_string(servers_) + ".state";
    settings.timing.poll = 10ms;
    settings.timing.backoff_first = 20ms;
    settings.timing.backoff_max = 100ms;
    config::MemberGroup group;
    group.id = "tv";
    group.role = name.find("studio") != std::string::npos ? config::MemberRole::sender : config::MemberRole::receiver;
    group.carriage = carriage_;
    group.keyservers = {{"127.0.0.1", server_->port(carriage_)}};
    group.keyserver_name = group_flow.variant == 1 ? "rsa.example" : "ks.example";
    group.keyserver_id = "cluster-1";
    group.selectors = {{*Prefix::parse("239.1.0.0/16"), {}, {}, {}}};
    group.flows = {group_flow};
    if (group_flow.authentication != Authentication::certificate) {
      const std::string path = folder_ + "/" + name + ".pass";
      std::ofstream(path) << (password.empty() ? name + "'s password" : password) << "\n";
      ::chmod(path.c_str(), 0600);
      group.user = name;
      group.password = config::PasswordSource{config::PasswordSource::Kind::file, path};
    }
    settings.member.groups = {group};
    return settings;
  }
  Member& start(const MemberSettings& settings) {
    auto& member = *members_.emplace_back(std::make_unique<Member>());
    member.agent = std::make_unique<MemberAgent>(io_, settings, member.plane);
    const auto started = member.agent->start();
    EXPECT_TRUE(started) << started.error().message;
    return member;
  }
  Member& join(const std::string& name, const GroupFlow& group_flow) {
    Member& member = start(settings_of(name, group_flow, ""));
    EXPECT_TRUE(until([&] { return member.state() == "joined"; })) << admin::to_json(member.agent->status());
    return member;
  }
  template <typename Condition>
  bool until(Condition condition, std::chrono::milliseconds limit = 10s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
      if (std::chrono::steady_clock::now() >= end) return false;
      io_.restart();  // between two key servers it has nothing to do and stops
      io_.run_one_for(10ms);
    }
    return true;
  }
  void pass(std::chrono::milliseconds time) {
    until([] { return false; }, time);
  }
  Json status() const { return Json::parse(admin::to_json(server_->status())); }
  std::uint64_t failed(const std::string& reason) const { return status()["handshakes"]["failed"].value(reason, 0u); }
  // The receiver has the sender's key of this epoch (P5, P38).
  static bool heard(const Member& from, const Member& to, std::uint64_t epoch) {
    const auto* out = from.plane.find(epoch);
    const auto* in = to.plane.find(epoch);
    if (!out || !in || out->value.outbound.empty()) return false;
    const OutboundSa& sent = out->value.outbound.front();
    for (const InboundSa& candidate : in->value.inbound)
      if (candidate.key.spi == sent.key.spi) return candidate.key.key.equals(sent.key.key);
    return false;
  }

  static inline std::string folder_;
  static inline int servers_ = 0;
  asio::io_context io_;
  config::KeyserverConfig config_;
  keyserver::KeyServerOptions options_;
  passwords::HashPolicy policy_ = cheap_policy;
  std::chrono::milliseconds timeout_ = 5s;
  config::Carriage carriage_ = config::Carriage::tls;
  std::unique_ptr<keyserver::KeyServer> server_;
  std::vector<std::unique_ptr<Member>> members_;
};

TEST_F(Variants, P10_P11_P13_P22_P25_P30_EveryFlowBringsOneKeyToTwoMembersAndTheNextOneToo) {
  constexpr auto claim5 = SecondCcs::claim5;
  constexpr auto description = SecondCcs::description;
  constexpr auto certificate = Authentication::certificate;
  constexpr auto both = Authentication::certificate_and_password;
  constexpr auto in_smke = FlagPlace::smke;
  constexpr auto in_request = FlagPlace::certificate_request;
  std::vector<GroupFlow> flows = {password_flow, flow(3, description, Authentication::password, in_smke)};
  for (const FlagPlace place : {in_request, in_smke}) {
    flows.push_back(flow(1, SecondCcs::not_applicable, certificate, place, rsa_suite));
    for (const SecondCcs order : {claim5, description}) {
      flows.push_back(flow(2, order, certificate, place));
      flows.push_back(flow(3, order, both, place));
    }
  }
  flows.push_back(flow(1, SecondCcs::not_applicable, certificate, in_request, CipherSuite::rsa_aes_128_gcm_sha256));
  flows.push_back(flow(2, claim5, certificate, in_request, CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256));
  for (const GroupFlow& each : flows) {
    const std::string trace = "variant " + std::to_string(each.variant) + ", order " +
                              std::to_string(static_cast<int>(each.second_ccs)) + ", flag " +
                              std::to_string(static_cast<int>(each.flag_place)) + ", proof " +
                              std::to_string(static_cast<int>(each.authentication));
    SCOPED_TRACE(trace);
    serve(each);
    const std::string prefix = each.variant == 1 ? "rsa-" : "";
    Member& studio = join(prefix + "studio", each);
    Member& home = join(prefix + "home", each);
    EXPECT_EQ(studio.group()["member_id"], prefix + "studio");
    const std::uint64_t first = studio.epoch();
    EXPECT_EQ(home.epoch(), first);
    EXPECT_TRUE(until([&] { return heard(studio, home, first); }));
    ASSERT_TRUE(until([&] { return status()["members"] == 2; }));
    ASSERT_TRUE(server_->rekey("tv"));
    EXPECT_TRUE(until([&] { return studio.epoch() > first && home.epoch() == studio.epoch(); }));
    EXPECT_TRUE(until([&] { return heard(studio, home, studio.epoch()); }));
    EXPECT_EQ(status()["handshakes"]["failed"].size(), 0u) << status()["handshakes"].dump();
    stop();
  }
}

TEST_F(Variants, P34_H7_PasswordsAndVariant1AreCarriedInIsakmpToo) {
  carriage_ = config::Carriage::isakmp;
  for (const GroupFlow& each : {password_flow, flow(1, SecondCcs::not_applicable, Authentication::certificate,
                                                    FlagPlace::certificate_request, rsa_suite)}) {
    serve(each);
    const std::string prefix = each.variant == 1 ? "rsa-" : "";
    Member& studio = join(prefix + "studio", each);
    Member& home = join(prefix + "home", each);
    EXPECT_TRUE(until([&] { return heard(studio, home, studio.epoch()); }));
    stop();
  }
}

// One configuration of the member, one certificate, one memory of epochs; only the key server's group differs.
TEST_F(Variants, P3_H30_WithAutoTheKeyServerChoosesAmongWhatTheMemberAllows) {
  const auto certificate = Authentication::certificate;
  const auto request = FlagPlace::certificate_request, smke = FlagPlace::smke;
  const auto ecdhe_rsa = CipherSuite::ecdhe_rsa_aes_256_gcm_sha384;
  const std::vector<GroupFlow> allowed = {flow(2, SecondCcs::claim5, certificate, request, ecdhe_rsa),
                                          flow(1, SecondCcs::not_applicable, certificate, request, rsa_suite),
                                          flow(2, SecondCcs::description, certificate, smke, ecdhe_rsa)};
  const auto settings = [&](const std::string& name) {
    MemberSettings out = settings_of(name, allowed[1], "");  // with the RSA certificate
    out.member.groups[0].flows = allowed;
    return out;
  };
  for (const GroupFlow& each : allowed) {
    serve(each);
    Member& studio = start(settings("rsa-studio"));
    Member& home = start(settings("rsa-home"));
    ASSERT_TRUE(until([&] { return studio.state() == "joined" && home.state() == "joined"; }))
        << admin::to_json(studio.agent->status());
    EXPECT_TRUE(until([&] { return heard(studio, home, studio.epoch()); }));
    const std::uint64_t first = studio.epoch();
    ASSERT_TRUE(server_->rekey("tv"));
    EXPECT_TRUE(until([&] { return studio.epoch() > first && home.epoch() == studio.epoch(); }));
    stop();
  }
  // What it does not allow is refused, and it says so.
  serve(flow(2, SecondCcs::description, certificate, request, ecdhe_rsa));
  Member& member = start(settings("rsa-studio"));
  EXPECT_TRUE(until([&] { return member.failures() >= 2; }));
  EXPECT_EQ(member.group()["joins"], 0);
  EXPECT_THAT(member.why(), HasSubstr("wrong_second_ccs"));
}

TEST_F(Variants, H4_P31_AMemberConfiguredForAnotherFlowNeverJoins) {
  serve(flow(2));
  for (const GroupFlow& other :
       {flow(2, SecondCcs::description), flow(2, SecondCcs::claim5, Authentication::certificate, FlagPlace::smke),
        flow(2, SecondCcs::claim5, Authentication::certificate, FlagPlace::certificate_request,
             CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256),
        flow(3, SecondCcs::claim5, Authentication::certificate_and_password), password_flow}) {
    Member& member = start(settings_of("studio", other, ""));
    EXPECT_TRUE(until([&] { return member.failures() >= 2; })) << admin::to_json(member.agent->status());
    EXPECT_EQ(member.group()["joins"], 0) << admin::to_json(member.agent->status());
    member.agent->stop();
  }
  EXPECT_EQ(status()["members"], 0);
}

// ---------------------------------------------------------------- passwords

TEST_F(Variants, H7_AUTH_2_AWrongPasswordAnUnknownUserAndTooManyAttemptsLookAlike) {
  options_.passwords.limits.user = {1, std::chrono::hours(1)};
  serve(password_flow);
  Member& wrong = start(settings_of("studio", password_flow, "guess"));
  ASSERT_TRUE(until([&] { return wrong.failures() == 1; }));
  Member& limited = start(settings_of("studio", password_flow, ""));  // right, but too late
  Member& unknown = start(settings_of("nobody", password_flow, "guess"));
  ASSERT_TRUE(until([&] { return limited.failures() == 1 && unknown.failures() == 1; }));
  const auto without_names = [](std::string text) {
    for (const std::string name : {"studio", "nobody"})
      for (auto at = text.find(name); at != std::string::npos; at = text.find(name))
        text.replace(at, name.size(), "X");
    return text.substr(0, text.find("; next attempt in"));
  };
  EXPECT_EQ(without_names(wrong.why()), without_names(unknown.why()));
  EXPECT_EQ(without_names(wrong.why()), without_names(limited.why()));
  EXPECT_THAT(wrong.why(), AllOf(HasSubstr("access_denied"), HasSubstr("refuses user \"studio\""),
                                 HasSubstr("studio.pass"), HasSubstr("; next attempt in ")));
  EXPECT_EQ(failed("password_refused"), 3u) << status()["handshakes"].dump();
  pass(500ms);
  EXPECT_EQ(wrong.failures(), 1u) << "it waits, lest it lock its user out";
  EXPECT_TRUE(status()["groups"][0]["epochs"].empty()) << "nobody was given anything";
}

TEST_F(Variants, H7_UserAndCertificateMustBelongTogether) {
  const GroupFlow both = flow(3, SecondCcs::claim5, Authentication::certificate_and_password);
  serve(both);
  MemberSettings mixed = settings_of("studio", both, "home's password");
  mixed.member.groups[0].user = "home";
  Member& member = start(mixed);
  ASSERT_TRUE(until([&] { return member.failures() >= 1; }));
  EXPECT_THAT(member.why(), HasSubstr("access_denied"));
  EXPECT_EQ(failed("password_refused"), 1u) << status()["handshakes"].dump();
  EXPECT_EQ(failed("group_refused"), 0u) << "nothing was issued, though the password was right";
}

TEST_F(Variants, H7_NobodyUsesUpTheAttemptsOfAnothersName) {
  options_.passwords.limits.user = {1, std::chrono::hours(1)};
  const GroupFlow both = flow(3, SecondCcs::claim5, Authentication::certificate_and_password);
  serve(both);
  MemberSettings mixed = settings_of("studio", both, "a guess");
  mixed.member.groups[0].user = "home";
  Member& guessing = start(mixed);
  ASSERT_TRUE(until([&] { return guessing.failures() >= 1; }));
  EXPECT_EQ(join("home", both).state(), "joined") << "the one attempt of home is still its own";
}

TEST_F(Variants, H7_H8_H11_ARemovedUserIsShutOutAtOnceAndTheOthersGetANewKey) {
  serve(password_flow);
  Member& studio = join("studio", password_flow);
  Member& home = join("home", password_flow);
  ASSERT_TRUE(until([&] { return status()["members"] == 2; }));
  const std::uint64_t before = studio.epoch();
  change([](passwords::PasswordFile& file) -> Result<void> {
    file.remove("home");
    return {};
  });
  EXPECT_EQ(home.state(), "joined") << "the file is read when the key server is told to";
  ASSERT_TRUE(server_->reload(config_));
  EXPECT_TRUE(until([&] { return home.state() == "revoked"; })) << admin::to_json(home.agent->status());
  EXPECT_EQ(home.epoch(), 0u) << "its keys are wiped";
  EXPECT_TRUE(until([&] { return studio.epoch() > before; }));
  EXPECT_EQ(studio.state(), "joined");
  EXPECT_EQ(status()["members"], 1);
  const std::uint64_t second = studio.epoch();
  ASSERT_TRUE(until([&] { return status()["groups"][0]["handing_over"] == false; }));
  set("studio", "a new one");
  ASSERT_TRUE(server_->reload(config_));
  EXPECT_TRUE(until([&] { return studio.state() == "revoked"; })) << "who joined with the old password goes, too";
  EXPECT_EQ(studio.epoch(), 0u) << second;
}

TEST_F(Variants, H7_ABrokenPasswordFileIsNotTakenOver) {
  serve(password_flow);
  Member& studio = join("studio", password_flow);
  ASSERT_EQ(::chmod((folder_ + "/users").c_str(), 0644), 0);
  const auto reloaded = server_->reload(config_);
  ASSERT_FALSE(reloaded);
  EXPECT_THAT(reloaded.error().message, AllOf(HasSubstr("mode 0600"), HasSubstr("Nothing was taken over")));
  EXPECT_EQ(studio.state(), "joined");
  join("home", password_flow);
}

TEST_F(Variants, H13_DOS_1_APasswordFloodDoesNotKeepMembersFromTheirRekey) {
  // Hundreds of milliseconds each: a handshake is quicker than that on a busy machine and in a sanitized build, too.
  policy_ = {{128 * 1024, 8}, {8, 1}, {128 * 1024, 8}};
  ::unlink((folder_ + "/users").c_str());
  set("studio", "studio's password");
  options_.passwords.limits.user = {1000, 1ms};
  options_.passwords.limits.address = {1000, 1ms};
  serve(password_flow);
  Member& studio = join("studio", password_flow);
  ASSERT_TRUE(until([&] { return status()["members"] == 1; }));
  const std::uint64_t before = studio.epoch();
  for (int i = 0; i < 30; ++i)
    start(settings_of("nobody", password_flow, "guess"));
  ASSERT_TRUE(until([&] { return status()["passwords"]["waiting"] >= 10; })) << status().dump();
  const auto begun = std::chrono::steady_clock::now();
  ASSERT_TRUE(server_->rekey("tv"));
  ASSERT_TRUE(until([&] { return studio.epoch() > before; }));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 3s) << "far less than a lease, on a busy machine, too";
  EXPECT_GT(status()["passwords"]["waiting"], 0) << "the flood was still being worked through";
}

// As many attempts as groups would use up the user's allowance, and lock it out.
TEST_F(Variants, H7_AWrongPasswordIsTriedOnceForAllGroupsThatShareIt) {
  serve(password_flow);
  server_.reset();
  for (int i = 0; i < 20; ++i) {
    auto group = config_.groups[0];
    group.id = "g" + std::to_string(i);
    group.selectors = {{*Prefix::parse("239.2." + std::to_string(i) + ".0/24"), {}, {}, {}}};
    config_.groups.push_back(group);
  }
  server_ = std::make_unique<keyserver::KeyServer>(io_, config_, options_);
  ASSERT_TRUE(server_->start());
  const auto of_all = [&](const std::string& password) {
    MemberSettings settings = settings_of("studio", password_flow, password);
    for (std::size_t i = 1; i < config_.groups.size(); ++i) {
      auto group = settings.member.groups[0];
      group.id = config_.groups[i].id;
      group.selectors = config_.groups[i].selectors;
      settings.member.groups.push_back(group);
    }
    return settings;
  };
  Member& wrong = start(of_all("a guess"));
  const auto status_of = [](const Member& member) { return Json::parse(admin::to_json(member.agent->status())); };
  ASSERT_TRUE(until([&] {
    const Json now = status_of(wrong);
    return std::all_of(now["groups"].begin(), now["groups"].end(),
                       [](const Json& group) { return group["failures"] == 1; });
  })) << status_of(wrong);
  const Json refused = status_of(wrong);
  for (const Json& group : refused["groups"])
    EXPECT_THAT(group["why"].get<std::string>(), AllOf(HasSubstr("refuses user"), HasSubstr("next attempt in")));
  EXPECT_EQ(failed("password_refused"), 1u);
  wrong.agent->stop();
  Member& right = start(of_all(""));
  ASSERT_TRUE(until([&] { return status_of(right)["joined"] == 21; })) << status_of(right);
  EXPECT_EQ(status()["connections"], 1);
  EXPECT_EQ(failed("password_refused"), 1u);
}

TEST_F(Variants, H7_H13_WhoGoesOrIsTooSlowLeavesNothingBehind) {
  policy_ = slow_policy;
  policy_.preferred = policy_.most;  // hundreds of milliseconds each
  ::unlink((folder_ + "/users").c_str());
  set("studio", "studio's password");
  timeout_ = 3s;
  options_.passwords.limits.user = {1000, 1ms};
  options_.passwords.limits.address = {1000, 1ms};
  serve(password_flow);
  for (int i = 0; i < 12; ++i)  // right passwords, far more than 3 s of work
    start(settings_of("studio", password_flow, ""));
  ASSERT_TRUE(until([&] { return status()["passwords"]["waiting"] >= 8; }));
  for (auto& member : members_)
    member->agent->stop();
  EXPECT_TRUE(until([&] { return status()["connections"] == 0 && status()["passwords"]["waiting"] == 0; }));
  EXPECT_GT(failed("handshake_timeout") + failed("disconnected"), 0u) << status()["handshakes"].dump();
  EXPECT_EQ(status()["members"], 0);
}

TEST_F(Variants, H7_APromptedPasswordIsAskedForOnceAndNothingStartsWithoutOne) {
  serve(password_flow);
  MemberSettings settings = settings_of("studio", password_flow, "");
  settings.member.groups[0].password = config::PasswordSource{};
  auto radio = settings.member.groups[0];
  radio.id = "radio";
  radio.selectors = {{*Prefix::parse("239.2.0.0/16"), {}, {}, {}}};
  settings.member.groups.push_back(radio);
  std::vector<std::string> asked;
  settings.ask_password = [&](const std::string& prompt) -> Result<SecretBytes> {
    asked.push_back(prompt);
    return secret("studio's password");
  };
  Member& studio = start(settings);
  EXPECT_THAT(asked, ::testing::ElementsAre("Password of studio at key server cluster-1: "));
  EXPECT_TRUE(until([&] { return studio.state() == "joined"; })) << admin::to_json(studio.agent->status());
  settings.ask_password = [](const std::string&) -> Result<SecretBytes> { return fail("there is no terminal"); };
  FakeDataPlane plane{1};
  MemberAgent agent(io_, settings, plane);
  const auto started = agent.start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("password_prompt: there is no terminal"));
}

TEST_F(Variants, H7_StartSaysWhenAPasswordFileWillNotDo) {
  serve(password_flow);
  MemberSettings settings = settings_of("studio", password_flow, "");
  ASSERT_EQ(::chmod((folder_ + "/studio.pass").c_str(), 0640), 0);
  FakeDataPlane plane{1};
  const auto started = MemberAgent(io_, settings, plane).start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, AllOf(HasSubstr("group \"tv\""), HasSubstr("chmod 600")));
}

}  // namespace
}  // namespace sealcast::member
