// rekey_bench: the cost of one group's rekey at a key server beside so many other groups, with one store for all of
// them: make and keep a new epoch, send it to one member, take its acknowledgement, switch, retire the old epoch.
//
//   keyserver/rekey/<other groups>
//   keyserver/rekey_used_up/<blocks>: the same where every block of SPIs was used and none of the epochs has expired
#include <benchmark/benchmark.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/keyserver/group/group_state.h"

namespace sealcast::bench {
namespace {

using namespace std::chrono_literals;
using keyserver::GroupState;
using keyserver::Moment;

class Link : public keyserver::MemberLink {
 public:
  void deliver(const handshake::ControlMessage& message) override {
    if (const auto* update = std::get_if<handshake::GroupUpdate>(&message)) epoch = update->keying.epoch;
  }
  void dismiss(const std::string&) override {}
  std::uint64_t epoch = 0;
};

template <typename T>
T must(Result<T> got) {
  if (got) return std::move(*got);
  std::fprintf(stderr, "rekey_bench: %s\n", got.error().message.c_str());
  std::exit(1);
}
void must(const Result<void>& done) {
  if (done) return;
  std::fprintf(stderr, "rekey_bench: %s\n", done.error().message.c_str());
  std::exit(1);
}

// A key server's groups, each with one member.
class Groups {
 public:
  explicit Groups(std::uint32_t count, std::uint32_t spi_last = 0x1fffffff) {
    std::string pattern = "/dev/shm/sealcast-rekey-XXXXXX";  // in memory: a disk's flush is no part of the figure
    if (::mkdtemp(pattern.data()) == nullptr) std::exit(1);
    folder_ = pattern;
    store_ = must(store::open_sqlite(folder_ + "/db", "ks", now.unix_seconds));
    context_.key_server_id = "ks";
    context_.slot_bits = 8;
    context_.spi_range.last = spi_last;
    context_.store = store_.get();
    context_.random = &handshake::system_random();
    context_.vault = &vault_;
    context_.recheck = [](const handshake::PeerIdentity&, const std::string&, std::int64_t, handshake::Grace) {
      return keyserver::Verdict();
    };
    for (std::uint32_t i = 0; i < count; ++i)
      add(i);
  }
  ~Groups() {
    groups.clear();
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  struct Group {
    std::unique_ptr<GroupState> state;
    std::unique_ptr<Link> link = std::make_unique<Link>();
  };
  std::vector<Group> groups;
  Moment now{SteadyTime(1000s), 1'800'000'000};

 private:
  void add(std::uint32_t number) {
    config::KeyserverGroup config;
    config.id = "group-" + std::to_string(number);
    Selector selector;
    selector.destination = must(Prefix::parse(IpAddress::v4((239U << 24) + 256 + number).text()));
    config.selectors = {selector};
    config.deactivation_delay = 100ms;
    handshake::PeerIdentity member;
    member.name = "gateway";
    member.names = {member.name};
    member.may_decrypt = true;
    member.serial_hex = "01";
    Group& group = groups.emplace_back();
    group.state = std::make_unique<GroupState>(config, context_);
    const auto keying = must(group.state->issue(member, "10.0.0.1:5", now));
    const auto& given = keying.assignment;
    group.state->join(*group.link, member, "10.0.0.1:5",
                      {keying.epoch, keying.state, given.roles, {keying.epoch, given.first_slot, given.slot_count}},
                      now);
  }

  std::string folder_;
  std::unique_ptr<store::Store> store_;
  keyserver::PremasterVault vault_;
  keyserver::GroupContext context_;
};

void rekey(benchmark::State& state) {
  Groups all(static_cast<std::uint32_t>(state.range(0)) + 1);
  auto& [group, link] = all.groups[all.groups.size() / 2];
  for (auto _ : state) {
    must(group->rekey("measured", all.now));
    must(group->receive(*link, handshake::GroupUpdateAck{group->config().id, link->epoch}, all.now));
    all.now.steady += 1s;
    all.now.unix_seconds += 3600;  // a rekey an hour
    group->on_time(all.now);       // the old epoch retires
  }
}

void rekey_used_up(benchmark::State& state) {
  const auto blocks = static_cast<std::uint32_t>(state.range(0));
  Groups all(1, 0x10000000 + blocks * 256 - 1);
  auto& [group, link] = all.groups.front();
  const auto once = [&] {
    must(group->rekey("measured", all.now));
    must(group->receive(*link, handshake::GroupUpdateAck{group->config().id, link->epoch}, all.now));
    all.now.steady += 1s;
    group->on_time(all.now);
  };
  for (std::uint32_t i = 0; i < blocks; ++i)
    once();
  for (auto _ : state)
    once();
}
BENCHMARK(rekey_used_up)->Name("keyserver/rekey_used_up")->Arg(256)->Arg(4096)->Unit(benchmark::kMicrosecond);
BENCHMARK(rekey)->Name("keyserver/rekey")->Arg(1)->Arg(100)->Arg(10000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sealcast::bench

int main(int argc, char** argv) {
  spdlog::set_level(spdlog::level::err);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
