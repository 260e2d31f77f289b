#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <sstream>

#include "controlplane/store/disk_reserve.h"
#include "controlplane/store/kept_epochs.h"
#include "controlplane/store/spi_blocks.h"
#include "controlplane/store/sqlite.h"
#include "controlplane/store/store.h"

namespace sealcast::store {
namespace {

constexpr std::int64_t application_id = 0x53454143;  // "SEAC", in SQLite's header
constexpr std::int64_t schema_version = 3;
constexpr std::int64_t keep_history_s = 90 * 86400;  // of expired epochs and their holders, for audits
constexpr std::int64_t clock_slack_s = 60;           // a member's clock may lag so far behind ours

// groups never shrinks: highest_epoch keeps an epoch number from naming two epochs (H5).
constexpr const char* schema = R"sql(
CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE groups (group_id TEXT PRIMARY KEY, highest_epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE epochs (
  group_id TEXT NOT NULL, epoch INTEGER NOT NULL, start INTEGER NOT NULL,
  spi_prefix INTEGER NOT NULL, slot_bits INTEGER NOT NULL, next_slot INTEGER NOT NULL,
  created INTEGER NOT NULL, expires INTEGER NOT NULL, retired INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (group_id, epoch)) WITHOUT ROWID;
CREATE TABLE holders (
  group_id TEXT NOT NULL, epoch INTEGER NOT NULL, member_id TEXT NOT NULL, certificate_serial TEXT NOT NULL,
  address TEXT NOT NULL, roles INTEGER NOT NULL, first_slot INTEGER NOT NULL, slot_count INTEGER NOT NULL,
  given INTEGER NOT NULL);
CREATE INDEX holders_by_epoch ON holders (group_id, epoch, member_id);
)sql";

// Not part of the schema's version: a file without it gets it when opened.
constexpr const char* indexes =
    "CREATE INDEX IF NOT EXISTS epochs_by_prefix ON epochs (spi_prefix);"
    "CREATE INDEX IF NOT EXISTS epochs_by_expiry ON epochs (expires);";

// Added by version 2.
constexpr const char* revocations_schema = R"sql(
CREATE TABLE revocations (
  member_id TEXT NOT NULL, group_id TEXT NOT NULL, since INTEGER NOT NULL,
  PRIMARY KEY (member_id, group_id)) WITHOUT ROWID;
)sql";

// Creates the file for its owner alone before SQLite sees it; journals inherit the mode.
Result<void> create_private(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return fail("state file " + path + ": can't open or create it: " + std::strerror(errno));
  struct stat status {};
  const bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  close(fd);
  if (!regular) return fail("state file " + path + ": expected a regular file");
  return {};
}

}  // namespace

class SqliteStore final : public Store {
 public:
  struct Data;
  explicit SqliteStore(std::unique_ptr<Data> data);
  ~SqliteStore() override;

  Result<EpochRecord> begin_epoch(const NewEpoch& wish) override;
  Result<Issue> issue(const Holder& holder) override;
  Result<void> begin_batch() override;
  Result<void> end_batch() override;
  Result<void> retire(const std::string& group_id, std::uint64_t epoch) override;
  Result<void> revoke(const Revocation& revocation) override;
  Result<bool> reinstate(const std::string& member_id, const std::string& group_id) override;
  Result<std::vector<Revocation>> revocations() const override;
  Result<bool> holds(const std::string& group_id, const std::string& member_id, const std::string& certificate_serial,
                     std::int64_t unix_now) const override;
  Result<std::uint32_t> holder_count(const std::string& group_id, std::uint64_t epoch) const override;
  Result<std::uint32_t> slots_of(const std::string& group_id, std::uint64_t epoch,
                                 const std::string& member_id) const override;
  Result<void> keep(const KeptEpoch& epoch) override;
  Result<std::optional<Kept>> take_up(const std::string& group_id) override;
  Result<void> drop_kept(const std::string& group_id) override;
  Result<void> drop_kept_except(const std::vector<std::string>& group_ids) override;
  Result<void> note_alive(std::int64_t unix_now) override;
  Result<std::optional<Clock>> clock() const override;
  Result<void> keep_clock(const Clock& clock) override;
  bool has_room() override;
  Result<void> keep_wall_clock(const WallClock& clock) override;
  std::int64_t last_alive() const override;
  std::int64_t previous_start() const override;

