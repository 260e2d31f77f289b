// The receivers' key tree and its datagrams, by themselves. datagram_test.cc shows them in a group.
#include "controlplane/keyserver/group/announcer.h"

#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver {
namespace {

using namespace testing;

class AnnouncerTest : public GroupStateTest {
 protected:
  AnnouncerTest() {
    config_.rekey = config::Rekeying::multicast;
    context_.sign = [](const handshake::RekeyDatagram&) -> Result<Bytes> { return Bytes(100); };
  }
  Member& add(const std::string& name, bool sends = false) {
    Member& member = members_[name];
    member.identity = identity(name);
    member.link = &told_[name];
    if (sends) member.roles = handshake::sender_and_receiver;
    EXPECT_TRUE(announcer_.assign_leaf(member));
    return member;
  }

  Admission admission_{config_, context_};
  Announcer announcer_{config_, context_, admission_};
  Members members_;
  std::map<std::string, FakeLink> told_;
};

TEST_F(AnnouncerTest, ReceiversGetALeafWithItsPathAndSendersNone) {
  EXPECT_TRUE(add("home").leaf);
  EXPECT_THAT(told_["home"].take(), ElementsAre("path"));
  EXPECT_FALSE(add("sender", true).leaf);
  EXPECT_THAT(told_["sender"].take(), IsEmpty());
}

TEST_F(AnnouncerTest, WithoutASignatureOrWithSeveralKeyServersThereIsNoTree) {
  context_.sign = nullptr;
  EXPECT_FALSE(announcer_.enabled());
  EXPECT_FALSE(add("home").leaf);
  EXPECT_THAT(told_["home"].take(), IsEmpty());
}

TEST_F(AnnouncerTest, H11_ALeafThatWasReleasedIsNotGivenToAnother) {
  Member& home = add("home");
  const auto leaf = *home.leaf;
  announcer_.release_leaf(home);
  EXPECT_FALSE(home.leaf);
  for (int i = 0; i < 20; ++i)
    EXPECT_NE(add("member" + std::to_string(i)).leaf, leaf);
}

TEST_F(AnnouncerTest, H13_ManyThatHaveLeftAreNoticed) {
  Member& home = add("home");
  for (int i = 0; i < 1024; ++i) {
    announcer_.release_leaf(home);
    EXPECT_FALSE(announcer_.many_have_left()) << i;
    ASSERT_TRUE(announcer_.assign_leaf(home));
  }
  announcer_.release_leaf(home);
  EXPECT_TRUE(announcer_.many_have_left());
  announcer_.drop_tree(members_);
  EXPECT_FALSE(announcer_.many_have_left());
}

TEST_F(AnnouncerTest, WithoutAnActiveEpochOrASenderNothingIsAnnounced) {
  add("home");
  Epoch next;
  EXPECT_EQ(announcer_.announce(members_, nullptr, next, now_), Announcer::Telling::each);
  Epoch active;
  EXPECT_EQ(announcer_.announce(members_, &active, next, now_), Announcer::Telling::each) << "nobody relays it";
  EXPECT_FALSE(announcer_.is_announcing());
}

TEST_F(AnnouncerTest, CopiesGoOutByOneSenderAfterTheOther) {
  add("sender", true);
  add("sender2", true);
  announcer_.begin({SaKey(), {}, Bytes(100), 0, now_.steady, now_.steady + 1s});
  announcer_.send_copies(members_, now_.steady);
  EXPECT_THAT(told_["sender"].take(), ElementsAre("announce"));
  EXPECT_THAT(told_["sender2"].take(), IsEmpty());
  now_.steady += config_.activation_delay / 8;
  announcer_.send_copies(members_, now_.steady);
  EXPECT_THAT(told_["sender2"].take(), ElementsAre("announce"));
  now_.steady += config_.activation_delay;
  announcer_.send_copies(members_, now_.steady);
  EXPECT_THAT(told_["sender"].take(), ElementsAre("announce"));
  now_.steady += 1h;
  announcer_.send_copies(members_, now_.steady);
  EXPECT_THAT(told_["sender"].take(), IsEmpty()) << "three are all";
  EXPECT_TRUE(announcer_.is_given_up(now_.steady));
}

}  // namespace
}  // namespace sealcast::keyserver
