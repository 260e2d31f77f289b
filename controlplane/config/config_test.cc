#include "controlplane/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "controlplane/config/testing/texts.h"

namespace sealcast::config {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string keyserver_toml = R"([keyserver]
id = "ks.example"
listen = "10.9.0.1:7400"
certificate = "pki/server.pem"
private_key = "pki/server.key"
ca = "/etc/ca.pem"
crl = "pki/crl.pem"
state = "keyserver.db"
admin_socket = "/run/sealcast/keyserver.sock"
spi_range = ["0x10000000", "0x1fffffff"]
multicast_flag = 30
allow_standard = true
clock_tolerance = "5m"
handshake_timeout = "5s"
max_connections = 99
max_connections_per_address = 9

[[keyserver.group]]
id = "tv"
selectors = [ { destination = "239.1.1.0/24", protocol = "udp", ports = "5000-5010" }, { destination = "239.2.0.1", source = "10.0.0.0/8" } ]
suite = "ECDHE_RSA_AES_128_GCM_SHA256"
variant = 2
mode = "tunnel-preserve"
epoch_lifetime = "12h"
replay_window = 2048
activation_delay = "500ms"
deactivation_delay = "5s"
authority_lease = "30s"
certificate_grace = "1h"
crl_grace = "48h"
crl_grace_newcomers = "10m"
slots_per_member = 7
rekey = "multicast"
rekey_on_leave = true
rekey_after_packets = 1000000
rekey_after_bytes = 1073741824
members = ["studio", "home"]
senders = ["studio"]
)";

const std::string gateway_toml = R"([gateway]
admin_socket = "/run/sealcast/gateway.sock"
state = "gateway.state"
workers = 2
cores = [0, 1]
engine = "ipsec_mb"
memory_mb = 128
idle_nap_us = 0
telemetry = true
export_keys = "sa-keys.txt"

[red]
device = "af_packet:veth-red?framesz=4096"
mtu = 1500

[black]
device = "vhost-user:studio.sock"
mtu = 1600

[member]
certificate = "pki/studio.pem"
private_key = "pki/studio.key"
ca = "pki/ca.pem"
local_address = "10.9.0.2"

[[member.group]]
id = "tv"
role = "sender"
keyservers = ["10.9.0.1:7400", "[2001:db8::1]:7400", "ks.example:7400"]
keyserver_name = "ks.example"
keyserver_id = "cluster-1"
selectors = [ { destination = "239.1.1.0/24", protocol = "udp", ports = "5000-5010" } ]
suite = "ECDHE_ECDSA_AES_256_GCM_SHA384"
variant = 2
spi_range = ["0x10000000", 0x1fffffff]
max_lifetime = "48h"
)";

std::vector<std::string> keyserver_errors(const std::string& toml) {
  return texts(parse_keyserver_config(toml, "ks.toml").errors);
}
std::vector<std::string> gateway_errors(const std::string& toml) {
  return texts(parse_gateway_config(toml, "gw.toml").errors);
}

TEST(KeyserverConfig, EveryValueArrives) {
  const auto loaded = parse_keyserver_config(keyserver_toml, "/etc/sealcast/ks.toml");
  ASSERT_THAT(texts(loaded.errors), IsEmpty());
  ASSERT_TRUE(loaded.ok());
  const KeyserverConfig& config = *loaded.value;
  EXPECT_EQ(config.id, "ks.example");
  EXPECT_EQ(config.listen->text(), "10.9.0.1:7400");
  EXPECT_EQ(config.certificate, "/etc/sealcast/pki/server.pem");
  EXPECT_EQ(config.private_key, "/etc/sealcast/pki/server.key");
  EXPECT_EQ(config.ca, "/etc/ca.pem");
  EXPECT_EQ(config.crl, "/etc/sealcast/pki/crl.pem");
  EXPECT_EQ(config.state, "/etc/sealcast/keyserver.db");
  EXPECT_EQ(config.admin_socket, "/run/sealcast/keyserver.sock");
  EXPECT_EQ(config.spi_range, (SpiRange{0x10000000, 0x1fffffff}));
  EXPECT_TRUE(config.allow_standard);
  EXPECT_EQ(config.clock_tolerance, 5min);
  EXPECT_EQ(config.handshake_timeout, 5s);
  EXPECT_EQ(config.max_connections, 99u);
  EXPECT_EQ(config.max_connections_per_address, 9u);
  ASSERT_EQ(config.groups.size(), 1u);
  const KeyserverGroup& group = config.groups[0];
  EXPECT_EQ(group.id, "tv");
  ASSERT_EQ(group.selectors.size(), 2u);
  EXPECT_EQ(group.selectors[0].text(), "239.1.1.0/24 udp ports 5000-5010");
  EXPECT_EQ(group.selectors[1].text(), "(10.0.0.0/8, 239.2.0.1)");
  EXPECT_EQ(group.flow.suite, handshake::CipherSuite::ecdhe_rsa_aes_128_gcm_sha256);
  EXPECT_EQ(group.epoch_lifetime, 12h);
  EXPECT_EQ(group.replay_window, 2048u);
  EXPECT_EQ(group.activation_delay, 500ms);
  EXPECT_EQ(group.deactivation_delay, 5s);
  EXPECT_EQ(group.authority_lease, 30s);
  EXPECT_EQ(group.certificate_grace, 1h);
  EXPECT_EQ(group.crl_grace, 48h);
  EXPECT_EQ(group.crl_grace_newcomers, 10min);
  EXPECT_EQ(group.slots_per_member, 7u);
  EXPECT_EQ(group.rekey, Rekeying::multicast);
  EXPECT_TRUE(group.rekey_on_leave);
  EXPECT_FALSE(group.rekey_on_join);
  EXPECT_EQ(group.rekey_after_packets, 1'000'000u);
  EXPECT_EQ(group.rekey_after_bytes, 1'073'741'824u);
  EXPECT_FALSE(group.members_by_certificate);
  EXPECT_TRUE(group.admits({"x", "home"}));
  EXPECT_FALSE(group.admits({"stranger"}));
  EXPECT_TRUE(group.may_send({"studio"}));
  EXPECT_FALSE(group.may_send({"home"}));
}

TEST(KeyserverConfig, OptionalValuesHaveTheDocumentedDefaults) {
  const auto loaded = parse_keyserver_config(R"([keyserver]
id = "k"
listen = "127.0.0.1:0"
certificate = "c"
private_key = "k"
ca = "a"
state = "s"
admin_socket = "x"
spi_range = ["256", "0xffffffff"]
[[keyserver.group]]
id = "g"
selectors = [ { destination = "ff3e::1/128" } ]
)",
                                             "ks.toml");
  ASSERT_THAT(texts(loaded.errors), IsEmpty());
  const KeyserverConfig& config = *loaded.value;
  EXPECT_EQ(config.certificate, "c");
  EXPECT_EQ(config.multicast_flag, 30);
  EXPECT_FALSE(config.allow_standard);
  EXPECT_EQ(config.clock_tolerance, 1h);
  EXPECT_EQ(config.handshake_timeout, 10s);
  EXPECT_EQ(config.max_connections, 10000u);
  EXPECT_EQ(config.max_connections_per_address, 1000u);
  EXPECT_FALSE(config.crl.has_value());
  const KeyserverGroup& group = config.groups.at(0);
  EXPECT_EQ(group.flow.suite, handshake::CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384);
  EXPECT_EQ(group.flow.variant, 2);
  EXPECT_EQ(group.mode, EspMode::tunnel_preserve);
  EXPECT_EQ(group.epoch_lifetime, 24h);
  EXPECT_EQ(group.replay_window, 4096u);
  EXPECT_EQ(group.activation_delay, 2s);
  EXPECT_EQ(group.deactivation_delay, 10s);
  EXPECT_EQ(group.authority_lease, 60s);
  EXPECT_EQ(group.certificate_grace, 24h);
  EXPECT_EQ(group.crl_grace, 168h);
  EXPECT_EQ(group.crl_grace_newcomers, 0s);
  EXPECT_EQ(group.slots_per_member, 1024u);
  EXPECT_EQ(group.rekey, Rekeying::unicast);
  EXPECT_FALSE(group.rekey_on_leave);
  EXPECT_EQ(group.rekey_after_packets, std::uint64_t{1} << 32);
  EXPECT_EQ(group.rekey_after_bytes, std::uint64_t{1} << 46);
  EXPECT_TRUE(group.members_by_certificate);
  EXPECT_FALSE(group.may_send({"anyone"}));
}

