// Which suites, variants, orders, flag places and proofs go together, in both daemons' files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "controlplane/config/config.h"
#include "controlplane/config/testing/texts.h"
#include "handshake/flows.h"

namespace sealcast::config {
namespace {

using handshake::Authentication;
using handshake::CipherSuite;
using handshake::FlagPlace;
using handshake::SecondCcs;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// The group's lines begin in line 11.
Loaded<KeyserverConfig> keyserver(const std::string& group_lines,
                                  const std::string& keyserver_lines = "password_file = \"passwd\"\n") {
  return parse_keyserver_config(R"([keyserver]
id = "k"
listen = "127.0.0.1:0"
certificate = "c"
private_key = "k"
ca = "a"
state = "s"
admin_socket = "x"
spi_range = ["256", "0xffffffff"]
)" + keyserver_lines + R"([[keyserver.group]]
id = "g"
selectors = [ { destination = "239.1.1.0/24" } ]
)" + group_lines,
                                "ks.toml");
}

Loaded<GatewayConfig> gateway(const std::string& group_lines,
                              const std::string& identity = "certificate = \"c\"\nprivate_key = \"k\"\n") {
  return parse_gateway_config(R"([gateway]
admin_socket = "a"
state = "s"
[red]
device = "null"
[black]
device = "null"
mtu = 1600
[member]
)" + identity + R"(ca = "ca"
[[member.group]]
id = "g"
role = "receiver"
keyservers = ["10.9.0.1:7400"]
keyserver_name = "ks.example"
keyserver_id = "k"
spi_range = ["256", "0xffffffff"]
selectors = [ { destination = "239.1.1.0/24" } ]
)" + group_lines,
                              "gw.toml");
}

struct Good {
  std::string lines;
  handshake::GroupFlow flow;
};

std::vector<Good> good_flows() {
  constexpr auto ec256 = CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384;
  constexpr auto rsa256 = CipherSuite::rsa_aes_256_gcm_sha384;
  constexpr auto in_request = FlagPlace::certificate_request;
  constexpr auto by_certificate = Authentication::certificate;
  return {
      {"", {ec256, 2, SecondCcs::claim5, in_request, by_certificate}},
      {"variant = 2\nsecond_ccs = \"claim5\"\nflag = \"certificate-request\"\nauth = \"certificate\"\n",
       {ec256, 2, SecondCcs::claim5, in_request, by_certificate}},
      {"second_ccs = \"description\"\nsuite = \"ECDHE_RSA_AES_128_GCM_SHA256\"\n",
       {CipherSuite::ecdhe_rsa_aes_128_gcm_sha256, 2, SecondCcs::description, in_request, by_certificate}},
      {"flag = \"smke\"\n", {ec256, 2, SecondCcs::claim5, FlagPlace::smke, by_certificate}},
      {"variant = 1\n", {rsa256, 1, SecondCcs::not_applicable, in_request, by_certificate}},
      {"variant = 1\nsuite = \"RSA_AES_128_GCM_SHA256\"\n",
       {CipherSuite::rsa_aes_128_gcm_sha256, 1, SecondCcs::not_applicable, in_request, by_certificate}},
      {"variant = 3\nauth = \"password\"\n", {ec256, 3, SecondCcs::claim5, FlagPlace::smke, Authentication::password}},
      {"variant = 3\nauth = \"password\"\nsecond_ccs = \"description\"\n",
       {ec256, 3, SecondCcs::description, FlagPlace::smke, Authentication::password}},
      {"variant = 3\nauth = \"certificate+password\"\n",
       {ec256, 3, SecondCcs::claim5, in_request, Authentication::certificate_and_password}},
      {"variant = 3\nauth = \"certificate+password\"\nsecond_ccs = \"description\"\nflag = \"smke\"\n",
       {ec256, 3, SecondCcs::description, FlagPlace::smke, Authentication::certificate_and_password}},
  };
}

