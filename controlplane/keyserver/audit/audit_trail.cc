#include "controlplane/keyserver/audit/audit_trail.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/audit/holdings.h"
#include "controlplane/store/sqlite.h"

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using store::Database;
using store::Statement;
using store::Transaction;

constexpr std::int64_t application_id = 0x53454155;  // "SEAU", in SQLite's header
// 1: lines as text instead of fields. 2: nothing of who held which epoch.
constexpr std::int64_t schema_version = 3;
constexpr std::size_t most_answer = 8 * 1024 * 1024;  // bytes of fields
constexpr auto wait_for_disk = 250ms;
constexpr auto complain_every = 60s;
constexpr auto prune_every = 1h;
constexpr const char* what = "audit file";

constexpr const char* schema = R"sql(
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, level INTEGER NOT NULL, event TEXT NOT NULL,
  group_id TEXT NOT NULL, member TEXT NOT NULL, fields TEXT NOT NULL);
CREATE INDEX events_by_event ON events (event);
CREATE INDEX events_by_group ON events (group_id);
CREATE INDEX events_by_member ON events (member);
)sql";

// A file of version 1 keeps its events, with their lines as text.
constexpr const char* from_version_1 =
    "BEGIN IMMEDIATE; ALTER TABLE events RENAME COLUMN line TO fields; "
    "UPDATE events SET fields = json_object('text', fields); PRAGMA user_version=2; COMMIT;";

std::string from_version_2() {
  return "BEGIN IMMEDIATE;" + std::string(holdings::schema) + "PRAGMA user_version=3; COMMIT;";
}

// What members that merely connect, join and leave cannot cause: it is not pushed out by what they can (H13).
constexpr std::string_view decisions =
    "('started', 'stopped', 'reloaded', 'crl_read', 'crl_refused', 'standing_changed', 'operator_command', 'revoked', "
    "'reinstated', "
    "'revocation_complete', 'member_revoked', 'holder_shut_out', 'rekey_failed', 'retire_failed', 'epoch_expired', "
    "'audit_lost')";

bool is_decision(const Event& event) {
  return decisions.find("'" + event.name() + "'") != std::string_view::npos;
}

// An object of texts, in the event's order.
std::string fields_json(const Event& event) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const EventField& field : event.fields())
    out.emplace(field.name, field.shown());
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

// And back.
std::vector<std::pair<std::string, std::string>> fields_of(const std::string& text) {
  const auto object = nlohmann::ordered_json::parse(text, nullptr, false);
  if (!object.is_object()) return {{"text", text}};  // another program wrote it
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [key, value] : object.items())
    out.emplace_back(key, value.is_string() ? value.get<std::string>() : value.dump());
  return out;
}

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string utc(std::int64_t ms) {
  const auto seconds = static_cast<std::time_t>(ms / 1000);
  std::tm parts{};
  char date[32] = "", text[48];
  if (gmtime_r(&seconds, &parts) != nullptr) std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text, sizeof text, "%s.%03dZ", date, static_cast<int>(ms % 1000));
  return text;
}

Result<std::int64_t> pragma(const Database& database, const char* sql) {
  Statement query(database, sql);
  const auto row = query.step();
  if (!row) return tl::unexpected(row.error());
  return query.integer(0);
}

// For its owner alone, also if it was there before.
Result<void> make_private(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return fail("audit file " + path + ": can't open or create it: " + std::strerror(errno));
  struct stat status {};
  const bool good = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && ::fchmod(fd, 0600) == 0;
  ::close(fd);
  if (!good) return fail("audit file " + path + ": expected a regular file of this user");
  return {};
}

struct Entry {
  std::int64_t time_ms;
  AuditLevel level;
  Event event;
};

Result<void> prune(const Database& database, const std::string& which, std::int64_t count) {
  if (count <= 0) return {};
  const std::string sql =
      "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE event " + which + " ORDER BY id LIMIT ?)";
  return Statement(database, sql.c_str()).bind(count).finish();
}

// How many events the file has.
struct Kept {
  std::int64_t all = 0, decisions = 0;
};

Result<Kept> count(const Database& database) {
  const auto all = pragma(database, "SELECT count(*) FROM events");
  const auto few = pragma(database, ("SELECT count(*) FROM events WHERE event IN " + std::string(decisions)).c_str());
  if (!all || !few) return tl::unexpected((!all ? all : few).error());
  return Kept{*all, *few};
}

// kept: counted before, then after.
Result<void> prune_all(const Database& database, Kept& kept, std::uint64_t most_events) {
  const auto most = static_cast<std::int64_t>(most_events);
  const std::int64_t too_many = kept.all - most;
  if (too_many <= 0) return {};
  const std::int64_t old_decisions = std::clamp<std::int64_t>(kept.decisions - most / 4, 0, too_many);
  const std::string in = " IN " + std::string(decisions);
  const std::int64_t rest = std::min(too_many - old_decisions, kept.all - kept.decisions);
  if (auto done = prune(database, in, too_many - rest); !done) return done;
  kept = {most, kept.decisions - (too_many - rest)};
  return prune(database, "NOT" + in, rest);
}