 private:
  std::unique_ptr<Data> data_;
};

struct SqliteStore::Data {
  Database database;
  std::int64_t start = 0;  // number of this start
  std::int64_t previous_start = 0;
  std::int64_t last_alive = 0;
  std::map<std::string, std::int64_t> taken_up;  // epochs from before this start, by group
  std::optional<DiskReserve> reserve;
  std::optional<Transaction> batch;  // after database: it rolls back first

  Result<std::int64_t> meta(const std::string& name, std::int64_t otherwise) const {
    Statement query(database, "SELECT value FROM meta WHERE name = ?");
    SEALCAST_TRY_ASSIGN(const auto row, query.bind(name).step());
    return row ? query.integer(0) : otherwise;
  }
  Result<void> set_meta(const std::string& name, std::int64_t value) const {
    return Statement(database, "INSERT OR REPLACE INTO meta VALUES (?, ?)").bind(name).bind(value).finish();
  }

  Result<std::int64_t> pragma(const char* sql) const {
    Statement query(database, sql);
    SEALCAST_TRY_ASSIGN(const auto row, query.step());
    return row ? query.integer(0) : 0;
  }

  Result<void> prepare(const std::string& key_server_id);
  Result<void> check_owner(const std::string& key_server_id) const;
  Result<void> forget_old(std::int64_t unix_now, std::int64_t most_epochs) const;
  Result<Transaction> begin();
  Result<std::optional<std::string>> meta_text(const std::string& name) const {
    Statement query(database, "SELECT value FROM meta WHERE name = ?");
    SEALCAST_TRY_ASSIGN(const auto row, query.bind(name).step());
    return row ? std::optional(query.text(0)) : std::nullopt;
  }
  Result<void> set_meta_text(const std::string& name, const std::string& value) const {
    return Statement(database, "INSERT OR REPLACE INTO meta VALUES (?, ?)").bind(name).bind(value).finish();
  }
  Result<std::optional<WallClock>> wall_clock() const;
  Result<void> note_start(const TimeAtStart& time);
  Result<std::vector<UsedBlock>> used_blocks(std::int64_t unix_now) const;
  Result<bool> untouched(const SpiBlock& block, std::int64_t unix_now) const;
  Result<std::uint64_t> last_block() const;
};

// Locks the file, then makes or checks its schema. Writes nothing to a file that isn't ours.
Result<void> SqliteStore::Data::prepare(const std::string& key_server_id) {
  // Exclusive locking keeps every other process out until this one ends, however it ends.
  SEALCAST_TRY(database.run("PRAGMA busy_timeout = 200; PRAGMA locking_mode = EXCLUSIVE;"));
  SEALCAST_TRY_ASSIGN(const auto owner, pragma("PRAGMA application_id"));
  SEALCAST_TRY_ASSIGN(const auto version, pragma("PRAGMA user_version"));
  SEALCAST_TRY_ASSIGN(const auto tables, pragma("SELECT count(*) FROM sqlite_master"));
  const bool fresh = owner == 0 && version == 0 && tables == 0;
  if (!fresh && owner != application_id)
    return fail("state file " + database.path() + ": expected a key server's state, got another program's database");
  if (!fresh && (version < 1 || version > schema_version)) {
    return fail("state file " + database.path() + ": expected schema version 1 to " + std::to_string(schema_version) +
                ", got " + std::to_string(version) + ": written by another version of Sealcast");
  }
  SEALCAST_TRY(
      database.run("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; "
                   "PRAGMA secure_delete = ON;"));
  if (fresh) {
    SEALCAST_TRY_ASSIGN(auto transaction, Transaction::begin(database));
    SEALCAST_TRY(database.run(std::string(schema) + revocations_schema + kept::schema + indexes +
                              "PRAGMA application_id = " + std::to_string(application_id) +
                              "; PRAGMA user_version = " + std::to_string(schema_version) + ";"));
    SEALCAST_TRY(Statement(database, "INSERT INTO meta VALUES ('key_server_id', ?)").bind(key_server_id).finish());
    return transaction.commit();
  }
  SEALCAST_TRY(check_owner(key_server_id));
  SEALCAST_TRY(database.run(indexes));
  if (version == schema_version) return {};
  SEALCAST_TRY_ASSIGN(auto transaction, Transaction::begin(database));
  SEALCAST_TRY(database.run(std::string(version < 2 ? revocations_schema : "") + kept::schema +
                            "PRAGMA user_version = " + std::to_string(schema_version) + ";"));
  return transaction.commit();
}

