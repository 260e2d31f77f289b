// The tool as its users run it: a process with a command line, two streams and an exit code (docs/operator.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <thread>

#include "app/cli/testing/tool_fixture.h"
#include "app/exit_code.h"
#include "base/testing/places.h"
#include "controlplane/admin/admin_server.h"

namespace sealcast::cli {
namespace {

using app::ExitCode;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class Cli : public ToolTest {
 protected:
  Ran run(const std::string& arguments) { return run_tool(arguments); }
  void make_pki() {
    ASSERT_EQ(run("pki init").code, 0);
    ASSERT_EQ(run("pki server ks.example").code, 0);
    ASSERT_EQ(run("pki member studio --group tv").code, 0);
  }
  std::string gateway_file(const std::string& from = "", const std::string& to = "") {
    std::string text = R"([gateway]
admin_socket = "gateway.sock"
state = "gateway.state"

[red]
device = "ring:red"
mtu = 1500

[black]
device = "vhost-user:black.sock"
mtu = 1600

[member]
certificate = "pki/studio.pem"
private_key = "pki/studio.key"
ca = "pki/ca.pem"
crl = "pki/crl.pem"

[[member.group]]
id = "tv"
role = "sender"
keyservers = ["127.0.0.1:7400"]
keyserver_name = "ks.example"
keyserver_id = "ks.example"
selectors = [ { destination = "239.1.1.0/24" } ]
suite = "ECDHE_ECDSA_AES_256_GCM_SHA384"
variant = 2
spi_range = ["0x10000000", "0x1fffffff"]
)";
    if (!from.empty()) {
      EXPECT_NE(text.find(from), std::string::npos) << from;
      text.replace(text.find(from), from.size(), to);
    }
    std::ofstream(folder_ + "/gateway.toml") << text;
    return "gateway.toml";
  }
};

TEST_F(Cli, OutputThatCannotBeWrittenIsAFailure) {
  const int status =
      std::system(("cd " + folder_ + " && " + places::program("sealcast") + " version >/dev/full 2>err.txt").c_str());
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), ExitCode::failed);
  EXPECT_THAT(content(folder_ + "/err.txt"), HasSubstr("cannot write the output"));
}

TEST_F(Cli, UsageErrorsAre2) {
  for (const char* bad : {"", "nonsense", "check", "pki", "pki server", "pki member studio", "status --frobnicate",
                          "pki init --days 0", "pki init --days x", "pki member a --group tv --all-groups",
                          "status --timeout nan", "status --timeout 0", "status --timeout 3s", "status --interval -1",
                          "ports --timeout nan", "top --interval inf", "sas --frobnicate"}) {
    const Ran ran = run(bad);
    EXPECT_EQ(ran.code, ExitCode::usage) << bad;
    EXPECT_NE(ran.err, "") << bad;
    EXPECT_EQ(ran.out, "") << bad;
  }
  EXPECT_THAT(run("nonsense").err, StartsWith("sealcast: expected one of the commands pki, passwd, check, status,"));
  EXPECT_THAT(run("nonsense").err, HasSubstr("; got \"nonsense\"\n"));
  EXPECT_EQ(run("--help").code, 0);
  EXPECT_THAT(run("version").out, StartsWith("sealcast "));
  EXPECT_THAT(run("--version").out, StartsWith("sealcast "));
}

// "2026-11-30", so many days from now, UTC.
std::string day_in(int days) {
  const std::time_t then = std::time(nullptr) + std::time_t{days} * 86400;
  std::tm parts{};
  char text[16] = "";
  if (gmtime_r(&then, &parts) != nullptr) std::strftime(text, sizeof text, "%Y-%m-%d", &parts);
  return text;
}

