// What a key server tells the others of its members: what has changed, once, in parts.
#include "controlplane/cluster/attendees.h"

#include "controlplane/cluster/testing/part_fixture.h"

namespace sealcast::cluster::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class ClusterAttendees : public ClusterPart {
 protected:
  // Carries out what there is to tell, a second later. Returns how many parts were written.
  std::size_t tell(bool done = true) {
    host_.pass(1s);
    const auto transaction = attendees_.next(host_.clock.steady);
    if (!transaction) return 0;
    EXPECT_FALSE(attendees_.next(host_.clock.steady + 5s)) << "one transaction at a time";
    etcd::Reply reply;
    if (done) reply = store_.run(*transaction);
    attendees_.answered(done ? &reply : nullptr);
    read();
    return transaction->success.size();
  }
  void set(const std::string& name, Attendee attendee) {
    host_.present["tv"][name] = std::move(attendee);
    ++host_.changes["tv"];
  }

  Attendees attendees_{host_, view_};
};

TEST_F(ClusterAttendees, WhatChangedIsToldOnce) {
  EXPECT_EQ(tell(), 0u) << "no member is here";
  set("studio.example", {true, 3, 1'800'000'000, "192.0.2.1:4000"});
  set("home", {false, 1, 0, ""});
  EXPECT_LE(tell(), 2u);
  EXPECT_EQ(tell(), 0u);
  EXPECT_THAT(view_.attendees("tv", self_),
              UnorderedElementsAre(std::pair("studio.example", Attendee{true, 3, 1'800'000'000, "192.0.2.1:4000"}),
                                   std::pair("home", Attendee{false, 1, 0, ""})));
  host_.present["tv"].erase("home");
  ++host_.changes["tv"];
  EXPECT_EQ(tell(), 1u);
  EXPECT_THAT(view_.attendees("tv", self_), ElementsAre(Key("studio.example")));
  ++host_.changes["tv"];
  EXPECT_EQ(tell(), 0u) << "nothing is another than before";
}

TEST_F(ClusterAttendees, WhatWasNotDoneIsToldAgain) {
  set("home", {true, 1, 5, "a"});
  EXPECT_EQ(tell(false), 1u);
  EXPECT_THAT(view_.attendees("tv", self_), IsEmpty());
  EXPECT_EQ(tell(), 1u);
  EXPECT_THAT(view_.attendees("tv", self_), SizeIs(1));
  attendees_.clear();
  EXPECT_EQ(tell(), 1u) << "another session";
}

TEST_F(ClusterAttendees, ManyGoInSeveralTransactionsOfABoundedSize) {
  for (int i = 0; i < 20'000; ++i)
    host_.present["tv"]["m" + std::to_string(i) + ".example"] = {true, 1, i, "198.51.100.7:" + std::to_string(i)};
  ++host_.changes["tv"];
  std::size_t transactions = 0, written = 0;
  while (const std::size_t wrote = tell()) {
    ++transactions;
    written += wrote;
  }
  EXPECT_EQ(written, 64u);
  EXPECT_GE(transactions, 3u);
  EXPECT_THAT(view_.attendees("tv", self_), SizeIs(20'000));
  set("m7.example", {true, 1, 99, "elsewhere"});
  EXPECT_EQ(tell(), 1u) << "one member is one part";
}

TEST_F(ClusterAttendees, ThoseOfAKeyServerThatVanishedAreForgotten) {
  join(other_);
  read();
  put(keys_.joined("tv", other_, 7), text_of({{"attic", {true, 1, 5, "x"}}}));
  read();
  EXPECT_THAT(view_.attendees("tv", other_), ElementsAre(Key("attic")));
  remove(keys_.server(other_));
  remove(keys_.joined("tv", other_, 7));
  read();
  EXPECT_THAT(view_.attendees("tv", other_), IsEmpty());
}

TEST(ClusterAttendeeText, IsReadBackAndNothingElseIs) {
  const AttendeeList list{{"a b\n", {true, 3, 1'800'000'000, "[2001:db8::1]:7"}}, {"x", {false, 1, 0, ""}}};
  EXPECT_EQ(attendees_from(text_of(list)), list);
  EXPECT_EQ(attendees_from(""), AttendeeList());
  for (const char* odd : {"61", "61,j,1", "61,j,1,5", "61,j,9,5,", "61,q,1,5,", "6,j,1,5,", "61,j,1,x,", "61,j,1,5,zz",
                          ",j,1,5,", "61,j,1,5, ", "61,j,1,5,,"})
    EXPECT_FALSE(attendees_from(odd)) << odd;
}

}  // namespace
}  // namespace sealcast::cluster::testing
