#include "controlplane/store/sqlite.h"

namespace sealcast::store {

Result<Database> Database::open(const std::string& path, std::string_view what) {
  Database database;
  database.what_ = what;
  database.path_ = path;
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  database.handle_.reset(handle);
  if (code != SQLITE_OK) return tl::unexpected(database.error("open it"));
  sqlite3_extended_result_codes(handle, 1);
  return database;
}

Result<void> Database::run(const std::string& sql) const {
  if (sqlite3_exec(handle(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
    return tl::unexpected(error("work on it"));
  return {};
}

Error Database::error(std::string_view doing) const {
  std::string hint;
  switch (what_ == state_file ? sqlite3_errcode(handle()) & 0xff : SQLITE_OK) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      hint = "; another process has it open: is a key server running on it already?";
      break;
    case SQLITE_FULL:
      hint = "; nothing is handed out until there is room on its disk";
      break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      hint = "; move it away only if the group ids are given up with it: its counters must never be used again";
      break;
    default:
      break;
  }
  return {std::string(what_) + " " + path_ + ": can't " + std::string(doing) + ": " + sqlite3_errmsg(handle()) + hint};
}

Statement::Statement(const Database& database, const char* sql) : database_(database) {
  sqlite3_stmt* statement = nullptr;
  code_ = sqlite3_prepare_v2(database.handle(), sql, -1, &statement, nullptr);
  statement_.reset(statement);
}

Statement& Statement::bind(std::int64_t value) {
  if (code_ == SQLITE_OK) code_ = sqlite3_bind_int64(statement_.get(), ++bound_, value);
  return *this;
}

Statement& Statement::bind(const std::string& value) {
  if (code_ == SQLITE_OK)
    code_ = sqlite3_bind_text(statement_.get(), ++bound_, value.data(), static_cast<int>(value.size()), SQLITE_STATIC);
  return *this;
}

Statement& Statement::bind_bytes(const std::string& value) {
  if (code_ == SQLITE_OK)
    code_ = sqlite3_bind_blob(statement_.get(), ++bound_, value.data(), static_cast<int>(value.size()), SQLITE_STATIC);
  return *this;
}

Result<bool> Statement::step() {
  if (code_ == SQLITE_OK || code_ == SQLITE_ROW) code_ = sqlite3_step(statement_.get());
  if (code_ == SQLITE_ROW) return true;
  if (code_ == SQLITE_DONE) return false;
  return tl::unexpected(database_.error("read or write it"));
}

Result<void> Statement::finish() {
  for (;;) {
    SEALCAST_TRY_ASSIGN(const auto row, step());
    if (!row) return {};
  }
}

std::string Statement::text(int column) const {
  const unsigned char* text = sqlite3_column_text(statement_.get(), column);
  return text ? std::string(reinterpret_cast<const char*>(text)) : std::string();
}

std::string Statement::bytes(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  return bytes ? std::string(bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column)))
               : std::string();
}

Result<Transaction> Transaction::begin(const Database& database) {
  SEALCAST_TRY(database.run("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::~Transaction() {
  // A failed commit may have rolled back already; a second rollback is harmless.
  if (database_) sqlite3_exec(database_->handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

Result<void> Transaction::commit() {
  auto committed = database_->run("COMMIT");
  if (committed) database_ = nullptr;
  return committed;
}

}  // namespace sealcast::store