TEST(KeyserverConfig, StarLetsEveryMemberSend) {
  const auto loaded =
      parse_keyserver_config(replaced(keyserver_toml, "senders = [\"studio\"]", "senders = \"*\""), "ks.toml");
  ASSERT_TRUE(loaded.ok());
  EXPECT_TRUE(loaded.value->groups[0].may_send({"home"}));
}

TEST(KeyserverConfig, EveryProblemIsReportedWithItsPlace) {
  std::string toml = replaced(keyserver_toml, "id = \"ks.example\"", "id = 5");
  toml = replaced(toml, "\"10.9.0.1:7400\"", "\"10.9.0.1\"");
  toml = replaced(toml, "replay_window = 2048", "replay_window = 3000");
  toml = replaced(toml, "variant = 2", "varient = 2");
  EXPECT_THAT(
      keyserver_errors(toml),
      ElementsAre(
          "ks.toml:2:6: keyserver.id: expected a string of 1 to 64 bytes, got 5",
          "ks.toml:3:10: keyserver.listen: expected an address and port such as \"10.9.0.1:7400\" or "
          "\"[2001:db8::1]:7400\", got \"10.9.0.1\"",
          AllOf(HasSubstr("ks.toml:22:1: keyserver.group[0].varient: unknown key; expected one of: "),
                HasSubstr("variant")),
          "ks.toml:25:17: keyserver.group[0].replay_window: expected a power of two of at least 1024, got 3000"));
}

TEST(KeyserverConfig, MissingKeysAreNamed) {
  const auto errors = keyserver_errors("[keyserver]\nid = \"k\"\n");
  EXPECT_THAT(errors, testing::Contains(HasSubstr("ks.toml:1:1: keyserver.listen: expected an address and port")));
  EXPECT_THAT(errors, testing::Contains(
                          HasSubstr("keyserver.group: expected [[keyserver.group]] tables, but the key is missing")));
  EXPECT_THAT(keyserver_errors(""), ElementsAre(HasSubstr("keyserver: expected a table, but the key is missing")));
}

TEST(KeyserverConfig, P34_ListensForTlsForIsakmpOrForBoth) {
  const std::string listen = "listen = \"10.9.0.1:7400\"\n";
  const auto both = parse_keyserver_config(
      replaced(keyserver_toml, listen, listen + "listen_isakmp = \"[2001:db8::1]:7500\"\n"), "ks.toml");
  ASSERT_THAT(texts(both.errors), IsEmpty());
  EXPECT_EQ(both.value->listen->text(), "10.9.0.1:7400");
  EXPECT_EQ(both.value->listen_isakmp->text(), "[2001:db8::1]:7500");
  EXPECT_FALSE(parse_keyserver_config(keyserver_toml, "ks.toml").value->listen_isakmp.has_value());
  EXPECT_EQ(parse_keyserver_config(keyserver_toml, "/etc/sealcast/ks.toml").value->audit,
            parse_keyserver_config(keyserver_toml, "/etc/sealcast/ks.toml").value->state + ".audit");

  const std::string alone = replaced(keyserver_toml, listen, "listen_isakmp = \"10.9.0.1:7500\"\n");
  const auto isakmp = parse_keyserver_config(alone, "ks.toml");
  ASSERT_THAT(texts(isakmp.errors), IsEmpty());
  EXPECT_FALSE(isakmp.value->listen.has_value());
  EXPECT_THAT(texts(isakmp.warnings),
              testing::Contains(
                  HasSubstr("ks.toml:12:18: keyserver.allow_standard: without listen no standard client is answered")));

  EXPECT_THAT(
      keyserver_errors(replaced(keyserver_toml, listen, "")),
      ElementsAre("ks.toml:1:1: keyserver.listen: expected an address and port such as \"10.9.0.1:7400\", or the "
                  "key listen_isakmp, got neither"));
  EXPECT_THAT(keyserver_errors(replaced(keyserver_toml, listen, listen + "listen_isakmp = \"10.9.0.1:7400\"\n")),
              ElementsAre("ks.toml:4:17: keyserver.listen_isakmp: expected another place than listen's, got "
                          "10.9.0.1:7400"));
  EXPECT_THAT(keyserver_errors(replaced(keyserver_toml, listen, listen + "listen_isakmp = 500\n")),
              ElementsAre("ks.toml:4:17: keyserver.listen_isakmp: expected an address and port such as "
                          "\"10.9.0.1:7400\", got 500"));
}