TEST_F(Cli, P39_MakesAWholePki) {
  make_pki();
  for (const char* file :
       {"ca.pem", "ca.key", "crl.pem", "ks.example.pem", "ks.example.key", "studio.pem", "studio.key"})
    EXPECT_TRUE(std::filesystem::exists(folder_ + "/pki/" + file)) << file;
  const Ran again = run("pki member studio --group tv");
  EXPECT_EQ(again.code, ExitCode::failed);
  EXPECT_THAT(again.err, AllOf(HasSubstr("pki/studio.key exists"), HasSubstr("--force")));
  const Ran forced = run("pki member studio --group tv --group radio --force --days 3");
  EXPECT_EQ(forced.code, 0) << forced.err;
  EXPECT_THAT(forced.out, AllOf(StartsWith("pki/studio.key pki/studio.pem: valid until "), Not(HasSubstr("PRIVATE"))));
  EXPECT_EQ(run("pki revoke studio").code, 0);
  const Ran list = run("pki crl --days 30");
  EXPECT_EQ(list.code, 0);
  EXPECT_THAT(list.out, AllOf(StartsWith("pki/crl.pem: holds until " + day_in(30)), HasSubstr("sealcast pki crl")));
  const Ran init = run("pki init --dir other --days 1000");
  EXPECT_THAT(init.out, AllOf(HasSubstr("other/ca.pem: valid until " + day_in(1000)),
                              HasSubstr("other/crl.pem: holds until " + day_in(365))))
      << "each has a date of its own";
  EXPECT_EQ(run("pki revoke nobody").code, ExitCode::failed);
  EXPECT_EQ(run("pki server other.example --dir elsewhere").code, ExitCode::failed);
}

TEST_F(Cli, CheckIsSilentWhenAllIsWell) {
  make_pki();
  const Ran ran = run("check " + gateway_file());
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(ran.err, "");
  const Ran verbose = run("check -v " + gateway_file());
  EXPECT_EQ(verbose.code, 0);
  EXPECT_THAT(verbose.out, AllOf(HasSubstr("a gateway's file"), HasSubstr("256 MB of hugepages"), HasSubstr("1556")));
}

TEST_F(Cli, CheckNamesThePlaceOfBadTomlAndIs78) {
  make_pki();
  const Ran syntax = run("check " + gateway_file("variant = 2", "this is = = not TOML"));
  EXPECT_EQ(syntax.code, ExitCode::bad_configuration);
  EXPECT_THAT(syntax.err, StartsWith("error: gateway.toml:27:"));
  EXPECT_EQ(std::count(syntax.err.begin(), syntax.err.end(), '\n'), 1) << syntax.err;
  const Ran value = run("check " + gateway_file("variant = 2", "varient = 2\nreplay = 3"));
  EXPECT_EQ(value.code, ExitCode::bad_configuration);
  EXPECT_THAT(value.err, AllOf(HasSubstr("gateway.toml:27:1: "), HasSubstr("gateway.toml:28:1: ")));
  const Ran missing = run("check nowhere.toml");
  EXPECT_EQ(missing.code, ExitCode::bad_configuration);
  EXPECT_THAT(missing.err, HasSubstr("nowhere.toml"));
}

TEST_F(Cli, H8_CheckLooksIntoTheCertificates) {
  const auto expect_error = [&](const std::string& expected) {
    const Ran ran = run("check " + gateway_file());
    EXPECT_EQ(ran.code, ExitCode::bad_configuration);
    EXPECT_THAT(ran.err, HasSubstr(expected));
    EXPECT_THAT(ran.err, Not(HasSubstr("warning")));
  };
  make_pki();
  ASSERT_EQ(run("pki member studio --group radio --force").code, 0);
  expect_error("error: gateway.toml: member.certificate: " + folder_.substr(0, 0) +
               "pki/studio.pem: it is not for the group \"tv\"");
  std::filesystem::copy_file(folder_ + "/pki/ks.example.pem", folder_ + "/pki/studio.pem",
                             std::filesystem::copy_options::overwrite_existing);
  expect_error("the private key does not belong to the certificate");
  expect_error("has no multicast extension");
  std::filesystem::remove(folder_ + "/pki/studio.pem");
  expect_error("gateway.toml:14:15: member.certificate: can't read pki/studio.pem");
  ASSERT_EQ(run("pki member studio --group tv --force").code, 0);
  ASSERT_EQ(run("check " + gateway_file()).code, 0);
  ::chmod((folder_ + "/pki/studio.key").c_str(), 0640);
  expect_error("chmod 600");
  ::chmod((folder_ + "/pki/studio.key").c_str(), 0600);
  std::ofstream(folder_ + "/pki/crl.pem") << "nonsense";
  expect_error("expected a revocation list in PEM");
}

