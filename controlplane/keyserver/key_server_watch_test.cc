// What a key server notices by itself, and what its audit trail says and does not say.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <iterator>

#include "base/read_clock.h"
#include "controlplane/keyserver/audit/audit_trail.h"
#include "controlplane/keyserver/testing/key_server_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(KeyServerTest, H8_H11_ARevocationListThatIsReplacedIsReadWithoutBeingTold) {
  options_.look_every = 20ms;
  config_.crl = write_file("crl.pem", pki_.crl_pem());
  start();
  const auto lost = pki_.member("home", {"tv"});
  auto a = join("sender");
  auto b = connect(member_config(lost));
  ASSERT_TRUE(b->join());
  ASSERT_TRUE(members_are(2));
  pki_.revoke(lost);
  write_file("crl.pem.new", pki_.crl_pem());
  ASSERT_EQ(std::rename((folder_ + "/crl.pem.new").c_str(), (folder_ + "/crl.pem").c_str()), 0);
  EXPECT_TRUE(b->expect<handshake::Revoked>().has_value());
  EXPECT_TRUE(b->ended());
  EXPECT_TRUE(a->expect<handshake::GroupUpdate>().has_value()) << "the others get a new epoch at once";
}

// A key that is being renewed lies half there: the list is no occasion to read it.
TEST_F(KeyServerTest, H8_H29_ANewRevocationListIsReadForItself) {
  options_.look_every = 20ms;
  config_.crl = write_file("crl.pem", pki_.crl_pem());
  start();
  const auto lost = pki_.member("home", {"tv"});
  auto b = connect(member_config(lost));
  ASSERT_TRUE(b->join());
  ASSERT_TRUE(members_are(1));
  write_file("server.key", "half a k");
  write_file("ca.pem", "another CA");
  pki_.revoke(lost);
  write_file("crl.pem.new", pki_.crl_pem());
  ASSERT_EQ(std::rename((folder_ + "/crl.pem.new").c_str(), (folder_ + "/crl.pem").c_str()), 0);
  EXPECT_TRUE(b->expect<handshake::Revoked>().has_value());
  EXPECT_TRUE(b->ended());
  join("sender");
}

TEST_F(KeyServerTest, H8_ABrokenRevocationListChangesNothing) {
  options_.look_every = 20ms;
  config_.crl = write_file("crl.pem", pki_.crl_pem());
  start();
  auto a = join("sender");
  ASSERT_TRUE(members_are(1));
  write_file("crl.pem.new", "no list\n");
  ASSERT_EQ(std::rename((folder_ + "/crl.pem.new").c_str(), (folder_ + "/crl.pem").c_str()), 0);
  std::this_thread::sleep_for(200ms);
  EXPECT_TRUE(members_are(1));
  EXPECT_TRUE(connect(member_config("home"))->join()) << "the old list still holds";
}

// Time passes: a step of the wall clock alone would be another thing (clocks_together_test.cc).
TEST_F(KeyServerTest, H8_H19_ACertificateThatEndsWhileItsMemberIsConnectedHasItsGrace) {
  const auto shift = std::make_shared<std::atomic<std::int64_t>>(0);
  options_.unix_now = [shift] { return std::int64_t{std::time(nullptr)} + *shift; };
  options_.boot_time = [shift] { return read_clock(CLOCK_BOOTTIME) + std::chrono::seconds(*shift); };
  options_.look_every = 20ms;
  config_.groups[0].certificate_grace = 1h;
  start();
  pki::CertificateOptions brief;
  brief.name = "home";
  brief.multicast = handshake::MulticastExtension{true, std::vector<std::string>{"tv"}};
  brief.valid_until = 3600;
  const auto identity = pki_.issue(brief);
  auto a = join("sender");
  auto b = connect(member_config(identity));
  ASSERT_TRUE(b->join());
  ASSERT_TRUE(members_are(2));
  *shift = 3605;
  std::this_thread::sleep_for(100ms);
  ASSERT_TRUE(members_are(2)) << "its grace runs";
  auto again = connect(member_config(identity));
  EXPECT_TRUE(again->join()) << "it is known";
  brief.name = "attic";
  EXPECT_FALSE(connect(member_config(pki_.issue(brief)))->join()) << "this one is not";
  EXPECT_EQ(failed("certificate_expired"), 1u);
  *shift = 7205;
  EXPECT_TRUE(again->expect<handshake::Expired>().has_value());
  EXPECT_TRUE(again->ended());
  EXPECT_FALSE(again->expect<handshake::Revoked>(10ms).has_value());
  EXPECT_FALSE(a->expect<handshake::GroupUpdate>(200ms).has_value()) << "nobody is rekeyed for it";
  EXPECT_FALSE(connect(member_config(identity))->join());
}

