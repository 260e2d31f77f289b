// Passwords at the key server over real TCP: clients that leave too early or are away, and what the log says of them.
#include <gmock/gmock.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <sstream>

#include "controlplane/keyserver/testing/key_server_fixture.h"

namespace sealcast::keyserver {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::in;
using testing::KeyServerTest;
using ::testing::Not;
using testing::TestClient;
using namespace std::chrono_literals;

constexpr passwords::HashPolicy cheap_hash{{8, 1}, {8, 1}, {256 * 1024, 8}};
constexpr passwords::HashPolicy slow_hash{{128 * 1024, 4}, {8, 1}, {256 * 1024, 8}};  // some 300 ms

class KeyServerPasswords : public KeyServerTest {
 protected:
  KeyServerPasswords() {
    config_.password_file = folder_ + "/users";
    auto& flow = config_.groups[0].flow;
    flow.variant = 3;
    flow.authentication = handshake::Authentication::password;
    flow.flag_place = handshake::FlagPlace::smke;
    config_.groups[0].senders = {"anna"};
    options_.passwords.threads = 1;
    log_to(stream_);
  }
  ~KeyServerPasswords() override {
    stop();
    spdlog::set_default_logger(before_);
  }
  void log_to(std::ostringstream& stream) {
    before_ = spdlog::default_logger();
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(stream)));
  }
  void users(const std::vector<std::string>& names, const passwords::HashPolicy& policy = cheap_hash) {
    options_.passwords.policy = policy;
    const auto done = passwords::update(folder_ + "/users", policy, [&](passwords::PasswordFile& file) -> Result<void> {
      for (const std::string& name : file.users())
        if (std::find(names.begin(), names.end(), name) == names.end()) file.remove(name);
      for (const std::string& name : names)
        if (!file.stamp(name))
          if (auto set = file.set(name, secret(name + "'s secret")); !set) return set;
      return {};
    });
    ASSERT_TRUE(done.has_value()) << done.error().message;
  }
  static SecretBytes secret(const std::string& text) {
    SecretBytes out(text.size());
    std::memcpy(out.data(), text.data(), text.size());
    return out;
  }
  std::shared_ptr<handshake::ClientConfig> user_config(const std::string& user, const std::string& password) {
    auto config = member_config("nobody's certificate");
    config->credentials = {};
    config->multicast->flows = {config_.groups[0].flow};
    config->password = [this, user, password]() -> Result<handshake::PasswordCredential> {
      shown_ = true;
      return handshake::PasswordCredential{user, secret(password)};
    };
    return config;
  }
  std::unique_ptr<TestClient> join_user(const std::string& user) {
    auto client = connect(user_config(user, user + "'s secret"));
    EXPECT_TRUE(client->join()) << user << ": " << (client->error() ? client->error()->message() : "no answer");
    return client;
  }
  std::string log() {
    return on_loop([this] { return stream_.str(); });
  }

  std::ostringstream stream_;
  std::shared_ptr<spdlog::logger> before_;
  std::atomic<bool> shown_{false};
};

TEST_F(KeyServerPasswords, H7_H13_WhoDiesWhileItsPasswordIsCheckedIsGivenNothing) {
  users({"anna"}, slow_hash);
  start();
  auto client = connect(user_config("anna", "anna's secret"));
  const auto deadline = in(5s);
  while (!shown_ && std::chrono::steady_clock::now() < deadline)
    client->join(in(10ms));
  ASSERT_TRUE(eventually([&] { return status()["passwords"]["waiting"] == 1; }));
  client.reset();
  ASSERT_TRUE(eventually([&] { return status()["connections"] == 0; }));
  EXPECT_TRUE(status()["groups"][0]["epochs"].empty()) << "no epoch, no slot, no holder";
  EXPECT_EQ(failed("disconnected"), 1u) << status()["handshakes"].dump();
  EXPECT_THAT(log(), Not(HasSubstr("key_sent")));
}

TEST_F(KeyServerPasswords, H7_H13_TheHandshakesDeadlineHoldsWhileAPasswordIsChecked) {
  users({"anna"}, slow_hash);
  config_.handshake_timeout = 100ms;
  start();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 3; ++i)
    clients.push_back(connect(user_config("anna", "anna's secret")));
  for (auto& client : clients)
    EXPECT_FALSE(client->join());
  EXPECT_TRUE(eventually([&] { return failed("handshake_timeout") == 3; })) << status()["handshakes"].dump();
  EXPECT_TRUE(eventually([&] { return status()["passwords"]["waiting"] == 0; }));
  EXPECT_TRUE(status()["groups"][0]["epochs"].empty());
}

