// The output of `sealcast pki` as openssl(1) sees it: the witness is another program, not the code under test.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "base/atomic_file.h"
#include "controlplane/pki/folder.h"

namespace sealcast::pki {
namespace {

struct Outcome {
  int code = -1;
  std::string text;
};

Outcome run(const std::string& command) {
  Outcome outcome;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[4096];
  for (std::size_t n = 0; (n = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;)
    outcome.text.append(buffer, n);
  const int status = ::pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

class PkiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "sealcast-pki-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    options_.folder = root_ + "/pki";
    options_.now = std::time(nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::string at(const std::string& file) const { return options_.folder + "/" + file; }
  std::string text_of(const std::string& file) const {
    return run("openssl x509 -noout -text -nameopt RFC2253 -in " + at(file)).text;
  }
  Outcome verify(const std::string& file, const std::string& more = "") const {
    return run("openssl verify -x509_strict -crl_check -CAfile " + at("ca.pem") + " -CRLfile " + at("crl.pem") + " " +
               more + " " + at(file));
  }
  static mode_t mode_of(const std::string& path) {
    struct stat found {};
    return ::stat(path.c_str(), &found) == 0 ? found.st_mode & 07777u : 0u;
  }

  std::string root_;
  FolderOptions options_;
};

TEST_F(PkiTest, P39_MakesCertificatesThatOpensslVerifies) {
  ASSERT_TRUE(init(options_, "Sealcast CA"));
  ASSERT_TRUE(make_server(options_, "ks.example"));
  ASSERT_TRUE(make_member(options_, "studio", {"tv", "radio"}));
  const Outcome server = verify("ks.example.pem", "-purpose sslserver -verify_hostname ks.example");
  EXPECT_EQ(server.code, 0) << server.text;
  const Outcome member = verify("studio.pem", "-purpose sslclient");
  EXPECT_EQ(member.code, 0) << member.text;
  // Neither passes for the other.
  EXPECT_NE(verify("studio.pem", "-purpose sslserver").code, 0);
  EXPECT_NE(verify("ks.example.pem", "-purpose sslclient").code, 0);
}

TEST_F(PkiTest, P40_OnlyMembersCarryTheMulticastExtension) {
  ASSERT_TRUE(init(options_, "Sealcast CA"));
  ASSERT_TRUE(make_server(options_, "ks.example"));
  ASSERT_TRUE(make_member(options_, "studio", {"tv", "radio"}));
  const std::string member = text_of("studio.pem");
  EXPECT_NE(member.find("2.25."), std::string::npos) << member;
  EXPECT_EQ(text_of("ks.example.pem").find("2.25."), std::string::npos);
  EXPECT_EQ(text_of("ca.pem").find("2.25."), std::string::npos);
  // SEQUENCE { BOOLEAN TRUE, SEQUENCE OF UTF8String }, in the file's own order.
  const std::string dump =
      run("openssl x509 -in " + at("studio.pem") + " -outform DER | openssl asn1parse -inform DER").text;
  EXPECT_NE(dump.find(":2.25."), std::string::npos) << dump;
  const auto offset_end = dump.find("OCTET STRING", dump.find(":2.25."));
  ASSERT_NE(offset_end, std::string::npos);
  const auto line = dump.rfind('\n', offset_end) + 1;
  const std::string offset = dump.substr(line, dump.find(':', line) - line);
  const std::string inner =
      run("openssl x509 -in " + at("studio.pem") + " -outform DER | openssl asn1parse -inform DER -strparse " + offset)
          .text;
  const auto boolean = inner.find("BOOLEAN           :255"), tv = inner.find("UTF8STRING        :tv"),
             radio = inner.find("UTF8STRING        :radio");
  EXPECT_LT(boolean, tv) << inner;
  EXPECT_LT(tv, radio) << inner;
  EXPECT_NE(radio, std::string::npos) << inner;
}

TEST_F(PkiTest, H8_UsagesAreTheNarrowestPossible) {
  ASSERT_TRUE(init(options_, "Sealcast CA"));
  ASSERT_TRUE(make_server(options_, "ks.example"));
  ASSERT_TRUE(make_member(options_, "studio", {}));
  FolderOptions rsa = options_;
  rsa.key = KeyKind::rsa_3072;
  ASSERT_TRUE(make_member(rsa, "old", {"tv"}));
  const auto has = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };

  const std::string ca = text_of("ca.pem");
  EXPECT_TRUE(has(ca, "CA:TRUE, pathlen:0")) << ca;
  EXPECT_TRUE(has(ca, "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n")) << ca;
  EXPECT_TRUE(has(ca, "NIST CURVE: P-256"));

  const std::string server = text_of("ks.example.pem");
  EXPECT_TRUE(has(server, "X509v3 Key Usage: critical\n                Digital Signature\n")) << server;
  EXPECT_TRUE(has(server, "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n")) << server;
  EXPECT_TRUE(has(server, "DNS:ks.example\n")) << server;
  EXPECT_TRUE(has(server, "CA:FALSE")) << server;

  const std::string member = text_of("studio.pem");
  EXPECT_TRUE(has(member, "X509v3 Key Usage: critical\n                Digital Signature\n")) << member;
  EXPECT_TRUE(has(member, "X509v3 Extended Key Usage: \n                TLS Web Client Authentication\n")) << member;

  // Variant 1 needs the key to decrypt with.
  const std::string old = text_of("old.pem");
  EXPECT_TRUE(has(old, "Digital Signature, Key Encipherment\n")) << old;
  EXPECT_TRUE(has(old, "Public-Key: (3072 bit)")) << old;
}

TEST_F(PkiTest, H14_PrivateKeysAreTheOwnersAlone) {
  const mode_t before = ::umask(0);
  ASSERT_TRUE(init(options_, "Sealcast CA"));
  ASSERT_TRUE(make_member(options_, "studio", {"tv"}));
  ::umask(before);
  EXPECT_EQ(mode_of(options_.folder), 0700u);
  for (const char* key : {"ca.key", "studio.key"}) {
    EXPECT_EQ(mode_of(at(key)), 0600u) << key;
    const Outcome check = run("openssl pkey -noout -check -in " + at(key));
    EXPECT_EQ(check.code, 0) << check.text;
  }
  const std::string certificate_key = run("openssl x509 -noout -pubkey -in " + at("studio.pem")).text;
  EXPECT_EQ(run("openssl pkey -pubout -in " + at("studio.key")).text, certificate_key);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(options_.folder), {}), 5) << "a temporary file is left";
}

TEST_F(PkiTest, NeverOverwritesUnasked) {
  ASSERT_TRUE(init(options_, "Sealcast CA"));
  ASSERT_TRUE(make_member(options_, "studio", {"tv"}));
  const std::string before = run("cat " + options_.folder + "/*").text;
  const auto again = init(options_, "Sealcast CA");
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find("ca.key exists; nothing was changed"), std::string::npos);
  const auto member = make_member(options_, "studio", {"tv"});
  ASSERT_FALSE(member);
  EXPECT_NE(member.error().message.find("--force"), std::string::npos);
  EXPECT_FALSE(make_member(options_, "ca", {"tv"}));
  EXPECT_FALSE(make_member(options_, "crl", {"tv"}));
  EXPECT_EQ(run("cat " + options_.folder + "/*").text, before);
  options_.force = true;
  ASSERT_TRUE(make_member(options_, "studio", {"tv"}));
  EXPECT_NE(run("cat " + options_.folder + "/*").text, before);
  EXPECT_EQ(verify("studio.pem").code, 0);
}

