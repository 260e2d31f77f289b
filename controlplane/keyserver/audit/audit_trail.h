// The audit trail on disk: all events of audit.h, in an SQLite file of its own, for `sealcast audit`. A thread of its
// own writes it, one transaction about once a second, so that no member that joins waits for it. The events of the last
// second before a kill -9 are in the log alone. Beside events it keeps who held which epoch (holdings.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/limits.h"
#include "base/result.h"
#include "controlplane/admin/messages.h"

namespace sealcast::keyserver {

struct AuditQuery {
  std::optional<std::int64_t> since_ms = {};        // Unix time
  std::string group = {}, member = {}, event = {};  // empty: any
  // Set: who held this epoch instead, as events "held"; of the others `group`, `member` and `count` hold.
  std::optional<std::uint64_t> epoch = {};
  std::uint32_t count = 100;  // the newest so many; at most most_count
  static constexpr std::uint32_t most_count = 10'000;
};

class AuditTrail {
 public:
  struct Options {
    std::string path;  // made with mode 0600
    // Then the oldest go: first of what members can cause as often as they like, and of what only operators and
    // certificates decide (a revocation above all) where that is more than a quarter.
    std::uint64_t most_events = audit_event_limits.standard;
    std::chrono::milliseconds flush_every{1000};
    std::size_t most_queued = 65'536;  // events, and rows of who holds what, that wait; further ones are lost, counted
  };
  // Takes all events of the process from now on. One at a time in a process.
  static Result<std::unique_ptr<AuditTrail>> open(Options options);
  ~AuditTrail();  // takes no more events and writes what waits
  AuditTrail(const AuditTrail&) = delete;
  AuditTrail& operator=(const AuditTrail&) = delete;

  // Up to now; about 8 MiB of fields at most. Waits for the disk a quarter of a second at most.
  Result<admin::AuditAnswer> find(const AuditQuery& query);

 private:
  struct Impl;
  explicit AuditTrail(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sealcast::keyserver
