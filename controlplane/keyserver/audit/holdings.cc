#include "controlplane/keyserver/audit/holdings.h"

#include <iterator>
#include <utility>

namespace sealcast::keyserver {

using store::Database;
using store::Statement;

void WaitingHoldings::epoch_begun(const std::string& group, std::uint64_t epoch) {
  Sequence& sequence = epochs_[group];
  if (epoch > sequence.newest) sequence = {epoch, sequence.newest};
}

bool WaitingHoldings::take(const Holding& holding, std::int64_t now_ms) {
  const auto sequence = epochs_.find(holding.group);
  const bool newest = sequence != epochs_.end() && sequence->second.newest == holding.epoch;
  const std::uint64_t before = newest ? sequence->second.before : 0;
  std::vector<HeldRow>& rows = rows_[{holding.group, holding.member, holding.serial}];
  if (!rows.empty()) {
    HeldRow& row = rows.back();
    const bool next = before != 0 && row.last == before;
    if (next || (row.first <= holding.epoch && holding.epoch <= row.last)) {
      if (next) row.last = holding.epoch;
      row.last_ms = now_ms;
      row.address = holding.address;
      ++row.times;
      return true;
    }
  }
  if (count_ + writing_ >= most_) return false;
  rows.push_back({.group = holding.group,
                  .member = holding.member,
                  .serial = holding.serial,
                  .address = holding.address,
                  .before = before,
                  .first = holding.epoch,
                  .last = holding.epoch,
                  .first_ms = now_ms,
                  .last_ms = now_ms,
                  .times = 1});
  ++count_;
  return true;
}

std::vector<HeldRow> WaitingHoldings::take_all() {
  std::vector<HeldRow> all;
  all.reserve(count_);
  for (auto& [who, rows] : std::exchange(rows_, {}))
    std::move(rows.begin(), rows.end(), std::back_inserter(all));
  writing_ = std::exchange(count_, 0);
  return all;
}

void WaitingHoldings::put_back(std::vector<HeldRow> rows) {
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    std::vector<HeldRow>& of = rows_[{row->group, row->member, row->serial}];
    of.insert(of.begin(), std::move(*row));
    ++count_;
  }
  writing_ = 0;
}

namespace holdings {

const char* const schema = R"sql(
CREATE TABLE holdings (
  id INTEGER PRIMARY KEY, group_id TEXT NOT NULL, member TEXT NOT NULL, serial TEXT NOT NULL, address TEXT NOT NULL,
  first_epoch INTEGER NOT NULL, last_epoch INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
  times INTEGER NOT NULL);
CREATE INDEX holdings_by_member ON holdings (group_id, member, serial, last_epoch);
CREATE INDEX holdings_by_age ON holdings (last_ms);
)sql";

namespace {

std::int64_t number(std::uint64_t value) {
  return static_cast<std::int64_t>(value);
}

// A row that ends with the epoch before this one's first, or holds that one, goes on.
Result<bool> extend(const Database& database, const HeldRow& row) {
  Statement update(database,
                   "UPDATE holdings SET last_epoch = max(last_epoch, ?), last_ms = ?, address = ?, times = times + ? "
                   "WHERE id = (SELECT id FROM holdings WHERE group_id = ? AND member = ? AND serial = ? AND "
                   "last_epoch >= ? AND first_epoch <= ? ORDER BY last_epoch DESC LIMIT 1)");
  update.bind(number(row.last)).bind(row.last_ms).bind(row.address).bind(number(row.times));
  update.bind(row.group).bind(row.member).bind(row.serial);
  SEALCAST_TRY(update.bind(number(row.before != 0 ? row.before : row.first)).bind(number(row.first)).finish());
  return sqlite3_changes(database.handle()) != 0;
}

Result<void> insert(const Database& database, const HeldRow& row) {
  return Statement(database,
                   "INSERT INTO holdings (group_id, member, serial, address, first_epoch, last_epoch, first_ms, "
                   "last_ms, times) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(row.group)
      .bind(row.member)
      .bind(row.serial)
      .bind(row.address)
      .bind(number(row.first))
      .bind(number(row.last))
      .bind(row.first_ms)
      .bind(row.last_ms)
      .bind(number(row.times))
      .finish();
}

}  // namespace

Result<void> write(const Database& database, const std::vector<HeldRow>& rows) {
  for (const HeldRow& row : rows) {
    SEALCAST_TRY_ASSIGN(const auto extended, extend(database, row));
    if (!extended) SEALCAST_TRY(insert(database, row));
  }
  return {};
}

Result<void> prune(const Database& database, std::int64_t now_ms) {
  return Statement(database, "DELETE FROM holdings WHERE last_ms < ?")
      .bind(now_ms - std::chrono::milliseconds(kept_for).count())
      .finish();
}

Result<std::vector<HeldRow>> find(const Database& database, std::uint64_t epoch, const std::string& group,
                                  const std::string& member, std::size_t most) {
  std::string sql =
      "SELECT group_id, member, serial, address, first_epoch, last_epoch, first_ms, last_ms, times FROM holdings "
      "WHERE first_epoch <= ? AND last_epoch >= ?";
  if (!group.empty()) sql += " AND group_id = ?";
  if (!member.empty()) sql += " AND member = ?";
  Statement query(database, (sql + " ORDER BY group_id, member, first_epoch, id LIMIT ?").c_str());
  query.bind(number(epoch)).bind(number(epoch));
  for (const std::string* value : {&group, &member})
    if (!value->empty()) query.bind(*value);
  query.bind(static_cast<std::int64_t>(most));
  std::vector<HeldRow> rows;
  for (;;) {
    SEALCAST_TRY_ASSIGN(const auto there, query.step());
    if (!there) break;
    rows.push_back({.group = query.text(0),
                    .member = query.text(1),
                    .serial = query.text(2),
                    .address = query.text(3),
                    .first = static_cast<std::uint64_t>(query.integer(4)),
                    .last = static_cast<std::uint64_t>(query.integer(5)),
                    .first_ms = query.integer(6),
                    .last_ms = query.integer(7),
                    .times = static_cast<std::uint64_t>(query.integer(8))});
  }
  return rows;
}

}  // namespace holdings
}  // namespace sealcast::keyserver
