// The state files' own code, killed at every write: the key server's SQLite store, a cluster member's memory of etcd, a
// gateway's memory of epochs. What a child reported before it died must hold for every later process that opens the
// files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <map>
#include <set>
#include <sstream>

#include "controlplane/cluster/memory.h"
#include "controlplane/member/epoch_memory.h"
#include "controlplane/store/store.h"
#include "tests/kill/kill_at.h"

namespace sealcast::kill {
namespace {

constexpr long most_calls = 2000;

// In memory if possible: the page cache survives kill -9, and fsync is counted all the same.
std::string make_folder() {
  char in_memory[] = "/dev/shm/sealcast-kill-XXXXXX";
  if (mkdtemp(in_memory) != nullptr) return in_memory;
  char on_disk[] = "/tmp/sealcast-kill-XXXXXX";
  return mkdtemp(on_disk) != nullptr ? on_disk : "";
}

class KilledFiles : public ::testing::TestWithParam<Where> {
 protected:
  KilledFiles() : folder_(make_folder()) {}
  ~KilledFiles() override { EXPECT_EQ(std::system(("rm -rf " + folder_).c_str()), 0); }

  struct Life {
    bool killed = false;
    int code = 0;
    std::vector<std::string> said;  // whole lines
  };
  using Say = std::function<void(const std::string& line)>;

  // Runs body in a child that is killed at its nth call; returns its reports until then. body returns false if a step
  // that must work failed.
  static Life live(long nth, const std::function<bool(const Say&)>& body) {
    int ends[2];
    Life life;
    if (pipe(ends) != 0) return life;
    const pid_t child = fork();
    if (child == 0) {
      close(ends[0]);
      at(nth, GetParam());
      const bool good = body([&](const std::string& line) {
        const std::string text = line + "\n";
        if (write(ends[1], text.data(), text.size()) < 0) _exit(3);
      });
      _exit(good ? 0 : 2);
    }
    close(ends[1]);
    std::string all;
    char part[4096];
    for (ssize_t n = 0; (n = read(ends[0], part, sizeof part)) > 0;)
      all.append(part, static_cast<std::size_t>(n));
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    life.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    life.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    std::istringstream lines(all.substr(0, all.rfind('\n') == std::string::npos ? 0 : all.rfind('\n')));
    for (std::string line; std::getline(lines, line);)
      life.said.push_back(line);
    return life;
  }

  // One life after the other on the same files, each killed one call later, until one ends by itself.
  void every_call(const std::function<bool(const Say&)>& body, const std::function<void(const Life&)>& check) {
    for (long nth = 1; nth < most_calls; ++nth) {
      SCOPED_TRACE("killed at call " + std::to_string(nth));
      const Life life = live(nth, body);
      check(life);
      if (HasFatalFailure()) return;
      if (life.killed) continue;
      ASSERT_EQ(life.code, 0) << "a life that was not ended must succeed: "
                              << (life.said.empty() ? "" : life.said.back());
      EXPECT_GT(nth, 3) << "there must have been something to kill at";
      std::printf("  %ld deaths\n", nth - 1);
      return;
    }
    FAIL() << "no life came to its end";
  }

  const std::string folder_;
};

// Checks the reports of a store's lives: nothing twice, nothing lost.
struct StoreLedger {
  std::uint64_t highest = 0;  // the highest epoch of earlier lives
  std::set<std::uint64_t> epochs;
  std::set<std::uint32_t> prefixes;
  std::set<std::pair<std::uint64_t, unsigned>> slots;
  std::map<std::string, bool> revoked;  // answered: true revoked, false reinstated