TEST(GroupFlow, P10_P11_P25_EveryVariantCanBeConfiguredAtBothEnds) {
  for (const Good& good : good_flows()) {
    const auto server = keyserver(good.lines);
    ASSERT_THAT(texts(server.errors), IsEmpty()) << good.lines;
    EXPECT_EQ(server.value->groups[0].flow, good.flow) << good.lines;
    EXPECT_TRUE(handshake::flow_for(good.flow).has_value()) << "what can be configured can be spoken: " << good.lines;
    const bool password = good.flow.authentication != Authentication::certificate;
    const auto member = gateway(good.lines + (password ? "user = \"anna\"\npassword_prompt = true\n" : std::string()));
    ASSERT_THAT(texts(member.errors), IsEmpty()) << good.lines;
    EXPECT_EQ(member.value->member.groups[0].flows, std::vector{good.flow}) << good.lines;
  }
}

TEST(GroupFlow, H30_AutoLeavesToTheKeyServerWhatIsNotGiven) {
  const auto flows = [](const std::string& lines) {
    const bool password = lines.find("password") != std::string::npos;
    const auto loaded =
        gateway("flow = \"auto\"\n" + lines + (password ? "user = \"anna\"\npassword_prompt = true\n" : ""));
    EXPECT_THAT(texts(loaded.errors), IsEmpty()) << lines;
    return loaded.value ? loaded.value->member.groups[0].flows : std::vector<handshake::GroupFlow>();
  };
  const auto every = flows("");
  // Two ECDHE suites with two orders, one RSA suite with none, the flag in two places.
  EXPECT_EQ(every.size(), (2u * 2 + 1) * 2);
  EXPECT_EQ(every.front(), handshake::GroupFlow{}) << "the default is one of them";
  for (const auto& flow : every) {
    EXPECT_TRUE(handshake::flow_for(flow));
    EXPECT_EQ(flow.authentication, Authentication::certificate) << "never the key server's choice";
    EXPECT_EQ(handshake::aes_key_size(flow.suite), 32u) << "nor a shorter key";
  }
  EXPECT_EQ(flows("variant = 1\n").size(), 2u) << "the flag in two places";
  EXPECT_EQ(flows("second_ccs = \"claim5\"\n").size(), 2u * 2) << "variant 1 has no order";
  EXPECT_EQ(flows("flag = \"certificate-request\"\n").size(), 2u * 2 + 1);
  EXPECT_EQ(flows("suite = \"ECDHE_ECDSA_AES_128_GCM_SHA256\"\n").size(), 2u * 2) << "one that is given counts";
  EXPECT_EQ(flows("auth = \"password\"\n").size(), 2u * 2) << "two suites, two orders";
  EXPECT_EQ(flows("auth = \"certificate+password\"\n").size(), 2u * 2 * 2);
  for (const auto& flow : flows("auth = \"password\"\n")) {
    EXPECT_EQ(flow.authentication, Authentication::password);
  }
  for (const Good& good : good_flows()) {
    const bool password = good.flow.authentication != Authentication::certificate;
    const auto pinned =
        gateway("flow = \"pinned\"\n" + good.lines + (password ? "user = \"anna\"\npassword_prompt = true\n" : ""));
    ASSERT_THAT(texts(pinned.errors), IsEmpty()) << good.lines;
    EXPECT_EQ(pinned.value->member.groups[0].flows, std::vector{good.flow}) << good.lines;
  }
  for (const char* wrong :
       {"variant = 1\nsecond_ccs = \"claim5\"\n", "variant = 3\n", "suite = \"RSA_AES_128_GCM_SHA256\"\nvariant = 2\n"})
    EXPECT_THAT(
        texts(gateway(std::string("flow = \"auto\"\n") + wrong).errors),
        ElementsAre(HasSubstr("member.group[0].flow: expected suite, variant, second_ccs, flag and auth that go "
                              "together, got \"auto\"")))
        << wrong;
  EXPECT_THAT(texts(keyserver("flow = \"auto\"\n").errors), ElementsAre(HasSubstr("flow: unknown key")))
      << "a key server runs one flow";
}