TEST(GatewayConfig, P34_TheCarriageIsChosenPerGroup) {
  EXPECT_EQ(parse_gateway_config(gateway_toml, "gw.toml").value->member.groups[0].carriage, Carriage::tls);
  const std::string role = "role = \"sender\"\n";
  const auto isakmp = parse_gateway_config(replaced(gateway_toml, role, role + "carriage = \"isakmp\"\n"), "gw.toml");
  ASSERT_TRUE(isakmp.ok());
  EXPECT_EQ(isakmp.value->member.groups[0].carriage, Carriage::isakmp);
  EXPECT_THAT(gateway_errors(replaced(gateway_toml, role, role + "carriage = \"udp\"\n")),
              ElementsAre("gw.toml:29:12: member.group[0].carriage: expected \"tls\" or \"isakmp\", got \"udp\""));
  // With the key server in the same process, both ends of the wire are known.
  const std::string embedded =
      "[keyserver]\nembedded = true\nid = \"cluster-1\"\n" + keyserver_toml.substr(keyserver_toml.find("listen"));
  const auto together =
      parse_gateway_config(replaced(gateway_toml, role, role + "carriage = \"isakmp\"\n") + embedded, "gw.toml");
  ASSERT_TRUE(together.ok()) << texts(together.errors).front();
  EXPECT_THAT(texts(together.warnings), testing::Contains(HasSubstr("keyserver.listen_isakmp: missing, while the "
                                                                    "carriage of [[member.group]] \"tv\" is "
                                                                    "\"isakmp\"")));
}

TEST(KeyserverConfig, SyntaxErrorsHaveAPlace) {
  EXPECT_THAT(keyserver_errors("[keyserver]\nid = \n"), ElementsAre(testing::StartsWith("ks.toml:2:")));
  EXPECT_THAT(keyserver_errors("[keyserver]\nid = 1\nid = 2\n"), ElementsAre(testing::StartsWith("ks.toml:3:")));
}

// Each of these made the TOML library abort in some build.
TEST(KeyserverConfig, MalformedFilesEndInAnErrorInEveryBuild) {
  EXPECT_THAT(keyserver_errors("[%\n"), ElementsAre(HasSubstr("ks.toml:1:2: not valid TOML")));
  EXPECT_THAT(keyserver_errors("\n\xc7\xb0 = 1"),
              ElementsAre(HasSubstr("ks.toml:2:1: not valid TOML: letters beyond")));
  EXPECT_THAT(keyserver_errors("a = 0\"\xc7\x97\""), ElementsAre(HasSubstr("ks.toml:1:7: not valid TOML")));
  // Within strings and comments every letter is fine, however they are quoted.
  const std::string letters = "a\xc3\xa9\\\"\xc3\xa9";
  for (const std::string& text :
       std::vector<std::string>{"# \xc3\xa9\nx = \"" + letters + "\"", "x = '\xc3\xa9\\'",
                                "x = \"\"\"\n" + letters + "\n\"\xc3\xa9\"\"\"", "x = '''\xc3\xa9'\xc3\xa9''''"})
    EXPECT_THAT(keyserver_errors(text), testing::Not(testing::Contains(HasSubstr("not valid TOML")))) << text;
}

TEST(KeyserverConfig, ControlCharactersOfAFileAreNotEchoed) {
  const auto errors = keyserver_errors("[keyserver]\n\"\\u001b[31m\" = 1\nid = \"a\\tb\"");
  for (const std::string& error : errors)
    EXPECT_EQ(error.find_first_of("\x1b\t"), std::string::npos) << error;
  EXPECT_THAT(errors, testing::Contains(HasSubstr("?[31m")));
}

// One wrong value each: what to write in place of what, and what the error must say.
struct WrongValue {
  const char* from;
  const char* to;
  const char* says;
};

TEST(KeyserverConfig, H12_RefusesWhatNoGroupMayProtect) {
  for (const WrongValue& wrong :
       {WrongValue{"239.1.1.0/24", "10.1.1.0/24", "expected a multicast destination, got 10.1.1.0/24"},
        WrongValue{"239.1.1.0/24", "224.0.0.0/24", "link-local scope"},
        WrongValue{"239.1.1.0/24", "224.0.0.0/4", "link-local scope"},
        WrongValue{"239.1.1.0/24", "239.1.1.1/24", "beyond the prefix length"},
        WrongValue{"protocol = \"udp\", ", "", "ports need protocol"},
        WrongValue{"\"5000-5010\"", "\"5010-5000\"", "expected a port"},
        WrongValue{"10.0.0.0/8", "ff3e::/16", "different IP versions"},
        WrongValue{"\"0x10000000\"", "\"0xff\"", "expected an SPI of at least 256"},
        WrongValue{"\"0x10000000\"", "0", "expected an SPI of at least 256"},
        WrongValue{"\"0x1fffffff\"", "\"0x0fffffff\"", "expected first <= last"},
        WrongValue{"\"0x1fffffff\"", "\"0x1ffffffff\"", "expected an SPI such as"},
        WrongValue{"\"0x1fffffff\"", "\"0x10000020\"", "expected room for four aligned blocks"}}) {
    EXPECT_THAT(keyserver_errors(replaced(keyserver_toml, wrong.from, wrong.to)), ElementsAre(HasSubstr(wrong.says)))
        << wrong.to;
  }
}

