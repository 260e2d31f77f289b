// What a Node needs of its key server, and is told by it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/dataplane_control.h"
#include "base/event.h"
#include "base/limits.h"
#include "base/result.h"
#include "base/secret.h"
#include "controlplane/cluster/records.h"
#include "controlplane/cluster/sealing.h"
#include "handshake/group_keying.h"

namespace sealcast::cluster {

struct Moment {
  SteadyTime steady;
  std::int64_t unix_ms = 0;
  SteadyTime boot{};  // since the machine's start; goes on while it sleeps
};

struct NodeSettings {
  std::string cluster_id;
  std::string name;        // of this key server among its peers
  std::string address;     // where members reach it, for the status
  std::string state_file;  // Memory
  std::chrono::seconds lease_ttl = lease_ttl_limits.standard;
  Secret<32> key;
  std::uint32_t spi_first = 0;
  std::uint32_t spi_last = 0;
};

struct GroupWish {
  handshake::GroupPolicy policy;  // without its SPIs
  std::chrono::milliseconds lifetime{};
  std::uint8_t slot_bits = 16;
};

struct MadeEpoch {
  std::uint64_t number = 0;
  EpochContent content;
  std::chrono::milliseconds age{};
  std::chrono::milliseconds remaining{};
};

// Called from tick(), resumed() and etcd's answers, never from inside another call. Meanwhile it must not tell the node
// that it was resumed, or let it leave.
class NodeHost {
 public:
  virtual ~NodeHost() = default;
  virtual Moment now() const = 0;
  virtual std::vector<std::string> groups() const = 0;
  virtual GroupWish wish(const std::string& group_id) const = 0;
  virtual std::uint32_t slots_needed(const std::string& group_id) const = 0;
  // An error: no member was given it; it is tried again.
  virtual Result<void> adopt(const std::string& group_id, MadeEpoch&& made) = 0;
  virtual void activated(const std::string& group_id, std::uint64_t epoch) = 0;
  virtual std::uint64_t switched(const std::string& group_id) const = 0;  // GroupState::switched()
  // Counts what changes attendees(), so that this is asked for only where something has.
  virtual std::uint64_t attendance_changes(const std::string& group_id) const = 0;
  virtual AttendeeList attendees(const std::string& group_id) const = 0;
  virtual void others_changed(const std::string& group_id) = 0;  // switched_elsewhere() may answer otherwise
  virtual void revocations_changed() = 0;
  virtual void serve() = 0;                          // members may come from now on
  virtual void cut_off(const std::string& why) = 0;  // forget all epochs, send members away, let none in
  enum class Weight : std::uint8_t { event, warning, error };
  virtual void note(Weight weight, const Event& event) = 0;
};

}  // namespace sealcast::cluster