// H14: whatever the key server says of a group's whole life, no byte of its keys is among it.
TEST_F(KeyServerTest, H14_TheAuditTrailHasTheEventsAndNoByteOfAKey) {
  auto trail = AuditTrail::open({.path = folder_ + "/audit"});
  ASSERT_TRUE(trail.has_value()) << trail.error().message;
  start();
  auto a = join("sender");
  auto b = join("home");
  ASSERT_TRUE(members_are(2));
  ASSERT_TRUE(rekey().has_value());
  auto update = a->expect<handshake::GroupUpdate>();
  ASSERT_TRUE(update.has_value());
  a->say(handshake::GroupUpdateAck{"tv", update->keying.epoch});
  ASSERT_TRUE(a->expect<handshake::Activate>().has_value());
  ASSERT_TRUE(on_loop([this] { return server_->revoke("home", std::nullopt); }).has_value());
  ASSERT_TRUE(b->ended());
  const auto events = [&] { return admin::to_json((*trail)->find({})); };
  for (const char* event : {"started", "epoch_begun", "key_sent", "member_joined", "rekey_begun", "epoch_active",
                            "member_revoked", "revoked"})
    EXPECT_THAT(events(), HasSubstr("\"event\":\"" + std::string(event) + "\""));
  stop();
  EXPECT_THAT(events(), HasSubstr("\"event\":\"stopped\""));
  trail->reset();

  std::ifstream file(folder_ + "/audit", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(bytes, HasSubstr("member_joined")) << "the search below looks at the right file";
  const auto secret = update->keying.premaster.span();
  for (std::size_t at = 0; at + 8 <= secret.size(); at += 8) {
    const Bytes part(secret.begin() + static_cast<std::ptrdiff_t>(at),
                     secret.begin() + static_cast<std::ptrdiff_t>(at) + 8);
    EXPECT_EQ(std::search(bytes.begin(), bytes.end(), part.begin(), part.end(),
                          [](char x, std::uint8_t y) { return static_cast<std::uint8_t>(x) == y; }),
              bytes.end());
    EXPECT_THAT(bytes, Not(HasSubstr(to_hex(part))));
  }
}

TEST_F(KeyServerTest, GroupsAreShortAndSayWhatAnOperatorAsks) {
  config_.groups[0].members_by_certificate = false;
  config_.groups[0].members = {"attic", "home", "sender", "sender2"};
  start();
  auto a = join("sender");
  auto b = join("home");
  ASSERT_TRUE(members_are(2));
  ASSERT_TRUE(rekey().has_value());
  const auto groups = [this] {
    return json::parse(on_loop([this] { return admin::to_json(server_->groups()); }))["groups"][0];
  };
  json group = groups();
  EXPECT_FALSE(group.contains("members"));
  EXPECT_EQ(group["joined"], 2);
  EXPECT_EQ(group["expected"], 4);
  EXPECT_EQ(group["expected_by"], "members");
  EXPECT_EQ(group["missing"], json({"attic", "sender2"}));
  EXPECT_EQ(group["behind_count"], 2);
  EXPECT_EQ(group["last_rekey"]["why"], "asked for");
  EXPECT_FALSE(group["last_rekey"].contains("active_after_ms"));
  EXPECT_EQ(group["slots_used"], 1);
  EXPECT_EQ(group["slots_capacity"], 65535);
  const auto first = a->expect<handshake::GroupUpdate>();
  const auto second = b->expect<handshake::GroupUpdate>();
  ASSERT_TRUE(first && second);
  a->say(handshake::GroupUpdateAck{"tv", first->keying.epoch});
  ASSERT_TRUE(eventually([&] { return groups()["last_rekey"].value("slowest", "") == "sender"; }));
  b->say(handshake::GroupUpdateAck{"tv", second->keying.epoch});
  ASSERT_TRUE(eventually([&] { return groups()["last_rekey"].contains("active_after_ms"); }));
  group = groups();
  EXPECT_EQ(group["last_rekey"]["slowest"], "home");
  EXPECT_EQ(group["last_rekey"]["unacknowledged"], 0);
  EXPECT_EQ(group["epoch"], second->keying.epoch);
  EXPECT_EQ(group["behind_count"], 0);
  EXPECT_GT(group["remaining_s"].get<double>(), 0);
}

}  // namespace
}  // namespace sealcast::keyserver::testing