TEST_F(Cli, CheckWarnsOfWhatWillHurtLater) {
  make_pki();
  const Ran mtu = run("check " + gateway_file("mtu = 1600", "mtu = 1500"));
  EXPECT_EQ(mtu.code, 0);
  EXPECT_THAT(mtu.err, AllOf(StartsWith("warning: gateway.toml:11:7: black.mtu"), HasSubstr("too_big")));
  const Ran trust = run("check " + gateway_file("vhost-user:black.sock", "virtio-user:black.sock"));
  EXPECT_EQ(trust.code, 0);
  EXPECT_THAT(trust.err, AllOf(StartsWith("warning: gateway.toml: black.device"), HasSubstr("packet memory")));
  const Ran interface = run("check " + gateway_file("ring:red", "af_packet:no-such-if"));
  EXPECT_EQ(interface.code, 0) << "the file may be checked elsewhere than where it is used";
  EXPECT_THAT(interface.err, AllOf(StartsWith("warning: gateway.toml: red.device: on this machine: "),
                                   HasSubstr("no interface no-such-if")));
  const Ran kind = run("check " + gateway_file("ring:red", "af_packet:eth0?size=64"));
  EXPECT_EQ(kind.code, 78);
  EXPECT_THAT(kind.err, HasSubstr("red.device: port \"af_packet:eth0?size=64\": unknown option \"size\""));
  ASSERT_EQ(run("pki member studio --group tv --force --days 7").code, 0);
  const Ran life = run("check " + gateway_file());
  EXPECT_EQ(life.code, 0);
  EXPECT_THAT(life.err, AllOf(StartsWith("warning: "), HasSubstr("expires at")));
}

TEST_F(Cli, CheckReadsAKeyServersFile) {
  make_pki();
  const std::string text = R"([keyserver]
id = "ks.example"
listen = "127.0.0.1:7400"
certificate = "pki/ks.example.pem"
private_key = "pki/ks.example.key"
ca = "pki/ca.pem"
state = "keyserver.db"
admin_socket = "ks.sock"
spi_range = ["0x10000000", "0x1fffffff"]

[[keyserver.group]]
id = "tv"
selectors = [ { destination = "239.1.1.0/24" } ]
senders = ["studio"]
)";
  std::ofstream(folder_ + "/ks.toml") << text;
  const Ran good = run("check ks.toml");
  EXPECT_EQ(good.code, 0) << good.err;
  EXPECT_EQ(good.err, "");
  std::string wrong = text;
  for (const char* kind : {"pem", "key"})
    wrong.replace(wrong.find(std::string("pki/ks.example.") + kind), std::string("pki/ks.example.").size(),
                  "pki/studio.");
  std::ofstream(folder_ + "/ks.toml") << wrong;
  const Ran member = run("check ks.toml");
  EXPECT_EQ(member.code, ExitCode::bad_configuration);
  EXPECT_THAT(member.err, HasSubstr("expected a key server's certificate, got a member's"));
}