TEST(KeyserverConfig, RefusesWrongValues) {
  for (const WrongValue& wrong :
       {WrongValue{"ECDHE_RSA_AES_128_GCM_SHA256", "AES", "got \"AES\""},
        WrongValue{"tunnel-preserve", "tunnel",
                   "expected \"tunnel-preserve\" or \"tunnel-fixed\" or \"transport\", got \"tunnel\""},
        WrongValue{"\"12h\"", "\"12 h\"", "expected a duration"},
        WrongValue{"\"12h\"", "\"5s\"", "expected more than activation_delay"},
        WrongValue{"\"12h\"", "\"99999h\"", "expected a duration from 1s to 720h"},
        WrongValue{"\"12h\"", "12", "expected a duration"},
        WrongValue{"\"30s\"", "\"1500ms\"", "expected whole seconds"},
        WrongValue{"= 2048", "= 512", "from 1024"},
        WrongValue{"slots_per_member = 7", "slots_per_member = 0", "expected at least 1, since the group has senders"},
        WrongValue{"rekey_on_leave = true", "rekey_on_join = true",
                   "expected false with rekey = \"multicast\", got true"},
        WrongValue{"rekey_after_packets = 1000000", "rekey_after_packets = 10",
                   "expected a whole number from 1000 to 4294967296"},
        WrongValue{"rekey_after_bytes = 1073741824", "rekey_after_bytes = 1000",
                   "expected a whole number from 1048576 to 70368744177664"},
        WrongValue{"rekey = \"multicast\"", "rekey = \"anycast\"", "expected \"unicast\" or \"multicast\""},
        WrongValue{"slots_per_member = 7", "slots_per_member = 70000", "from 0 to 65535"},
        WrongValue{"senders = [\"studio\"]", "senders = [\"radio\"]",
                   "expected names that stand in members too, got \"radio\""},
        WrongValue{"[\"studio\", \"home\"]", "\"everybody\"", "expected \"certificate-group\""},
        WrongValue{"[\"studio\", \"home\"]", "[\"studio\", \"studio\"]", "stands here twice"},
        WrongValue{"multicast_flag = 30", "multicast_flag = 1", "from 23 to 255"},
        WrongValue{"multicast_flag = 30", "multicast_flag = 64", "private range"},
        WrongValue{"allow_standard = true", "allow_standard = 1", "expected true or false, got 1"},
        WrongValue{"id = \"tv\"", "id = \"\"", "expected a string of 1 to 64 bytes"},
        WrongValue{"id = \"tv\"", "id = \"t\\nv\"", "without control characters"},
        WrongValue{"max_connections = 99", "max_connections = 9.5", "got a number with a fraction"},
        WrongValue{"[keyserver]", "[keyserver]\nembedded = true", "expected a gateway's file"}}) {
    EXPECT_THAT(keyserver_errors(replaced(keyserver_toml, wrong.from, wrong.to)), ElementsAre(HasSubstr(wrong.says)))
        << wrong.to;
  }
}

TEST(KeyserverConfig, GroupIdsAreDistinctAndOverlapsAreWarnedOf) {
  const std::string second = keyserver_toml.substr(keyserver_toml.find("[[keyserver.group]]"));
  EXPECT_THAT(keyserver_errors(keyserver_toml + second), ElementsAre(HasSubstr("another group is named \"tv\"")));
  const auto loaded = parse_keyserver_config(keyserver_toml + replaced(second, "\"tv\"", "\"radio\""), "ks.toml");
  EXPECT_TRUE(loaded.ok());
  EXPECT_THAT(texts(loaded.warnings), testing::Contains(HasSubstr("overlaps 239.1.1.0/24")));
}

TEST(KeyserverConfig, MissingFilesAreWarnedOfWithTheCommandThatMakesThem) {
  const auto loaded = parse_keyserver_config(keyserver_toml, "/nonexistent/ks.toml");
  EXPECT_THAT(texts(loaded.warnings),
              testing::Contains(AllOf(HasSubstr("/nonexistent/ks.toml:4:15: keyserver.certificate: can't read"),
                                      HasSubstr("sealcast pki server"))));
}

TEST(GatewayConfig, EveryValueArrives) {
  const auto loaded = parse_gateway_config(gateway_toml, "/etc/sealcast/gw.toml");
  ASSERT_THAT(texts(loaded.errors), IsEmpty());
  const GatewayConfig& config = *loaded.value;
  EXPECT_EQ(config.admin_socket, "/run/sealcast/gateway.sock");
  EXPECT_EQ(config.state, "/etc/sealcast/gateway.state");
  EXPECT_EQ(config.workers, 2u);
  EXPECT_FALSE(config.spread);
  EXPECT_THAT(config.cores, ElementsAre(0u, 1u));
  EXPECT_EQ(config.engine, EngineChoice::ipsec_mb);
  EXPECT_EQ(config.memory_mb, 128u);
  EXPECT_EQ(config.idle_nap_us, 0u);
  EXPECT_TRUE(config.telemetry);
  EXPECT_EQ(config.export_keys, "/etc/sealcast/sa-keys.txt");
  EXPECT_THAT(texts(loaded.warnings), testing::Contains(HasSubstr("gateway.export_keys: every SA key")));
  EXPECT_EQ(config.red.device, "af_packet:veth-red?framesz=4096");
  EXPECT_EQ(config.black.device, "vhost-user:/etc/sealcast/studio.sock");
  EXPECT_EQ(config.black.mtu, 1600u);
  EXPECT_EQ(config.member.private_key, "/etc/sealcast/pki/studio.key");
  ASSERT_TRUE(config.member.local_address.has_value());
  EXPECT_EQ(config.member.local_address->text(), "10.9.0.2");
  ASSERT_EQ(config.member.groups.size(), 1u);
  const MemberGroup& group = config.member.groups[0];
  EXPECT_EQ(group.role, MemberRole::sender);
  EXPECT_THAT(group.keyservers,
              ElementsAre(HostPort{"10.9.0.1", 7400}, HostPort{"2001:db8::1", 7400}, HostPort{"ks.example", 7400}));
  EXPECT_EQ(group.keyserver_name, "ks.example");
  EXPECT_EQ(group.keyserver_id, "cluster-1");
  EXPECT_EQ(group.spi_range, (SpiRange{0x10000000, 0x1fffffff}));
  EXPECT_EQ(group.max_lifetime, 48h);
  EXPECT_FALSE(config.keyserver.has_value());
}

