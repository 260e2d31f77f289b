// The real sealcast-keyserver, killed at every write of its state while members join, are rekeyed and ask for slots and
// an operator revokes. Members and operator keep a ledger of its messages over all of its lives; none of its promises
// may come twice or be forgotten.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <thread>

#include "base/testing/places.h"
#include "controlplane/admin/admin_client.h"
#include "controlplane/keyserver/testing/test_client.h"
#include "handshake/testing/test_pki.h"

namespace sealcast::kill {
namespace {

using namespace std::chrono_literals;
using handshake::GroupKeying;
using keyserver::testing::in;
using keyserver::testing::TestClient;
namespace pki = handshake::testing;

constexpr long most_calls = 500;

// 32 bytes, as its file has them.
constexpr const char* wrapping_key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

// All of the key server's messages, over all lives. Recorded on receipt.
struct Ledger {
  std::uint64_t of_earlier_lives = 0;  // highest epoch
  std::uint64_t highest = 0;
  std::uint64_t highest_active = 0;  // as members remember it (H5)
  bool takes_up = false;             // it has a wrapping key: an epoch of an earlier life continues, without slots
  std::size_t taken_up = 0;          // keyings of such epochs
  std::map<std::uint64_t, std::string> ids;         // epoch → epoch_id
  std::map<std::uint32_t, std::uint64_t> prefixes;  // SPI prefix → epoch
  std::set<std::pair<std::uint64_t, unsigned>> slots;
  std::map<std::string, bool> revoked;  // member → as last answered
  std::vector<std::string> premasters;

  void record(const GroupKeying& keying, const std::string& epoch_id) {
    if (takes_up && keying.epoch <= of_earlier_lives) {
      ++taken_up;
      EXPECT_TRUE(ids.count(keying.epoch)) << "an epoch of an earlier life that no member knows";
      EXPECT_EQ(keying.state, handshake::EpochState::active);
      EXPECT_EQ(keying.assignment.slot_count, 0) << "H9: a slot in an epoch from before the start";
    } else {
      EXPECT_GT(keying.epoch, of_earlier_lives) << "H5: an epoch number of an earlier life came again, or fell";
    }
    EXPECT_GE(keying.epoch, highest_active) << "H5: below an epoch that was active";
    if (keying.state == handshake::EpochState::active) highest_active = std::max(highest_active, keying.epoch);
    EXPECT_EQ(ids.emplace(keying.epoch, epoch_id).first->second, epoch_id) << "H5: one number, two epochs";
    EXPECT_EQ(prefixes.emplace(keying.policy.spi_prefix, keying.epoch).first->second, keying.epoch)
        << "KEY-2: the SPIs of an epoch that is still held";
    own(keying.epoch, keying.assignment.first_slot, keying.assignment.slot_count);
    highest = std::max(highest, keying.epoch);
    const ByteView secret = keying.premaster.view();
    premasters.emplace_back(secret.begin(), secret.end());
  }
  void own(std::uint64_t epoch, unsigned first, unsigned count) {
    for (unsigned slot = first; slot < first + count; ++slot)
      EXPECT_TRUE(slots.insert({epoch, slot}).second) << "H9: slot " << slot << " of epoch " << epoch << " came twice";
  }
};

class KilledKeyserver : public ::testing::Test {
 protected:
  KilledKeyserver() : pki_(std::time(nullptr)) {
    char in_memory[] = "/dev/shm/sealcast-kill-XXXXXX";
    char on_disk[] = "/tmp/sealcast-kill-XXXXXX";
    const char* const made = mkdtemp(in_memory) != nullptr ? in_memory : mkdtemp(on_disk);
    folder_ = made;
    const auto server = pki_.server("ks.example");
    write_file("server.pem", server.chain_pem);
    write_file("server.key", server.key_pem);
    write_file("ca.pem", pki_.ca_pem());
    write_file("ks.toml",
               "[keyserver]\nid = \"ks\"\nlisten = \"127.0.0.1:0\"\ncertificate = \"server.pem\"\n"
               "private_key = \"server.key\"\nca = \"ca.pem\"\nstate = \"ks.db\"\nadmin_socket = \"admin.sock\"\n"
               "spi_range = [\"0x10000000\", \"0x1fffffff\"]\n"
               "[[keyserver.group]]\nid = \"tv\"\nselectors = [ { destination = \"239.1.1.0/24\" } ]\n"
               "senders = \"*\"\nactivation_delay = \"0s\"\n");
    studio_ = config_of("studio");
    home_ = config_of("home");
  }
  ~KilledKeyserver() override {
    end();
    EXPECT_EQ(std::system(("rm -rf " + folder_).c_str()), 0);
  }

