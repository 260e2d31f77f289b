// What a key server must remember for ever: the highest epoch number of every group, how many of each epoch's slots
// were handed out, and which members hold which epoch. Every number is durable before it is returned, so that no crash,
// not even kill -9, makes it come out again (H9). Store is the key server's interface to it; open_sqlite() makes the
// store of a key server that stands alone: a file, committed to disk. The store knows no key: it gets secrets sealed.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace sealcast::store {

// SPIs prefix .. prefix + 2^slot_bits - 1, aligned to their number: spi = prefix | slot.
struct SpiBlock {
  std::uint32_t prefix = 0;
  std::uint8_t slot_bits = 16;
  std::uint64_t end() const { return std::uint64_t{prefix} + (std::uint64_t{1} << slot_bits); }
};

struct NewEpoch {
  std::string group_id;
  std::uint32_t spi_first = 0;  // the key server's range, inclusive
  std::uint32_t spi_last = 0;
  std::uint8_t slot_bits = 16;
  std::int64_t unix_now = 0;      // seconds
  std::int64_t unix_expires = 0;  // seconds, rounded up: until then some member may hold the epoch
};

struct EpochRecord {
  std::uint64_t epoch = 0;
  SpiBlock block;
  // Members that were given an earlier epoch of the group that has not expired: senders among them may still be running
  // under it, so unless this is empty the new epoch must not begin as active.
  std::vector<std::string> earlier_holders;
  std::int64_t earlier_end = 0;  // unix seconds: the first of those epochs expires; meaningless without holders
};

// A member that is given an epoch. It counts as a holder from here on, whatever happens to its connection (H3).
struct Holder {
  std::string group_id;
  std::uint64_t epoch = 0;
  std::string member_id;
  std::string certificate_serial;
  std::string address;  // of its connection, for the audit
  std::uint8_t roles = 0;
  std::uint16_t slot_count = 0;  // 0 for a pure receiver
  std::int64_t unix_now = 0;
  std::string identity = {};  // bytes that kept() returns again; empty: no identity is stored
};

struct Issue {
  std::uint16_t first_slot = 0;  // meaningless for slot_count 0
  std::uint16_t slots_used = 0;  // the epoch's high-water mark, this issue included (at most 65535)
};

// A member shut out by an operator, whatever its certificate or password says.
struct Revocation {
  std::string member_id;   // any of its certificate's names, or its user
  std::string group_id;    // empty: of every group
  std::int64_t since = 0;  // unix seconds
  friend auto operator<=>(const Revocation&, const Revocation&) = default;
};

// A group's running epoch, for the next start (docs/key-server.md, "Restart").
struct KeptEpoch {
  std::string group_id;
  std::uint64_t epoch = 0;
  std::int64_t begun = 0;    // unix seconds
  std::int64_t expires = 0;  // unix seconds
  std::string sealed;        // bytes
};

struct KeptHolder {
  std::string member_id;
  std::string certificate_serial;
  std::string identity;                                       // as last given to issue(); empty: not there
  std::vector<std::pair<std::uint16_t, std::uint16_t>> runs;  // slots of the epoch: first, count
};

struct Kept {
  KeptEpoch epoch;
  std::uint16_t slots_used = 0;
  std::vector<KeptHolder> holders;
};

// What is known of the wall clock, from when it was believed last.
struct WallClock {
  std::string boot_id;        // of the kernel then
  std::int64_t ahead_ms = 0;  // of the time since that boot
  std::int64_t at = 0;        // what it showed then, unix seconds
};
// The time to go by, in unix seconds. before: as a process before kept it; empty: it was never believed.
using TimeAtStart = std::function<std::int64_t(const std::optional<WallClock>& before)>;

// All calls are made on the key server's loop and return at once or after a bounded wait.
class Store {
 public:
  virtual ~Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // The group's next epoch: number = max(highest + 1, unix_now · 2^20), and a block of SPIs unused by any epoch that a
  // member may still hold. If there is none, the block that was retired longest ago.
  virtual Result<EpochRecord> begin_epoch(const NewEpoch& wish) = 0;