TEST_F(Cli, P6_CheckKnowsWhatTheVariantsNeed) {
  make_pki();
  std::ofstream(folder_ + "/anna.pass") << "correct horse\n";
  ::chmod((folder_ + "/anna.pass").c_str(), 0644);
  const std::string keyserver = R"([keyserver]
id = "ks.example"
listen = "127.0.0.1:7400"
certificate = "pki/ks.example.pem"
private_key = "pki/ks.example.key"
ca = "pki/ca.pem"
password_file = "users"
state = "keyserver.db"
admin_socket = "ks.sock"
spi_range = ["0x10000000", "0x1fffffff"]

[[keyserver.group]]
id = "tv"
selectors = [ { destination = "239.1.1.0/24" } ]
senders = ["studio"]
)";
  const auto keyserver_check = [&](const std::string& group) {
    std::ofstream(folder_ + "/ks.toml") << keyserver << group;
    const Ran ran = run("check ks.toml");
    EXPECT_EQ(ran.code, ExitCode::bad_configuration) << group << ran.err;
    return ran.err;
  };
  EXPECT_THAT(keyserver_check("variant = 1\n"),
              HasSubstr("keyserver.certificate: pki/ks.example.pem: for group \"tv\": "
                        "expected an RSA key"));
  EXPECT_THAT(keyserver_check("variant = 3\nauth = \"password\"\n"),
              HasSubstr("ks.toml:7:17: keyserver.password_file: can't read users"));
  EXPECT_THAT(
      run("check " + gateway_file("suite = \"ECDHE_ECDSA_AES_256_GCM_SHA384\"\nvariant = 2", "variant = 1")).err,
      HasSubstr("member.certificate: pki/studio.pem: for group \"tv\": expected an RSA key"));
  const std::string both = "variant = 3\nauth = \"certificate+password\"\npassword_file = \"anna.pass\"\nuser = ";
  EXPECT_THAT(run("check " + gateway_file("variant = 2", both + "\"anna\"")).err,
              AllOf(HasSubstr("expected \"anna\" among its names"), HasSubstr("anna.pass: others may access it")));
  ::chmod((folder_ + "/anna.pass").c_str(), 0600);
  const Ran good = run("check " + gateway_file("variant = 2", both + "\"studio\""));
  EXPECT_EQ(good.code, 0) << good.err;
  EXPECT_EQ(good.err, "");
}

// ---------------------------------------------------------------- status

constexpr const char* gateway_answer =
    R"({"daemon":"gateway","version":"0.1.0","agent":{"groups":[{"group":"tv","state":"joined","why":"","role":"both",)"
    R"("carriage":"isakmp","keyserver":"10.9.0.1:7400","keyserver_id":"ks.example","member_id":"studio","epoch":)"
    R"(1887436800001,"epoch_id":)"
    R"("00112233445566778899aabbccddeeff","epoch_state":"active","remaining_s":86340.7,"lease_remaining_s":57.2,"clock_error_s":0.0123,)"
    R"("slots_known":3,"own_slots":["0x10000002"],"joins":1,"failures":2,"rekeys":3,"epochs":[]}],"joined":1},)"
    R"("dataplane":{"engine":"ipsec_mb","sealed":1234567,"opened":89,"bypassed":4,"cut":2,"parked":0,"ports":[{"name":"red","device":)"
    R"("af_packet:veth-red","link_up":true,"rx_packets":1234571,"rx_bytes":1632000000,"tx_packets":89,"tx_bytes":950,)"
    R"("tx_dropped":0}],"sas":[{"group":"tv","epoch":1887436800001,"spi":"0x10000002","direction":"out","active":true,)"
    R"("packets":1234567,"bytes":1624689892,"next_number":1234568,"replays":0,"bad_tags":0},{"group":"tv","epoch":)"
    R"(1887436800001,"spi":"0x10000000","direction":"in","active":false,"packets":89,"bytes":950,"next_number":89,)"
    R"("replays":1,"bad_tags":0},{"group":"tv","epoch":1887436800001,"spi":"0x10000003","direction":"in","active":false,)"
    R"("packets":0,"bytes":0,"next_number":0,"replays":0,"bad_tags":0}],"drops":[{"reason":"no_sa","packets":0},)"
    R"({"reason":"too_big","packets":17}]}})";