TEST_F(KeyServerPasswords, H8_H11_ARemovedUserThatIsAwayIsShutOutToo) {
  users({"anna", "bert"});
  start();
  auto anna = join_user("anna");
  auto bert = join_user("bert");
  ASSERT_TRUE(members_are(2));
  ASSERT_TRUE(bert->say(handshake::Leave{"tv"}));
  ASSERT_TRUE(members_are(1));
  users({"anna"});
  const auto reloaded = on_loop([this] { return server_->reload(config_); });
  ASSERT_TRUE(reloaded.has_value()) << reloaded.error().message;
  EXPECT_TRUE(anna->expect<handshake::GroupUpdate>().has_value()) << "bert still holds the old epoch";
  EXPECT_THAT(log(), HasSubstr("holder_shut_out group=\"tv\" member=\"bert\""));
  auto again = connect(user_config("bert", "bert's secret"));
  EXPECT_FALSE(again->join());
  EXPECT_EQ(failed("password_refused"), 1u);
}

TEST_F(KeyServerPasswords, H8_AtARekeyEveryMembersUserIsLookedUpAgain) {
  users({"anna", "bert"});
  config_.groups[0].members_by_certificate = false;
  config_.groups[0].members = {"anna", "bert"};
  start();
  auto anna = join_user("anna");
  auto bert = join_user("bert");
  ASSERT_TRUE(members_are(2));
  config_.groups[0].members = {"anna"};  // the user stays, the membership goes
  ASSERT_TRUE(on_loop([this] { return server_->reload(config_); }).has_value());
  EXPECT_TRUE(bert->expect<handshake::Revoked>().has_value());
  EXPECT_TRUE(anna->expect<handshake::GroupUpdate>().has_value());
  auto again = connect(user_config("bert", "bert's secret"));
  EXPECT_FALSE(again->join());
  ASSERT_TRUE(again->error().has_value());
  EXPECT_EQ(again->error()->alert, handshake::Alert::access_denied) << "as for a wrong password";
  EXPECT_EQ(failed("group_refused"), 1u);
}

// access_denied would cost it its patience of minutes, and what it waits for may be there in a moment.
TEST_F(KeyServerPasswords, H7_H13_WhoGivesTheRightPasswordWhileNothingCanBeGivenIsNotRefused) {
  users({"anna"});
  start();
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_action = std::signal(SIGXFSZ, SIG_IGN);
  const auto limit_files = [](rlimit to) { ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &to), 0); };
  limit_files({0, before.rlim_max});  // the state file cannot be written
  auto client = connect(user_config("anna", "anna's secret"));
  const bool joined = client->join();
  limit_files(before);
  std::signal(SIGXFSZ, old_action);
  ASSERT_FALSE(joined);
  ASSERT_TRUE(client->error().has_value());
  EXPECT_EQ(client->error()->alert, handshake::Alert::internal_error);
  EXPECT_EQ(failed("group_unavailable"), 1u) << status()["handshakes"].dump();
  auto anna = join_user("anna");
}

TEST_F(KeyServerPasswords, H7_H14_TheLogNamesUsersAndNoPassword) {
  users({"anna"});
  options_.passwords.limits.user = {1, std::chrono::hours(1)};
  start();
  auto anna = join_user("anna");
  for (int i = 0; i < 2; ++i)
    EXPECT_FALSE(connect(user_config("anna", "hunter2"))->join());
  EXPECT_FALSE(connect(user_config("carl", "hunter2"))->join());
  EXPECT_THAT(log(), AllOf(HasSubstr("password_accepted user=\"anna\" address=127.0.0.1:"),
                           HasSubstr("reason=password_refused"), HasSubstr("unknown, or the password is wrong"),
                           HasSubstr("too many attempts"), HasSubstr("carl")));
  EXPECT_THAT(log() + status().dump(), AllOf(Not(HasSubstr("hunter2")), Not(HasSubstr("anna's secret"))));
}

}  // namespace
}  // namespace sealcast::keyserver
