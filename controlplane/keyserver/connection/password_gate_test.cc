// Attempts, threads and answers of the password gate, without a socket.
#include "controlplane/keyserver/connection/password_gate.h"

#include <gtest/gtest.h>

#include <asio/executor_work_guard.hpp>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/asio_loop.h"
#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/connection/peer_address.h"
#include "handshake/endpoint.h"

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;
using Checked = PasswordGate::Verdict;
using Clock = std::chrono::steady_clock;

// Cheap by Argon2id's measure, dear by a test's: so that an attempt's time can be told from none.
constexpr passwords::HashPolicy gate_policy{{16 * 1024, 2}, {8, 1}, {64 * 1024, 8}};

SecretBytes secret(std::string_view text) {
  SecretBytes out(text.size());
  std::memcpy(out.data(), text.data(), text.size());
  return out;
}

class PasswordGateTest : public ::testing::Test {
 protected:
  PasswordGateTest() {
    char folder[] = "/tmp/sealcast-gate-XXXXXX";
    folder_ = mkdtemp(folder);
    settings_.policy = gate_policy;
    settings_.threads = 1;
    settings_.limits.user = {3, std::chrono::hours(1)};
    settings_.limits.address = {100, std::chrono::hours(1)};
  }
  ~PasswordGateTest() override {
    gate_.reset();
    std::filesystem::remove_all(folder_);
  }
  void set(const std::string& user, const std::string& password) {
    const auto done = passwords::update(folder_ + "/users", gate_policy, [&](passwords::PasswordFile& file) {
      return file.set(user, secret(password));
    });
    ASSERT_TRUE(done.has_value()) << done.error().message;
  }
  void load() {
    auto file = gate().load(folder_ + "/users");
    ASSERT_TRUE(file.has_value()) << file.error().message;
    gate().use(std::move(*file));
  }
  PasswordGate& gate() {
    if (!gate_) gate_.emplace(loop_, settings_, handshake::system_random());
    return *gate_;
  }
  struct Asked {
    std::optional<PasswordGate::Answer> answer;
    std::shared_ptr<PasswordGate::Ticket> ticket;
    Clock::time_point begun = Clock::now(), ended;
    std::chrono::milliseconds took() const {
      return std::chrono::duration_cast<std::chrono::milliseconds>(ended - begun);
    }
  };
  std::shared_ptr<Asked> ask(const std::string& user, const std::string& password, const char* from = "10.0.0.1") {
    auto asked = std::make_shared<Asked>();
    asked->ticket = gate().check(user, secret(password), *IpAddress::parse(from),
                                 [asked = asked.get()](const PasswordGate::Answer& answer) {
                                   asked->answer = answer;
                                   asked->ended = Clock::now();
                                 });
    return asked;
  }
  void answered(const std::vector<std::shared_ptr<Asked>>& all) {
    const auto deadline = Clock::now() + 5s;
    for (const auto& one : all)
      while (!one->answer && Clock::now() < deadline)
        turn();
    for (const auto& one : all)
      ASSERT_TRUE(one->answer.has_value());
  }
  void turn() {
    io_.restart();  // it stops whenever it has nothing to do
    const auto work = asio::make_work_guard(io_);
    io_.run_one_for(20ms);
  }
  Checked verdict(const std::string& user, const std::string& password, const char* from = "10.0.0.1") {
    const auto asked = ask(user, password, from);
    answered({asked});
    return asked->answer->verdict;
  }

  std::string folder_;
  asio::io_context io_{1};
  AsioLoop loop_{io_};
  PasswordSettings settings_;
  std::optional<PasswordGate> gate_;
};

TEST_F(PasswordGateTest, H7_AnswersLaterAndWithTheStampOfTheRightPassword) {
  set("anna", "correct horse");
  load();
  const auto right = ask("anna", "correct horse");
  ASSERT_TRUE(right->ticket);
  EXPECT_FALSE(right->answer.has_value()) << "never from inside check()";
  answered({right});
  EXPECT_EQ(right->answer->verdict, Checked::right);
  EXPECT_TRUE(gate().stands("anna", right->answer->stamp));
  EXPECT_FALSE(gate().stands("bert", right->answer->stamp));
  EXPECT_FALSE(gate().stands("anna", ""));
  const auto wrong = ask("anna", "correct hors");
  answered({wrong});
  EXPECT_EQ(wrong->answer->verdict, Checked::wrong);
  EXPECT_EQ(wrong->answer->stamp, "");
  EXPECT_EQ(verdict("nobody", "correct horse"), Checked::wrong);
}