constexpr const char* keyserver_answer =
    R"({"daemon":"keyserver","id":"ks.example","listen":"10.9.0.1:7400","listen_isakmp":"10.9.0.1:7500",)"
    R"("isakmp":{"connections":7,"cookies_shown":5},"uptime_s":65,"connections":2,"members":2,)"
    R"("handshakes":{"completed":3,"failed":{"certificate_expired":1}},"refused":{},"groups":[{"group":"tv","suite":)"
    R"("ECDHE_ECDSA_AES_256_GCM_SHA384","variant":2,"mode":"tunnel-preserve","numbers":"timed","selectors":["239.1.1.0/24"],"epochs":[)"
    R"({"epoch":1887436800001,"epoch_id":"0011","state":"active","age_s":60,"remaining_s":86340,"spi_prefix":"0x10000000",)"
    R"("slots_used":3,"holders":2}],"members":[{"member":"ho\u001b[31mme","address":"10.9.0.3:40000","carriage":"isakmp","roles":"receiver",)"
    R"("joined_s":59,"slots":[],"acknowledged":1887436800001,"activated":1887436800001,"report":{"epoch":1,"sealed":0,"opened":89,)"
    R"("dropped":1,"age_s":2}}]}]})";

class CliStatus : public Cli {
 protected:
  void TearDown() override {
    io_.stop();
    if (thread_.joinable()) thread_.join();
    servers_.clear();
    Cli::TearDown();
  }
  void serve(const std::string& name, const std::string& answer) {
    auto server = std::make_unique<admin::AdminServer>(io_, folder_ + "/" + name);
    for (const char* command :
         {"status", "ports", "groups", "sas", "top", "audit", "rekey", "reinstate", "clock-accept"})
      server->handle(command, [this, answer](const std::string& request) {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
        return answer;
      });
    ASSERT_TRUE(server->start());
    servers_.push_back(std::move(server));
  }
  void go() {
    thread_ = std::thread([this] {
      const auto work = asio::make_work_guard(io_);
      io_.run();
    });
  }
  asio::io_context io_;
  std::vector<std::unique_ptr<admin::AdminServer>> servers_;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<std::string> requests_;  // read them once the tool has ended
};

TEST_F(CliStatus, AnUnreachableDaemonIs3) {
  const Ran missing = run("status --socket nowhere.sock");
  EXPECT_EQ(missing.code, ExitCode::unreachable);
  EXPECT_THAT(missing.err, AllOf(HasSubstr("nowhere.sock"), HasSubstr("is the daemon running")));
  EXPECT_EQ(missing.out, "");
  EXPECT_EQ(run("status --json --socket nowhere.sock").code, ExitCode::unreachable);
  // A daemon that hangs: it accepts, but never answers.
  serve("hung.sock", gateway_answer);
  const Ran hung = run("status --timeout 0.2 --socket hung.sock");
  EXPECT_EQ(hung.code, ExitCode::unreachable);
  EXPECT_THAT(hung.err, HasSubstr("did not answer within 200 ms"));
}

TEST_F(CliStatus, JsonIsTheDaemonsOwnAnswer) {
  serve("gw.sock", gateway_answer);
  go();
  const Ran ran = run("status --json --socket gw.sock");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, std::string(gateway_answer) + "\n");
}