  void write_file(const std::string& name, const std::string& text) const {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    chmod(path.c_str(), 0600);
  }
  std::string content(const std::string& name) const {
    std::ifstream file(folder_ + "/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  std::shared_ptr<handshake::ClientConfig> config_of(const std::string& name) {
    auto client = std::make_shared<handshake::ClientConfig>();
    client->credentials = pki_.member(name, {"tv"}).credentials;
    client->server_trust = pki_.trust();
    client->server_name = "ks.example";
    client->multicast = handshake::MulticastWish{"tv", "ks"};
    // Recorded with SMKE, whatever becomes of the connection (H3).
    client->accept_keying = [this](const GroupKeying& keying, const handshake::EpochId& id) {
      ledger_.record(keying, to_hex(id));
      return Result<void>{};
    };
    return client;
  }

  void use_wrapping_key() {
    write_file("wrap.key", std::string(wrapping_key) + "\n");
    std::string text = content("ks.toml");
    text.insert(text.find("state ="), "wrapping_key_file = \"wrap.key\"\n");
    // Revocations in a group of their own: in the main group they would end the epoch that was taken up (H11).
    text +=
        "[[keyserver.group]]\nid = \"radio\"\nselectors = [ { destination = \"239.2.1.0/24\" } ]\nsenders = \"*\"\n";
    revoked_in_ = ",\"group\":\"radio\"";
    write_file("ks.toml", text);
    ledger_.takes_up = true;
  }

  void launch(long nth, const char* where) {
    const std::string log = folder_ + "/log";
    unlink(log.c_str());
    const std::string at = std::to_string(nth);
    const std::string program = places::program("sealcast-keyserver");
    const std::string kill_at = places::program("../tests/kill_at.so");
    child_ = fork();
    ASSERT_GE(child_, 0);
    if (child_ > 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(out, 1);
    dup2(out, 2);
    close(out);
    setenv("LD_PRELOAD", kill_at.c_str(), 1);
    setenv("KILL_AT", at.c_str(), 1);
    setenv("KILL_WHERE", where, 1);
    execl(program.c_str(), program.c_str(), "--config", (folder_ + "/ks.toml").c_str(), nullptr);
    _exit(127);
  }
  bool dead() {
    if (child_ <= 0) return true;
    int status = 0;
    if (waitpid(child_, &status, WNOHANG) != child_) return false;
    child_ = 0;
    killed_ = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    return true;
  }
  void end() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
    child_ = 0;
  }
  // Its port; 0: it died before it reported one.
  std::uint16_t port() {
    const std::string mark = "is running, port ";
    for (const auto deadline = in(20s); std::chrono::steady_clock::now() < deadline;) {
      const std::string log = content("log");
      const auto place = log.find(mark);
      if (place != std::string::npos && log.find('\n', place) != std::string::npos)
        return static_cast<std::uint16_t>(std::atoi(log.c_str() + place + mark.size()));
      if (dead()) return 0;
      std::this_thread::sleep_for(1ms);
    }
    ADD_FAILURE() << "it neither started nor ended: " << content("log");
    return 0;
  }
  std::string ask(const std::string& request) const {
    return admin::ask(folder_ + "/admin.sock", request, 10s).value_or("");
  }
  bool told(const std::string& request) const { return ask(request).find("\"ok\":true") != std::string::npos; }

  void check_revocations() {
    const std::string list = ask(R"({"command":"revocations"})");
    if (list.empty()) return;  // it died
    for (const auto& [member, shut_out] : ledger_.revoked)
      EXPECT_EQ(list.find("\"" + member + "\"") != std::string::npos, shut_out) << "H11: " << member << " in " << list;
  }
  bool revoke(const std::string& member, const char* command, bool shut_out) {
    ledger_.revoked.erase(member);  // unknown until it is answered
    if (!told(std::string("{\"command\":\"") + command + "\",\"member\":\"" + member + "\",\"force\":true" +
              revoked_in_ + "}"))
      return false;
    ledger_.revoked[member] = shut_out;
    return true;
  }
  bool take_update(TestClient& client) {
    const auto update = client.expect<handshake::GroupUpdate>(3s);
    if (!update) return false;
    const auto master = handshake::derive_group_master(update->keying.policy.cipher_suite, update->keying.premaster);
    ledger_.record(update->keying, to_hex(handshake::derive_epoch_id(update->keying.policy.cipher_suite, master)));
    return client.say(handshake::GroupUpdateAck{"tv", update->keying.epoch});
  }

  bool take_activate(TestClient& client) {
    const auto activate = client.expect<handshake::Activate>(3s);
    if (activate) ledger_.highest_active = std::max(ledger_.highest_active, activate->epoch);
    return activate.has_value();
  }

  // Runs everything that makes it write. False: it died meanwhile.
  bool life(int number) {
    const std::uint16_t port_now = port();
    if (port_now == 0) return false;
    check_revocations();
    if (!revoke("eve" + std::to_string(number), "revoke", true)) return false;
    TestClient studio(port_now, studio_), home(port_now, home_);
    if (!studio.join() || !home.join()) return false;
    const std::uint64_t first = studio.keying().epoch;
    if (!studio.say(handshake::SlotRequest{"tv", first, 3})) return false;
    const auto grant = studio.expect<handshake::SlotGrant>(3s);
    if (!grant) return false;
    ledger_.own(grant->epoch, grant->first_slot, grant->count);
    if (first <= ledger_.of_earlier_lives) {
      EXPECT_EQ(grant->count, 0) << "H9: slots in an epoch from before the start";
    }
    if (ledger_.takes_up && grant->count == 0) {
      // The key server makes the next one at once.
      if (!take_update(studio) || !take_update(home) || !take_activate(studio)) return false;
    }
    // Both members may still be on their way into the pending epoch of a restart.
    bool begun = false;
    for (int i = 0; i < 200 && !begun && !dead(); ++i) {
      begun = told(R"({"command":"rekey","group":"tv"})");
      if (!begun) std::this_thread::sleep_for(5ms);
    }
    if (!begun || !take_update(studio) || !take_update(home)) return false;
    if (!take_activate(studio)) return false;
    const std::string name = "mallory" + std::to_string(number);
    if (!revoke(name, "revoke", true)) return false;
    if (number % 3 == 0 && !revoke(name, "reinstate", false)) return false;
    check_revocations();
    return !dead();
  }

  void all_lives() {
    const char* const places[] = {"before", "torn", "after"};
    int untouched = 0;  // complete lives in a row
    long nth = 1;
    for (; nth < most_calls && untouched < 3; ++nth) {
      SCOPED_TRACE("life " + std::to_string(nth) + ", killed " + places[nth % 3] + " call " + std::to_string(nth));
      killed_ = false;
      launch(nth, places[nth % 3]);
      const bool whole = life(static_cast<int>(nth));
      if (!whole) {
        for (const auto deadline = in(5s); !dead() && std::chrono::steady_clock::now() < deadline;)
          std::this_thread::sleep_for(1ms);
        ASSERT_TRUE(killed_) << "what is not killed must serve: " << content("log");
      }
      untouched = whole ? untouched + 1 : 0;
      end();
      ledger_.of_earlier_lives = ledger_.highest;
      if (HasFailure()) return;
    }
    EXPECT_EQ(untouched, 3) << "no life came to its end";
    EXPECT_GT(nth, 40) << "there must have been something to kill at";
    std::printf("  %ld lives, %zu epochs, %zu slots, %zu revocations\n", nth - 1, ledger_.ids.size(),
                ledger_.slots.size(), ledger_.revoked.size());
    // H14: its files hold none of the secrets that it ever gave out.
    for (const char* file : {"ks.db", "ks.db-wal", "log"}) {
      const std::string bytes = content(file);
      for (const std::string& premaster : ledger_.premasters) {
        EXPECT_EQ(bytes.find(premaster), std::string::npos) << file;
        EXPECT_EQ(bytes.find(premaster.substr(0, 16)), std::string::npos) << file;
        EXPECT_EQ(bytes.find(to_hex(as_bytes(premaster))), std::string::npos) << file;
      }
    }
    EXPECT_GT(content("ks.db").size() + content("ks.db-wal").size(), 20000u) << "there was something to look at";
  }

  pki::TestPki pki_;
  std::string folder_;
  std::shared_ptr<handshake::ClientConfig> studio_, home_;
  std::string revoked_in_;  // of a request; empty: in all groups
  Ledger ledger_;
  pid_t child_ = 0;
  bool killed_ = false;
};

TEST_F(KilledKeyserver, H5_H9_H11_KEY2_NothingComesTwiceAndNothingIsForgotten) {
  all_lives();
}

TEST_F(KilledKeyserver, H5_H9_H11_H14_KEY2_LikewiseWhereEpochsAreTakenUpAgain) {
  use_wrapping_key();
  all_lives();
  EXPECT_GT(ledger_.taken_up, 10U);
  std::printf("  %zu times an epoch was given out that was taken up\n", ledger_.taken_up);
  for (const char* file : {"ks.db", "ks.db-wal", "log"})
    EXPECT_EQ(content(file).find(wrapping_key), std::string::npos) << file;
}

}  // namespace
}  // namespace sealcast::kill
