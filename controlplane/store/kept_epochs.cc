#include "controlplane/store/kept_epochs.h"

#include <algorithm>

namespace sealcast::store::kept {

Result<void> keep(const Database& database, const KeptEpoch& epoch) {
  return Statement(database, "INSERT OR REPLACE INTO kept_epochs VALUES (?, ?, ?, ?, ?)")
      .bind(epoch.group_id)
      .bind(static_cast<std::int64_t>(epoch.epoch))
      .bind(epoch.begun)
      .bind(epoch.expires)
      .bind_bytes(epoch.sealed)
      .finish();
}

Result<std::optional<Kept>> find(const Database& database, const std::string& group_id) {
  Statement query(database,
                  "SELECT k.epoch, k.begun, k.expires, k.sealed, e.next_slot FROM kept_epochs k "
                  "JOIN epochs e USING (group_id, epoch) WHERE k.group_id = ? AND NOT e.retired");
  SEALCAST_TRY_ASSIGN(const auto row, query.bind(group_id).step());
  if (!row) return std::nullopt;
  Kept out;
  out.epoch = {group_id, static_cast<std::uint64_t>(query.integer(0)), query.integer(1), query.integer(2),
               query.bytes(3)};
  out.slots_used = static_cast<std::uint16_t>(std::clamp<std::int64_t>(query.integer(4), 0, 65535));
  Statement holders(database,
                    "SELECT h.member_id, h.certificate_serial, h.first_slot, h.slot_count, i.identity FROM holders h "
                    "LEFT JOIN identities i USING (member_id, certificate_serial) "
                    "WHERE h.group_id = ? AND h.epoch = ? ORDER BY h.member_id, h.certificate_serial, h.first_slot");
  const auto epoch = query.integer(0);
  holders.bind(group_id).bind(epoch);
  for (;;) {
    SEALCAST_TRY_ASSIGN(const auto next, holders.step());
    if (!next) return out;
    const std::string member = holders.text(0), serial = holders.text(1);
    if (out.holders.empty() || out.holders.back().member_id != member ||
        out.holders.back().certificate_serial != serial)
      out.holders.push_back({member, serial, holders.bytes(4), {}});
    if (holders.integer(3) > 0)
      out.holders.back().runs.emplace_back(static_cast<std::uint16_t>(holders.integer(2)),
                                           static_cast<std::uint16_t>(holders.integer(3)));
  }
}

Result<void> drop(const Database& database, const std::string& group_id) {
  return Statement(database, "DELETE FROM kept_epochs WHERE group_id = ?").bind(group_id).finish();
}

Result<void> drop(const Database& database, const std::string& group_id, std::int64_t epoch) {
  return Statement(database, "DELETE FROM kept_epochs WHERE group_id = ? AND epoch = ?")
      .bind(group_id)
      .bind(epoch)
      .finish();
}

Result<void> drop_except(const Database& database, const std::vector<std::string>& group_ids) {
  std::vector<std::string> others;
  {
    Statement query(database, "SELECT group_id FROM kept_epochs");
    for (;;) {
      SEALCAST_TRY_ASSIGN(const auto row, query.step());
      if (!row) break;
      if (std::find(group_ids.begin(), group_ids.end(), query.text(0)) == group_ids.end())
        others.push_back(query.text(0));
    }
  }
  for (const std::string& group : others)
    SEALCAST_TRY(drop(database, group));
  return {};
}

Result<void> note_identity(const Database& database, const Holder& holder) {
  return Statement(database,
                   "INSERT INTO identities VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET identity = excluded.identity "
                   "WHERE identity != excluded.identity")
      .bind(holder.member_id)
      .bind(holder.certificate_serial)
      .bind_bytes(holder.identity)
      .finish();
}

Result<void> forget_identities(const Database& database) {
  return database.run("DELETE FROM identities WHERE member_id NOT IN (SELECT member_id FROM holders);");
}

}  // namespace sealcast::store::kept