Result<void> SqliteStore::Data::check_owner(const std::string& key_server_id) const {
  Statement check(database, "PRAGMA quick_check(1)");
  SEALCAST_TRY_ASSIGN(const auto checked, check.step());
  if (!checked || check.text(0) != "ok")
    return fail("state file " + database.path() + ": damaged (" + check.text(0) +
                "); restore it or give the key server a new id: its counters must never be used again");
  Statement owner(database, "SELECT value FROM meta WHERE name = 'key_server_id'");
  SEALCAST_TRY_ASSIGN(const auto owned, owner.step());
  const std::string id = owned ? owner.text(0) : "";
  if (id != key_server_id)
    return fail("state file " + database.path() + ": expected the state of key server \"" + key_server_id +
                "\", got that of \"" + id + "\"");
  return {};
}

Result<std::optional<WallClock>> SqliteStore::Data::wall_clock() const {
  SEALCAST_TRY_ASSIGN(const auto kept, meta_text("wall_clock"));
  if (!kept) return std::nullopt;
  std::istringstream in(*kept);
  WallClock clock;
  if (!(in >> clock.boot_id >> clock.ahead_ms >> clock.at))
    return fail("state file " + database.path() + ": expected the wall clock as \"BOOT_ID AHEAD AT\", got \"" + *kept +
                "\"");
  return clock;
}

Result<void> SqliteStore::Data::note_start(const TimeAtStart& time) {
  SEALCAST_TRY_ASSIGN(const auto before, wall_clock());
  const std::int64_t unix_now = time(before);
  SEALCAST_TRY_ASSIGN(auto transaction, Transaction::begin(database));
  SEALCAST_TRY_ASSIGN(const auto last, meta("starts", 0));
  SEALCAST_TRY_ASSIGN(const auto when, meta("last_start", 0));
  SEALCAST_TRY_ASSIGN(last_alive, meta("alive", 0));
  start = last + 1;
  previous_start = when;
  SEALCAST_TRY(set_meta("starts", start));
  SEALCAST_TRY(set_meta("last_start", unix_now));
  SEALCAST_TRY(forget_old(unix_now, -1));
  SEALCAST_TRY(kept::forget_identities(database));
  return transaction.commit();
}

// Bounded growth: an audit has no use for epochs that expired long ago. most_epochs: the oldest so many; -1: all.
Result<void> SqliteStore::Data::forget_old(std::int64_t unix_now, std::int64_t most_epochs) const {
  const std::int64_t horizon = unix_now - keep_history_s;
  for (const char* table : {"holders", "epochs"}) {
    const std::string sql = "DELETE FROM " + std::string(table) +
                            " WHERE (group_id, epoch) IN (SELECT group_id, epoch FROM epochs WHERE expires < ? "
                            "ORDER BY expires, group_id, epoch LIMIT ?)";
    SEALCAST_TRY(Statement(database, sql.c_str()).bind(horizon).bind(most_epochs).finish());
  }
  return {};
}

