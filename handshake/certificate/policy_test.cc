// AUTH-3, H8: every way a certificate can be wrong, each with its own reason and one alert, in a whole handshake.
#include "handshake/certificate/policy.h"

#include <gtest/gtest.h>

#include "handshake/certificate/lives.h"
#include "handshake/testing/puppet.h"

namespace sealcast::handshake {
namespace {

using namespace testing;  // NOLINT: the fixtures

CertificateOptions member_options() {
  CertificateOptions options;
  options.multicast = MulticastExtension{true, std::vector<std::string>{"tv"}};
  return options;
}
CertificateOptions server_options() {
  CertificateOptions options;
  options.name = "ks.example";
  options.server_auth = true;
  options.client_auth = false;
  return options;
}

struct Case {
  const char* name;
  Reason reason;
  std::function<void(CertificateOptions&)> bend;
};

// Runs variant 2 with the wrong certificate; the end that checks it must fail with the reason, and send the peer one
// alert.
void expect_refused(World& world, Side checker, Reason reason, const std::string& what) {
  const auto server = world.server();
  const auto client = world.client();
  pump(*client, *server);
  const Endpoint& checking = checker == Side::server ? *server : *client;
  const Endpoint& peer = checker == Side::server ? *client : *server;
  ASSERT_TRUE(checking.failed()) << what;
  EXPECT_EQ(checking.failure()->reason, reason) << what << ": " << checking.failure()->message();
  EXPECT_FALSE(checking.failure()->from_peer);
  ASSERT_TRUE(peer.failed()) << what;
  EXPECT_TRUE(peer.failure()->from_peer) << what;
  EXPECT_EQ(peer.failure()->alert, checking.failure()->alert) << what;
  EXPECT_EQ(world.authority.issued, 0) << what;
}

TEST(Auth3, MemberCertificates) {
  const std::vector<Case> cases = {
      {"without the multicast extension", Reason::certificate_not_multicast,
       [](CertificateOptions& o) { o.multicast.reset(); }},
      {"not permitted to decrypt", Reason::certificate_not_multicast,
       [](CertificateOptions& o) { o.multicast->decrypt = false; }},
      {"for another group", Reason::certificate_wrong_group,
       [](CertificateOptions& o) { o.multicast->groups = std::vector<std::string>{"radio"}; }},
      {"for no group", Reason::certificate_wrong_group,
       [](CertificateOptions& o) { o.multicast->groups = std::vector<std::string>(); }},
      {"expired", Reason::certificate_expired, [](CertificateOptions& o) { o.valid_until = -1; }},
      {"not yet valid", Reason::certificate_not_yet_valid, [](CertificateOptions& o) { o.valid_from = 60; }},
      {"serverAuth instead of clientAuth", Reason::certificate_wrong_usage,
       [](CertificateOptions& o) {
         o.client_auth = false;
         o.server_auth = true;
       }},
      {"serverAuth beside clientAuth", Reason::certificate_wrong_usage,
       [](CertificateOptions& o) { o.server_auth = true; }},
      {"a usage that OpenSSL has no flag for beside clientAuth", Reason::certificate_wrong_usage,
       [](CertificateOptions& o) { o.further_usage = "1.3.6.1.4.1.99999.7"; }},
      {"H28: the name only as commonName", Reason::certificate_wrong_name,
       [](CertificateOptions& o) { o.dns_names = std::vector<std::string>(); }},
      {"no usage stated", Reason::certificate_wrong_usage, [](CertificateOptions& o) { o.stated_usage = false; }},
      {"no digitalSignature", Reason::certificate_wrong_usage,
       [](CertificateOptions& o) { o.digital_signature = false; }},
      {"unknown critical extension", Reason::certificate_unknown_critical_extension,
       [](CertificateOptions& o) { o.unknown_critical_extension = true; }},
      {"a certificate authority", Reason::certificate_wrong_usage,
       [](CertificateOptions& o) {
         o.authority = true;
         o.stated_usage = false;
       }},
  };
  for (const Case& one : cases) {
    World world;
    CertificateOptions options = member_options();
    one.bend(options);
    world.client_config.credentials = world.pki.issue(options).credentials;
    ASSERT_TRUE(world.client_config.credentials) << one.name;
    expect_refused(world, Side::server, one.reason, one.name);
  }
}

TEST(Auth3, KeyServerCertificates) {
  const std::vector<Case> cases = {
      {"with the multicast extension", Reason::certificate_is_member,
       [](CertificateOptions& o) { o.multicast = MulticastExtension{}; }},
      {"for another name", Reason::certificate_wrong_name, [](CertificateOptions& o) { o.name = "ks.elsewhere"; }},
      {"the name only as commonName", Reason::certificate_wrong_name,
       [](CertificateOptions& o) { o.dns_names = std::vector<std::string>(); }},
      {"a wildcard", Reason::certificate_wrong_name,
       [](CertificateOptions& o) { o.dns_names = std::vector<std::string>{"*.example"}; }},
      {"expired", Reason::certificate_expired, [](CertificateOptions& o) { o.valid_until = -1; }},
      {"not yet valid", Reason::certificate_not_yet_valid, [](CertificateOptions& o) { o.valid_from = 60; }},
      {"clientAuth only", Reason::certificate_wrong_usage,
       [](CertificateOptions& o) {
         o.client_auth = true;
         o.server_auth = false;
       }},
      {"no usage stated", Reason::certificate_wrong_usage, [](CertificateOptions& o) { o.stated_usage = false; }},
      {"no digitalSignature", Reason::certificate_wrong_usage,
       [](CertificateOptions& o) { o.digital_signature = false; }},
      {"unknown critical extension", Reason::certificate_unknown_critical_extension,
       [](CertificateOptions& o) { o.unknown_critical_extension = true; }},
  };
  for (const Case& one : cases) {
    World world;
    CertificateOptions options = server_options();
    one.bend(options);
    world.server_config.credentials = world.pki.issue(options).credentials;
    ASSERT_TRUE(world.server_config.credentials) << one.name;
    expect_refused(world, Side::client, one.reason, one.name);
  }
}

// OpenSSL takes ".example" for every name below it.
TEST(Auth3, H28_AKeyServersNameIsOneName) {
  World world;
  world.client_config.server_name = ".example";
  expect_refused(world, Side::client, Reason::certificate_wrong_name, "a name that begins with a dot");
}

TEST(Auth3, ForeignAuthority) {
  TestPki other(test_now, KeyKind::p256, "other CA");
  World member;
  member.client_config.credentials = other.member("member-a", {"tv"}).credentials;
  expect_refused(member, Side::server, Reason::certificate_unknown_ca, "a member of another authority");
  World server;
  server.server_config.credentials = other.server("ks.example").credentials;
  expect_refused(server, Side::client, Reason::certificate_unknown_ca, "a key server of another authority");
  TestPki same_name;  // the same subject, another key
  World twin;
  twin.client_config.credentials = same_name.member("member-a", {"tv"}).credentials;
  const auto ends = std::pair(twin.server(), twin.client());
  pump(*ends.second, *ends.first);
  EXPECT_TRUE(ends.first->failed());
  EXPECT_EQ(twin.authority.issued, 0);
}

TEST(Auth3, RevokedMember) {
  World world;
  const TestIdentity good = world.pki.member("good", {"tv"});
  const TestIdentity bad = world.pki.member("bad", {"tv"});
  world.pki.revoke(bad);
  world.server_config.member_trust = world.pki.trust_with_crl();
  world.client_config.credentials = bad.credentials;
  expect_refused(world, Side::server, Reason::certificate_revoked, "revoked");
  world.client_config.credentials = good.credentials;
  const auto server = world.server();
  const auto client = world.client();
  pump(*client, *server);
  EXPECT_TRUE(client->established()) << "one revocation does not shut the others out";
}

TEST(Auth3, RevokedKeyServer) {
  World world;
  const TestIdentity server = world.pki.server("ks.example");
  world.pki.revoke(server);
  world.server_config.credentials = server.credentials;
  world.client_config.server_trust = world.pki.trust_with_crl();
  expect_refused(world, Side::client, Reason::certificate_revoked, "revoked");
}

TEST(Auth3, H8_AnOutdatedRevocationListIsNoConsent) {
  World world;
  auto trust = TrustStore::from_pem(world.pki.ca_pem(), world.pki.crl_pem(-60));
  ASSERT_TRUE(trust);
  world.server_config.member_trust = *trust;
  expect_refused(world, Side::server, Reason::revocation_unknown, "expired list");
}

TEST(Auth3, SEQ2_ACertificateWithoutItsKey) {
  World world;
  // A puppet that shows member-a's certificate and signs with another key.
  const TestIdentity other = world.pki.member("member-b", {"tv"});
  Puppet puppet(Side::client, world, true);
  const Credentials shown = world.client_config.credentials;
  const auto server = world.server();
  for (const Step& step : flow_list::variant2_claim5) {
    if (step.from != Side::client || server->failed()) continue;
    world.client_config.credentials = step.message == Message::certificate_verify ? other.credentials : shown;
    puppet.send(step);
    (void)server->receive(puppet.take_output(), test_now);
    puppet.receive(server->take_output());
  }
  ASSERT_TRUE(server->failed());
  EXPECT_EQ(server->failure()->reason, Reason::signature_invalid);
  EXPECT_EQ(world.authority.issued, 0);
}

TEST(Auth3, SEQ2_NoCertificateWhereOneIsRequired) {
  World world;
  Puppet puppet(Side::client, world, true);
  const auto server = world.server();
  puppet.send({Side::client, Message::client_hello});
  (void)server->receive(puppet.take_output(), test_now);
  puppet.receive(server->take_output());
  world.client_config.credentials = Credentials();
  puppet.send({Side::client, Message::certificate});
  (void)server->receive(puppet.take_output(), test_now);
  ASSERT_TRUE(server->failed());
  EXPECT_EQ(server->failure()->reason, Reason::certificate_missing);
}

TEST(Down1, WeakKeysAreRefusedAtLoadingAndInChains) {
  TestPki pki;
  for (const KeyKind weak : {KeyKind::rsa1024, KeyKind::p224}) {
    CertificateOptions options = member_options();
    options.key = weak;
    const TestIdentity identity = pki.issue(options);
    EXPECT_FALSE(identity.credentials);
    EXPECT_NE(Credentials::from_pem(identity.chain_pem, identity.key_pem).error().message.find("too weak"),
              std::string::npos);
  }
  // A strong key does not help below a weak authority.
  World world;
  TestPki weak(test_now, KeyKind::rsa1024, "weak CA");
  auto trust = TrustStore::from_pem(weak.ca_pem(), "");
  ASSERT_TRUE(trust);
  world.server_config.member_trust = *trust;
  world.client_config.credentials = weak.member("member-a", {"tv"}).credentials;
  expect_refused(world, Side::server, Reason::certificate_weak_key, "weak authority");
}

TEST(H8, ChainsThroughAnIntermediateAreVerifiedAndRechecked) {
  World world;
  const auto department = world.pki.intermediate("department CA");
  world.client_config.credentials = department->member("member-a", {"tv"}).credentials;
  const auto server = world.server();
  const auto client = world.client();
  pump(*client, *server);
  ASSERT_TRUE(client->established()) << server->failure()->message();
  auto events = server->take_events();
  const auto established = find_event<Established>(events);
  ASSERT_TRUE(established);
  EXPECT_TRUE(recheck_member(established->peer.leaf_der, world.pki.trust(), "tv", test_now));
}

// What an end proved in a handshake, as the other end keeps it for a recheck.
Bytes proved_leaf(World& world, Side of) {
  const auto server = world.server();
  const auto client = world.client();
  pump(*client, *server);
  auto events = (of == Side::client ? server : client)->take_events();
  return find_event<Established>(events)->peer.leaf_der;
}

TEST(H8, RecheckAtEveryRekey) {
  World world;
  const TestIdentity identity = world.pki.member("member-a", {"tv"});
  world.client_config.credentials = identity.credentials;
  const Bytes leaf = proved_leaf(world, Side::client);
  EXPECT_TRUE(recheck_member(leaf, world.pki.trust(), "tv", test_now));
  EXPECT_EQ(recheck_member(leaf, world.pki.trust(), "radio", test_now).error().reason, Reason::certificate_wrong_group);
  EXPECT_EQ(recheck_member(leaf, world.pki.trust(), "tv", test_now + 400 * 86400).error().reason,
            Reason::certificate_expired);
  world.pki.revoke(identity);
  EXPECT_EQ(recheck_member(leaf, world.pki.trust_with_crl(), "tv", test_now).error().reason,
            Reason::certificate_revoked);
  EXPECT_EQ(recheck_member({}, world.pki.trust(), "tv", test_now).error().reason, Reason::certificate_missing);
  EXPECT_EQ(recheck_member({1, 2, 3}, world.pki.trust(), "tv", test_now).error().reason, Reason::certificate_malformed);
}

// What a member asks at every epoch: revoked is told from a list that is late and from a clock that is wrong.
TEST(H8, RecheckOfAKeyServer) {
  World world;
  const TestIdentity identity = world.pki.server("ks.example");
  world.server_config.credentials = identity.credentials;
  const Bytes leaf = proved_leaf(world, Side::server);
  EXPECT_TRUE(recheck_key_server(leaf, world.pki.trust_with_crl(), "ks.example", test_now));
  const auto reason = [&](const TrustStore& trust, const std::string& name, std::int64_t now) {
    const auto outcome = recheck_key_server(leaf, trust, name, now);
    return outcome ? Reason::not_tls : outcome.error().reason;
  };
  EXPECT_EQ(reason(world.pki.trust(), "ks2.example", test_now), Reason::certificate_wrong_name);
  EXPECT_EQ(reason(world.pki.trust(), "ks.example", test_now + 400 * 86400), Reason::certificate_expired);
  world.pki.revoke(identity);
  EXPECT_EQ(reason(world.pki.trust_with_crl(), "ks.example", test_now), Reason::certificate_revoked);
  const TrustStore late = *TrustStore::from_pem(world.pki.ca_pem(), world.pki.crl_pem(-60));
  EXPECT_EQ(reason(late, "ks.example", test_now), Reason::certificate_revoked);
  EXPECT_EQ(reason(late, "ks.example", test_now + 400 * 86400), Reason::certificate_revoked);
}

TEST(H8, ARecheckHoldsNoLongerThanTheChainAndTheRevocationList) {
  World world;
  world.client_config.credentials = world.pki.member("member-a", {"tv"}).credentials;
  const Bytes leaf = proved_leaf(world, Side::client);
  const auto chain = recheck_member_until(leaf, world.pki.trust(), "tv", test_now);
  ASSERT_TRUE(chain);
  EXPECT_GT(chain->until, test_now);
  EXPECT_TRUE(recheck_member(leaf, world.pki.trust(), "tv", chain->until));
  EXPECT_FALSE(recheck_member(leaf, world.pki.trust(), "tv", chain->until + 1));
  const auto list = recheck_member_until(leaf, world.pki.trust_with_crl(), "tv", test_now);
  ASSERT_TRUE(list);
  EXPECT_LT(list->until, chain->until);  // the list ends first
  EXPECT_TRUE(recheck_member(leaf, world.pki.trust_with_crl(), "tv", list->until));
  EXPECT_FALSE(recheck_member(leaf, world.pki.trust_with_crl(), "tv", list->until + 1));
}

// The certificate ends a year on, the list a day on.
TEST(H19, WhatHasEndedCountsForAsLongAsItsGraceAndNoLonger) {
  World world;
  world.client_config.credentials = world.pki.member("member-a", {"tv"}).credentials;
  const Bytes leaf = proved_leaf(world, Side::client);
  const TrustStore bare = world.pki.trust(), listed = world.pki.trust_with_crl();
  constexpr std::int64_t day = 86400;
  const std::int64_t certificate_end = recheck_member_until(leaf, bare, "tv", test_now)->until + 1;
  const std::int64_t list_end = recheck_member_until(leaf, listed, "tv", test_now)->until + 1;
  const auto reason = [&](const TrustStore& trust, std::int64_t now, Grace grace) {
    const auto outcome = recheck_member(leaf, trust, "tv", now, grace);
    return outcome ? Reason::not_tls : outcome.error().reason;
  };
  const Grace a_day{day, 7 * day};
  EXPECT_EQ(reason(bare, certificate_end, {}), Reason::certificate_expired);
  EXPECT_EQ(reason(bare, certificate_end, a_day), Reason::not_tls);
  EXPECT_EQ(reason(bare, certificate_end + day - 1, a_day), Reason::not_tls);
  EXPECT_EQ(reason(bare, certificate_end + day, a_day), Reason::certificate_expired);
  EXPECT_EQ(reason(listed, list_end, {}), Reason::revocation_unknown);
  EXPECT_EQ(reason(listed, list_end + 7 * day - 1, a_day), Reason::not_tls);
  EXPECT_EQ(reason(listed, list_end + 7 * day, a_day), Reason::revocation_unknown);
  EXPECT_EQ(reason(listed, list_end + 7 * day, {day, 0}), Reason::revocation_unknown) << "each by its own grace";

  const auto late = recheck_member_until(leaf, listed, "tv", list_end + 5, a_day);
  ASSERT_TRUE(late);
  EXPECT_EQ(late->until, list_end + 7 * day - 1);
  EXPECT_NE(late->late.find("revocation list"), std::string::npos);
  EXPECT_TRUE(recheck_member_until(leaf, listed, "tv", list_end - 5, a_day)->late.empty());
}

TEST(H19, ARevocationHoldsHoweverLateTheListOrTheCertificateIs) {
  World world;
  const TestIdentity identity = world.pki.member("member-a", {"tv"});
  world.client_config.credentials = identity.credentials;
  const Bytes leaf = proved_leaf(world, Side::client);
  world.pki.revoke(identity);
  for (const std::int64_t now : {test_now, test_now + 100 * 86400, test_now + 4000 * 86400})
    for (const Grace grace : {Grace{}, Grace{1 << 30, 1 << 30}})
      EXPECT_EQ(recheck_member(leaf, world.pki.trust_with_crl(), "tv", now, grace).error().reason,
                Reason::certificate_revoked);
}

// Whose clock is behind must not lock everybody out: a list that says too much is no risk.
TEST(H19, AListFromTheFutureCounts) {
  World world;
  const TestIdentity good = world.pki.member("member-a", {"tv"}), bad = world.pki.member("member-b", {"tv"});
  world.client_config.credentials = good.credentials;
  const Bytes leaf = proved_leaf(world, Side::client);
  world.client_config.credentials = bad.credentials;
  const Bytes other = proved_leaf(world, Side::client);
  world.pki.revoke(bad);
  const TrustStore trust = world.pki.trust_with_crl();
  EXPECT_TRUE(recheck_member(leaf, trust, "tv", test_now - 7200));
  EXPECT_EQ(recheck_member(other, trust, "tv", test_now - 7200).error().reason, Reason::certificate_revoked);
}

TEST(H19, OnlyWhomTheAuthorityKnowsMayComeLate) {
  World world;
  CertificateOptions options = member_options();
  options.valid_until = -60;
  world.client_config.credentials = world.pki.issue(options).credentials;
  const auto established = [&](Grace grace) {
    world.authority.grace_of_all = grace;
    const auto server = world.server();
    const auto client = world.client();
    pump(*client, *server);
    return server->established();
  };
  EXPECT_FALSE(established({}));
  EXPECT_TRUE(established({3600, 0}));
  EXPECT_FALSE(established({60, 0}));
}

TEST(H19, AKeyServerThatIsKnownMayBeLateForItsMembers) {
  World world;
  CertificateOptions options = server_options();
  options.valid_until = -60;
  world.server_config.credentials = world.pki.issue(options).credentials;
  expect_refused(world, Side::client, Reason::certificate_expired, "no grace");
  world.client_config.grace = [](const PeerIdentity& server) {
    return server.name == "ks.example" ? Grace{3600, 0} : Grace{};
  };
  const auto server = world.server();
  const auto client = world.client();
  pump(*client, *server);
  EXPECT_TRUE(client->established());
}

TEST(H19, AClientIsToldWhatTheServersClockShows) {
  World world;
  const auto server = world.server();
  const auto client = world.client();
  constexpr std::int64_t ahead = 400 * 86400;
  (void)server->receive(client->take_output(), test_now);
  (void)client->receive(server->take_output(), test_now + ahead);
  ASSERT_TRUE(client->failed());
  EXPECT_EQ(client->failure()->reason, Reason::certificate_expired);
  EXPECT_EQ(client->failure()->server_time, test_now);
}

TEST(H19, OnlyANewerAndGoodListTakesThePlaceOfAnother) {
  TestPki pki;
  const auto with = [&](const std::string& lists) { return *TrustStore::from_pem(pki.ca_pem(), lists); };
  const TrustStore now = with(pki.crl_pem());
  EXPECT_TRUE(may_replace(now, {}));
  EXPECT_TRUE(may_replace(now, now));
  EXPECT_FALSE(may_replace(with(""), now)) << "none at all";
  const TestPki stranger(test_now, KeyKind::p256, "test CA");  // of the same name, with another key
  EXPECT_FALSE(may_replace(with(stranger.crl_pem()), now));
  EXPECT_FALSE(may_replace(with(stranger.crl_pem()), {}));
  EXPECT_TRUE(may_replace(*TrustStore::from_pem(stranger.ca_pem(), stranger.crl_pem()), now)) << "the authority is new";
}

TEST(H19, LivesOfWhatIsAtHand) {
  TestPki pki;
  const auto lives = lives_of(*TrustStore::from_pem(pki.ca_pem(), pki.crl_pem(3600)));
  ASSERT_EQ(lives.size(), 2u);
  EXPECT_EQ(lives[0].kind, Life::Kind::authority);
  EXPECT_EQ(lives[1].kind, Life::Kind::list);
  EXPECT_EQ(lives[1].ends, test_now + 3600);
  const auto own = lives_of(pki.server("ks.example").credentials);
  ASSERT_EQ(own.size(), 1u);
  EXPECT_NE(own[0].what().find("ks.example"), std::string::npos);
  EXPECT_EQ(own[0].ends, test_now + 365 * 86400);
}

TEST(P40, MulticastExtensionRoundTrip) {
  for (const auto& groups : std::vector<std::optional<std::vector<std::string>>>{
           std::nullopt, std::vector<std::string>{}, std::vector<std::string>{"tv"},
           std::vector<std::string>{"tv",
                                    "Fernsehen \xc3\xbc"
                                    "ber Land"}})
    for (const bool decrypt : {false, true}) {
      const auto der = encode_multicast_extension({decrypt, groups});
      ASSERT_TRUE(der);
      const auto back = decode_multicast_extension(*der);
      ASSERT_TRUE(back) << back.error().message;
      EXPECT_EQ(back->decrypt, decrypt);
      EXPECT_EQ(back->groups, groups);
      for (std::size_t size = 0; size < der->size(); ++size)
        EXPECT_FALSE(decode_multicast_extension(ByteView(*der).first(size))) << size;
      Bytes longer = *der;
      longer.push_back(0);
      EXPECT_FALSE(decode_multicast_extension(longer));
    }
  // SEQUENCE { BOOLEAN TRUE, SEQUENCE { UTF8String "tv" } }
  EXPECT_EQ(to_hex(*encode_multicast_extension({true, std::vector<std::string>{"tv"}})), "30090101ff30040c027476");
}

TEST(Credentials, BrokenFilesAreRefusedInOneLine) {
  TestPki pki;
  const TestIdentity a = pki.member("a");
  const TestIdentity b = pki.member("b");
  EXPECT_FALSE(Credentials::from_pem("", a.key_pem));
  EXPECT_FALSE(Credentials::from_pem("nonsense", a.key_pem));
  EXPECT_FALSE(Credentials::from_pem(a.chain_pem, ""));
  EXPECT_FALSE(Credentials::from_pem(a.chain_pem.substr(0, a.chain_pem.size() / 2), a.key_pem));
  const auto crossed = Credentials::from_pem(a.chain_pem, b.key_pem);
  ASSERT_FALSE(crossed);
  EXPECT_NE(crossed.error().message.find("does not belong"), std::string::npos);
  EXPECT_FALSE(TrustStore::from_pem("", ""));
  EXPECT_FALSE(TrustStore::from_pem(pki.ca_pem(), "nonsense"));
}

}  // namespace
}  // namespace sealcast::handshake
