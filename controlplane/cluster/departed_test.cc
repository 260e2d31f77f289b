// How long senders of a key server that vanished are waited for (H11).
#include "controlplane/cluster/departed.h"

#include <gtest/gtest.h>

namespace sealcast::cluster {
namespace {

using namespace std::chrono_literals;

constexpr SteadyTime start{1000s};

TEST(ClusterDeparted, H11_OneThatVanishedIsWaitedForUntilItsLeasesEnd) {
  Departed departed;
  departed.expect_lease(60s);
  departed.vanished("aa", "a", start);
  EXPECT_TRUE(departed.knows("aa"));
  EXPECT_EQ(departed.servers().at("aa").name, "a");
  EXPECT_FALSE(departed.expire(start + 59s));
  EXPECT_TRUE(departed.knows("aa"));
  EXPECT_TRUE(departed.expire(start + 60s));
  EXPECT_FALSE(departed.knows("aa"));
  EXPECT_FALSE(departed.expire(start + 61s)) << "it is said once";
}

TEST(ClusterDeparted, H11_ANewSessionIsBlindForTheLongestLease) {
  Departed departed;
  EXPECT_FALSE(departed.blind(start));
  departed.expect_lease(60s);
  departed.expect_lease(10s);
  departed.begin_blind(start);
  EXPECT_TRUE(departed.blind(start + 59s));
  EXPECT_FALSE(departed.expire(start + 59s));
  EXPECT_FALSE(departed.blind(start + 60s));
  EXPECT_TRUE(departed.expire(start + 60s));
  EXPECT_FALSE(departed.expire(start + 60s)) << "it is said once";
}

TEST(ClusterDeparted, H11_ALongerLeaseFoundLaterCountsForThoseThatVanishedBefore) {
  Departed departed;
  departed.expect_lease(10s);
  departed.begin_blind(start);
  departed.vanished("aa", "a", start + 1s);
  departed.found_lease(300s);
  departed.found_lease(20s);
  EXPECT_TRUE(departed.blind(start + 299s));
  EXPECT_FALSE(departed.expire(start + 299s));
  EXPECT_TRUE(departed.expire(start + 300s));
  EXPECT_TRUE(departed.knows("aa"));
  EXPECT_TRUE(departed.expire(start + 301s));
}

// A reload lengthens the lease, and one more vanishes, before the epoch is adopted that the first may have given out.
TEST(ClusterDeparted, H11_ALeaseThatTheConfigurationHasMeanwhileCountsForThoseThatVanishedBefore) {
  Departed departed;
  departed.expect_lease(10s);
  departed.begin_blind(start);
  departed.vanished("aa", "a", start + 1s);
  departed.expect_lease(300s);
  departed.vanished("bb", "b", start + 2s);
  departed.found_lease(300s);
  EXPECT_TRUE(departed.blind(start + 299s));
  EXPECT_FALSE(departed.expire(start + 299s));
  EXPECT_TRUE(departed.knows("aa"));
  EXPECT_EQ(departed.servers().at("aa").until, start + 301s);
  EXPECT_EQ(departed.servers().at("bb").until, start + 302s);
}

}  // namespace
}  // namespace sealcast::cluster