TEST(GatewayConfig, LocalSourcesOfRed) {
  const auto with = [](const std::string& line) {
    return parse_gateway_config(replaced(gateway_toml, "mtu = 1500", "mtu = 1500\n" + line), "gw.toml");
  };
  const auto loaded = with("local_sources = [\"10.1.0.0/24\", \"10.2.0.7\", \"2001:db8::/64\"]");
  ASSERT_THAT(texts(loaded.errors), IsEmpty());
  EXPECT_THAT(loaded.value->red.local_sources, ElementsAre(*Prefix::parse("10.1.0.0/24"), *Prefix::parse("10.2.0.7/32"),
                                                           *Prefix::parse("2001:db8::/64")));
  for (const char* wrong : {"[\"10.1.0.1/24\"]", "[\"239.1.1.1\"]", "[\"ff3e::/32\"]", "[7]", "[]"})
    EXPECT_THAT(texts(with(std::string("local_sources = ") + wrong).errors),
                testing::Contains(HasSubstr("red.local_sources")))
        << wrong;
  const auto on_black = parse_gateway_config(
      replaced(gateway_toml, "mtu = 1600", "mtu = 1600\nlocal_sources = [\"10.1.0.0/24\"]"), "gw.toml");
  EXPECT_THAT(texts(on_black.errors), testing::Contains(HasSubstr("black.local_sources: unknown key")));
}

TEST(GatewayConfig, TheBeaconOnRed) {
  const auto with = [](const std::string& lines) {
    return parse_gateway_config(replaced(gateway_toml, "mtu = 1500", "mtu = 1500\n" + lines), "gw.toml");
  };
  const auto standard = with("");
  ASSERT_THAT(texts(standard.errors), IsEmpty());
  EXPECT_TRUE(standard.value->red.beacon.enabled);
  EXPECT_TRUE(standard.value->red.learn_sources);
  EXPECT_FALSE(standard.value->member.site.has_value());
  const auto loaded = with("beacon_vlans = [10, 4094]\nignore_neighbours = [\"gateway-b\"]");
  ASSERT_THAT(texts(loaded.errors), IsEmpty());
  EXPECT_THAT(loaded.value->red.beacon.vlans, ElementsAre(10, 4094));
  EXPECT_THAT(loaded.value->red.beacon.ignored, ElementsAre("gateway-b"));
  EXPECT_FALSE(with("beacon = false").value->red.beacon.enabled);
  for (const char* wrong : {"beacon_vlans = [0]", "beacon_vlans = [4095]", "beacon_vlans = [7, 7]", "beacon_vlans = []",
                            "beacon_vlans = [\"7\"]"})
    EXPECT_THAT(texts(with(wrong).errors), testing::Contains(HasSubstr("red.beacon_vlans"))) << wrong;
  for (const char* wrong : {"ignore_neighbours = [\"\"]", "ignore_neighbours = [7]", "ignore_neighbours = []"})
    EXPECT_THAT(texts(with(wrong).errors), testing::Contains(HasSubstr("red.ignore_neighbours"))) << wrong;
  EXPECT_THAT(texts(with("beacon = false\nbeacon_vlans = [7]").errors),
              testing::Contains(HasSubstr("red.beacon_vlans: has no meaning with beacon = false")));
  EXPECT_THAT(texts(with("learn_sources = false").warnings), testing::Contains(HasSubstr("red.learn_sources")));
  EXPECT_THAT(texts(with("learn_sources = false\nlocal_sources = [\"10.1.0.0/24\"]").warnings),
              testing::Not(testing::Contains(HasSubstr("red.learn_sources"))));
  const auto named = parse_gateway_config(replaced(gateway_toml, "[member]", "[member]\nsite = \"hq\""), "gw.toml");
  ASSERT_THAT(texts(named.errors), IsEmpty());
  EXPECT_EQ(named.value->member.site, "hq");
}