TEST_F(CliStatus, ShowsAGatewayOnOneScreen) {
  serve("gw.sock", gateway_answer);
  go();
  const Ran ran = run("status --socket gw.sock");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, R"(gateway: version 0.1.0
  engine: ipsec_mb
  packets: sealed 1,234,567, opened 89, bypassed 4
  on the way: 2 cut before sealing

  port  device              link  rx packets  rx bytes  tx packets  tx bytes  tx dropped
  red   af_packet:veth-red  up     1,234,571   1.63 GB          89     950 B           0

  dropped because  packets
  too_big               17

group: tv
  state: joined
  role: both
  key server: 10.9.0.1:7400 (ks.example)
  carriage: isakmp
  member: studio
  epoch: 1887436800001 (active), id 00112233445566778899aabbccddeeff
  remaining: 23 h 59 min
  lease: 57 s
  clock: known to 0.012 s
  own SPIs: 0x10000002
  joins: 1, failures 2, rekeys 3

  SPI         direction  epoch          active    packets    bytes     number  replays  bad tags
  0x10000002  out        1887436800001  yes     1,234,567  1.62 GB  1,234,568        0         0
  0x10000000  in         1887436800001                 89    950 B         89        1         0
)");
  EXPECT_THAT(run("status --all --socket gw.sock").out, AllOf(HasSubstr("no_sa"), HasSubstr("0x10000003")));
  EXPECT_THAT(requests_, ElementsAre(R"({"command":"status","all":false})", R"({"command":"status","all":true})"));
}

TEST_F(CliStatus, FiguresThatADaemonDoesNotTellAreNamed) {
  serve("gw.sock", gateway_answer);
  go();
  EXPECT_THAT(
      run("status --socket gw.sock").err,
      HasSubstr("gw.sock: the daemon is of another version and does not tell reassembled, spread_waits: shown as 0"));
  EXPECT_EQ(run("status --json --socket gw.sock").err, "") << "a program reads what is there";
}

TEST_F(CliStatus, PartsOfTheDataPlaneByTheirOwnCommands) {
  serve("gw.sock", R"({"daemon":"gateway","taken_s":1.5,"ports":[{"name":"red","device":"null","link_up":false}],)"
                   R"("groups":[{"group":"tv"}],"sas":[]})");
  go();
  for (const char* command : {"ports", "groups", "sas", "top --count 1"}) {
    const Ran ran = run(std::string(command) + " --socket gw.sock");
    EXPECT_EQ(ran.code, 0) << command << ran.err;
    EXPECT_NE(ran.out, "") << command;
    const Ran json = run(std::string(command) + " --json --socket gw.sock");
    EXPECT_THAT(json.out, StartsWith(R"({"daemon":"gateway")")) << command;
    EXPECT_EQ(run(std::string(command) + " --socket nowhere.sock").code, ExitCode::unreachable) << command;
  }
  EXPECT_EQ(run("ports --interval 0.05 --json --socket gw.sock").out.find('\n'),
            run("ports --json --socket gw.sock").out.size() - 1)
      << "two looks are two lines";
}

TEST_F(CliStatus, ShowsAKeyServerAndLetsNobodyPlayWithTheTerminal) {
  serve("ks.sock", keyserver_answer);
  go();
  const Ran ran = run("status --socket ks.sock");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, R"(key server: ks.example
  listening: 10.9.0.1:7400
  listening, ISAKMP: 10.9.0.1:7500
  running for: 1 min 5 s
  members: 2, connections 2
  handshakes: 3 completed; failed: certificate_expired 1
  ISAKMP connections: 7, cookies shown 5

group: tv
  selectors: 239.1.1.0/24
  suite: ECDHE_ECDSA_AES_256_GCM_SHA384, variant 2, tunnel-preserve

  epoch          state   id      age    remaining  SPI prefix  slots used  holders
  1887436800001  active  0011  1 min  23 h 59 min  0x10000000           3        2

  member     address         carriage  role      joined for  slots  acknowledged   sealed  opened  dropped
  ho?[31mme  10.9.0.3:40000  isakmp    receiver        59 s         1887436800001       0      89        1
)");
}

