// One installed epoch with its keys, and how it is made from the plain values of base/dataplane_control.h. Control
// thread only; workers reach the SA objects through the snapshot.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/dataplane_control.h"
#include "base/limits.h"
#include "dataplane/sa/key_memory.h"
#include "dataplane/sa/sa.h"
#include "dataplane/sa/snapshot.h"
#include "dataplane/sa/statistics.h"

namespace sealcast::dataplane {

// Where keys and SA objects live; outlives every epoch.
struct KeyStore {
  explicit KeyStore(const aead::Engine& aead_engine)
      : engine(aead_engine),
        contexts(aead_engine.context_bytes()),
        opening(sizeof(OpeningSa)),
        sealing(sizeof(SealingSa)) {}

  const aead::Engine& engine;
  KeyMemory contexts, opening, sealing;
  std::vector<WorkerBytes> ended = std::vector<WorkerBytes>(worker_limits.most);  // by worker: of SAs that have ended
};

// An SA object together with its expanded key; releases both, and adds its counts to the group's.
template <typename Sa>
class KeyedSa {
 public:
  KeyedSa(KeyStore& store, Locked<Sa> sa, std::shared_ptr<GroupLedger> ledger = nullptr)
      : store_(&store), sa_(std::move(sa)), ledger_(std::move(ledger)) {}
  ~KeyedSa() {
    if (sa_.get() == nullptr) return;
    if (ledger_ != nullptr) {
      ledger_->close(*sa_, store_->ended);
      if (last_received.when)
        ledger_->last_received = std::max(ledger_->last_received.value_or(*last_received.when), *last_received.when);
    }
    if (sa_->key.context == nullptr) return;
    void* const context = sa_->key.context;
    store_->engine.release_key(sa_->key);
    store_->contexts.release(context);
  }
  KeyedSa(KeyedSa&&) noexcept = default;
  KeyedSa& operator=(KeyedSa&&) = delete;
  KeyedSa(const KeyedSa&) = delete;
  KeyedSa& operator=(const KeyedSa&) = delete;

  Sa& operator*() const { return *sa_; }
  Sa* operator->() const { return sa_.get(); }
  Sa* get() const { return sa_.get(); }

  mutable LastReceived last_received;

 private:
  KeyStore* store_;
  Locked<Sa> sa_;
  std::shared_ptr<GroupLedger> ledger_;
};

using OpeningSas = std::map<std::uint32_t, KeyedSa<OpeningSa>>;
using SealingSas = std::vector<KeyedSa<SealingSa>>;

// By SPI.
using HighestNumbers = std::map<std::uint32_t, std::uint64_t>;

struct Epoch {
  std::string group_id;
  std::uint64_t number = 0;
  EpochRules rules;
  std::uint32_t replay_window = replay_window_limits.standard;
  SpiRange range;
  std::shared_ptr<GroupLedger> ledger;  // of the group
  OpeningSas inbound;                   // by SPI
  SealingSas outbound;                  // by worker; empty: receive only
  std::set<std::uint32_t> own_spis;     // every SPI we ever sealed under in this epoch
  std::uint64_t floor = 0;              // numbers below it are refused under every SPI
  // Highest numbers accepted when this epoch was installed before, by SPI.
  HighestNumbers accepted_before;
  std::chrono::milliseconds freshness{0};
  FreshTimes fresh;
  bool timed = false;         // zero_ms is set
  std::uint32_t zero_ms = 0;  // the workers' clock when the epoch's time was 0
  // Our own packets' times are so far behind that: while the clock's error is large, they must not be ahead of
  // receivers' clocks by more than those allow.
  std::uint32_t held_back_ms = 0;

  // Highest slot in use plus slot_window, within the range.
  void update_window();
  // For all SAs, those made later included. now and now_ms (TickScale) are the same moment.
  void set_clock(const EpochClock& clock, SteadyTime now, std::uint32_t now_ms);
  // Numbers accepted so far, for another install of this epoch.
  HighestNumbers accepted() const;
};

// Refuses modes, families, sizes and ranges that this version does not support (H12); errors say what was expected.
Result<void> check_epoch(const GroupEpoch& epoch, const GroupProtection& protection, std::uint32_t workers);
// Times have 32 bits, and a zero that is still to come would make them wrap.
Result<void> check_clock(const EpochClock& clock, SteadyTime now);

// Checks protect()'s argument: selectors, and an outer header exactly if the mode needs one.
Result<void> check_protection(const GroupProtection& protection);

// In the path's form; outer was checked.
OuterHeader compile_outer(const OuterTunnel& outer);

// Makes SAs from keys; errors name the SPI. Refuses keys that are out of range, and outbound ones that are given twice
// or were used before. Leaves out inbound ones that exist already, are given twice or are our own.
Result<OpeningSas> make_inbound(KeyStore& store, const Epoch& epoch, std::vector<sealcast::InboundSa> slots,
                                std::uint32_t workers);
Result<SealingSas> make_outbound(KeyStore& store, const Epoch& epoch, std::vector<sealcast::OutboundSa> slots);

}  // namespace sealcast::dataplane
