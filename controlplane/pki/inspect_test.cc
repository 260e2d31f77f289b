#include "controlplane/pki/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/pki/certificates.h"

namespace sealcast::pki {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::int64_t now = 1'800'000'000;
constexpr std::int64_t day = 86400;

class Inspect : public ::testing::Test {
 protected:
  static Authority authority() {
    auto made = Authority::create("CA", KeyKind::ecdsa_p256, {now - day, now + 1000 * day});
    EXPECT_TRUE(made);
    return std::move(*made);
  }
  Authority ca_ = authority();
  Identity server_ = *ca_.issue(ServerRequest{"ks.example", KeyKind::ecdsa_p256, {now - day, now + 100 * day}});
  Identity member_ = *ca_.issue(MemberRequest{"studio", {"tv"}, KeyKind::ecdsa_p256, {now - day, now + 100 * day}});

  static Findings look(const Identity& certificate, const Identity& key, Purpose purpose,
                       const std::vector<std::string>& groups = {}, std::int64_t at = now) {
    return inspect_identity(certificate.certificate_pem, key.private_key_pem.view(), purpose, groups, at);
  }
};

TEST_F(Inspect, H8_GoodCertificatesHaveNoFindings) {
  for (const Findings& findings :
       {look(server_, server_, Purpose::key_server), look(member_, member_, Purpose::member, {"tv"})}) {
    EXPECT_THAT(findings.errors, IsEmpty());
    EXPECT_THAT(findings.warnings, IsEmpty());
  }
}

TEST_F(Inspect, P6_P16_TheKeyMustFitTheGroupsSuite) {
  const Identity rsa_server = *ca_.issue(ServerRequest{"ks.example", KeyKind::rsa_3072, {now - day, now + 100 * day}});
  const Identity rsa_member =
      *ca_.issue(MemberRequest{"home", {"tv"}, KeyKind::rsa_3072, {now - day, now + 100 * day}});
  const auto errors = [](const Identity& identity, KeyUse use) {
    return inspect_key(identity.certificate_pem, use).errors;
  };
  EXPECT_THAT(errors(server_, KeyUse::ecdsa_signature), IsEmpty());
  EXPECT_THAT(errors(rsa_server, KeyUse::rsa_signature), IsEmpty());
  EXPECT_THAT(errors(rsa_member, KeyUse::rsa_decryption), IsEmpty());
  EXPECT_THAT(errors(rsa_server, KeyUse::ecdsa_signature), ElementsAre(HasSubstr("expected an ECDSA key")));
  EXPECT_THAT(errors(server_, KeyUse::rsa_signature), ElementsAre(HasSubstr("expected an RSA key")));
  EXPECT_THAT(errors(member_, KeyUse::rsa_decryption), ElementsAre(HasSubstr("make one with --rsa")));
  EXPECT_THAT(errors(rsa_server, KeyUse::rsa_decryption), ElementsAre(HasSubstr("lacks keyEncipherment")));
}

TEST_F(Inspect, H7_UserAndCertificateBelongTogether) {
  EXPECT_THAT(inspect_user(member_.certificate_pem, "studio").errors, IsEmpty());
  EXPECT_THAT(inspect_user(member_.certificate_pem, "anna").errors,
              ElementsAre(HasSubstr("expected \"anna\" among its names")));
}

TEST_F(Inspect, H8_NamesWhatIsWrong) {
  EXPECT_THAT(look(server_, member_, Purpose::key_server).errors,
              ElementsAre("the private key does not belong to the certificate"));
  EXPECT_THAT(look(member_, member_, Purpose::member, {"tv", "radio"}).errors,
              ElementsAre(HasSubstr("it is not for the group \"radio\"")));
  EXPECT_THAT(look(member_, member_, Purpose::key_server).errors,
              ElementsAre(HasSubstr("is not serverAuth"), HasSubstr("got a member's")));
  EXPECT_THAT(look(server_, server_, Purpose::member).errors,
              ElementsAre(HasSubstr("is not clientAuth"), HasSubstr("has no multicast extension")));
  EXPECT_THAT(look(member_, member_, Purpose::member, {}, now + 101 * day).errors,
              ElementsAre(HasSubstr("expired at")));
  EXPECT_THAT(look(member_, member_, Purpose::member, {}, now - 2 * day).errors,
              ElementsAre(HasSubstr("is not valid before")));
  EXPECT_THAT(look(member_, member_, Purpose::member, {}, now + 80 * day).warnings,
              ElementsAre(HasSubstr("expires at")));
  EXPECT_THAT(inspect_identity("junk", {}, Purpose::member, {}, now).errors,
              ElementsAre(HasSubstr("expected a certificate in PEM")));
}

TEST_F(Inspect, H19_ThresholdsOfALifeAreWarnings) {
  const auto warnings = [&](std::int64_t days) {
    return look(member_, member_, Purpose::member, {}, now + days * day).warnings;
  };
  EXPECT_THAT(warnings(49), IsEmpty());
  EXPECT_THAT(warnings(50), ElementsAre(HasSubstr("50 % of its life")));
  EXPECT_THAT(warnings(97), ElementsAre(HasSubstr("97 % of its life")));
}

TEST_F(Inspect, P40_AMemberOfAllGroupsPassesForEach) {
  const Identity all = *ca_.issue(MemberRequest{"any", {}, KeyKind::ecdsa_p256, {now - day, now + 100 * day}});
  EXPECT_THAT(look(all, all, Purpose::member, {"tv", "radio"}).errors, IsEmpty());
}

TEST_F(Inspect, H8_ChecksAnchorsAndLists) {
  const std::string list = *ca_.revocation_list("", "", {now - day, now + 40 * day});
  EXPECT_THAT(inspect_trust(ca_.certificate_pem(), list, now).errors, IsEmpty());
  EXPECT_THAT(inspect_trust(ca_.certificate_pem(), list, now).warnings, IsEmpty());
  EXPECT_THAT(inspect_trust(ca_.certificate_pem(), list, now + 20 * day).warnings,
              ElementsAre(HasSubstr("expires at")));
  EXPECT_THAT(inspect_trust(ca_.certificate_pem(), list, now + 41 * day).errors,
              ElementsAre(HasSubstr("sealcast pki crl")));
  EXPECT_THAT(inspect_trust(authority().certificate_pem(), list, now).errors,
              ElementsAre(HasSubstr("not signed by any")));
  EXPECT_THAT(inspect_trust(member_.certificate_pem, "", now).errors, ElementsAre(HasSubstr("got one that is none")));
  EXPECT_THAT(inspect_trust("", "x", now).errors,
              ElementsAre(HasSubstr("at least one CA"), HasSubstr("expected a revocation list")));
}

}  // namespace
}  // namespace sealcast::pki
