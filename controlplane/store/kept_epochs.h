// SqliteStore's tables of what the next start takes up: a group's running epoch, sealed, and who its holders are.
#pragma once

#include "controlplane/store/sqlite.h"
#include "controlplane/store/store.h"

namespace sealcast::store::kept {

// What version 3 of the file added.
inline constexpr const char* schema = R"sql(
CREATE TABLE kept_epochs (
  group_id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, begun INTEGER NOT NULL, expires INTEGER NOT NULL,
  sealed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE identities (
  member_id TEXT NOT NULL, certificate_serial TEXT NOT NULL, identity BLOB NOT NULL,
  PRIMARY KEY (member_id, certificate_serial)) WITHOUT ROWID;
)sql";

Result<void> keep(const Database& database, const KeptEpoch& epoch);
Result<std::optional<Kept>> find(const Database& database, const std::string& group_id);
Result<void> drop(const Database& database, const std::string& group_id);
Result<void> drop(const Database& database, const std::string& group_id, std::int64_t epoch);
Result<void> drop_except(const Database& database, const std::vector<std::string>& group_ids);

// Written only where it changes.
Result<void> note_identity(const Database& database, const Holder& holder);
// Of those who hold nothing that is remembered.
Result<void> forget_identities(const Database& database);

}  // namespace sealcast::store::kept