TEST_F(PkiTest, H8_RevokesAndRenewsTheList) {
  const auto made = init(options_, "Sealcast CA");
  ASSERT_TRUE(made);
  ASSERT_TRUE(make_member(options_, "studio", {"tv"}));
  ASSERT_TRUE(make_member(options_, "home", {"tv"}));
  ASSERT_TRUE(make_member(options_, "attic", {"tv"}));
  EXPECT_NE(run("openssl crl -noout -text -in " + at("crl.pem")).text.find("No Revoked Certificates"),
            std::string::npos);
  const auto revoked = revoke(options_, "home");
  ASSERT_TRUE(revoked) << revoked.error().message;
  ASSERT_TRUE(revoke(options_, "home")) << "revoking twice is no error";
  ASSERT_TRUE(revoke(options_, "attic"));
  ASSERT_TRUE(renew_revocation_list(options_));
  const Outcome home = verify("home.pem");
  EXPECT_NE(home.code, 0);
  EXPECT_NE(home.text.find("certificate revoked"), std::string::npos) << home.text;
  EXPECT_NE(verify("attic.pem").code, 0);
  EXPECT_EQ(verify("studio.pem").code, 0) << verify("studio.pem").text;
  const std::string list = run("openssl crl -noout -text -in " + at("crl.pem")).text;
  EXPECT_NE(list.find("Serial Number: " + revoked->serial_hex), std::string::npos) << list;
  EXPECT_EQ(run("openssl crl -noout -text -in " + at("crl.pem") + " | grep -c 'Serial Number'").text, "2\n");
  const std::string number = list.substr(list.find("X509v3 CRL Number"), 60);
  EXPECT_NE(number.find("\n                5\n"), std::string::npos) << number;
  const Outcome signature = run("openssl crl -noout -verify -CAfile " + at("ca.pem") + " -in " + at("crl.pem"));
  EXPECT_NE(signature.text.find("verify OK"), std::string::npos) << signature.text;
}

