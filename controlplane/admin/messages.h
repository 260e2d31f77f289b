// What is asked and answered at an admin socket, as values. messages.cc has the one list of each one's JSON names; the
// daemons and the command line tool share both. docs/operator.md, "The admin socket", is the page for operators.
//
// A request names its command and the type of its answer. To add one: its structs here, their fields in messages.cc, a
// handler where the daemon answers (admin::answer() in commands.h), a subcommand in app/cli.
//
// Requests are read strictly: a field of another kind is an error, and null is one. Answers are read leniently, since
// the daemon may be of another version: what it does not tell keeps its value here. That is empty, and shows as a
// blank, but for the data plane's statistics: their missing figures are 0, and Read::untold names them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/dataplane_control.h"
#include "base/result.h"

namespace sealcast::admin {

using Number = std::optional<std::uint64_t>;
using Flag = std::optional<bool>;
using Seconds = std::optional<double>;
using Names = std::vector<std::string>;
using Spis = std::vector<std::uint32_t>;  // "0x10000001" in JSON
using Counts = std::map<std::string, std::uint64_t>;

struct Done {};  // {"ok": true}

// A certificate, an authority or a revocation list (H19).
struct Validity {
  std::string what = {};
  std::optional<std::int64_t> ends = {};  // Unix time, seconds
  Seconds left = {};                      // negative: it has ended
  Number used_percent = {};
  Number stage = {};  // the last threshold that is passed: 0, 50, 80, 95, 100 (it has ended)
};

// -------------------------------------------------------------------------------------------------- a gateway's member

// Of the epoch in use; before the first activation, the one that is waited with.
struct HeldEpoch {
  Number epoch = {};
  std::string epoch_id = {};     // hex
  std::string epoch_state = {};  // "active" or "pending"
  Seconds remaining = {}, lease_remaining = {};
  Seconds clock_error = {};  // of the epoch's clock; empty: nothing is known of it
  Number slots_known = {};
  Spis own_slots = {};
};

struct DatagramCounts {  // rekeying by datagram
  Number taken = {}, old = {}, refused = {}, held_back = {};
};

struct AgentEpoch {
  Number epoch = {};
  std::string epoch_id = {};
  std::string state = {};  // "active", "old", "pending"
  Seconds remaining = {};
  Number slots_derived = {};
};

struct AgentGroup {
  std::string group = {}, state = {}, why = {}, role = {}, carriage = {};
  std::string keyserver = {};     // its address
  std::string keyserver_id = {};  // as configured
  std::string member_id = {};
  std::optional<HeldEpoch> held = {};
  Number joins = {}, failures = {}, rekeys = {};
  std::string alarm = {};  // empty: none
  Number alarms = {};
  std::optional<DatagramCounts> datagrams = {};
  std::vector<AgentEpoch> epochs = {};
};

struct AgentStatus {
  std::vector<AgentGroup> groups = {};
  Number joined = {}, connections = {}, snapshot_resumes = {};
  std::vector<Validity> validity = {};
};

// ---------------------------------------------------------------------------------------------------------- key server

struct EpochStatus {
  Number epoch = {};
  std::string epoch_id = {}, state = {};
  Seconds age = {}, remaining = {};
  std::optional<std::uint32_t> spi_prefix = {};
  Number slots_used = {}, slots_capacity = {}, holders = {};
};

struct ActiveEpoch {
  Number epoch = {};
  Seconds remaining = {};
  Number slots_used = {}, slots_capacity = {};
};

struct MemberReport {
  Number epoch = {}, sealed = {}, opened = {}, dropped = {};
  Seconds age = {};
};

struct MemberStatus {
  std::string member = {};
  std::string keyserver = {};  // of a cluster: the name of the one that it is joined at. Another's has no more than:
  std::string address = {}, carriage = {};
  std::string roles = {};  // "receiver", "sender", "both"
  Seconds joined = {};
  Spis slots = {};
  Flag behind = {};                          // it has not acknowledged the newest epoch
  Number acknowledged = {}, activated = {};  // epochs
  std::optional<MemberReport> report = {};
};

// What `sealcast members --json` prints.
struct ListedMember {
  std::string group = {};
  Number newest_epoch = {};
  MemberStatus status = {};  // its fields stand beside the two
};
struct MemberList {
  std::vector<ListedMember> members = {};
};

struct RekeyStatus {
  Number epoch = {};
  std::string why = {};
  Seconds age = {};
  Number told = {}, acknowledged = {};
  std::string slowest = {};
  Number slowest_after_ms = {};
  Number active_after_ms = {};  // none: under way
  Number unacknowledged = {};
};

struct ClusterGroup {
  Number highest = {}, active = {};  // epochs
  Flag wanted = {};                  // a newer one is asked for
  struct Server {
    std::string name = {};
    Number installed = {}, switched = {};  // epochs
  };
  std::vector<Server> servers = {};
};

// Without `members`: what fits a line.
struct KeyserverGroup {
  std::string group = {}, suite = {};
  Number variant = {};
  std::string mode = {};
  std::string numbers = {};  // "timed" or "foreign"
  Flag handing_over = {};
  Seconds epoch_lifetime = {};
  Number authority_lease = {};  // seconds
  Number joined = {};           // at any key server
  Number joined_here = {};      // in a cluster
  Number expected = {};
  std::string expected_by = {};  // "members" or "holders"
  Names missing = {};
  Number missing_count = {};
  Names behind = {};
  Number behind_count = {};
  Names selectors = {};
  std::vector<EpochStatus> epochs = {};
  std::optional<ActiveEpoch> active = {};
  std::optional<RekeyStatus> last_rekey = {};
  std::optional<std::vector<MemberStatus>> members = {};
  std::optional<ClusterGroup> cluster = {};
};

struct ClusterStatus {
  struct Server {
    std::string name = {}, address = {};
    Flag leader = {}, self = {};
    Seconds known = {};
    std::string incarnation = {};
    Seconds seen = {};
  };
  struct Gone {
    std::string name = {}, incarnation = {};
    Seconds gone = {}, leases_end_in = {};
  };
  std::string name = {}, state = {}, incarnation = {};
  std::string leader = {};  // empty: none is known
  Flag leading = {};
  std::optional<std::int64_t> revision = {};
  std::vector<Server> servers = {};
  std::vector<Gone> gone = {};
  Number lease_ttl = {};  // seconds
  Seconds answered = {}, lease_left = {}, cut_off = {};
  Seconds clock_error = {};  // of the group clock; empty: it is not known
  std::string alarm = {};    // empty: none
};

struct HandshakeCounts {
  Number completed = {}, standard = {};
  Counts failed = {};  // by reason
};

struct PasswordStatus {
  Number users = {}, waiting = {};
  Names locked = {};  // after too many wrong passwords
};

struct IsakmpStatus {
  Number connections = {}, cookies_shown = {};
};

// What it judges by (H19).
struct ClockStatus {
  Flag agrees = {};                            // false: the wall clock is doubted
  Seconds apart = {};                          // it from what it should be; positive: ahead
  std::optional<std::int64_t> judged_by = {};  // Unix time, seconds
};

struct KeyserverStatus {
  std::string daemon = {}, version = {};  // empty in the answer of a gateway that it is embedded in
  std::string id = {};
  Seconds uptime = {};
  Number connections = {}, members = {};
  HandshakeCounts handshakes = {};
  Counts refused = {};  // connections, by reason
  std::vector<KeyserverGroup> groups = {};
  std::string listen = {}, listen_isakmp = {};  // empty: not there
  std::optional<PasswordStatus> passwords = {};
  std::optional<IsakmpStatus> isakmp = {};
  std::optional<ClusterStatus> cluster = {};
  std::optional<ClockStatus> clock = {};
  std::vector<Validity> validity = {};
};

struct KeyserverGroups {
  std::string daemon = {}, version = {};  // as above
  std::string id = {};
  std::vector<KeyserverGroup> groups = {};
  std::optional<ClusterStatus> cluster = {};
};

struct RekeyRequest {
  static constexpr const char* command = "rekey";
  using Answer = Done;
  std::string group = {};
};

struct Revoked {
  Flag ok = {};
  Flag unknown = {};   // true: no member or user of that name is known, and nothing was done
  Names similar = {};  // then: what may have been meant
};
struct RevokeRequest {
  static constexpr const char* command = "revoke";
  using Answer = Revoked;
  std::string member = {};
  std::optional<std::string> group = {};  // none: of all
  bool force = false;                     // also a name that is not known
};

struct ReinstateRequest {
  static constexpr const char* command = "reinstate";
  using Answer = Done;
  std::string member = {};
  std::optional<std::string> group = {};
};

struct UnlockRequest {
  static constexpr const char* command = "unlock";
  using Answer = Done;
  std::string user = {};
};

// An operator says that the key server's wall clock is right, though it is doubted.
struct ClockAcceptRequest {
  static constexpr const char* command = "clock-accept";
  using Answer = Done;
};

struct Revocations {
  struct Entry {
    std::string member = {};
    std::optional<std::int64_t> since = {};  // Unix time, seconds
    std::string group = {};                  // empty: all
  };
  struct Progress {  // of the last one in a group (H11)
    std::string group = {};
    Flag complete = {};
    Seconds since = {};
    Names senders_awaited = {}, members_behind = {};
    Names keyservers_awaited = {};  // of a cluster: those whose senders go on, and those that vanished
    Seconds after = {};             // it took so long; none: not complete
    Seconds leases_end_in = {};     // of senders that are away
    Number epoch = {};              // the active one
  };
  std::vector<Entry> revocations = {};
  std::vector<Progress> groups = {};
};
struct RevocationsRequest {
  static constexpr const char* command = "revocations";
  using Answer = Revocations;
};

struct AuditAnswer {
  struct Event {
    std::string time = {};  // "2026-01-31T12:00:00.123Z"
    std::string level = {}, event = {};
    std::vector<std::pair<std::string, std::string>> fields = {};
    const std::string& field(std::string_view name) const;  // empty: there is none
  };
  std::vector<Event> events = {};  // oldest first
  Flag more = {};                  // older ones match, too
};
struct AuditRequest {
  static constexpr const char* command = "audit";
  using Answer = AuditAnswer;
  Number since_ms = {};                             // Unix time
  std::string group = {}, member = {}, event = {};  // empty: any
  Number epoch = {};                                // set: who held it
  Number count = {};                                // the newest so many
};

// ----------------------------------------------------------------------------------------------------------- gateway

struct PlaneStatus {
  DataPlaneStatistics statistics = {};
  Number sas_unheard = {};  // left out of statistics.sas: they only receive, and no packet came; none: all are there
};
struct GatewayStatus {
  std::string version = {};
  AgentStatus agent = {};
  PlaneStatus dataplane = {};
  std::optional<KeyserverStatus> keyserver = {};  // the embedded one's
};
struct StatusRequest {
  static constexpr const char* command = "status";
  using Answer = std::variant<GatewayStatus, KeyserverStatus>;
  bool all = false;  // of a gateway: SAs that only receive and that no packet came for, too
};

// A part of the data plane's statistics, for a screen that is drawn again and again. What does not belong to the part
// is left out of the JSON and stays empty.
struct PortsAnswer {  // ports, workers, drops, detours
  DataPlaneStatistics statistics = {};
};
struct PortsRequest {
  static constexpr const char* command = "ports";
  using Answer = PortsAnswer;
};
struct TopAnswer {  // as PortsAnswer, with groups
  DataPlaneStatistics statistics = {};
};
struct TopRequest {
  static constexpr const char* command = "top";
  using Answer = TopAnswer;
};
struct PlaneGroups {
  DataPlaneStatistics statistics = {};
  std::optional<KeyserverGroups> keyserver = {};  // the embedded one's
};
struct GroupsRequest {
  static constexpr const char* command = "groups";
  using Answer = std::variant<PlaneGroups, KeyserverGroups>;
};
struct SasAnswer {
  DataPlaneStatistics statistics = {};
  Number sas_unheard = {};  // left out of `sas`; none: all are there
};
struct SasRequest {
  static constexpr const char* command = "sas";
  using Answer = SasAnswer;
  std::string group = {};  // empty: any
  bool all = false;        // the unheard ones, too
};

enum class Side : std::uint8_t { red, black };
std::string_view name(Side side);  // "red", "black"

struct WhatIfAnswer {
  std::string verdict = {};
  std::string reason = {}, text = {};  // of a drop
  Flag key_decides = {};
  std::string group = {}, selector = {};  // empty: none was found
  std::optional<std::uint32_t> spi = {};
  Number epoch = {}, number = {}, worker = {}, bytes_in = {}, bytes_out = {};
  struct Step {
    std::string step = {}, text = {};
  };
  std::vector<Step> steps = {};
};
struct WhatIfRequest {
  static constexpr const char* command = "what-if";
  using Answer = WhatIfAnswer;
  Side side = Side::red;
  Bytes frame = {};  // hex in JSON
  Number worker = {};
  std::optional<std::uint32_t> spi = {};
  Number number = {};
};

struct DropsAnswer {
  struct Drop {
    Side side = Side::red;
    std::string reason = {};
    Number bytes = {};
    std::string headers = {};  // for people
    std::string hex = {};
  };
  std::vector<Drop> drops = {};
};
struct DropsRequest {
  static constexpr const char* command = "drops";
  using Answer = DropsAnswer;
  Number further = {};  // how many more each worker may sample
};

// -------------------------------------------------------------------------------------------------------------- JSON

// One line of JSON with the command's name. Bytes of names that are no UTF-8 are replaced.
template <typename Request>
std::string request_json(const Request& request);

// The error says what was expected and what came.
template <typename Request>
Result<Request> read_request(const std::string& json);

// One line of JSON.
template <typename Answer>
std::string to_json(const Answer& answer);
std::string error_json(const Error& error);
template <typename Answer>
std::string to_json(const Result<Answer>& answer) {
  return answer ? to_json(*answer) : error_json(answer.error());
}

template <typename Answer>
struct Read {
  Answer value;
  Names untold = {};  // figures of the data plane that the daemon does not tell; they are 0 in value
};
// The error is the one that the answer carries, or says that the text is no answer of that kind.
template <typename Request>
Result<Read<typename Request::Answer>> read_answer(const std::string& json);

}  // namespace sealcast::admin