struct WrongFlow {
  const char* lines;
  const char* says;
};

TEST(GroupFlow, WrongCombinationsAreNamedWithTheirPlace) {
  for (const WrongFlow& wrong :
       {WrongFlow{
            "variant = 1\nsuite = \"ECDHE_RSA_AES_128_GCM_SHA256\"\n",
            ".toml:15:9: keyserver.group[0].suite: expected RSA_AES_128_GCM_SHA256 or RSA_AES_256_GCM_SHA384 with "
            "variant 1, got \"ECDHE_RSA_AES_128_GCM_SHA256\""},
        WrongFlow{"suite = \"RSA_AES_128_GCM_SHA256\"\n", ":14:9: keyserver.group[0].suite: expected ECDHE_ECDSA_ or"},
        WrongFlow{"variant = 3\nauth = \"password\"\nsuite = \"RSA_AES_128_GCM_SHA256\"\n",
                  "with variant 3, got \"RSA_"},
        WrongFlow{"variant = 4\n", ":14:11: keyserver.group[0].variant: expected a whole number from 1 to 3, got 4"},
        WrongFlow{"variant = 0\n", "from 1 to 3, got 0"},
        WrongFlow{"variant = 3\n",
                  ":11:1: keyserver.group[0].auth: expected \"password\" or \"certificate+password\" with "
                  "variant 3, but the key is missing"},
        WrongFlow{"variant = 3\nauth = \"certificate\"\n", ":15:8: keyserver.group[0].auth: expected \"password\" or"},
        WrongFlow{"auth = \"password\"\n", "expected \"certificate\" with variant 2"},
        WrongFlow{"variant = 1\nauth = \"certificate+password\"\n", "expected \"certificate\" with variant 1"},
        WrongFlow{"variant = 1\nsecond_ccs = \"claim5\"\n",
                  ":15:14: keyserver.group[0].second_ccs: expected variant 2 or 3"},
        WrongFlow{"second_ccs = \"claim6\"\n", "expected \"claim5\" or \"description\", got \"claim6\""},
        WrongFlow{"flag = \"hello\"\n", "expected \"certificate-request\" or \"smke\", got \"hello\""},
        WrongFlow{"variant = 3\nauth = \"password\"\nflag = \"certificate-request\"\n",
                  ":16:8: keyserver.group[0].flag: expected \"smke\" with auth = \"password\""},
        WrongFlow{"variant = 3\nauth = \"password\"\nmembers = \"certificate-group\"\n",
                  "expected \"password-file\" or an array of users' names, got \"certificate-group\""},
        WrongFlow{"variant = 3\nauth = \"certificate+password\"\nmembers = \"password-file\"\n",
                  "expected \"certificate-group\" or an array of certificate names"},
        WrongFlow{"variant = 3\nauth = \"password\"\nmembers = [\"an na\"]\n", "members[0]: expected a user's name"}}) {
    EXPECT_THAT(texts(keyserver(wrong.lines).errors), ElementsAre(HasSubstr(wrong.says))) << wrong.lines;
  }
}

TEST(GroupFlow, H7_PasswordGroupsNeedAPasswordFile) {
  const auto missing = keyserver("variant = 3\nauth = \"password\"\n", "");
  EXPECT_THAT(texts(missing.errors),
              ElementsAre(AllOf(HasSubstr("ks.toml:1:1: keyserver.password_file: expected a file made with sealcast "
                                          "passwd, since group \"g\" uses passwords"))));
  const auto absent = keyserver("variant = 3\nauth = \"password\"\nsenders = \"*\"\n");
  ASSERT_THAT(texts(absent.errors), IsEmpty());
  EXPECT_EQ(absent.value->password_file, "passwd");
  EXPECT_THAT(texts(absent.warnings), Contains(AllOf(HasSubstr(":10:17: keyserver.password_file: can't read passwd"),
                                                     HasSubstr("sealcast passwd FILE USER"))));
  EXPECT_THAT(texts(keyserver("", "").errors), IsEmpty());
}