  // Stores the holder and hands out its slots, ascending. Fails, and stores nothing, when the epoch was begun before
  // the last start, is unknown, or has fewer than slot_count slots left. An epoch that was taken up has no slots, but
  // members may be given it without slots.
  virtual Result<Issue> issue(const Holder& holder) = 0;

  // Until end_batch(), issue() does not write to disk: a rekey of many members is one commit instead of one each. No
  // result of issue() may leave this process before end_batch() has succeeded; if it fails, nothing was stored.
  virtual Result<void> begin_batch() = 0;
  virtual Result<void> end_batch() = 0;

  // Every connected member has got Retire for the epoch; if blocks run out, its block is the first to be used again.
  virtual Result<void> retire(const std::string& group_id, std::uint64_t epoch) = 0;

  // Durable before it returns. A member that is revoked already stays so, with its first date.
  virtual Result<void> revoke(const Revocation& revocation) = 0;
  // False: it was not revoked in this group (or, with an empty group, in every group).
  virtual Result<bool> reinstate(const std::string& member_id, const std::string& group_id) = 0;
  // All of them, by member, then group.
  virtual Result<std::vector<Revocation>> revocations() const = 0;

  // Whether the member was given, under this certificate, an epoch of the group that has not expired.
  virtual Result<bool> holds(const std::string& /*group_id*/, const std::string& /*member_id*/,
                             const std::string& /*certificate_serial*/, std::int64_t /*unix_now*/) const {
    return false;
  }

  // Distinct members given the epoch.
  virtual Result<std::uint32_t> holder_count(const std::string& group_id, std::uint64_t epoch) const = 0;
  // Slots the member has been given in the epoch so far, for its quota.
  virtual Result<std::uint32_t> slots_of(const std::string& group_id, std::uint64_t epoch,
                                         const std::string& member_id) const = 0;

  // Keeps the epoch, instead of any other of its group. begin_epoch() drops the group's kept epoch in the same commit:
  // the next start can take nothing up until the new epoch is kept. retire() drops it, too, if it is that epoch.
  virtual Result<void> keep(const KeptEpoch&) { return {}; }
  // The epoch kept before this start, unless it was retired since. issue() takes its holders from now on.
  virtual Result<std::optional<Kept>> take_up(const std::string& /*group_id*/) { return std::nullopt; }
  virtual Result<void> drop_kept(const std::string& /*group_id*/) { return {}; }
  // Drops the kept epochs of all other groups.
  virtual Result<void> drop_kept_except(const std::vector<std::string>& /*group_ids*/) { return {}; }
  // Stores the time, for last_alive() of the next start. Also removes what was dropped before from the write-ahead log.
  virtual Result<void> note_alive(std::int64_t /*unix_now*/) { return {}; }
  // Call it every few seconds. False: the disk is nearly full, and soon nothing can be handed out.
  virtual bool has_room() { return true; }
  virtual std::int64_t last_alive() const { return 0; }  // unix seconds, before this start; 0: never stored

  // The group clock of the process before; nothing: there was none.
  struct Clock {
    std::uint64_t id = 0;  // below 2^63
    std::string boot_id;
    std::int64_t offset_ms = 0;
  };
  virtual Result<std::optional<Clock>> clock() const { return std::nullopt; }
  virtual Result<void> keep_clock(const Clock&) { return {}; }  // durable when it returns

  virtual Result<void> keep_wall_clock(const WallClock&) { return {}; }  // for the next start

  virtual std::int64_t previous_start() const = 0;  // unix seconds of the start before this one; 0: there was none

 protected:
  Store() = default;
};

// Opens or creates the file (mode 0600) and keeps it locked: a second key server on the same file is refused. Records
// this start; slots of epochs begun before it are never issued any more. Refuses a damaged file, another program's,
// another key server's, and one of a newer Sealcast.
Result<std::unique_ptr<Store>> open_sqlite(const std::string& path, const std::string& key_server_id,
                                           const TimeAtStart& time);
inline Result<std::unique_ptr<Store>> open_sqlite(const std::string& path, const std::string& key_server_id,
                                                  std::int64_t unix_now) {
  return open_sqlite(path, key_server_id, [unix_now](const std::optional<WallClock>&) { return unix_now; });
}

}  // namespace sealcast::store
