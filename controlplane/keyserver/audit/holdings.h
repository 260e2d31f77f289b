// Who held which epoch (H27), in the audit trail's file. A member that is given one epoch after the other has one row
// for all of them, however often it connects: no member pushes out what is known of another, and rows go by their age
// alone.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "base/result.h"
#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/store/sqlite.h"

namespace sealcast::keyserver {

// What one member was given without a gap: the group's epochs from first to last.
struct HeldRow {
  std::string group, member, serial;
  std::string address;       // of the last time
  std::uint64_t before = 0;  // the group's epoch before `first`; 0: not known
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::int64_t first_ms = 0;  // Unix time
  std::int64_t last_ms = 0;
  std::uint64_t times = 0;  // that it was given one of them
};

// Rows that wait to be written, merged as they come. Not thread-safe.
class WaitingHoldings {
 public:
  explicit WaitingHoldings(std::size_t most) : most_(most) {}

  // The group's next epoch; what came before it is the one before.
  void epoch_begun(const std::string& group, std::uint64_t epoch);
  // False: there is no room for it.
  bool take(const Holding& holding, std::int64_t now_ms);
  // Half of the room is left: the other half is for members that are joined and rekeyed.
  bool has_room() const { return count_ + writing_ < most_ / 2; }

  // To be written, until one of the other two is called.
  std::vector<HeldRow> take_all();
  void written() { writing_ = 0; }
  void put_back(std::vector<HeldRow> rows);  // before what came since

 private:
  using Who = std::tuple<std::string, std::string, std::string>;  // group, member, serial
  struct Sequence {
    std::uint64_t newest = 0, before = 0;
  };

  std::size_t most_;
  std::size_t count_ = 0;    // of rows
  std::size_t writing_ = 0;  // of those that were taken
  std::map<Who, std::vector<HeldRow>> rows_;
  std::map<std::string, Sequence> epochs_;  // by group
};

namespace holdings {

extern const char* const schema;
inline constexpr std::chrono::hours kept_for{90 * 24};  // after an epoch was last given

Result<void> write(const store::Database& database, const std::vector<HeldRow>& rows);
Result<void> prune(const store::Database& database, std::int64_t now_ms);
// Those that held the epoch, by group and member; empty: any. At most `most`.
Result<std::vector<HeldRow>> find(const store::Database& database, std::uint64_t epoch, const std::string& group,
                                  const std::string& member, std::size_t most);

}  // namespace holdings
}  // namespace sealcast::keyserver
