// Rekeying by datagram as the key server does it: which members are told how, when, and what those that left can make
// of it.
#include "controlplane/keyserver/testing/group_state_fixture.h"
#include "handshake/keytree/member_path.h"

namespace sealcast::keyserver {
namespace {

using namespace testing;
using handshake::MemberPath;
using handshake::RekeyDatagram;

class ByDatagram : public GroupStateTest {
 protected:
  ByDatagram() {
    config_.rekey = config::Rekeying::multicast;
    config_.joins_per_minute = 60'000;
    context_.sign = [this](const RekeyDatagram& datagram) -> Result<Bytes> {
      if (refuse_to_sign_) return fail("the key is gone");
      last_ = copy(datagram);
      return Bytes(size_, 1);
    };
    group_ = std::make_unique<GroupState>(config_, context_);
  }
  static RekeyDatagram copy(const RekeyDatagram& from) { return from; }
  MemberPath path_of(const Joined& member) const {
    return MemberPath(config_.flow.suite,
                      *handshake::decode_tree_path(handshake::encode_tree_path(member.link->tree_path)));
  }

  std::optional<RekeyDatagram> last_;
  std::size_t size_ = 600;
  bool refuse_to_sign_ = false;
};

TEST_F(ByDatagram, SendersAreToldThemselvesAndReceiversByOneOfThem) {
  const auto sender = join("sender");
  const auto home = join("home");
  const auto attic = join("attic");
  EXPECT_THAT(sender.link->take(), IsEmpty()) << "a sender has no leaf";
  EXPECT_THAT(home.link->take(), ElementsAre("path"));
  EXPECT_THAT(attic.link->take(), ElementsAre("path"));
  ASSERT_TRUE(group_->rekey("test", now_));
  const std::uint64_t next = pending();
  EXPECT_THAT(sender.link->take(), ElementsAre(word("update", next), "announce"));
  EXPECT_THAT(home.link->take(), IsEmpty());
  EXPECT_THAT(attic.link->take(), IsEmpty());
  ASSERT_TRUE(last_);
  EXPECT_EQ(last_->from_epoch, active());
  EXPECT_EQ(last_->to_epoch, next);
  EXPECT_EQ(last_->sequence, next);
  for (const auto* member : {&home, &attic}) {
    auto path = path_of(*member);
    const auto premaster = path.apply(last_->update);
    ASSERT_TRUE(premaster) << premaster.error().detail;
    EXPECT_TRUE(premaster->equals(sender.link->premaster));
  }
  // All have it: nothing is repeated.
  for (const auto* member : {&sender, &home, &attic})
    ASSERT_TRUE(say(*member, GroupUpdateAck{"tv", next}));
  EXPECT_EQ(active(), next);
  pass(config_.activation_delay);
  EXPECT_THAT(sender.link->take(), ElementsAre(word("activate", next)));
  EXPECT_THAT(home.link->take(), ElementsAre(word("activate", next)));
}

TEST_F(ByDatagram, H13_WhoConnectsAgainAndAgainDoesNotFillTheTree) {
  const auto sender = join("sender");
  const auto home = join("home");
  const std::uint64_t first = active();
  for (int i = 0; i < 1100; ++i) {
    const auto loop = join("loop");
    group_->leave(*loop.link, now_);
  }
  pass(11s);
  const std::uint64_t next = pending();
  ASSERT_GT(next, first) << "a rekey frees the leaves";
  for (const auto* member : {&sender, &home})
    ASSERT_TRUE(say(*member, GroupUpdateAck{"tv", next}));
  pass(config_.activation_delay);
  const auto newcomer = join("newcomer");
  EXPECT_LE(newcomer.link->tree_path.position, 4u);
  pass(60s);
  EXPECT_EQ(active(), next) << "once is enough";
}

TEST_F(ByDatagram, H13_WithoutASenderTheTreeIsPlantedAnewInstead) {
  const auto home = join("home");
  for (int i = 0; i < 1100; ++i) {
    const auto loop = join("loop");
    group_->leave(*loop.link, now_);
  }
  home.link->take();
  pass(11s);
  EXPECT_THAT(home.link->take(), ElementsAre(word("update", pending()), "path"));
  EXPECT_LE(home.link->tree_path.levels.size(), 3u);
}

TEST_F(ByDatagram, ThreeCopiesByTurnsThenGroupUpdateAndThePath) {
  const auto a = join("sender");
  const auto b = join("sender2");
  const auto home = join("home");
  home.link->take();
  ASSERT_TRUE(group_->rekey("test", now_));
  const std::uint64_t next = pending();
  a.link->take();
  b.link->take();
  const Bytes first = a.link->packet;
  pass(config_.activation_delay / 8);
  EXPECT_THAT(b.link->take(), ElementsAre("announce"));
  EXPECT_EQ(Bytes(b.link->packet.begin(), b.link->packet.begin() + 4), Bytes(first.begin(), first.begin() + 4));
  EXPECT_EQ(first[15], 1);
  EXPECT_EQ(b.link->packet[15], 2) << "H9: another number under the same key";
  pass(config_.activation_delay / 8);
  EXPECT_THAT(a.link->take(), ElementsAre("announce"));
  pass(config_.activation_delay / 4 - 1ms);
  EXPECT_THAT(home.link->take(), IsEmpty());
  pass(1ms);
  EXPECT_THAT(home.link->take(), ElementsAre(word("update", next), "path"));
  EXPECT_THAT(a.link->take(), IsEmpty());
  ASSERT_TRUE(say(home, GroupUpdateAck{"tv", next}));
}

TEST_F(ByDatagram, H11_WhoLeftOrWasShutOutReadsNothingAndNewcomersReadWhatFollows) {
  const auto sender = join("sender");
  const auto home = join("home");
  auto attic = join("attic");
  const auto cellar = join("cellar");
  group_->leave(*cellar.link, now_);
  revoked_ = "attic";
  ASSERT_TRUE(group_->shut_out(now_));
  ASSERT_TRUE(last_);
  auto good = path_of(home);
  EXPECT_TRUE(good.apply(last_->update));
  for (const Joined* gone : std::initializer_list<const Joined*>{&attic, &cellar}) {
    auto path = path_of(*gone);
    EXPECT_FALSE(path.apply(last_->update));
  }
  EXPECT_LE(last_->update.wrapped_keys(), 6u);  // two left a tree of three
  const auto newcomer = join("newcomer");
  EXPECT_THAT(newcomer.link->said, ::testing::Contains("path"));
  for (const auto* member : {&sender, &home, &newcomer})
    ASSERT_TRUE(say(*member, GroupUpdateAck{"tv", pending() ? pending() : active()}));
  auto followed = path_of(newcomer);
  ASSERT_TRUE(say(sender, ActivateAck{"tv", active()}));
  ASSERT_TRUE(group_->rekey("again", now_));
  EXPECT_TRUE(followed.apply(last_->update));
  EXPECT_TRUE(good.apply(last_->update)) << "who was there before follows the newcomer's step";
}

TEST_F(ByDatagram, WhereItCannotBeSentAllAreToldThemselves) {
  auto home = join("home");
  home.link->take();
  ASSERT_TRUE(group_->rekey("no sender", now_));
  EXPECT_THAT(home.link->take(), ElementsAre(word("update", pending()))) << "the tree is as it was";
  ASSERT_TRUE(say(home, GroupUpdateAck{"tv", pending()}));
  const auto sender = join("sender");
  home.link->take();
  refuse_to_sign_ = true;
  ASSERT_TRUE(group_->rekey("no signature", now_));
  EXPECT_THAT(home.link->take(), ElementsAre(word("update", pending()), "path"));
  ASSERT_TRUE(say(home, GroupUpdateAck{"tv", pending()}));
  ASSERT_TRUE(say(sender, GroupUpdateAck{"tv", pending()}));
  ASSERT_TRUE(say(sender, ActivateAck{"tv", active()}));
  home.link->take();
  refuse_to_sign_ = false;
  size_ = 1281;
  ASSERT_TRUE(group_->rekey("too large", now_));
  EXPECT_THAT(home.link->take(), ElementsAre(word("update", pending()), "path"));
  auto path = path_of(home);
  ASSERT_TRUE(say(home, GroupUpdateAck{"tv", pending()}));
  ASSERT_TRUE(say(sender, GroupUpdateAck{"tv", pending()}));
  ASSERT_TRUE(say(sender, ActivateAck{"tv", active()}));
  pass(config_.deactivation_delay);
  home.link->take();
  size_ = 600;
  ASSERT_TRUE(group_->rekey("as it should be", now_));
  EXPECT_THAT(home.link->take(), IsEmpty());
  EXPECT_TRUE(path.apply(last_->update));
}

TEST_F(ByDatagram, ANewPolicyTravelsInGroupUpdate) {
  const auto sender = join("sender");
  const auto home = join("home");
  home.link->take();
  config_.authority_lease += 1s;
  group_->reconfigure(config_, now_);
  ASSERT_TRUE(group_->rekey("test", now_));
  EXPECT_THAT(home.link->take(), ElementsAre(word("update", pending())));
}

TEST_F(ByDatagram, WhoNeverTakesOneIsToldItselfFromThenOn) {
  const auto sender = join("sender");
  const auto home = join("home");
  const auto old_one = join("old one");  // knows no datagrams, and ignores what they need
  for (int i = 0; i < 4; ++i) {
    old_one.link->take();
    ASSERT_TRUE(group_->rekey("test", now_));
    const std::uint64_t next = pending();
    EXPECT_EQ(old_one.link->said.empty(), i < 3) << i;
    ASSERT_TRUE(say(sender, GroupUpdateAck{"tv", next}));
    ASSERT_TRUE(say(home, GroupUpdateAck{"tv", next}));
    if (i < 3) pass(config_.activation_delay / 2);
    EXPECT_THAT(old_one.link->said, ::testing::Contains(word("update", next)));
    ASSERT_TRUE(say(old_one, GroupUpdateAck{"tv", next}));
    ASSERT_TRUE(say(sender, ActivateAck{"tv", next}));
    pass(config_.deactivation_delay);
  }
}

TEST_F(ByDatagram, HundredsComeAndGoAndOneDatagramStillTellsThemAll) {
  const auto sender = join("sender");
  std::map<int, Joined> members;
  for (int i = 0; i < 300; ++i)
    members.emplace(i, join("m" + std::to_string(i)));
  std::map<int, std::unique_ptr<MemberPath>> paths;
  for (int round = 0; round < 5; ++round) {
    for (int i = round; i < 300; i += 37) {  // eight or nine leave, half of them come back
      group_->leave(*members.at(i).link, now_);
      paths.erase(i);
      members.erase(i);
      if (i % 2 == 0) members.emplace(i, join("m" + std::to_string(i)));
    }
    last_.reset();
    ASSERT_TRUE(group_->rekey("test", now_));
    const std::uint64_t next = pending();
    ASSERT_TRUE(last_);
    for (auto& [i, member] : members) {
      if (!paths.count(i)) paths[i] = std::make_unique<MemberPath>(path_of(member));
      EXPECT_TRUE(paths[i]->apply(last_->update)) << i;
      ASSERT_TRUE(say(member, GroupUpdateAck{"tv", next}));
    }
    ASSERT_TRUE(say(sender, GroupUpdateAck{"tv", next}));
    ASSERT_TRUE(say(sender, ActivateAck{"tv", next}));
    pass(config_.deactivation_delay);
  }
}

}  // namespace
}  // namespace sealcast::keyserver