TEST_F(PkiTest, H8_RevocationsSideBySideAreAllOnTheList) {
  ASSERT_TRUE(init(options_, "Test CA"));
  std::vector<std::string> serials;
  constexpr std::size_t members = 12;
  for (std::size_t i = 0; i < members; ++i) {
    const auto made = make_member(options_, "m" + std::to_string(i), {"tv"});
    ASSERT_TRUE(made) << made.error().message;
    serials.push_back(made->serial_hex);
  }
  std::vector<std::thread> commands;
  std::array<bool, members> good{};
  for (std::size_t i = 0; i < members; ++i)
    commands.emplace_back([&, i] { good[i] = revoke(options_, "m" + std::to_string(i)).has_value(); });
  for (std::thread& command : commands)
    command.join();
  const std::string list = run("openssl crl -noout -text -in " + at("crl.pem")).text;
  for (std::size_t i = 0; i < members; ++i) {
    EXPECT_TRUE(good[i]);
    EXPECT_NE(list.find(serials[i]), std::string::npos) << "m" << i;
  }
}

TEST_F(PkiTest, H8_RefusesAnotherCasCertificateAndList) {
  ASSERT_TRUE(init(options_, "Sealcast CA"));
  FolderOptions other = options_;
  other.folder = root_ + "/other";
  ASSERT_TRUE(init(other, "Sealcast CA"));
  ASSERT_TRUE(make_member(other, "stranger", {"tv"}));
  std::filesystem::copy_file(other.folder + "/stranger.pem", at("stranger.pem"));
  const auto foreign = revoke(options_, "stranger");
  ASSERT_FALSE(foreign);
  EXPECT_NE(foreign.error().message.find("not issued by this CA"), std::string::npos) << foreign.error().message;
  std::filesystem::copy_file(other.folder + "/crl.pem", at("crl.pem"),
                             std::filesystem::copy_options::overwrite_existing);
  const auto list = renew_revocation_list(options_);
  ASSERT_FALSE(list);
  EXPECT_NE(list.error().message.find("not this CA's"), std::string::npos) << list.error().message;
  std::filesystem::copy_file(other.folder + "/ca.key", at("ca.key"), std::filesystem::copy_options::overwrite_existing);
  const auto mixed = make_member(options_, "studio", {"tv"});
  ASSERT_FALSE(mixed);
  EXPECT_NE(mixed.error().message.find("does not belong to its certificate"), std::string::npos);
}

