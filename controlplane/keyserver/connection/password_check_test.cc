#include "controlplane/keyserver/connection/password_check.h"

#include <gtest/gtest.h>

#include <asio/executor_work_guard.hpp>
#include <cstring>
#include <filesystem>

#include "base/asio_loop.h"
#include "handshake/endpoint.h"

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;

SecretBytes secret_of(std::string_view text) {
  SecretBytes out(text.size());
  std::memcpy(out.data(), text.data(), text.size());
  return out;
}

class PasswordCheckTest : public ::testing::Test {
 protected:
  PasswordCheckTest() {
    char folder[] = "/tmp/sealcast-check-XXXXXX";
    folder_ = mkdtemp(folder);
    settings_.policy = {{8, 1}, {8, 1}, {64 * 1024, 8}};
    settings_.threads = 1;
    settings_.limits.user = {2, std::chrono::hours(1)};
    settings_.limits.address = {100, std::chrono::hours(1)};
    EXPECT_TRUE(passwords::update(folder_ + "/users", settings_.policy, [](passwords::PasswordFile& file) {
      return file.set("anna", secret_of("open sesame"));
    }));
  }
  ~PasswordCheckTest() override {
    gate_.reset();
    std::filesystem::remove_all(folder_);
  }
  PasswordGate& gate() {
    if (gate_) return *gate_;
    gate_.emplace(loop_, settings_, handshake::system_random());
    auto file = gate_->load(folder_ + "/users");
    EXPECT_TRUE(file);
    gate_->use(std::move(*file));
    return *gate_;
  }
  bool begin(PasswordCheck& check, const std::string& password, std::vector<std::string> certificate_names = {}) {
    handshake::PasswordPresented presented{"tv", "anna", secret_of(password), std::move(certificate_names)};
    return check.begin(gate(), presented, "10.0.0.1", [this] { ++answers_; });
  }
  // Until so many are answered, or for a moment.
  void run(int answers, std::chrono::milliseconds longest = 5s) {
    const auto end = std::chrono::steady_clock::now() + longest;
    while (answers_ < answers && std::chrono::steady_clock::now() < end) {
      io_.restart();
      const auto work = asio::make_work_guard(io_);
      io_.run_one_for(20ms);
    }
  }

  std::string folder_;
  asio::io_context io_{1};
  AsioLoop loop_{io_};
  PasswordSettings settings_;
  std::optional<PasswordGate> gate_;
  int answers_ = 0;
};

TEST_F(PasswordCheckTest, H7_ARightPasswordIsAcceptedWithItsStamp) {
  PasswordCheck check;
  ASSERT_TRUE(begin(check, "open sesame"));
  EXPECT_TRUE(check.waiting());
  EXPECT_EQ(answers_, 0) << "later";
  run(1);
  EXPECT_FALSE(check.waiting());
  EXPECT_TRUE(check.accepted());
  EXPECT_EQ(check.user(), "anna");
  EXPECT_TRUE(gate().stands("anna", check.stamp()));
}

TEST_F(PasswordCheckTest, H7_TheLogSaysWhyAPasswordWasRefused) {
  PasswordCheck wrong;
  ASSERT_TRUE(begin(wrong, "open barley"));
  run(1);
  EXPECT_FALSE(wrong.accepted());
  EXPECT_EQ(wrong.refusal(), "user \"anna\": unknown, or the password is wrong");
  PasswordCheck again;
  ASSERT_TRUE(begin(again, "open barley"));
  PasswordCheck limited;
  ASSERT_TRUE(begin(limited, "open sesame"));
  run(3);
  EXPECT_FALSE(limited.accepted());
  EXPECT_EQ(limited.refusal(), "user \"anna\": too many attempts");
}

// The user has to be a name of the certificate where the group asks for both.
TEST_F(PasswordCheckTest, AUTH_2_AnotherCertificatesMemberUsesUpNoAttempt) {
  for (int i = 1; i <= 3; ++i) {
    PasswordCheck foreign;
    ASSERT_TRUE(begin(foreign, "open sesame", {"bert", "bert.example"}));
    EXPECT_EQ(gate().waiting(), 0u) << "nothing is hashed";
    run(i);
    EXPECT_FALSE(foreign.accepted());
    EXPECT_EQ(foreign.refusal(), "user \"anna\": not a name of the member's certificate");
  }
  PasswordCheck own;
  ASSERT_TRUE(begin(own, "open sesame", {"bert", "anna"}));
  run(4);
  EXPECT_TRUE(own.accepted());
}

TEST_F(PasswordCheckTest, H13_OneTooManyIsToldAtOnce) {
  settings_.longest_wait = 0ms;
  PasswordCheck check;
  EXPECT_FALSE(begin(check, "open sesame"));
  EXPECT_FALSE(check.waiting());
}

TEST_F(PasswordCheckTest, WhatIsGivenUpIsNotAnswered) {
  PasswordCheck check;
  ASSERT_TRUE(begin(check, "open sesame"));
  check.give_up();
  EXPECT_FALSE(check.waiting());
  run(1, 100ms);
  EXPECT_EQ(answers_, 0);
}

}  // namespace
}  // namespace sealcast::keyserver