  void take(const std::vector<std::string>& said) {
    std::uint64_t newest = highest;
    std::set<std::string> listed;
    bool all_listed = false;
    for (const std::string& line : said) {
      std::istringstream words(line);
      std::string what, name;
      std::uint64_t epoch = 0, number = 0;
      words >> what;
      if (what == "epoch") {
        words >> epoch >> number;
        EXPECT_GT(epoch, newest) << "H5: an epoch number came again or fell";
        EXPECT_TRUE(epochs.insert(epoch).second);
        newest = epoch;
      } else if (what == "slot") {
        // A block counts as used once a member was given the epoch.
        words >> epoch >> number >> name;
        EXPECT_TRUE(slots.insert({epoch, static_cast<unsigned>(number)}).second) << "H9: a slot was given twice";
      } else if (what == "prefix") {
        words >> number;
        EXPECT_TRUE(prefixes.insert(static_cast<std::uint32_t>(number)).second) << "KEY-2: SPIs of a live epoch again";
      } else if (what == "listed") {
        words >> name;
        listed.insert(name);
      } else if (what == "all-listed") {
        all_listed = true;
        for (const auto& [member, shut_out] : revoked)
          EXPECT_EQ(listed.count(member) != 0, shut_out) << "H11: " << member;
      } else if (what == "revoking" || what == "reinstating") {
        words >> name;
        revoked.erase(name);  // unknown until it is answered
      } else if (what == "revoked" || what == "reinstated") {
        words >> name;
        revoked[name] = what == "revoked";
      }
    }
    highest = newest;
    (void)all_listed;
  }
};

TEST_P(KilledFiles, H5_H9_H11_TheStoreForgetsNothingItSaid) {
  StoreLedger ledger;
  const std::string path = folder_ + "/keyserver.db";
  int life = 0;
  std::int64_t now = 1'800'000'000;
  every_call(
      [&](const Say& say) {
        auto opened = store::open_sqlite(path, "ks", now);
        if (!opened) {
          say("refused " + opened.error().message);
          return false;
        }
        store::Store& store = **opened;
        const auto revocations = store.revocations();
        if (!revocations) return false;
        for (const auto& revocation : *revocations)
          say("listed " + revocation.member_id);
        say("all-listed");
        for (const char* group : {"tv", "radio"}) {
          const auto epoch = store.begin_epoch({group, 0x10000000, 0x1fffffff, 8, now, now + 86400});
          if (!epoch) return false;
          // Each group's own numbers must rise although the test's clock stands still.
          if (std::string(group) == "tv") say("epoch " + std::to_string(epoch->epoch));
          store::Holder holder{group, epoch->epoch, "studio", "01", "a", 3, 1, now};
          bool first = true;
          const auto given = [&](const store::Issue& issue, unsigned count) {
            if (std::exchange(first, false)) say("prefix " + std::to_string(epoch->block.prefix));
            for (unsigned i = 0; i < count; ++i)
              say("slot " + std::to_string(epoch->block.prefix) + " " + std::to_string(issue.first_slot + i));
          };
          const auto one = store.issue(holder);
          if (!one) return false;
          given(*one, 1);
          if (!store.begin_batch()) return false;
          holder.slot_count = 3;
          const auto more = store.issue(holder);
          const auto others = store.issue(holder);
          if (!more || !others || !store.end_batch()) return false;
          given(*more, 3);
          given(*others, 3);
        }
        const std::string name = "mallory" + std::to_string(life);
        say("revoking " + name);
        if (!store.revoke({name, "", now})) return false;
        say("revoked " + name);
        if (life % 3 == 0) {
          say("reinstating " + name);
          if (!store.reinstate(name, "")) return false;
          say("reinstated " + name);
        }
        return true;
      },
      [&](const Life& it) {
        for (const std::string& line : it.said)
          ASSERT_NE(line.rfind("refused", 0), 0u) << "it must start from whatever the death left: " << line;
        ledger.take(it.said);
        ++life;
        now += life % 7 == 0 ? -3 : 0;  // a clock that goes back must not matter
      });
  EXPECT_GT(ledger.slots.size(), 100u);
  EXPECT_GT(ledger.revoked.size(), 3u);
}

TEST_P(KilledFiles, H9_H11_AClusterMembersMemoryIsWholeOrTheOneBefore) {
  const std::string path = folder_ + "/ks.state";
  std::uint64_t saved = 0;
  int life = 0;
  every_call(
      [&](const Say& say) {
        auto memory = cluster::Memory::load(path);
        if (!memory) {
          say("refused " + memory.error().message);
          return false;
        }
        say("found " + std::to_string(memory->highest_epoch));
        if (memory->revoked.size() != memory->highest_epoch) say("refused: a revocation is missing");
        for (int i = 0; i < 3; ++i) {
          ++memory->highest_epoch;
          memory->revision += 7;
          memory->revoked[{"mallory" + std::to_string(memory->highest_epoch), "tv"}] = 5;
          if (!memory->save(path)) return false;
          say("saved " + std::to_string(memory->highest_epoch));
        }
        return true;
      },
      [&](const Life& it) {
        for (const std::string& line : it.said) {
          ASSERT_NE(line.rfind("refused", 0), 0u) << line;
          const std::uint64_t number = std::strtoull(line.c_str() + line.find(' '), nullptr, 10);
          if (line.rfind("found", 0) == 0) {
            EXPECT_GE(number, saved) << "what was saved is there";
            EXPECT_LE(number, saved + 1) << "and nothing that was not saved";
          }
          saved = std::max(saved, number);
        }
        ++life;
      });
}

TEST_P(KilledFiles, H5_AGatewayNeverForgetsAnEpochItAccepted) {
  const std::string path = folder_ + "/gateway.state";
  std::uint64_t accepted = 0;
  every_call(
      [&](const Say& say) {
        auto memory = member::EpochMemory::load(path);
        if (!memory) {
          say("refused " + memory.error().message);
          return false;
        }
        const auto found = memory->find("ks.example", "ks", "tv");
        std::uint64_t epoch = found ? found->epoch : 0;
        say("found " + std::to_string(epoch));
        for (int i = 0; i < 3; ++i) {
          handshake::EpochId id{};
          id[0] = static_cast<std::uint8_t>(++epoch);
          if (!memory->remember("ks.example", "ks", "tv", {epoch, id})) return false;
          say("accepted " + std::to_string(epoch));
          handshake::EpochId other{};
          other[1] = 1;
          if (memory->remember("ks.example", "ks", "tv", {epoch, other})) say("refused: one number names two epochs");
        }
        return true;
      },
      [&](const Life& it) {
        for (const std::string& line : it.said) {
          ASSERT_NE(line.rfind("refused", 0), 0u) << line;
          const std::uint64_t number = std::strtoull(line.c_str() + line.find(' '), nullptr, 10);
          if (line.rfind("found", 0) == 0) {
            EXPECT_GE(number, accepted);
            EXPECT_LE(number, accepted + 1);
          }
          accepted = std::max(accepted, number);
        }
      });
}

INSTANTIATE_TEST_SUITE_P(EveryCall, KilledFiles, ::testing::Values(Where::before, Where::torn, Where::after),
                         [](const auto& about) {
                           return about.param == Where::before ? "Before"
                                  : about.param == Where::torn ? "Torn"
                                                               : "After";
                         });

}  // namespace
}  // namespace sealcast::kill