TEST(GroupFlow, PasswordGroupsNameUsers) {
  const auto any = keyserver("variant = 3\nauth = \"password\"\nmembers = \"password-file\"\nsenders = [\"anna\"]\n");
  ASSERT_THAT(texts(any.errors), IsEmpty());
  EXPECT_TRUE(any.value->groups[0].admits({"carl"}));
  EXPECT_FALSE(any.value->groups[0].may_send({"carl"}));
  EXPECT_TRUE(any.value->groups[0].may_send({"anna"}));
  EXPECT_FALSE(any.value->groups[0].uses_certificates());
  const auto some = keyserver("variant = 3\nauth = \"password\"\nmembers = [\"anna\"]\nsenders = \"*\"\n");
  ASSERT_THAT(texts(some.errors), IsEmpty());
  EXPECT_FALSE(some.value->groups[0].admits({"carl"}));
}

const std::string by_password = "variant = 3\nauth = \"password\"\n";

TEST(MemberPassword, H7_ExactlyOneSourceAndAUser) {
  const auto file = gateway(by_password + "user = \"anna\"\npassword_file = \"/p/anna.pass\"\n");
  ASSERT_THAT(texts(file.errors), IsEmpty());
  EXPECT_EQ(file.value->member.groups[0].user, "anna");
  EXPECT_EQ(file.value->member.groups[0].password, (PasswordSource{PasswordSource::Kind::file, "/p/anna.pass"}));
  const auto credential = gateway(by_password + "user = \"anna\"\npassword_credential = \"sealcast.anna\"\n");
  ASSERT_THAT(texts(credential.errors), IsEmpty());
  EXPECT_EQ(credential.value->member.groups[0].password,
            (PasswordSource{PasswordSource::Kind::credential, "sealcast.anna"}));

  for (const WrongFlow& wrong :
       {WrongFlow{"password_prompt = true\n", "member.group[0].user: expected the user's name"},
        WrongFlow{"user = \"an na\"\npassword_prompt = true\n", ":23:8: member.group[0].user: expected a user's name"},
        WrongFlow{"user = \"anna\"\n", "expected one of password_file, password_credential and password_prompt"},
        WrongFlow{"user = \"anna\"\npassword_prompt = false\n", "password_prompt: expected true"},
        WrongFlow{"user = \"anna\"\npassword_prompt = true\npassword_file = \"p\"\n", "expected exactly one of"},
        WrongFlow{"user = \"anna\"\npassword_credential = \"a/b\"\n", "expected a credential's name without '/'"},
        WrongFlow{"user = \"anna\"\npassword_credential = \"..\"\n", "expected a credential's name without '/'"}}) {
    EXPECT_THAT(texts(gateway(by_password + wrong.lines).errors), ElementsAre(HasSubstr(wrong.says))) << wrong.lines;
  }
  EXPECT_THAT(texts(gateway("user = \"anna\"\npassword_prompt = true\n").errors),
              ElementsAre(HasSubstr("member.group[0].user: expected auth ="),
                          HasSubstr("member.group[0].password_prompt: expected auth =")));
  // Nobody's password ends up in a configuration by mistake, nor in the message about it.
  EXPECT_THAT(texts(gateway(by_password + "user = \"anna\"\npassword = \"hunter2\"\n").errors),
              AllOf(Contains(HasSubstr("password: unknown key")), Not(Contains(HasSubstr("hunter2")))));
}