TEST_F(PasswordGateTest, H7_AttemptsAreLimitedPerUserWhoeverTheyAreAndPerAddress) {
  settings_.limits.address = {5, std::chrono::hours(1)};
  set("anna", "correct horse");
  load();
  for (const char* user : {"anna", "nobody"}) {
    for (int i = 0; i < 3; ++i)
      EXPECT_EQ(verdict(user, "wrong " + std::to_string(i), i == 0 ? "10.0.0.1" : "10.0.0.2"), Checked::wrong)
          << user << i;
    EXPECT_EQ(verdict(user, user == std::string("anna") ? "correct horse" : "wrong", "10.0.0.3"), Checked::limited)
        << "the right password, too: from anywhere";
  }
  // 10.0.0.2 has had four: one is left, for any user.
  EXPECT_EQ(verdict("carl", "x", "10.0.0.2"), Checked::wrong);
  EXPECT_EQ(verdict("dora", "x", "10.0.0.2"), Checked::limited);
  EXPECT_EQ(verdict("dora", "x", "10.0.0.9"), Checked::wrong);
}

TEST_F(PasswordGateTest, H7_RightPasswordsUseUpNothing) {
  set("anna", "correct horse");
  load();
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(verdict("anna", "correct horse"), Checked::right) << i;
}

TEST_F(PasswordGateTest, H7_AUserIsLockedAfterManyWrongPasswordsToldOfAndUnlocked) {
  std::vector<std::string> told;
  audit_to([&](AuditLevel level, const Event& event) {
    told.push_back(std::string(name(level)) + " " + event.name() + " " + std::string(event.field("user")));
  });
  settings_.limits.user = {4, 1ms, 1ms, 2, 4};
  set("anna", "correct horse");
  load();
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(verdict("anna", "guess " + std::to_string(i)), Checked::wrong) << i;
  EXPECT_EQ(verdict("anna", "correct horse"), Checked::locked);
  audit_to({});
  EXPECT_EQ(told, (std::vector<std::string>{"warning password_guessing anna", "error password_locked anna"}));
  EXPECT_EQ(gate().locked(), std::vector<std::string>{"anna"});
  EXPECT_FALSE(gate().unlock("bert"));
  EXPECT_TRUE(gate().unlock("anna"));
  EXPECT_EQ(verdict("anna", "correct horse"), Checked::right);
  EXPECT_TRUE(gate().locked().empty());
}

TEST_F(PasswordGateTest, AUTH_2_ALimitedAttemptTakesAsLongAsOneThatIsHashedButHashesNothing) {
  settings_.limits.user = {1, std::chrono::hours(1)};
  set("anna", "correct horse");
  load();
  const auto hashed = ask("anna", "wrong");
  answered({hashed});
  // Many at once: hashed by the one thread they would take one after another.
  std::vector<std::shared_ptr<Asked>> limited;
  for (int i = 0; i < 40; ++i)
    limited.push_back(ask("anna", "wrong"));
  answered(limited);
  for (const auto& one : limited) {
    EXPECT_EQ(one->answer->verdict, Checked::limited);
    EXPECT_GE(one->took() + 1ms, hashed->took() / 2);
  }
  EXPECT_LT(limited.back()->took(), hashed->took() * 10);
}

TEST_F(PasswordGateTest, H7_AnAttemptThatWasNeverHashedDoesNotCountAgainstItsUser) {
  settings_.limits.user = {3, std::chrono::hours(1)};
  settings_.limits.address = {1000, 1ms};
  set("anna", "correct horse");
  load();
  std::vector<std::shared_ptr<Asked>> ahead, queued;
  for (int i = 0; i < 3; ++i)
    ahead.push_back(ask("bert", "wrong"));  // the one thread is busy for three hashes
  for (int i = 0; i < 3; ++i)
    queued.push_back(ask("anna", "correct horse"));
  for (const auto& one : queued) {
    ASSERT_TRUE(one->ticket);
    one->ticket.reset();  // the connection's deadline came first
  }
  const auto until = Clock::now() + 5s;
  while (gate().waiting() != 0 && Clock::now() < until)
    turn();
  ASSERT_EQ(gate().waiting(), 0U);
  EXPECT_EQ(verdict("anna", "correct horse"), Checked::right);
}

