// The epoch that outlives a restart, by itself. kept_epoch_test.cc shows it in a group.
#include "controlplane/keyserver/group/resumption.h"

#include "controlplane/keyserver/group/local_epoch_maker.h"
#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

class ResumptionTest : public GroupStateTest {
 protected:
  ResumptionTest() { use_keeper(); }
  ~ResumptionTest() override { context_.keeper = nullptr; }

  void use_keeper() {
    auto keeper = EpochKeeper::create(Secret<32>(), "ks", *store_, random_);
    ASSERT_TRUE(keeper.has_value()) << keeper.error().message;
    keeper_ = std::move(*keeper);
    context_.keeper = keeper_.get();
  }
  // Keeps an epoch that these members were given, a slot each to senders, and restarts. Returns its number.
  std::uint64_t restart_with(const std::vector<std::string>& names) {
    auto made = LocalEpochMaker(context_).want_epoch({.group_id = "tv",
                                                      .seen = 0,
                                                      .why = "first of the group",
                                                      .policy = policy_of(config_),
                                                      .lifetime = config_.epoch_lifetime,
                                                      .live = 0,
                                                      .now = now_});
    EXPECT_TRUE(made.has_value() && *made);
    for (const std::string& name : names)
      EXPECT_TRUE(store_
                      ->issue({"tv", (*made)->number, name, "01", "-", 3,
                               static_cast<std::uint16_t>(config_.may_send({name}) ? 1 : 0), now_.unix_seconds,
                               EpochKeeper::bytes_of(identity(name))})
                      .has_value());
    Epoch epoch;
    epoch.number = (*made)->number;
    epoch.policy = (*made)->policy;
    epoch.premaster = std::move((*made)->premaster);
    epoch.begun = now_.steady;
    epoch.expires = now_.steady + (*made)->remaining;
    resumption_.keep(epoch, now_);
    const std::uint64_t number = epoch.number;
    epoch.premaster.reset();
    EXPECT_TRUE(store_->note_alive(now_.unix_seconds).has_value());
    keeper_.reset();
    start();
    use_keeper();
    return number;
  }

  std::unique_ptr<EpochKeeper> keeper_;
  Admission admission_{config_, context_};
  Resumption resumption_{config_, context_, admission_};
};

TEST_F(ResumptionTest, TheKeptEpochIsActiveAgainWithItsHoldersAndSlots) {
  const std::uint64_t number = restart_with({"home", "sender"});
  const auto resumed = resumption_.resume(now_);
  ASSERT_TRUE(resumed.has_value());
  EXPECT_EQ(resumed->epoch.number, number);
  EXPECT_EQ(resumed->epoch.phase, Phase::active);
  EXPECT_EQ(resumed->holders.size(), 2u);
  EXPECT_TRUE(resumption_.is_resumed(number));
  EXPECT_EQ(resumption_.back_by(), now_.steady + restart_patience);
  EXPECT_EQ(resumption_.slots_of("sender").size(), 1u);
  EXPECT_TRUE(resumption_.slots_of("home").empty());
}

TEST_F(ResumptionTest, AMemberThatIsBackSendsUnlessItNeedsNewSlots) {
  restart_with({"home", "sender"});
  ASSERT_TRUE(resumption_.resume(now_).has_value());
  Members members;
  members["home"];
  EXPECT_FALSE(resumption_.anybody_sends(members));
  members["sender"];
  EXPECT_TRUE(resumption_.anybody_sends(members));
  resumption_.needs_slots("sender");
  EXPECT_FALSE(resumption_.anybody_sends(members));
}

TEST_F(ResumptionTest, H8_ItIsNotResumedWhereAHolderNoLongerStands) {
  restart_with({"home", "sender"});
  revoked_ = "home";
  EXPECT_FALSE(resumption_.resume(now_).has_value());
  revoked_.clear();
  EXPECT_FALSE(resumption_.resume(now_).has_value()) << "it was dropped then";
}

TEST_F(ResumptionTest, ItIsNotResumedUnderAnotherConfigurationOrAtItsEnd) {
  restart_with({"home"});
  config_.replay_window += 64;
  EXPECT_FALSE(resumption_.resume(now_).has_value());
  config_.replay_window -= 64;
  restart_with({"home"});
  now_.unix_seconds += 3595;
  EXPECT_FALSE(resumption_.resume(now_).has_value());
}

TEST_F(ResumptionTest, ItEndsWhenTheEpochRetires) {
  const std::uint64_t number = restart_with({"home"});
  ASSERT_TRUE(resumption_.resume(now_).has_value());
  resumption_.retired(number - 1);
  EXPECT_TRUE(resumption_.is_resumed(number));
  resumption_.retired(number);
  EXPECT_FALSE(resumption_.is_resumed(number));
  EXPECT_EQ(resumption_.back_by(), std::nullopt);
}

}  // namespace
}  // namespace sealcast::keyserver::testing