TEST(GatewayConfig, AHostInterfaceOnBlack) {
  const auto with = [](const std::string& lines) {
    return parse_gateway_config(replaced(gateway_toml, "mtu = 1600", "mtu = 1600\n" + lines), "gw.toml");
  };
  const auto loaded = with("host = \"tap:sc-host\"\nhost_address = \"10.9.0.5/24\"");
  ASSERT_TRUE(loaded.ok());
  ASSERT_TRUE(loaded.value->black.host);
  EXPECT_EQ(loaded.value->black.host->interface, "sc-host");
  EXPECT_EQ(loaded.value->black.host->address, *IpAddress::parse("10.9.0.5"));
  EXPECT_EQ(loaded.value->black.host->prefix_length, 24);
  EXPECT_FALSE(with("").value->black.host);
  EXPECT_FALSE(with("host = \"tap:h\"").value->black.host->address);
  EXPECT_EQ(with("host = \"tap:h\"\nhost_address = \"2001:db8::5/64\"").value->black.host->prefix_length, 64);
  for (const auto& [lines, says] : {std::pair{"host = \"eth0\"", "unknown kind"},
                                    std::pair{"host = \"af_packet:eth0\"", "expected \"tap:\" and the name"},
                                    std::pair{"host = \"tap:h?queues=2\"", "without options"},
                                    std::pair{"host = \"tap:sixteen-bytes-xx\"", "at most 15"},
                                    std::pair{"host_address = \"10.9.0.5/24\"", "has no meaning without host"},
                                    std::pair{"host = \"tap:h\"\nhost_address = \"10.9.0.5\"", "prefix's length"},
                                    std::pair{"host = \"tap:h\"\nhost_address = \"10.9.0.5/33\"", "prefix's length"},
                                    std::pair{"host = \"tap:h\"\nhost_address = \"239.1.1.1/24\"", "prefix's length"}})
    EXPECT_THAT(texts(with(lines).errors), testing::Contains(HasSubstr(says))) << lines;
  const auto named = parse_gateway_config(replaced(replaced(gateway_toml, "mtu = 1600", "mtu = 1600\nhost = \"tap:h\""),
                                                   "10.9.0.1:7400", "ks.example:7400"),
                                          "gw.toml");
  EXPECT_THAT(texts(named.warnings), testing::Contains(HasSubstr("ks.example:7400 of group \"tv\" is given by name")));
  const auto on_red =
      parse_gateway_config(replaced(gateway_toml, "mtu = 1500", "mtu = 1500\nhost = \"tap:h\""), "gw.toml");
  EXPECT_THAT(texts(on_red.errors), testing::Contains(HasSubstr("red.host: unknown key")));
}

TEST(GatewayConfig, PcapPortsResolveBothPaths) {
  const auto loaded = parse_gateway_config(
      replaced(gateway_toml, "af_packet:veth-red?framesz=4096", "pcap:in.pcap,/tmp/out.pcap?mbufs=4096"), "/d/gw.toml");
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(loaded.value->red.device, "pcap:/d/in.pcap,/tmp/out.pcap?mbufs=4096");
}

TEST(GatewayConfig, SpreadsStreamsOnRequest) {
  const auto loaded =
      parse_gateway_config(replaced(gateway_toml, "workers = 2", "workers = 2\nspread = true"), "gw.toml");
  ASSERT_TRUE(loaded.ok());
  EXPECT_TRUE(loaded.value->spread);
}

TEST(GatewayConfig, RefusesWrongValues) {
  for (const WrongValue& wrong :
       {WrongValue{"cores = [0, 1]", "cores = [0]", "expected one core for each of 2 workers, got an array of 1 value"},
        WrongValue{"cores = [0, 1]", "cores = [1, 1]", "core 1 stands here twice"},
        WrongValue{"workers = 2", "workers = 0", "from 1 to 16, got 0"},
        WrongValue{"workers = 2", "workers = 2\nspread = 1", "gateway.spread: expected true or false, got 1"},
        WrongValue{
            "\"ipsec_mb\"", "\"fast\"",
            "expected \"auto\" or \"burst\" or \"burst-512\" or \"burst-256\" or \"ipsec_mb\" or \"openssl\", got "
            "\"fast\""},
        WrongValue{"af_packet:veth-red?framesz=4096", "ethernet:0",
                   "unknown kind \"ethernet\"; expected one of pci, virtio-user"},
        WrongValue{"af_packet:veth-red?framesz=4096", "af_packet",
                   "expected a name after the kind, like af_packet:eth1"},
        WrongValue{"veth-red?framesz=4096", "veth-red?framesz=4097",
                   "option framesz: expected a power of two, got 4097"},
        WrongValue{"af_packet:veth-red?framesz=4096", "vhost-user:studio.sock", "expected another device than red's"},
        WrongValue{"mtu = 1500", "mtu = 100", "from 576 to 9000"},
        WrongValue{"\"sender\"", "\"master\"", "expected \"sender\""},
        WrongValue{"10.9.0.1:7400", "10.9.0.1:0", "expected a host and port"},
        WrongValue{"10.9.0.1:7400", "10.9.0.256:7400", "expected a host and port"},
        WrongValue{"10.9.0.1:7400", "2001:db8::1:7400", "expected a host and port"},
        WrongValue{"\"10.9.0.2\"", "\"here\"", "expected an IPv4 or IPv6 address"},
        WrongValue{"keyserver_id = \"cluster-1\"\n", "",
                   "keyserver_id: expected a string of 1 to 64 bytes, but the key is missing"},
        WrongValue{"\"ks.example\"", "\".example\"", "expected one whole name such as ks.example, got \".example\""},
        WrongValue{"[member]", "[member]\nkeyserver = 1", "member.keyserver: unknown key"},
        WrongValue{"[red]", "[extra]\n[red]", "extra: unknown key"}}) {
    EXPECT_THAT(gateway_errors(replaced(gateway_toml, wrong.from, wrong.to)), ElementsAre(HasSubstr(wrong.says)))
        << wrong.to;
  }
}

TEST(GatewayConfig, H16_OverlappingGroupsAreRefused) {
  const std::string second = gateway_toml.substr(gateway_toml.find("[[member.group]]"));
  EXPECT_THAT(gateway_errors(gateway_toml + replaced(second, "\"tv\"", "\"radio\"")),
              ElementsAre(HasSubstr("overlaps 239.1.1.0/24 udp ports 5000-5010 of group \"tv\"")));
  const std::string other = replaced(replaced(second, "\"tv\"", "\"radio\""), "5000-5010", "6000");
  EXPECT_THAT(gateway_errors(gateway_toml + other), IsEmpty());
}

TEST(GatewayConfig, EmbeddedKeyServerIsReadFromTheSameTable) {
  const std::string keyserver = replaced(replaced(keyserver_toml, "[keyserver]", "[keyserver]\nembedded = true"),
                                         "admin_socket = \"/run/sealcast/keyserver.sock\"\n", "");
  const auto loaded = parse_gateway_config(gateway_toml + keyserver, "gw.toml");
  ASSERT_THAT(texts(loaded.errors), IsEmpty());
  ASSERT_TRUE(loaded.value->keyserver.has_value());
  EXPECT_EQ(loaded.value->keyserver->groups.at(0).id, "tv");
  EXPECT_FALSE(loaded.value->keyserver->admin_socket.has_value());
  EXPECT_THAT(gateway_errors(gateway_toml + keyserver_toml),
              ElementsAre(HasSubstr("keyserver.embedded: expected true")));
}

