// Which principals may be members of a group, and what is told to those that may not (H7, H8, H11).
#include "controlplane/keyserver/group/admission.h"

#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

class AdmissionTest : public GroupStateTest {
 protected:
  std::string why_not(const handshake::PeerIdentity& member) const { return admission_.judge(member, now_).why; }
  Admission admission_{config_, context_};
};

TEST_F(AdmissionTest, ACertificateThatNamesTheGroupIsAdmittedAndOneThatDoesNotIsNot) {
  EXPECT_EQ(why_not(identity("home")), "");
  auto stranger = identity("home");
  stranger.groups = {"radio"};
  EXPECT_NE(why_not(stranger), "");
}

TEST_F(AdmissionTest, AListOfNamesAdmitsAnyNameOfTheCertificate) {
  config_.members_by_certificate = false;
  config_.members = {"home.example"};
  auto member = identity("home");
  EXPECT_NE(why_not(member), "");
  member.names.push_back("home.example");
  EXPECT_EQ(why_not(member), "");
}

TEST_F(AdmissionTest, H8_ACertificateIsCheckedAnewEachTime) {
  EXPECT_EQ(why_not(identity("home")), "");
  revoked_ = "home";
  EXPECT_THAT(why_not(identity("home")), HasSubstr("certificate revoked"));
}

TEST_F(AdmissionTest, H11_AnOperatorsRevocationHoldsAgainstAGoodCertificate) {
  context_.revoked = [](const std::vector<std::string>& names, const std::string& group) {
    return group == "tv" && names == std::vector<std::string>{"home"};
  };
  EXPECT_NE(why_not(identity("home")), "");
  EXPECT_EQ(why_not(identity("office")), "");
}

TEST_F(AdmissionTest, AnyNameOfTheCertificateMayBeTheOneThatSends) {
  auto member = identity("van");
  EXPECT_FALSE(admission_.may_send(member));
  member.names.push_back("sender2");
  EXPECT_TRUE(admission_.may_send(member));
}

}  // namespace
}  // namespace sealcast::keyserver::testing