TEST_F(CliStatus, H19_SaysWhatEndsAndThatAClockIsDoubted) {
  serve("ks.sock",
        R"({"daemon":"keyserver","id":"ks","clock":{"agrees":false,"apart_s":-34560000,"judged_by":1800000000},)"
        R"("validity":[{"what":"the authority CA","ends":1,"left_s":900000,"used_percent":10,"stage":0},)"
        R"({"what":"the certificate of ks","ends":1,"left_s":864000,"used_percent":81,"stage":80},)"
        R"({"what":"the revocation list of CA","ends":1,"left_s":-5,"used_percent":100,"stage":100}]})");
  go();
  const std::string out = run("status --socket ks.sock").out;
  EXPECT_THAT(out, HasSubstr("ALARM: the clock is doubted: it is 400 d behind what it should be"));
  EXPECT_THAT(out, HasSubstr("HAS ENDED: the revocation list of CA\n  ends: the certificate of ks in 10 d, 81 %"));
  EXPECT_THAT(out, Not(HasSubstr("the authority CA")));
}

TEST_F(CliStatus, H19_AcceptsAClock) {
  serve("ks.sock", R"({"ok":true})");
  go();
  const Ran ran = run("clock accept --json --socket ks.sock");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, "{\"ok\":true}\n");
  EXPECT_EQ(requests_.back(), R"({"command":"clock-accept"})");
  EXPECT_NE(run("clock --socket ks.sock").code, 0) << "it has to be said what";
}

TEST_F(CliStatus, AKeyServersGroupsOnOneScreen) {
  const std::string answer =
      R"({"daemon":"keyserver","version":"0.1.0","id":"ks.example","groups":[{"group":"tv","epoch":1887436800001,)"
      R"("remaining_s":86340,"epoch_lifetime_s":86400,"joined":3,"expected":4,"expected_by":"members",)"
      R"("missing":["at\u001btic"],"missing_count":1,"behind":["home"],"behind_count":1,"slots_used":3,)"
      R"("slots_capacity":65535,"last_rekey":{"epoch":1887436800001,"why":"asked for","age_s":61,"told":3,)"
      R"("acknowledged":2,"slowest":"studio","slowest_after_ms":212,"active_after_ms":2001,"unacknowledged":1}},)"
      R"({"group":"radio","joined":0,"expected":0,"missing":[],"missing_count":0,"behind":[],"behind_count":0}],)"
      R"("cluster":{"name":"ks1","state":"serving","leader":"ks2","servers":[{"name":"ks1"},{"name":"ks2"}]}})";
  serve("ks.sock", answer);
  go();
  const Ran ran = run("groups --socket ks.sock");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, R"(key server ks.example

group          epoch    remaining  lifetime  joined  behind  expected        slots  last rekey     because    active after  slowest member
tv     1887436800001  23 h 59 min       1 d       3       1         4  3 of 65,535  1 min 1 s ago  asked for  2.0 s         studio, 212 ms
radio                                             0       0         0

tv: missing: at?tic
tv: behind: home
tv: the last rekey did not wait for 1 that had not acknowledged in time

cluster: this is ks1, serving; leader: ks2; serving: ks1, ks2
)");
  EXPECT_EQ(run("groups --json --socket ks.sock").out, answer + "\n");
}

TEST_F(CliStatus, AGatewaysGroupsAndThoseOfTheKeyServerInIt) {
  serve("gw.sock", R"({"daemon":"gateway","taken_s":1.5,"groups":[{"group":"tv"}],)"
                   R"("keyserver":{"id":"ks.example","groups":[{"group":"tv","joined":7}]}})");
  go();
  const Ran ran = run("groups --socket gw.sock");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("sealed"), HasSubstr("\nkey server ks.example\n"), HasSubstr("expected")));
}