// kept: empty, until it has been counted once.
Result<void> write_all(const Database& database, const std::deque<Entry>& batch, const std::vector<HeldRow>& held,
                       std::uint64_t most_events, std::optional<Kept>& known) {
  const std::optional<Kept> before = std::exchange(known, std::nullopt);  // after an error it is counted anew
  auto transaction = Transaction::begin(database);
  if (!transaction) return tl::unexpected(transaction.error());
  for (const Entry& entry : batch) {
    const Event& event = entry.event;
    const std::string group(event.field("group"));
    const std::string member(event.field("member").empty() ? event.field("user") : event.field("member"));
    const auto done = Statement(database,
                                "INSERT INTO events (time_ms, level, event, group_id, member, fields) "
                                "VALUES (?, ?, ?, ?, ?, ?)")
                          .bind(entry.time_ms)
                          .bind(std::int64_t{static_cast<std::uint8_t>(entry.level)})
                          .bind(event.name())
                          .bind(group)
                          .bind(member)
                          .bind(fields_json(event))
                          .finish();
    if (!done) return done;
  }
  if (auto done = holdings::write(database, held); !done) return done;
  auto kept = before ? Result<Kept>(*before) : count(database);
  if (!kept) return tl::unexpected(kept.error());
  if (before) {
    kept->all += static_cast<std::int64_t>(batch.size());
    kept->decisions += static_cast<std::int64_t>(
        std::count_if(batch.begin(), batch.end(), [](const Entry& entry) { return is_decision(entry.event); }));
  }
  if (const auto pruned = prune_all(database, *kept, most_events); !pruned) return pruned;
  if (auto done = transaction->commit(); !done) return done;
  known = *kept;
  return {};
}

// As events, so that who reads the one reads the other.
Result<admin::AuditAnswer> find_holders(const Database& database, const AuditQuery& query, std::uint32_t count) {
  SEALCAST_TRY_ASSIGN(auto rows, holdings::find(database, *query.epoch, query.group, query.member, count + 1));
  admin::AuditAnswer out;
  out.more = rows.size() > count;
  if (rows.size() > count) rows.pop_back();
  for (const HeldRow& row : rows)
    out.events.push_back({.time = utc(row.first_ms),
                          .level = "info",
                          .event = "held",
                          .fields = {{"group", row.group},
                                     {"member", row.member},
                                     {"serial", row.serial},
                                     {"first_epoch", std::to_string(row.first)},
                                     {"last_epoch", std::to_string(row.last)},
                                     {"last_given", utc(row.last_ms)},
                                     {"address", row.address},
                                     {"times", std::to_string(row.times)}}});
  return out;
}

}  // namespace

struct AuditTrail::Impl {
  explicit Impl(Options of) : options(std::move(of)) {}

  Options options;
  Database writing, reading;  // the thread's and the caller's
  std::mutex mutex;
  std::condition_variable wake, written;
  std::deque<Entry> waiting;
  WaitingHoldings holdings{options.most_queued};
  std::chrono::steady_clock::time_point prune_next{};  // the thread's
  std::uint64_t lost = 0;
  std::uint64_t asked = 0, answered = 0;  // flushes
  bool stopping = false;
  std::chrono::steady_clock::time_point complain_next{};
  std::thread thread;
  std::optional<Kept> kept;  // the thread's

  Result<void> open();
  void take(AuditLevel level, const Event& event);
  void take(const Holding& holding);
  Result<void> write(const std::deque<Entry>& batch, const std::vector<HeldRow>& held);
  void run();
  void flush_soon();
};

Result<void> AuditTrail::Impl::open() {
  if (auto made = make_private(options.path); !made) return made;
  auto database = Database::open(options.path, what);
  if (!database) return tl::unexpected(database.error());
  writing = std::move(*database);
  if (auto set = writing.run("PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"); !set)
    return set;
  const auto id = pragma(writing, "PRAGMA application_id");
  const auto version = pragma(writing, "PRAGMA user_version");
  const auto tables = pragma(writing, "SELECT count(*) FROM sqlite_schema");
  if (!id || !version || !tables) return tl::unexpected((!id ? id : !version ? version : tables).error());
  if (*tables == 0) {
    const std::string marks = "PRAGMA application_id=" + std::to_string(application_id) +
                              "; PRAGMA user_version=" + std::to_string(schema_version) + ";";
    if (auto made = writing.run("BEGIN IMMEDIATE;" + std::string(schema) + holdings::schema + marks + "COMMIT;"); !made)
      return made;
  } else if (*id == application_id && (*version == 1 || *version == 2)) {
    if (*version == 1) SEALCAST_TRY(writing.run(from_version_1));
    SEALCAST_TRY(writing.run(from_version_2()));
  } else if (*id != application_id || *version != schema_version) {
    return fail("audit file " + options.path + ": expected an audit file of Sealcast, version " +
                std::to_string(schema_version) + "; name another with keyserver.audit");
  }
  auto reader = Database::open(options.path, what);
  if (!reader) return tl::unexpected(reader.error());
  reading = std::move(*reader);
  return reading.run("PRAGMA busy_timeout=200;");
}

