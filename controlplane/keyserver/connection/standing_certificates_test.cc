#include "controlplane/keyserver/connection/standing_certificates.h"

#include <gtest/gtest.h>

#include "handshake/testing/in_process.h"

namespace sealcast::keyserver {
namespace {

using handshake::testing::test_now;
using handshake::testing::World;

// A member's chain as a finished handshake leaves it.
Bytes chain_of(World& world, const handshake::testing::TestIdentity& identity) {
  world.client_config.credentials = identity.credentials;
  const auto server = world.server();
  const auto client = world.client();
  handshake::testing::pump(*client, *server);
  auto events = server->take_events();
  const auto established = handshake::testing::find_event<handshake::Established>(events);
  return established ? established->peer.leaf_der : Bytes();
}

TEST(StandingCertificates, H8_AnAnswerIsKeptNoLongerThanItMustBeTheSame) {
  World world;
  const auto identity = world.pki.member("member-a", {"tv"});
  const Bytes chain = chain_of(world, identity);
  const auto trust = world.pki.trust();
  StandingCertificates certificates;
  EXPECT_TRUE(certificates.check(chain, trust, "tv", test_now));
  EXPECT_TRUE(certificates.check(chain, trust, "tv", test_now + 1));
  EXPECT_EQ(certificates.size(), 1u);
  EXPECT_FALSE(certificates.check(chain, trust, "radio", test_now));             // of another group nothing is known
  EXPECT_FALSE(certificates.check(chain, trust, "tv", test_now + 400 * 86400));  // expired meanwhile
  EXPECT_TRUE(certificates.check(chain, trust, "tv", test_now));
  EXPECT_FALSE(certificates.check(chain, trust, "tv", test_now - 400 * 86400));  // a clock that was put back
}

TEST(StandingCertificates, H8_AnotherTrustStoreIsAskedAnew) {
  World world;
  const auto identity = world.pki.member("member-a", {"tv"});
  const Bytes chain = chain_of(world, identity);
  StandingCertificates certificates;
  EXPECT_TRUE(certificates.check(chain, world.pki.trust_with_crl(), "tv", test_now));
  world.pki.revoke(identity);
  const auto later = world.pki.trust_with_crl();
  EXPECT_FALSE(certificates.check(chain, later, "tv", test_now));
  EXPECT_FALSE(certificates.check(chain, later, "tv", test_now));
  EXPECT_EQ(certificates.size(), 0u);
}

TEST(StandingCertificates, H8_OneByteOfAChainMakesItAnother) {
  World world;
  Bytes chain = chain_of(world, world.pki.member("member-a", {"tv"}));
  const auto trust = world.pki.trust();
  StandingCertificates certificates;
  EXPECT_TRUE(certificates.check(chain, trust, "tv", test_now));
  chain.back() ^= 1;  // the signature
  EXPECT_FALSE(certificates.check(chain, trust, "tv", test_now));
}

// Thousands of groups with hundreds of members each are more than are kept.
TEST(StandingCertificates, H8_TheEndOfOneThatWasForgottenIsNoticedToo) {
  World world;
  const Bytes chain = chain_of(world, world.pki.member("member-a", {"tv", "radio", "news"}));
  const auto trust = world.pki.trust();
  StandingCertificates certificates(2);
  for (const std::string group : {"tv", "radio", "news"})
    EXPECT_TRUE(certificates.check(chain, trust, group, test_now));
  ASSERT_EQ(certificates.size(), 1u);
  EXPECT_FALSE(certificates.any_ended(test_now + 1));
  EXPECT_TRUE(certificates.any_ended(test_now + 400 * 86400));
  EXPECT_FALSE(certificates.any_ended(test_now + 400 * 86400));
}

TEST(StandingCertificates, H19_OneThatIsLateIsKnownAndToldOnce) {
  World world;
  const Bytes chain = chain_of(world, world.pki.member("member-a", {"tv"}));
  const auto trust = world.pki.trust_with_crl();  // which ends a day on
  constexpr handshake::Grace grace{86400, 3600};
  constexpr std::int64_t end = test_now + 86400;
  StandingCertificates certificates;
  EXPECT_TRUE(certificates.check(chain, trust, "tv", test_now, grace, false));
  EXPECT_FALSE(certificates.knows(chain, "tv")) << "it was not to be learned";
  EXPECT_EQ(certificates.check(chain, trust, "tv", test_now, grace).value(), "");
  EXPECT_TRUE(certificates.knows(chain, "tv"));
  EXPECT_FALSE(certificates.knows(chain, "radio"));
  EXPECT_FALSE(certificates.any_ended(end - 1));
  EXPECT_TRUE(certificates.any_ended(end));
  EXPECT_TRUE(certificates.knows(chain, "tv"));
  EXPECT_NE(certificates.check(chain, trust, "tv", end, grace).value(), "");
  EXPECT_EQ(certificates.check(chain, trust, "tv", end + 1, grace).value(), "");
  EXPECT_EQ(certificates.check(chain, world.pki.trust_with_crl(), "tv", end + 1, grace).value(), "") << "read again";
  EXPECT_FALSE(certificates.any_ended(end + 3599));
  EXPECT_TRUE(certificates.any_ended(end + 3600));
  const auto over = certificates.check(chain, trust, "tv", end + 3600, grace);
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().reason, handshake::Reason::revocation_unknown);
  EXPECT_FALSE(certificates.knows(chain, "tv"));
}

}  // namespace
}  // namespace sealcast::keyserver