TEST_F(CliStatus, TheAuditTrailAsATableAndAsItIs) {
  const std::string answer =
      R"({"events":[{"event":"member_joined","fields":{"address":"10.9.0.3:4","group":"tv","member":"ho\u001bme"},)"
      R"("level":"info","time":"2026-01-31T12:00:00.123Z"}],"more":true})";
  serve("ks.sock", answer);
  go();
  const Ran ran = run("audit --socket ks.sock --since 1h --group tv --count 1");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, R"(… there are older ones; --count shows more
time                      level  event          group  member  details
2026-01-31T12:00:00.123Z  info   member_joined  tv     ho?me   address 10.9.0.3:4
)");
  EXPECT_EQ(run("audit --json --socket ks.sock --since 2026-01-31T12:00:00Z").out, answer + "\n");
  for (const char* bad : {"audit --since yesterday", "audit --since 5", "audit --count 0", "audit --count 10001",
                          "audit --since -1h", "audit --since 2026-13-01"})
    EXPECT_EQ(run(bad).code, ExitCode::usage) << bad;
}

TEST_F(CliStatus, EveryCommandForAKeyServerSaysItInJsonToo) {
  serve("ks.sock", R"({"ok":true})");
  serve("no.sock", R"({"error":"expected a group of this key server, got \"x\""})");
  go();
  EXPECT_EQ(run("rekey tv --json --socket ks.sock").out, "{\"ok\":true}\n");
  EXPECT_EQ(run("rekey tv --socket ks.sock").out, "");
  EXPECT_EQ(run("reinstate home --json --socket ks.sock").out, "{\"ok\":true}\n");
  const Ran refused = run("rekey x --json --socket no.sock");
  EXPECT_EQ(refused.code, ExitCode::failed);
  EXPECT_EQ(refused.out, "");
  EXPECT_THAT(refused.err, HasSubstr("sealcast rekey: no.sock: expected a group"));
  EXPECT_EQ(run("audit --socket nowhere.sock").code, ExitCode::unreachable);
  EXPECT_EQ(run("groups --socket nowhere.sock").code, ExitCode::unreachable);
}

TEST_F(CliStatus, MembersOfAGroupThatIsNoneIsAnError) {
  serve("ks.sock", keyserver_answer);
  go();
  EXPECT_EQ(run("members --group tv --socket ks.sock").code, 0);
  EXPECT_THAT(run("members --json --socket ks.sock").out, HasSubstr("\"behind\":"));
  const Ran none = run("members --group x --socket ks.sock");
  EXPECT_EQ(none.code, ExitCode::failed);
  EXPECT_THAT(none.err, HasSubstr("expected a group of this key server, got x"));
}

TEST_F(CliStatus, SomeOfSeveralIs4) {
  serve("gw.sock", gateway_answer);
  go();
  const Ran both = run("status --socket gw.sock --socket nowhere.sock");
  EXPECT_EQ(both.code, ExitCode::partial);
  EXPECT_THAT(both.out, StartsWith("gateway: "));
  EXPECT_THAT(both.err, HasSubstr("nowhere.sock"));
}

TEST_F(CliStatus, StrangeAnswersAreAnErrorNotACrash) {
  const char* answers[] = {
      "no JSON",
      "[]",
      "{}",
      R"({"daemon":"toaster"})",
      R"({"error":"no"})",
      R"({"daemon":"gateway","agent":7,"dataplane":[1,{"ports":3}]})",
      R"({"daemon":"keyserver","groups":{"a":1},"handshakes":"x","uptime_s":"y"})",
      R"({"daemon":"gateway","dataplane":{"ports":[7],"sas":[[]],"drops":["x"]},"agent":{"groups":[3]}})"};
  int i = 0;
  for (const char* answer : answers)
    serve("s" + std::to_string(i++) + ".sock", answer);
  go();
  for (int j = 0; j < i; ++j) {
    const Ran ran = run("status --socket s" + std::to_string(j) + ".sock");
    EXPECT_EQ(ran.code, j < 5 ? ExitCode::failed : ExitCode::ok) << answers[j] << ran.err;
  }
}

}  // namespace
}  // namespace sealcast::cli
