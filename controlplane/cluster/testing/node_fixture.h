// Several nodes over one etcd in memory, on a clock of the test's own.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "controlplane/cluster/node.h"
#include "controlplane/cluster/testing/fake_etcd.h"

namespace sealcast::cluster::testing {
using namespace std::chrono_literals;

struct Clock {
  Moment now{SteadyTime(1000s), 1'800'000'000'000};
  void pass(std::chrono::milliseconds time) {
    now.steady += time;
    now.unix_ms += time.count();
  }
};

class CountingRandom final : public handshake::Random {
 public:
  explicit CountingRandom(std::uint8_t seed) : next_(seed) {}
  void fill(ByteSpan out) override {
    for (std::uint8_t& byte : out)
      byte = next_ = static_cast<std::uint8_t>(next_ * 5 + 7);
  }

 private:
  std::uint8_t next_;
};

// One key server: it installs at once, unless told not to.
class Server final : public NodeHost {
 public:
  Server(std::string name, Clock& clock, FakeStore& store, const std::string& folder, std::uint8_t seed)
      : name_(std::move(name)), clock_(clock), etcd(store), folder_(folder), random_(seed) {
    open();
  }

  void open() {
    NodeSettings settings;
    settings.cluster_id = "ks.example";
    settings.name = name_;
    settings.address = "10.0.0.1:7400";
    settings.state_file = folder_ + "/" + name_;
    settings.key.span()[0] = key;
    settings.spi_first = 0x10000000;
    settings.spi_last = 0x1fffffff;
    auto opened = Node::open(std::move(settings), *this, etcd, random_);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    node = std::move(*opened);
  }
  // kill -9: no other is told.
  void crash() {
    node.reset();
    epochs.clear();
    active = 0;
  }
  void tick() {
    if (!node || paused) return;
    node->tick();
    etcd.answer();
    if (installs)
      for (const auto& [number, made] : epochs)
        node->installed_here("tv", number);
  }
  // As a member that joins, or is given a new epoch: one slot.
  std::optional<std::uint32_t> slot(std::uint64_t epoch, std::uint16_t count = 1) {
    const auto given = node->issue({"tv", epoch, "m", "1", "a", 3, count, clock_.now.unix_ms / 1000});
    if (!given) {
      refusal = given.error().message;
      return std::nullopt;
    }
    return given->first_slot;
  }

  Moment now() const override {
    Moment now = clock_.now;
    const auto passed = now.steady.time_since_epoch();
    now.boot = SteadyTime(booted + passed + passed * drift_ppm / 1'000'000);
    return now;
  }
  std::vector<std::string> groups() const override {
    return configured ? std::vector<std::string>{"tv"} : std::vector<std::string>();
  }
  GroupWish wish(const std::string&) const override {
    GroupWish wish;
    Selector selector;
    selector.destination = *Prefix::parse("239.1.1.0/24");
    wish.policy.selectors = {selector};
    wish.lifetime = std::chrono::hours(24);
    wish.slot_bits = slot_bits;
    wish.policy.authority_lease_s = lease_s;
    return wish;
  }
  std::uint32_t slots_needed(const std::string&) const override { return needed; }
  Result<void> adopt(const std::string&, MadeEpoch&& made) override {
    prefixes[made.content.policy.spi_prefix].insert(made.number);
    premasters[made.number] = to_hex(made.content.premaster.view());
    epochs.emplace(made.number, made.content.policy.spi_prefix);
    clocks[made.number] = made.content.zero.clock_id;
    return {};
  }
  void activated(const std::string&, std::uint64_t epoch) override { active = epoch; }
  std::uint64_t switched(const std::string&) const override { return active; }
  std::uint64_t attendance_changes(const std::string&) const override { return present.size(); }
  AttendeeList attendees(const std::string&) const override { return present; }
  void others_changed(const std::string&) override { ++others; }
  void revocations_changed() override { ++revocations_seen; }
  void serve() override {}
  void cut_off(const std::string&) override {
    ++cuts;
    epochs.clear();
    active = 0;
  }
  void note(Weight, const Event& event) override { notes += event.line() + "\n"; }