TEST(GatewayConfig, OwnIpv6AddressOfAPort) {
  const auto with = [](const std::string& line) {
    return parse_gateway_config(replaced(gateway_toml, "mtu = 1600", "mtu = 1600\n" + line), "gw.toml");
  };
  const auto without = with("");
  ASSERT_TRUE(without.ok());
  EXPECT_FALSE(without.value->black.address6);
  EXPECT_FALSE(without.value->black.reassemble);
  const auto loaded = with("address6 = \"fe80::99\"\nreassemble = true");
  ASSERT_TRUE(loaded.ok());
  ASSERT_TRUE(loaded.value->black.address6);
  EXPECT_EQ(loaded.value->black.address6->text(), "fe80::99");
  EXPECT_TRUE(loaded.value->black.reassemble);
  for (const char* wrong : {"\"10.0.0.1\"", "\"ff02::1\"", "\"::\"", "\"fe80::1/64\"", "\"\"", "6"})
    EXPECT_THAT(texts(with(std::string("address6 = ") + wrong).errors),
                testing::Contains(HasSubstr("black.address6: expected ")))
        << wrong;
  EXPECT_THAT(texts(with("reassemble = \"yes\"").errors), testing::Contains(HasSubstr("black.reassemble: expected ")));
  const auto on_red = parse_gateway_config(
      replaced(gateway_toml, "[black]", "address6 = \"2001:db8::1\"\nreassemble = true\n[black]"), "gw.toml");
  EXPECT_THAT(texts(on_red.errors), testing::ElementsAre(HasSubstr("red.reassemble: unknown key")));
}

TEST(GatewayConfig, BlackMtuTooSmallIsAWarning) {
  const auto fits = parse_gateway_config(replaced(gateway_toml, "mtu = 1600", "mtu = 1556"), "gw.toml");
  EXPECT_THAT(texts(fits.warnings), Not(testing::Contains(HasSubstr("black.mtu"))));
  const auto small = parse_gateway_config(replaced(gateway_toml, "mtu = 1600", "mtu = 1555"), "gw.toml");
  EXPECT_TRUE(small.ok());
  EXPECT_THAT(
      texts(small.warnings),
      testing::Contains("gw.toml:18:7: black.mtu: expected at least 1556 for red packets of 1500 bytes, got "
                        "1555: red packets longer than 1498 bytes will be cut, or dropped as too_big where that is "
                        "not allowed (DF, IPv6, transport mode)"));
}

std::string with_mode(const std::string& lines) {
  return replaced(gateway_toml, "\n[[member.group]]\n", "\n[[member.group]]\n" + lines + "\n");
}

TEST(GatewayConfig, ModesAndTheOuterHeader) {
  const auto transport = parse_gateway_config(with_mode("mode = \"transport\""), "gw.toml");
  ASSERT_TRUE(transport.ok()) << texts(transport.errors)[0];
  EXPECT_EQ(transport.value->member.groups[0].mode, EspMode::transport);
  const auto fixed = parse_gateway_config(
      with_mode("mode = \"tunnel-fixed\"\n"
                "outer = { destination = \"239.9.9.9\", source = \"10.9.0.2\", ttl = 32, dscp = 46 }"),
      "gw.toml");
  ASSERT_TRUE(fixed.ok()) << texts(fixed.errors)[0];
  const auto& group = fixed.value->member.groups[0];
  EXPECT_EQ(group.mode, EspMode::tunnel_fixed);
  ASSERT_TRUE(group.outer);
  EXPECT_EQ(group.outer->destination.text(), "239.9.9.9");
  EXPECT_EQ(group.outer->source.text(), "10.9.0.2");
  EXPECT_EQ(group.outer->ttl, 32);
  EXPECT_EQ(group.outer->dscp, 46);
  const auto six = parse_gateway_config(
      with_mode("mode = \"tunnel-fixed\"\nouter = { destination = \"ff1e::9\", source = \"fd00::2\" }"), "gw.toml");
  ASSERT_TRUE(six.ok());
  EXPECT_FALSE(six.value->member.groups[0].outer->ttl || six.value->member.groups[0].outer->dscp);
  // What each needs of black.
  EXPECT_EQ(black_mtu_needs(*transport.value), (std::vector<BlackMtuNeed>{{EspMode::transport, 4, 1536}}));
  EXPECT_EQ(black_mtu_needs(*fixed.value), (std::vector<BlackMtuNeed>{{EspMode::tunnel_fixed, 4, 1556}}));
  EXPECT_EQ(black_mtu_needs(*six.value), (std::vector<BlackMtuNeed>{{EspMode::tunnel_fixed, 6, 1576}}));
}

TEST(GatewayConfig, H12_RefusesOuterHeadersThatCannotBe) {
  const auto errors = [](const std::string& lines) {
    return texts(parse_gateway_config(with_mode(lines), "gw.toml").errors);
  };
  const std::string mode = "mode = \"tunnel-fixed\"\n";
  EXPECT_THAT(errors(mode), ElementsAre(HasSubstr("outer: expected { destination")));
  EXPECT_THAT(errors("outer = { destination = \"239.9.9.9\", source = \"10.9.0.2\" }"),
              ElementsAre(testing::AllOf(testing::StartsWith("gw.toml:"),
                                         HasSubstr("outer: expected mode = \"tunnel-fixed\" beside it"))));
  for (const WrongValue& wrong :
       {WrongValue{"", "10.1.1.1\", source = \"10.9.0.2", "expected an outer destination that is multicast"},
        WrongValue{"", "224.0.0.5\", source = \"10.9.0.2", "beyond the link"},
        WrongValue{"", "239.9.9.9\", source = \"fd00::2", "different IP versions"},
        WrongValue{"", "239.9.9.9\", source = \"239.1.1.1", "a host's own address"},
        WrongValue{"", "239.9.9.9", "outer.source"}})
    EXPECT_THAT(errors(mode + "outer = { destination = \"" + wrong.to + "\" }"), ElementsAre(HasSubstr(wrong.says)))
        << wrong.to;
  const std::string both = mode + "outer = { destination = \"239.9.9.9\", source = \"10.9.0.2\", ";
  EXPECT_THAT(errors(both + "ttl = 0 }"), ElementsAre(HasSubstr("outer.ttl: expected")));
  EXPECT_THAT(errors(both + "dscp = 64 }"), ElementsAre(HasSubstr("outer.dscp: expected")));
  EXPECT_THAT(errors(both + "tos = 1 }"), ElementsAre(HasSubstr("outer.tos: ")));
}