// A disk that others have filled gets its reserve back first.
Result<Transaction> SqliteStore::Data::begin() {
  if (reserve) reserve->look_before_write();
  return Transaction::begin(database);
}

// Leaves out epochs of an earlier start that were given to no member. Counts as retired, beside retired ones, epochs
// with two newer ones that were given out: a member keeps three at most.
Result<std::vector<UsedBlock>> SqliteStore::Data::used_blocks(std::int64_t unix_now) const {
  Statement query(database, R"sql(
WITH live AS (
  SELECT e.group_id, e.epoch, e.start, e.spi_prefix, e.slot_bits, e.retired,
    EXISTS (SELECT 1 FROM holders h WHERE h.group_id = e.group_id AND h.epoch = e.epoch) AS given
  FROM epochs e WHERE e.expires > ?),
counted AS (
  SELECT *, sum(given) OVER (
    PARTITION BY group_id ORDER BY epoch DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newer
  FROM live)
SELECT spi_prefix, slot_bits, retired OR coalesce(newer, 0) >= 2
FROM counted WHERE start = ? OR given ORDER BY epoch)sql");
  query.bind(unix_now - clock_slack_s).bind(start);
  std::vector<UsedBlock> used;
  for (;;) {
    SEALCAST_TRY_ASSIGN(const auto row, query.step());
    if (!row) return used;
    used.push_back({{static_cast<std::uint32_t>(query.integer(0)), static_cast<std::uint8_t>(query.integer(1))},
                    query.integer(2) != 0});
  }
}

// Whether no unexpired epoch of any group has an SPI of the block: nearly always true of the next one in turn. Its cost
// does not grow with the number of groups.
Result<bool> SqliteStore::Data::untouched(const SpiBlock& block, std::int64_t unix_now) const {
  constexpr std::int64_t largest = 1 << 16;  // SPIs of a block
  Statement query(database,
                  "SELECT spi_prefix, slot_bits FROM epochs WHERE spi_prefix > ? AND spi_prefix < ? AND expires > ?");
  query.bind(std::int64_t{block.prefix} - largest)
      .bind(static_cast<std::int64_t>(block.end()))
      .bind(unix_now - clock_slack_s);
  for (;;) {
    SEALCAST_TRY_ASSIGN(const auto row, query.step());
    if (!row) return true;
    const SpiBlock other{static_cast<std::uint32_t>(query.integer(0)), static_cast<std::uint8_t>(query.integer(1))};
    if (other.end() > block.prefix) return false;
  }
}

Result<std::uint64_t> SqliteStore::Data::last_block() const {
  SEALCAST_TRY_ASSIGN(const auto last, meta("last_spi_prefix", 0));
  return static_cast<std::uint64_t>(last);
}

SqliteStore::SqliteStore(std::unique_ptr<Data> data) : data_(std::move(data)) {}
SqliteStore::~SqliteStore() = default;

Result<std::unique_ptr<Store>> open_sqlite(const std::string& path, const std::string& key_server_id,
                                           const TimeAtStart& time) {
  SEALCAST_TRY(create_private(path));
  SEALCAST_TRY_ASSIGN(auto database, Database::open(path));
  auto data = std::make_unique<SqliteStore::Data>();
  data->database = std::move(database);
  SEALCAST_TRY(data->prepare(key_server_id));
  SEALCAST_TRY(data->note_start(time));
  return std::unique_ptr<Store>(std::make_unique<SqliteStore>(std::move(data)));
}

Result<EpochRecord> SqliteStore::begin_epoch(const NewEpoch& wish) {
  // 2^42 seconds shifted by 20 bits still fit SQLite's signed integers with room to spare.
  if (wish.unix_now < 0 || wish.unix_now >= std::int64_t{1} << 42)
    return fail("expected a sane clock, got " + std::to_string(wish.unix_now) + " seconds since 1970");
  const Database& database = data_->database;
  SEALCAST_TRY_ASSIGN(auto transaction, data_->begin());
  // Each epoch that is added takes two old ones along, so that a process that runs for years stays as small as one that
  // is restarted.
  SEALCAST_TRY(data_->forget_old(wish.unix_now, 2));

  Statement group(database, "SELECT highest_epoch FROM groups WHERE group_id = ?");
  SEALCAST_TRY_ASSIGN(const auto known, group.bind(wish.group_id).step());
  const std::int64_t by_clock = wish.unix_now << 20;
  const std::int64_t number = known ? std::max(group.integer(0) + 1, by_clock) : std::max<std::int64_t>(by_clock, 1);

  SEALCAST_TRY_ASSIGN(const auto last, data_->last_block());
  auto block = next_block(wish, last);
  if (block) {
    SEALCAST_TRY_ASSIGN(const auto untouched, data_->untouched(*block, wish.unix_now));
    if (!untouched) {
      SEALCAST_TRY_ASSIGN(auto used, data_->used_blocks(wish.unix_now));
      block = choose_block(wish, used, last);
    }
  }
  if (!block)
    return fail("group \"" + wish.group_id + "\": no block of 2^" + std::to_string(wish.slot_bits) +
                " SPIs is free in spi_range until an epoch expires; widen spi_range");

  EpochRecord record{static_cast<std::uint64_t>(number), *block, {}};
  Statement earlier(database,
                    "SELECT h.member_id, min(CASE e.retired WHEN 0 THEN e.expires ELSE 1 << 62 END) "
                    "FROM epochs e JOIN holders h USING (group_id, epoch) "
                    "WHERE e.group_id = ? AND e.expires > ? GROUP BY h.member_id");
  earlier.bind(wish.group_id).bind(wish.unix_now - clock_slack_s);
  for (;;) {
    SEALCAST_TRY_ASSIGN(const auto row, earlier.step());
    if (!row) break;
    const std::int64_t end = earlier.integer(1);
    record.earlier_end = record.earlier_holders.empty() ? end : std::min(record.earlier_end, end);
    record.earlier_holders.push_back(earlier.text(0));
  }

  SEALCAST_TRY(
      Statement(database, "INSERT OR REPLACE INTO groups VALUES (?, ?)").bind(wish.group_id).bind(number).finish());
  SEALCAST_TRY(
      Statement(database,
                "INSERT INTO epochs (group_id, epoch, start, spi_prefix, slot_bits, next_slot, created, expires) "
                "VALUES (?, ?, ?, ?, ?, 0, ?, ?)")
          .bind(wish.group_id)
          .bind(number)
          .bind(data_->start)
          .bind(std::int64_t{block->prefix})
          .bind(std::int64_t{block->slot_bits})
          .bind(wish.unix_now)
          .bind(wish.unix_expires)
          .finish());
  SEALCAST_TRY(kept::drop(database, wish.group_id));
  SEALCAST_TRY(data_->set_meta("last_spi_prefix", block->prefix));
  SEALCAST_TRY(transaction.commit());
  return record;
}

Result<Issue> SqliteStore::issue(const Holder& holder) {
  const Database& database = data_->database;
  std::optional<Transaction> own;
  if (!data_->batch) {
    SEALCAST_TRY_ASSIGN(auto transaction, data_->begin());
    own.emplace(std::move(transaction));
  }
  const auto epoch = static_cast<std::int64_t>(holder.epoch);
  Statement query(database, "SELECT start, slot_bits, next_slot FROM epochs WHERE group_id = ? AND epoch = ?");
  SEALCAST_TRY_ASSIGN(const auto row, query.bind(holder.group_id).bind(epoch).step());
  const std::string which = "group \"" + holder.group_id + "\", epoch " + std::to_string(holder.epoch) + ": ";
  if (!row) return fail(which + "no such epoch");
  if (query.integer(0) != data_->start) {
    const auto taken_up = data_->taken_up.find(holder.group_id);
    if (taken_up == data_->taken_up.end() || taken_up->second != epoch || holder.slot_count != 0)
      return fail(which + "begun before the last start: its slots stay burnt");
  }
  // The wire counts slots in 16 bits: slot 65535 of a full block stays unused, because slots_used must be able to
  // express it.
  const std::int64_t capacity = std::min<std::int64_t>((std::int64_t{1} << query.integer(1)), 65535);
  const std::int64_t first = query.integer(2);
  const std::int64_t next = first + holder.slot_count;
  if (next > capacity)
    return fail(which + "expected at least " + std::to_string(holder.slot_count) + " free slots, got " +
                std::to_string(capacity - first));

  SEALCAST_TRY(Statement(database, "UPDATE epochs SET next_slot = ? WHERE group_id = ? AND epoch = ?")
                   .bind(next)
                   .bind(holder.group_id)
                   .bind(epoch)
                   .finish());
  // Without slots a holder's row says all there is to say, however often it comes (H27).
  SEALCAST_TRY(Statement(database,
                         "INSERT INTO holders SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE ?8 > 0 OR NOT EXISTS "
                         "(SELECT 1 FROM holders WHERE group_id = ?1 AND epoch = ?2 AND member_id = ?3 AND "
                         "certificate_serial = ?4)")
                   .bind(holder.group_id)
                   .bind(epoch)
                   .bind(holder.member_id)
                   .bind(holder.certificate_serial)
                   .bind(holder.address)
                   .bind(std::int64_t{holder.roles})
                   .bind(first)
                   .bind(std::int64_t{holder.slot_count})
                   .bind(holder.unix_now)
                   .finish());
  if (!holder.identity.empty()) SEALCAST_TRY(kept::note_identity(database, holder));
  if (own) SEALCAST_TRY(own->commit());
  return Issue{static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(next)};
}

Result<void> SqliteStore::begin_batch() {
  if (data_->batch) return fail("state file " + data_->database.path() + ": a batch is open already");
  SEALCAST_TRY_ASSIGN(auto transaction, data_->begin());
  data_->batch.emplace(std::move(transaction));
  return {};
}

Result<void> SqliteStore::end_batch() {
  if (!data_->batch) return fail("state file " + data_->database.path() + ": no batch is open");
  const auto committed = data_->batch->commit();
  data_->batch.reset();
  return committed;
}

Result<void> SqliteStore::retire(const std::string& group_id, std::uint64_t epoch) {
  const auto number = static_cast<std::int64_t>(epoch);
  SEALCAST_TRY(kept::drop(data_->database, group_id, number));
  return Statement(data_->database, "UPDATE epochs SET retired = 1 WHERE group_id = ? AND epoch = ?")
      .bind(group_id)
      .bind(number)
      .finish();
}

Result<void> SqliteStore::keep(const KeptEpoch& epoch) {
  return kept::keep(data_->database, epoch);
}

Result<std::optional<Kept>> SqliteStore::take_up(const std::string& group_id) {
  auto found = kept::find(data_->database, group_id);
  if (found && *found) data_->taken_up[group_id] = static_cast<std::int64_t>((*found)->epoch.epoch);
  return found;
}

Result<void> SqliteStore::drop_kept(const std::string& group_id) {
  return kept::drop(data_->database, group_id);
}

Result<void> SqliteStore::drop_kept_except(const std::vector<std::string>& group_ids) {
  return kept::drop_except(data_->database, group_ids);
}

// In exclusive locking mode no other connection reads, so the whole log moves into the file and is truncated.
Result<void> SqliteStore::note_alive(std::int64_t unix_now) {
  if (data_->batch) return {};
  SEALCAST_TRY(data_->set_meta("alive", unix_now));
  return data_->database.run("PRAGMA wal_checkpoint(TRUNCATE);");
}

Result<std::optional<Store::Clock>> SqliteStore::clock() const {
  SEALCAST_TRY_ASSIGN(const auto kept, data_->meta_text("clock"));
  if (!kept) return std::nullopt;
  std::istringstream in(*kept);
  Clock clock;
  if (!(in >> clock.id >> clock.boot_id >> clock.offset_ms))
    return fail("state file: expected the group clock as \"ID BOOT_ID OFFSET\", got \"" + *kept + "\"");
  return clock;
}

// One value each: its parts mean nothing without each other.
Result<void> SqliteStore::keep_clock(const Clock& clock) {
  return data_->set_meta_text("clock",
                              std::to_string(clock.id) + " " + clock.boot_id + " " + std::to_string(clock.offset_ms));
}

Result<void> SqliteStore::keep_wall_clock(const WallClock& clock) {
  return data_->set_meta_text("wall_clock",
                              clock.boot_id + " " + std::to_string(clock.ahead_ms) + " " + std::to_string(clock.at));
}

bool SqliteStore::has_room() {
  if (!data_->reserve) data_->reserve.emplace(data_->database.path() + ".reserve");
  return data_->reserve->look();
}

std::int64_t SqliteStore::last_alive() const {
  return data_->last_alive;
}

Result<void> SqliteStore::revoke(const Revocation& revocation) {
  if (data_->reserve) data_->reserve->look_before_write();
  return Statement(data_->database, "INSERT OR IGNORE INTO revocations VALUES (?, ?, ?)")
      .bind(revocation.member_id)
      .bind(revocation.group_id)
      .bind(revocation.since)
      .finish();
}

Result<bool> SqliteStore::reinstate(const std::string& member_id, const std::string& group_id) {
  SEALCAST_TRY(Statement(data_->database, "DELETE FROM revocations WHERE member_id = ? AND group_id = ?")
                   .bind(member_id)
                   .bind(group_id)
                   .finish());
  Statement changes(data_->database, "SELECT changes()");
  SEALCAST_TRY(changes.step());
  return changes.integer(0) != 0;
}

Result<std::vector<Revocation>> SqliteStore::revocations() const {
  Statement query(data_->database, "SELECT member_id, group_id, since FROM revocations ORDER BY member_id, group_id");
  std::vector<Revocation> all;
  for (;;) {
    SEALCAST_TRY_ASSIGN(const auto row, query.step());
    if (!row) return all;
    all.push_back({query.text(0), query.text(1), query.integer(2)});
  }
}

Result<bool> SqliteStore::holds(const std::string& group_id, const std::string& member_id,
                                const std::string& certificate_serial, std::int64_t unix_now) const {
  Statement query(
      data_->database,
      "SELECT 1 FROM epochs e JOIN holders h USING (group_id, epoch) WHERE e.group_id = ? AND e.expires > ? "
      "AND h.member_id = ? AND h.certificate_serial = ? LIMIT 1");
  return query.bind(group_id).bind(unix_now).bind(member_id).bind(certificate_serial).step();
}

Result<std::uint32_t> SqliteStore::holder_count(const std::string& group_id, std::uint64_t epoch) const {
  Statement query(data_->database, "SELECT count(DISTINCT member_id) FROM holders WHERE group_id = ? AND epoch = ?");
  SEALCAST_TRY(query.bind(group_id).bind(static_cast<std::int64_t>(epoch)).step());
  return static_cast<std::uint32_t>(query.integer(0));
}

Result<std::uint32_t> SqliteStore::slots_of(const std::string& group_id, std::uint64_t epoch,
                                            const std::string& member_id) const {
  Statement query(
      data_->database,
      "SELECT coalesce(sum(slot_count), 0) FROM holders WHERE group_id = ? AND epoch = ? AND member_id = ?");
  SEALCAST_TRY(query.bind(group_id).bind(static_cast<std::int64_t>(epoch)).bind(member_id).step());
  return static_cast<std::uint32_t>(query.integer(0));
}

std::int64_t SqliteStore::previous_start() const {
  return data_->previous_start;
}

}  // namespace sealcast::store