TEST_F(PasswordGateTest, H13_WhatWouldWaitTooLongIsTurnedAwayUncounted) {
  settings_.limits.user = {3, std::chrono::hours(1)};
  settings_.limits.address = {1000, 1ms};
  settings_.longest_wait = 0ms;  // any wait is too long
  set("anna", "correct horse");
  load();
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(ask("anna", "wrong")->ticket, nullptr) << i;
}

TEST_F(PasswordGateTest, AUTH_2_WhoMayNotTryIsRefusedLaterAndNothingIsHashed) {
  set("anna", "correct horse");
  load();
  std::optional<PasswordGate::Answer> answer;
  const auto ticket = gate().refuse([&](const PasswordGate::Answer& given) { answer = given; });
  ASSERT_TRUE(ticket);
  EXPECT_EQ(gate().waiting(), 0U);
  EXPECT_FALSE(answer) << "never from inside refuse()";
  const auto until = Clock::now() + 5s;
  while (!answer && Clock::now() < until)
    turn();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->verdict, Checked::wrong);
}

TEST(CountedAddress, H13_Ipv4CountsAsItselfAndIpv6ByItsNetwork) {
  EXPECT_EQ(counted_address("10.1.2.3").text(), "10.1.2.3");
  EXPECT_EQ(counted_address("::ffff:10.1.2.3").text(), "10.1.2.3");
  EXPECT_EQ(counted_address("2001:db8:1:2:3:4:5:6").text(), counted_address("2001:db8:1:2::1").text());
  EXPECT_NE(counted_address("2001:db8:1:3::1").text(), counted_address("2001:db8:1:2::1").text());
  EXPECT_EQ(counted_address("fe80::1%eth0").text(), counted_address("fe80::2").text());
}

TEST_F(PasswordGateTest, H13_OnlySoManyWaitAndWhoGoesIsNotHashed) {
  settings_.waiting = 20;
  settings_.limits.user = {1000, 1ms};
  settings_.limits.address = {1000, 1ms};
  set("anna", "correct horse");
  load();
  std::vector<std::shared_ptr<Asked>> asked;
  for (int i = 0; i < 20; ++i)
    asked.push_back(ask("anna", "wrong"));
  EXPECT_EQ(gate().waiting(), 20u);
  EXPECT_EQ(ask("anna", "wrong")->ticket, nullptr) << "one too many";
  const auto first = asked.front();
  for (std::size_t i = 1; i < asked.size(); ++i)
    asked[i]->ticket.reset();  // their connections died
  answered({first});
  const auto before = Clock::now();
  while (gate().waiting() != 0 && Clock::now() - before < 5s)
    turn();
  EXPECT_LT(Clock::now() - before, first->took() * 5 + 50ms) << "given up attempts cost nothing";
  for (std::size_t i = 1; i < asked.size(); ++i)
    EXPECT_FALSE(asked[i]->answer.has_value()) << "nobody is there to be told";
}

TEST_F(PasswordGateTest, H7_ARightPasswordThatWasChangedMeanwhileNoLongerStands) {
  set("anna", "correct horse");
  set("bert", "battery");
  load();
  const auto old = ask("anna", "correct horse");
  const auto other = ask("bert", "battery");
  set("anna", "staple");
  load();
  answered({old, other});
  EXPECT_EQ(old->answer->verdict, Checked::right) << "by the file of its time";
  EXPECT_FALSE(gate().stands("anna", old->answer->stamp)) << "but it opens nothing any more";
  EXPECT_TRUE(gate().stands("bert", other->answer->stamp));
  EXPECT_EQ(gate().users(), 2u);
}

TEST_F(PasswordGateTest, ItEndsWithAttemptsStillWaiting) {
  set("anna", "correct horse");
  load();
  std::vector<std::shared_ptr<Asked>> asked;
  for (int i = 0; i < 3; ++i)
    asked.push_back(ask("anna", "correct horse"));
  gate_.reset();
  io_.run_for(50ms);
  for (const auto& one : asked)
    EXPECT_FALSE(one->answer.has_value());
}

TEST_F(PasswordGateTest, AMissingOrWrongFileIsOneLine) {
  const auto missing = gate().load(folder_ + "/users");
  ASSERT_FALSE(missing.has_value());
  EXPECT_NE(missing.error().message.find("No such file"), std::string::npos);
  EXPECT_EQ(ask("anna", "x")->ticket, nullptr) << "without users nobody is checked";
}

}  // namespace
}  // namespace sealcast::keyserver
