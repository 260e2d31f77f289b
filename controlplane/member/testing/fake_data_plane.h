// A data plane that seals nothing and remembers everything, and that fails the test when its contract is broken: an own
// SPI handed over twice (H9), an epoch installed twice, something sent before protect().
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/dataplane_control.h"

namespace sealcast::member::testing {

class FakeDataPlane : public DataPlaneControl {
 public:
  explicit FakeDataPlane(std::uint32_t workers = 1) : workers_(workers) {}

  struct Held {
    GroupEpoch value;
    std::set<std::uint32_t> inbound, outbound;  // SPIs
    bool active = false;
  };
  using Key = std::pair<std::string, std::uint64_t>;

  std::uint32_t workers() const override { return workers_; }
  Result<void> protect_all(const std::vector<NamedProtection>& groups) override {
    for (const auto& group : groups) {
      calls.push_back("protect " + group.group_id);
      protected_[group.group_id] = group.protection;
    }
    return {};
  }
  Result<void> unprotect_all(const std::vector<std::string>& group_ids) override {
    for (const std::string& group_id : group_ids) {
      calls.push_back("unprotect " + group_id);
      EXPECT_EQ(protected_.erase(group_id), 1u);
      std::erase_if(held, [&](const auto& entry) { return entry.first.first == group_id; });
    }
    return {};
  }
  Result<void> install(GroupEpoch epoch) override {
    calls.push_back("install " + std::to_string(epoch.epoch));
    if (fail_next_install) {
      fail_next_install = false;
      return fail("no memory for another epoch");
    }
    EXPECT_TRUE(protected_.count(epoch.group_id)) << "H10: installed before protect()";
    SEALCAST_TRY(one_a_worker(epoch.outbound));
    const Key key{epoch.group_id, epoch.epoch};
    EXPECT_FALSE(held.count(key)) << "epoch installed twice";
    Held entry;
    entry.active = epoch.active;
    for (const InboundSa& sa : epoch.inbound)
      note_inbound(entry, sa);
    for (const OutboundSa& sa : epoch.outbound)
      note_outbound(entry, key, sa);
    entry.value = std::move(epoch);
    held.emplace(key, std::move(entry));
    return {};
  }
  Result<void> add_inbound(const std::string& group_id, std::uint64_t epoch, std::vector<InboundSa> slots) override {
    calls.push_back("add_inbound " + std::to_string(epoch) + " x" + std::to_string(slots.size()));
    Held& entry = held.at({group_id, epoch});
    for (InboundSa& sa : slots) {
      note_inbound(entry, sa);
      entry.value.inbound.push_back(std::move(sa));
    }
    return {};
  }
  Result<void> replace_outbound(const std::string& group_id, std::uint64_t epoch,
                                std::vector<OutboundSa> slots) override {
    calls.push_back("replace_outbound " + std::to_string(epoch) + " x" + std::to_string(slots.size()));
    SEALCAST_TRY(one_a_worker(slots));
    Held& entry = held.at({group_id, epoch});
    entry.outbound.clear();
    for (const OutboundSa& sa : slots)
      note_outbound(entry, {group_id, epoch}, sa);
    return {};
  }
  Result<void> activate(const std::string& group_id, std::uint64_t epoch) override {
    calls.push_back("activate " + std::to_string(epoch));
    for (auto& [key, entry] : held)
      if (key.first == group_id) entry.active = key.second == epoch;
    EXPECT_TRUE(held.count({group_id, epoch})) << "activated an epoch that is not installed";
    return {};
  }
  Result<void> extend_lease(const std::string& group_id, SteadyTime until) override {
    lease[group_id] = until;
    ++lease_extensions;
    return {};
  }
  Result<void> set_clock(const std::string& group_id, std::uint64_t epoch, const EpochClock& clock) override {
    held.at({group_id, epoch}).value.clock = clock;
    return {};
  }
  Result<void> retire(const std::string& group_id, std::uint64_t epoch) override {
    calls.push_back("retire " + std::to_string(epoch));
    EXPECT_EQ(held.erase({group_id, epoch}), 1u);
    return {};
  }
  void drop_all_outbound() override {
    calls.push_back("drop_all_outbound");
    for (auto& [key, entry] : held)
      entry.outbound.clear();
  }
  Result<void> send_sealed(const std::string& group_id, const std::vector<std::uint8_t>& esp) override {
    sealed.emplace_back(group_id, esp);
    return {};
  }
  DataPlaneEvents take_events() override { return std::exchange(events, {}); }
  DataPlaneStatistics statistics() const override { return stats; }
  std::vector<SaStatistics> statistics_of_group(const std::string& group_id) const override {
    std::vector<SaStatistics> out;
    std::copy_if(stats.sas.begin(), stats.sas.end(), std::back_inserter(out),
                 [&](const SaStatistics& sa) { return sa.group_id == group_id; });
    return out;
  }

  const Held* find(std::uint64_t epoch, const std::string& group_id = "tv") const {
    const auto found = held.find({group_id, epoch});
    return found == held.end() ? nullptr : &found->second;
  }
  bool called(const std::string& call) const { return std::find(calls.begin(), calls.end(), call) != calls.end(); }
  std::ptrdiff_t count(const std::string& call) const { return std::count(calls.begin(), calls.end(), call); }

  std::vector<std::string> calls;
  std::map<Key, Held> held;
  std::map<std::string, SteadyTime> lease;
  int lease_extensions = 0;
  bool fail_next_install = false;
  std::vector<std::pair<std::string, std::vector<std::uint8_t>>> sealed;  // by group: what was to be sent on black
  DataPlaneEvents events;
  DataPlaneStatistics stats;

 private:
  // As the true one: every worker has a slot of its own, or none seals (H9).
  Result<void> one_a_worker(const std::vector<OutboundSa>& slots) const {
    if (slots.empty() || slots.size() == workers_) return {};
    return fail("expected no outbound SA or one per worker (" + std::to_string(workers_) + "), got " +
                std::to_string(slots.size()));
  }
  void note_inbound(Held& entry, const InboundSa& sa) {
    EXPECT_TRUE(entry.inbound.insert(sa.key.spi).second) << "inbound SPI given twice";
    EXPECT_FALSE(sa.key.key.is_zero());
  }
  void note_outbound(Held& entry, const Key& key, const OutboundSa& sa) {
    EXPECT_TRUE(ever_own_.insert({key, sa.key.spi}).second)
        << "H9: own SPI " << sa.key.spi << " of epoch " << key.second << " was handed over twice";
    EXPECT_FALSE(sa.key.key.is_zero());
    entry.outbound.insert(sa.key.spi);
  }
  std::uint32_t workers_;
  std::map<std::string, GroupProtection> protected_;
  std::set<std::pair<Key, std::uint32_t>> ever_own_;
};

}  // namespace sealcast::member::testing
