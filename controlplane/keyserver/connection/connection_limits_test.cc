#include "controlplane/keyserver/connection/connection_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

namespace sealcast::keyserver {
namespace {

using ::testing::HasSubstr;
using ::testing::IsNull;
using ::testing::StrEq;

constexpr int first_stranger = 100'000;
constexpr ConnectionLimits::Most places{.in_all = 400, .from_address = 60, .half_open_from_address = 8};

std::string address_number(int number) {
  return "10.0." + std::to_string(number / 256) + "." + std::to_string(number % 256);
}

class ConnectionLimitsTest : public ::testing::Test {
 protected:
  void join(const std::string& from, int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_THAT(limits_.take(from, places), IsNull()) << from;
      limits_.joined(from);
    }
  }
  // So many strangers of addresses of their own that get a place, until one gets none.
  int strangers() {
    int count = 0;
    while (!limits_.take(address_number(first_stranger + count), places))
      ++count;
    return count;
  }
  ConnectionLimits limits_;
};

TEST_F(ConnectionLimitsTest, H13_StrangersHaveAnEighthAndWithMembersThatComeBackAQuarter) {
  join("home", 1);
  limits_.over("home", true);
  EXPECT_EQ(strangers(), 50);
  EXPECT_THAT(limits_.take("stranger", places), StrEq("half_open"));
  EXPECT_THAT(limits_.take("home", places), IsNull()) << "a member that was here";
  EXPECT_EQ(limits_.half_open(), 51u);
  limits_.joined("home");
  EXPECT_EQ(limits_.half_open(), 50u);
}

TEST_F(ConnectionLimitsTest, H13_MembersHaveAllPlacesThatStrangersDoNotHave) {
  EXPECT_EQ(strangers(), 50);
  for (int i = 0; i < 7; ++i)
    limits_.over(address_number(first_stranger + i), false);
  for (int i = 0; i < 7; ++i)
    join(address_number(i), 51);
  EXPECT_THAT(limits_.take("x", places), StrEq("max_connections"));
  limits_.over(address_number(3), true);
  EXPECT_THAT(limits_.take(address_number(3), places), IsNull());
}

TEST_F(ConnectionLimitsTest, H13_AnAddressHasFewHalfOpenOnesOrAsManyAsItHadMembers) {
  for (int i = 0; i < 8; ++i)
    EXPECT_THAT(limits_.take("one", places), IsNull());
  EXPECT_THAT(limits_.take("one", places), StrEq("half_open_per_address"));
  EXPECT_THAT(limits_.take("two", places), IsNull());
  limits_.over("one", false);
  EXPECT_THAT(limits_.take("one", places), IsNull());

  join("site", 20);
  for (int i = 0; i < 20; ++i)
    limits_.over("site", true);
  for (int i = 0; i < 20; ++i)
    EXPECT_THAT(limits_.take("site", places), IsNull()) << i << ": all of them come back at once";
  EXPECT_THAT(limits_.take("site", places), StrEq("half_open_per_address"));
}

TEST_F(ConnectionLimitsTest, H13_AnAddressHasSoManyConnections) {
  join("site", 60);
  EXPECT_THAT(limits_.take("site", places), StrEq("max_connections_per_address"));
  limits_.over("site", true);
  EXPECT_THAT(limits_.take("site", places), IsNull());
}

TEST_F(ConnectionLimitsTest, H13_FewAddressesOfMembersThatLeftAreRemembered) {
  for (int i = 0; i < 40'000; ++i) {
    join(address_number(i), 1);
    limits_.over(address_number(i), true);
  }
  EXPECT_EQ(strangers(), 50);
  int known = 0;
  for (int i = 0; i < 40'000 && known < 50; ++i) {
    if (limits_.take(address_number(i), places)) continue;
    limits_.over(address_number(i), false);
    ++known;
  }
  EXPECT_EQ(known, 50) << "the others are remembered";
  limits_.clear();
  EXPECT_EQ(limits_.half_open(), 0u);
}

TEST(Descriptors, H13_ConnectionsLeaveDescriptorsFree) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const auto fit = [&](rlim_t soft) {
    const rlimit now{soft, before.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &now), 0);
    auto out = connections_that_fit();
    setrlimit(RLIMIT_NOFILE, &before);
    return out;
  };
  const auto many = fit(1024);
  ASSERT_TRUE(many.has_value());
  EXPECT_LE(*many, 1024 - descriptors_kept - 3);
  EXPECT_GE(*many, 1024 - descriptors_kept - 200);
  const auto few = fit(70);
  ASSERT_FALSE(few.has_value());
  EXPECT_THAT(few.error().message, HasSubstr("open files, got 70: raise it"));
}

}  // namespace
}  // namespace sealcast::keyserver