void AuditTrail::Impl::take(AuditLevel level, const Event& event) {
  const std::lock_guard lock(mutex);
  if (waiting.size() >= options.most_queued)
    ++lost;
  else
    waiting.push_back({unix_ms(), level, event});
  if (event.name() == "epoch_begun" || event.name() == "epoch_adopted")
    holdings.epoch_begun(std::string(event.field("group")), std::strtoull(event.field("epoch").data(), nullptr, 10));
}

void AuditTrail::Impl::take(const Holding& holding) {
  const std::lock_guard lock(mutex);
  if (!holdings.take(holding, unix_ms())) ++lost;
}

Result<void> AuditTrail::Impl::write(const std::deque<Entry>& batch, const std::vector<HeldRow>& held) {
  if (!batch.empty() || !held.empty()) SEALCAST_TRY(write_all(writing, batch, held, options.most_events, kept));
  if (std::chrono::steady_clock::now() < prune_next) return {};
  prune_next = std::chrono::steady_clock::now() + prune_every;
  return holdings::prune(writing, unix_ms());
}

void AuditTrail::Impl::run() {
  std::unique_lock lock(mutex);
  for (bool last = false; !last;) {
    wake.wait_for(lock, options.flush_every, [this] { return stopping || asked != answered; });
    last = stopping;
    const std::uint64_t of = asked;
    if (lost && waiting.size() < options.most_queued)
      waiting.push_back({unix_ms(), AuditLevel::error, Event("audit_lost", {{"count", std::exchange(lost, 0)}})});
    std::deque<Entry> batch = std::exchange(waiting, {});
    auto held = holdings.take_all();
    lock.unlock();
    const auto done = write(batch, held);
    if (!done && std::chrono::steady_clock::now() >= complain_next) {
      complain_next = std::chrono::steady_clock::now() + complain_every;
      spdlog::error("{}", done.error().message);
    }
    lock.lock();
    if (done) holdings.written();
    if (!done) {  // again next time; what came meanwhile goes behind
      holdings.put_back(std::move(held));
      batch.insert(batch.end(), waiting.begin(), waiting.end());
      waiting = std::move(batch);
      while (waiting.size() > options.most_queued) {
        waiting.pop_back();
        ++lost;
      }
    }
    answered = of;
    written.notify_all();
  }
}

void AuditTrail::Impl::flush_soon() {
  std::unique_lock lock(mutex);
  const std::uint64_t mine = ++asked;
  wake.notify_one();
  written.wait_for(lock, wait_for_disk, [&] { return answered >= mine; });
}

AuditTrail::AuditTrail(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<AuditTrail>> AuditTrail::open(Options options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  if (auto opened = impl->open(); !opened) return tl::unexpected(opened.error());
  std::unique_ptr<AuditTrail> trail(new AuditTrail(std::move(impl)));
  Impl* const of = trail->impl_.get();
  of->thread = std::thread([of] { of->run(); });
  audit_to([of](AuditLevel level, const Event& event) { of->take(level, event); });
  holdings_to([of](const Holding& holding) { of->take(holding); },
              [of] {
                const std::lock_guard lock(of->mutex);
                return of->holdings.has_room();
              });
  return trail;
}

AuditTrail::~AuditTrail() {
  if (!impl_->thread.joinable()) return;
  audit_to({});
  holdings_to({}, {});
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_one();
  impl_->thread.join();
}

Result<admin::AuditAnswer> AuditTrail::find(const AuditQuery& query) {
  impl_->flush_soon();
  const std::uint32_t count = std::min(query.count, AuditQuery::most_count);
  if (query.epoch) return find_holders(impl_->reading, query, count);
  std::string sql = "SELECT time_ms, level, event, fields FROM events WHERE time_ms >= ?";
  if (!query.group.empty()) sql += " AND group_id = ?";
  if (!query.member.empty()) sql += " AND member = ?";
  if (!query.event.empty()) sql += " AND event = ?";
  sql += " ORDER BY id DESC LIMIT ?";
  Statement rows(impl_->reading, sql.c_str());
  rows.bind(query.since_ms.value_or(0));
  for (const std::string* value : {&query.group, &query.member, &query.event})
    if (!value->empty()) rows.bind(*value);
  rows.bind(std::int64_t{count} + 1);
  admin::AuditAnswer out;
  out.more = false;
  for (std::size_t bytes = 0;;) {
    const auto row = rows.step();
    if (!row) return tl::unexpected(row.error());
    if (!*row) break;
    const std::string fields = rows.text(3);
    bytes += fields.size() + 64;
    if (out.events.size() == count || bytes > most_answer) {
      out.more = true;
      break;
    }
    out.events.push_back({.time = utc(rows.integer(0)),
                          .level = std::string(name(static_cast<AuditLevel>(rows.integer(1)))),
                          .event = rows.text(2),
                          .fields = fields_of(fields)});
  }
  std::reverse(out.events.begin(), out.events.end());
  return out;
}

}  // namespace sealcast::keyserver
