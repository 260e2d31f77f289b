// SqliteStore's tables for the next start: a group's running epoch, sealed, and the identities of its holders.
#pragma once

#include "controlplane/store/sqlite.h"
#include "controlplane/store/store.h"

namespace sealcast::store::kept {

// Added by version 3 of the file.
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

// Writes only if it changed.
Result<void> note_identity(const Database& database, const Holder& holder);
// Deletes identities of members that hold no remembered epoch.
Result<void> forget_identities(const Database& database);

}  // namespace sealcast::store::kept