TEST(Values, NeededBlackMtuFollowsRfc4303) {
  // Outer 20, SPI and number 8, IV 8, packet, padding so that packet + padding + 2 is a multiple of 4, 2, ICV 16.
  for (std::uint32_t red = 576; red < 2000; ++red) {
    std::uint32_t padding = 0;
    while ((red + padding + 2) % 4)
      ++padding;
    EXPECT_EQ(needed_black_mtu(red), 20 + 8 + 8 + red + padding + 2 + 16);
    EXPECT_EQ(needed_black_mtu(red, 6), 40 + 8 + 8 + red + padding + 2 + 16);
    EXPECT_EQ(needed_black_mtu(red, 4, EspMode::transport), 8 + 8 + red + padding + 2 + 16);
  }
}

TEST(Values, SlotBitsLeaveFourBlocksAGroup) {
  EXPECT_EQ(spi_slot_bits({0x10000000, 0x1fffffff}, 1), 16);
  EXPECT_EQ(spi_slot_bits({0x10000000, 0x1003ffff}, 1), 16);  // exactly four blocks of 65536
  EXPECT_EQ(spi_slot_bits({0x10000001, 0x1003ffff}, 1), 15);  // alignment costs one
  EXPECT_EQ(spi_slot_bits({0x10000000, 0x1003ffff}, 2), 15);
  EXPECT_EQ(spi_slot_bits({256, 256 + 63}, 1), 4);
  EXPECT_EQ(spi_slot_bits({256, 256 + 62}, 1), std::nullopt);
  EXPECT_EQ(spi_slot_bits({256, 0xffffffff}, 16383), 16);
}

class Files : public testing::Test {
 protected:
  Files() {
    char name[] = "/tmp/sealcast-config-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~Files() override {
    for (const auto& path : written_)
      unlink(path.c_str());
    rmdir(folder_.c_str());
  }
  std::string write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    chmod(path.c_str(), mode);
    written_.push_back(path);
    return path;
  }
  std::string folder_;
  std::vector<std::string> written_;
};

TEST_F(Files, KindIsToldByTheTables) {
  EXPECT_EQ(detect_kind(write("a", keyserver_toml)).value, FileKind::keyserver);
  EXPECT_EQ(detect_kind(write("b", gateway_toml)).value, FileKind::gateway);
  EXPECT_EQ(detect_kind(write("c", "[red]\n[keyserver]\n")).value, FileKind::gateway);
  EXPECT_THAT(texts(detect_kind(write("d", "")).errors), ElementsAre(HasSubstr("expected [gateway]")));
  EXPECT_THAT(texts(detect_kind(folder_ + "/none").errors), ElementsAre(HasSubstr("No such file")));
  EXPECT_THAT(texts(detect_kind(folder_).errors), ElementsAre(HasSubstr("expected a regular file")));
}

TEST_F(Files, CheckReportsErrorsOfEitherKind) {
  EXPECT_THAT(texts(check_file(write("a", replaced(keyserver_toml, "= 2048", "= 1"))).errors),
              ElementsAre(HasSubstr("replay_window")));
  const auto report = check_file(write("b", replaced(gateway_toml, "workers = 2", "workers = \"2\"")));
  EXPECT_EQ(report.kind, FileKind::gateway);
  EXPECT_THAT(texts(report.errors), testing::Contains(HasSubstr(":4:11: gateway.workers: expected a whole number")));
}

TEST_F(Files, H14_PrivateKeysReadableByOthersAreRefused) {
  EXPECT_TRUE(read_private_key(write("good.key", "KEY")).has_value());
  const auto open = read_private_key(write("open.key", "KEY", 0640));
  ASSERT_FALSE(open.has_value());
  EXPECT_THAT(open.error().message, AllOf(HasSubstr("chmod 600"), HasSubstr("open.key")));
  if (geteuid() == 0) {  // nobody else can give a file away
    const std::string foreign = write("foreign.key", "KEY");
    ASSERT_EQ(chown(foreign.c_str(), 12345, 12345), 0);
    const auto refused = read_private_key(foreign);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().message, "expected the private key " + foreign +
                                           " to belong to this user or to root, got user id 12345; run: chown");
  }
  EXPECT_THAT(read_pem(folder_ + "/none", "certificate").error().message,
              AllOf(HasSubstr("the certificate"), HasSubstr("No such file")));
}

// A daemon that reads its files again must not wait until something is written into one.
TEST_F(Files, H13_APipeInAFilesPlaceIsRefusedAndNotWaitedFor) {
  const std::string pipe = folder_ + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  written_.push_back(pipe);
  EXPECT_THAT(texts(detect_kind(pipe).errors), ElementsAre(HasSubstr("expected a regular file")));
  EXPECT_THAT(read_pem(pipe, "ca").error().message, HasSubstr("expected a regular file"));
  EXPECT_THAT(read_private_key(pipe).error().message, HasSubstr("expected a regular file"));
  EXPECT_THAT(read_password({PasswordSource::Kind::file, pipe}).error().message, HasSubstr("expected a regular file"));
}

}  // namespace
}  // namespace sealcast::config
