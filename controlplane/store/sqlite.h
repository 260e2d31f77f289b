// SQLite's C calls as values: statements that release themselves, errors as one line.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sealcast::store {

struct CloseDatabase {
  void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

class Database {
 public:
  Database() = default;
  static constexpr std::string_view state_file = "state file";
  // The file must exist. what: the name in error texts, as "state file"; it must outlive the database.
  static Result<Database> open(const std::string& path, std::string_view what = state_file);

  // One or several statements without results.
  Result<void> run(const std::string& sql) const;
  // "state file <path>: <SQLite's error>", with a hint if there is a known remedy.
  Error error(std::string_view doing) const;
  sqlite3* handle() const { return handle_.get(); }
  const std::string& path() const { return path_; }

 private:
  std::unique_ptr<sqlite3, CloseDatabase> handle_;
  std::string path_;
  std::string_view what_ = state_file;
};

// One prepared statement, used once. Bind in the order of the question marks, then step or finish.
class Statement {
 public:
  Statement(const Database& database, const char* sql);
  Statement& bind(std::int64_t value);
  Statement& bind(const std::string& value);        // must live until the last step
  Statement& bind_bytes(const std::string& value);  // likewise

  // True: a row is there. False: no (further) row.
  Result<bool> step();
  // For statements without rows.
  Result<void> finish();
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  std::string text(int column) const;
  std::string bytes(int column) const;

 private:
  const Database& database_;
  std::unique_ptr<sqlite3_stmt, FinalizeStatement> statement_;
  int code_ = 0;
  int bound_ = 0;
};

// Rolls back unless commit() succeeded.
class Transaction {
 public:
  static Result<Transaction> begin(const Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  // On success everything is on disk (synchronous=FULL).
  Result<void> commit();

 private:
  explicit Transaction(const Database& database) : database_(&database) {}
  const Database* database_;
};

}  // namespace sealcast::store