TEST_F(PkiTest, SerialsAreRandomAndLong) {
  ASSERT_TRUE(init(options_, "Sealcast CA"));
  std::set<std::string> serials;
  std::size_t longest = 0;
  for (int i = 0; i < 8; ++i) {
    const auto made = make_member(options_, "m" + std::to_string(i), {"tv"});
    ASSERT_TRUE(made);
    serials.insert(made->serial_hex);
    longest = std::max(longest, made->serial_hex.size());
  }
  EXPECT_EQ(serials.size(), 8u);
  EXPECT_EQ(longest, 32u) << "hexadecimal digits of 128 bits";
}

TEST_F(PkiTest, LivesAsLongAsAskedButNotLongerThanItsCa) {
  options_.days = 10;
  ASSERT_TRUE(init(options_, "Sealcast CA"));
  options_.days = 5;
  const auto five = make_server(options_, "ks.example");
  ASSERT_TRUE(five);
  EXPECT_FALSE(five->cut_to_ca_life);
  const std::string at_4 = std::to_string(options_.now + 4 * 86400), at_6 = std::to_string(options_.now + 6 * 86400);
  EXPECT_EQ(verify("ks.example.pem", "-attime " + at_4).code, 0);
  EXPECT_NE(verify("ks.example.pem", "-attime " + at_6).code, 0);
  options_.days = 50;
  const auto cut = make_member(options_, "studio", {"tv"});
  ASSERT_TRUE(cut);
  EXPECT_TRUE(cut->cut_to_ca_life);
  EXPECT_EQ(cut->not_after, options_.now + 10 * 86400);
  options_.now += 11 * 86400;
  const auto late = make_member(options_, "late", {"tv"});
  ASSERT_FALSE(late);
  EXPECT_NE(late.error().message.find("has expired"), std::string::npos);
  for (const int days : {-1, 36501}) {
    options_.days = days;
    EXPECT_FALSE(init(options_, "x"));
  }
}

TEST_F(PkiTest, RefusesNamesThatAreNoNames) {
  ASSERT_TRUE(init(options_, "Sealcast CA"));
  for (const char* bad : {"", "../etc", "a/b", "-a", ".a", "a b", "a,DNS:b", "a\nb", "\xc3\xa4"})
    EXPECT_FALSE(make_member(options_, bad, {"tv"})) << bad;
  EXPECT_FALSE(make_member(options_, std::string(65, 'a'), {"tv"}));
  EXPECT_TRUE(make_member(options_, std::string(64, 'a'), {"tv"}));
  EXPECT_TRUE(make_member(options_, "Studio_1.east-2", {"tv"}));
  for (const char* bad : {"a_b", "a..b", "a.", "-a", "a-.b"})
    EXPECT_FALSE(make_server(options_, bad)) << bad;
  EXPECT_FALSE(make_member(options_, "x", {""}));
  EXPECT_FALSE(make_member(options_, "x", {std::string(65, 'g')}));
}

TEST_F(PkiTest, SaysHowToBeginWithoutACa) {
  const auto made = make_server(options_, "ks.example");
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("make the CA first: sealcast pki init"), std::string::npos)
      << made.error().message;
  ASSERT_TRUE(init(options_, "Sealcast CA"));
  ASSERT_TRUE(write_file_atomically(at("ca.key"), as_bytes("no key"), 0600, IfExists::replace));
  const auto broken = make_server(options_, "ks.example");
  ASSERT_FALSE(broken);
  EXPECT_NE(broken.error().message.find("expected an unencrypted private key in PEM"), std::string::npos)
      << broken.error().message;
}

}  // namespace
}  // namespace sealcast::pki
