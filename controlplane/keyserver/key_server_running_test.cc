// Running a key server: reloads, errors at start, the status, ends, and what members cost.
#include <gmock/gmock.h>
#include <malloc.h>
#include <sys/wait.h>

#include <csignal>

#include "controlplane/keyserver/settings.h"
#include "controlplane/keyserver/testing/key_server_fixture.h"

namespace sealcast::keyserver {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::in;
using testing::KeyServerTest;
using testing::TestClient;
using testing::Wire;
using namespace std::chrono_literals;

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

// What a reload among several key servers goes by: whether it may shut a member out.
TEST_F(KeyServerTest, H11_TheDigestOfTrustIsOfCaAndRevocationList) {
  const auto trust = [this] {
    const auto loaded = load_credentials(config_);
    return loaded ? loaded->trust : loaded.error().message;
  };
  const std::string without = trust();
  EXPECT_EQ(without.size(), 64u) << without;
  config_.crl = write_file("crl.pem", pki_.crl_pem());
  const std::string first = trust();
  EXPECT_NE(first, without);
  EXPECT_EQ(trust(), first);
  pki_.revoke(pki_.member("home", {"tv"}));
  write_file("crl.pem", pki_.crl_pem());
  const std::string second = trust();
  EXPECT_NE(second, first);
  testing::pki::TestPki other(std::time(nullptr));
  write_file("ca.pem", pki_.ca_pem() + other.ca_pem());
  EXPECT_NE(trust(), second);
  EXPECT_EQ(trust().size(), 64u) << trust();
}

TEST_F(KeyServerTest, H11_WhoAnOperatorRevokesIsCutOffAndStaysOutAfterARestart) {
  start();
  auto a = join("sender");
  auto b = join("home");
  ASSERT_TRUE(members_are(2));
  const auto state = [this] { return json::parse(on_loop([this] { return admin::to_json(server_->revocations()); })); };
  ASSERT_TRUE(on_loop([this] { return server_->revoke("home", std::nullopt); }).has_value());
  EXPECT_TRUE(b->expect<handshake::Revoked>().has_value());
  EXPECT_TRUE(b->ended());
  const auto update = a->expect<handshake::GroupUpdate>();
  ASSERT_TRUE(update.has_value());
  EXPECT_EQ(state()["groups"][0]["complete"], false);
  a->say(handshake::GroupUpdateAck{"tv", update->keying.epoch});
  ASSERT_TRUE(a->expect<handshake::Activate>().has_value());
  a->say(handshake::ActivateAck{"tv", update->keying.epoch});
  EXPECT_TRUE(eventually([&] { return state()["groups"][0]["complete"] == true; })) << state().dump();
  EXPECT_EQ(state()["revocations"][0]["member"], "home");
  EXPECT_FALSE(state()["revocations"][0].contains("group")) << "of all groups";
  EXPECT_FALSE(connect(member_config("home"))->join());

  stop();
  start();
  EXPECT_EQ(state()["groups"][0]["complete"], false) << "which senders had switched is not known any more";
  EXPECT_GT(state()["groups"][0]["leases_end_in_s"], 0) << state().dump();
  EXPECT_FALSE(connect(member_config("home"))->join()) << "on disk";
  EXPECT_TRUE(eventually([&] { return state()["groups"][0]["complete"] == true; })) << "a lease later";
  const auto wrong = on_loop([this] { return server_->reinstate("home", "tv"); });
  ASSERT_FALSE(wrong.has_value());
  EXPECT_THAT(wrong.error().message, HasSubstr("\"home\" is not revoked in group \"tv\""));
  ASSERT_TRUE(on_loop([this] { return server_->reinstate("home", std::nullopt); }).has_value());
  EXPECT_TRUE(connect(member_config("home"))->join());
}

TEST_F(KeyServerTest, RevocationsOfNothingAreErrors) {
  start();
  const auto refused = [this](const std::string& member, const std::optional<std::string>& group) {
    const auto done = on_loop([&] { return server_->revoke(member, group); });
    return done ? std::string("done") : done.error().message;
  };
  EXPECT_THAT(refused("", std::nullopt), HasSubstr("1 to 64 bytes"));
  EXPECT_THAT(refused(std::string(65, 'x'), std::nullopt), HasSubstr("got 65"));
  EXPECT_THAT(refused("home", "radio"), HasSubstr("expected a group of this key server, got \"radio\""));
  EXPECT_EQ(refused("somebody nobody knows yet", "tv"), "done");
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
  auto listener = connect(radio);
  ASSERT_TRUE(listener->join());
  const std::uint64_t epoch = listener->keying().epoch;
  // And gone again: its members are sent away, the others stay, and no number comes twice.
  auto tv = join("home");
  ASSERT_TRUE(on_loop([&] { return server_->reload(config_); }).has_value());
  EXPECT_TRUE(listener->ended());
  EXPECT_FALSE(connect(radio)->join());
  EXPECT_EQ(status()["groups"].size(), 1u);
  EXPECT_TRUE(members_are(1));
  EXPECT_FALSE(tv->over());
  ASSERT_TRUE(on_loop([&] { return server_->reload(changed); }).has_value());
  auto back = connect(radio);
  ASSERT_TRUE(back->join());
  EXPECT_GT(back->keying().epoch, epoch) << "H5, H9";
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

// What strangers cost that send as much as they may and then nothing more. Sockets in the kernel come on top.
TEST_F(KeyServerTest, H13_AHalfOpenConnectionCostsLessThan16KiB) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's allocator does not count like the system's";
#endif
  config_.max_handshakes_per_address = 1000;
  config_.handshake_timeout = 60s;
  start();
  Bytes hello = handshake::make_client(member_config("home"), handshake::system_random())->take_output();
  Bytes large = {22, 3, 1, 8, 0, 1, 0, 0x0f, 0xf0};  // half of a ClientHello of 4080 bytes, then most of the rest
  large.resize(5 + 2048, 'x');
  large.insert(large.end(), {22, 3, 1, 0x0f, 0xff});
  large.insert(large.end(), 4000, 'x');
  Bytes too_large = {22, 3, 1, 0x20, 0, 1, 0, 0x1f, 0xfc};
  struct Stranger {
    const char* what;
    Bytes says;
  };
  std::vector<std::unique_ptr<Wire>> crowd;
  for (const Stranger& stranger :
       {Stranger{"silent", {}}, Stranger{"within its ClientHello", large}, Stranger{"behind its ClientHello", hello}}) {
    const auto come = [&](std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) {
        crowd.push_back(std::make_unique<Wire>(server_->port()));
        ASSERT_TRUE(crowd.back()->send(stranger.says));
        if (stranger.says == hello) {
          ASSERT_TRUE(crowd.back()->receive(in(5s)));
        }
      }
      ASSERT_TRUE(eventually([&] { return status()["connections"] == crowd.size(); }));
      for (int turn = 0; turn < 50; ++turn)
        on_loop([] {});  // what was sent is read
      std::this_thread::sleep_for(100ms);
    };
    come(20);
    const std::size_t before = on_loop([] { return mallinfo2().uordblks; });
    come(100);
    const std::size_t after = on_loop([] { return mallinfo2().uordblks; });
    const std::size_t each = (after - before) / 100;
    std::printf("  %zu bytes a half-open connection: %s\n", each, stranger.what);
    EXPECT_LT(each, 16u * 1024) << stranger.what;
  }
  EXPECT_EQ(status()["connections"], 360) << "none was refused";
  Wire wire(server_->port());
  wire.send(too_large);
  EXPECT_TRUE(wire.receive_all(in(5s)).has_value()) << "more is not even collected";
  EXPECT_EQ(failed("record_overflow"), 1u) << status()["handshakes"].dump();
}

}  // namespace
}  // namespace sealcast::keyserver