  const std::string name_;
  Clock& clock_;
  FakeEtcd etcd;
  const std::string folder_;
  CountingRandom random_;
  std::uint8_t key = 9;
  std::uint8_t slot_bits = 16;
  std::uint32_t lease_s = handshake::GroupPolicy{}.authority_lease_s;
  bool configured = true;  // it has the group
  std::uint32_t needed = 0;
  bool installs = true;
  bool paused = false;
  std::map<std::uint64_t, std::uint32_t> epochs;  // adopted: number -> SPI prefix
  std::map<std::uint64_t, std::string> premasters;
  std::map<std::uint32_t, std::set<std::uint64_t>> prefixes;  // every epoch that ever had this one
  std::map<std::uint64_t, std::uint64_t> clocks;              // every epoch's clock
  std::chrono::nanoseconds booted{};                          // its boot-time clock is so far ahead, and drifts
  int drift_ppm = 0;
  AttendeeList present;  // may only grow
  std::uint64_t active = 0;
  int cuts = 0;
  int revocations_seen = 0;
  int others = 0;  // calls of others_changed()
  std::string notes, refusal;
  std::unique_ptr<Node> node;
};

class ClusterNodes : public ::testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/sealcast-cluster-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    for (const char* name : {"a", "b", "c"})
      servers_.push_back(
          std::make_unique<Server>(name, clock_, store_, folder_, static_cast<std::uint8_t>(servers_.size() * 31 + 1)));
  }
  void TearDown() override {
    EXPECT_EQ(store_.duplicate_puts, 0);
    servers_.clear();
    for (const char* name : {"a", "b", "c"})
      unlink((folder_ + "/" + name).c_str());
    rmdir(folder_.c_str());
  }

  // Leases end when they were not kept alive for their time: the fake counts in ticks of the live servers.
  void pass(std::chrono::milliseconds time) {
    for (auto left = time; left > 0ms; left -= 100ms) {
      clock_.pass(100ms);
      for (auto& server : servers_)
        server->tick();
    }
  }
  void end_leases_of(Server& server) {
    for (const auto& [key, value] : std::map(store_.keys))
      if (key.find("/live/server/") != std::string::npos &&
          value.value.substr(value.value.find(' ') + 1) == server.name_)
        store_.end_lease(value.lease);
  }
  Server* leader() {
    for (auto& server : servers_)
      if (server->node && !server->paused && server->node->status().leading) return server.get();
    return nullptr;
  }
  Server& other_than(const Server* server) {
    return **std::find_if(servers_.begin(), servers_.end(),
                          [&](const auto& one) { return one.get() != server && one->node && !one->paused; });
  }
  // Neither the leader nor `one`.
  Server& third_than(const Server& one) {
    return **std::find_if(servers_.begin(), servers_.end(),
                          [&](const auto& server) { return server.get() != &one && server.get() != leader(); });
  }
  // Every slot that is ever given out, of every epoch: none twice (H9).
  void take_slot(Server& server, std::uint64_t epoch) {
    const auto slot = server.slot(epoch);
    if (!slot) return;
    EXPECT_TRUE(given_.insert({epoch, *slot}).second) << "slot " << *slot << " was given twice";
  }
  void take_slots(int count) {
    for (int i = 0; i < count; ++i) {
      for (auto& server : servers_)
        if (server->node && !server->paused && server->active) take_slot(*server, server->active);
      pass(100ms);
    }
  }
  // One number never names two epochs (H5): all servers that ever adopted it have the same secret.
  void expect_one_secret_each() {
    std::map<std::uint64_t, std::string> seen;
    for (const auto& server : servers_)
      for (const auto& [number, secret] : server->premasters)
        EXPECT_EQ(seen.emplace(number, secret).first->second, secret) << "epoch " << number;
  }
  std::uint64_t rekey(Server& server) {
    const std::uint64_t before = server.active;
    server.node->want_epoch("tv", before, "asked for");
    for (int i = 0; i < 300 && server.active == before; ++i)
      pass(100ms);
    EXPECT_GT(server.active, before);
    return server.active;
  }

  Clock clock_;
  FakeStore store_;
  std::string folder_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::set<std::pair<std::uint64_t, std::uint32_t>> given_;
};

}  // namespace sealcast::cluster::testing