TEST(MemberPassword, ACertificateIsNeededOnlyWhereAGroupUsesIt) {
  const std::string anna = "user = \"anna\"\npassword_prompt = true\n";
  EXPECT_THAT(texts(gateway(by_password + anna, "").errors), IsEmpty());
  for (const std::string& lines : {std::string(), "variant = 3\nauth = \"certificate+password\"\n" + anna})
    EXPECT_THAT(texts(gateway(lines, "").errors),
                ElementsAre(HasSubstr("gw.toml:9:1: member.certificate: expected a PEM"),
                            HasSubstr("gw.toml:9:1: member.private_key: expected")))
        << lines;
  EXPECT_THAT(texts(gateway(by_password + anna, "certificate = \"c\"\n").errors),
              ElementsAre(HasSubstr("member.private_key: expected a PEM")));
}

class PasswordFiles : public testing::Test {
 protected:
  PasswordFiles() {
    char name[] = "/tmp/sealcast-password-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~PasswordFiles() override { std::filesystem::remove_all(folder_); }
  PasswordSource write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    chmod(path.c_str(), mode);
    return {PasswordSource::Kind::file, path};
  }
  static std::string password_in(const PasswordSource& source) {
    const auto read = read_password(source);
    if (!read) return "error: " + read.error().message;
    return std::string(reinterpret_cast<const char*>(read->data()), read->size());
  }
  std::string folder_;
};

TEST_F(PasswordFiles, H7_OneLineOfAPrivateFile) {
  EXPECT_EQ(password_in(write("a", "correct horse\n")), "correct horse");
  EXPECT_EQ(password_in(write("b", "correct horse")), "correct horse");
  EXPECT_EQ(password_in(write("c", " spaces count \n")), " spaces count ");
  EXPECT_EQ(password_in(write("d", "x\n", 0400)), "x");
  EXPECT_EQ(password_in(write("e", std::string(128, 'p') + "\n")), std::string(128, 'p'));
  EXPECT_THAT(password_in(write("f", std::string(129, 'p') + "\n")),
              AllOf(HasSubstr("at most 128 bytes, got 129"), Not(HasSubstr("ppp"))));
  EXPECT_THAT(password_in(write("g", "\n")), HasSubstr("got nothing"));
  EXPECT_THAT(password_in(write("h", "")), HasSubstr("got nothing"));
  EXPECT_THAT(password_in(write("i", "one\ntwo\n")), AllOf(HasSubstr("got several"), Not(HasSubstr("two"))));
  EXPECT_THAT(password_in(write("j", "x\n", 0640)), HasSubstr("chmod 600"));
  EXPECT_THAT(password_in(write("k", "x\n", 0602)), HasSubstr("chmod 600"));
  EXPECT_THAT(password_in({PasswordSource::Kind::file, folder_}), HasSubstr("expected a regular file"));
  EXPECT_THAT(password_in({PasswordSource::Kind::file, folder_ + "/none"}), HasSubstr("No such file"));
  ASSERT_EQ(mkfifo((folder_ + "/pipe").c_str(), 0600), 0);
  EXPECT_THAT(password_in({PasswordSource::Kind::file, folder_ + "/pipe"}), HasSubstr("expected a regular file"));
  const auto others = write("l", "x\n");
  if (chown(others.place.c_str(), 4711, 0) == 0) {  // only root can
    EXPECT_THAT(password_in(others), HasSubstr("got user id 4711"));
  }
}

TEST_F(PasswordFiles, H7_ACredentialOfTheServiceManager) {
  const PasswordSource credential{PasswordSource::Kind::credential, "anna"};
  unsetenv("CREDENTIALS_DIRECTORY");
  EXPECT_THAT(password_in(credential), HasSubstr("LoadCredential="));
  setenv("CREDENTIALS_DIRECTORY", folder_.c_str(), 1);
  write("anna", "battery\n", 0440);  // as the service manager's access list makes it look
  EXPECT_EQ(password_in(credential), "battery");
  write("anna", "battery\n", 0444);
  EXPECT_THAT(password_in(credential), HasSubstr("others may access it"));
  unsetenv("CREDENTIALS_DIRECTORY");
}

}  // namespace
}  // namespace sealcast::config
