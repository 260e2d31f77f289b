// The only place where control plane and data plane meet: plain values, no behaviour. The member agent pushes group SAs
// in and reads statistics and events out; neither side includes anything else of the other. All calls come from one
// control thread; none blocks on a worker for longer than one RCU grace period.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/limits.h"
#include "base/result.h"
#include "base/secret.h"

namespace sealcast {

// Monotonic; the data plane turns deadlines into TSC ticks itself.
using SteadyTime = std::chrono::steady_clock::time_point;

enum class EspMode : std::uint8_t {
  tunnel_preserve = 1,  // RFC 5374 §3.1: outer addresses copied from the inner packet
  tunnel_fixed = 2,     // outer addresses given by configuration
  transport = 3,
};

// The outer header of tunnel_fixed: its two addresses are of one family, which need not be the inner packet's.
struct OuterTunnel {
  IpAddress destination = {};                       // multicast, not link-local scope
  IpAddress source = {};                            // unicast; this gateway's own on black
  std::optional<std::uint8_t> ttl = std::nullopt;   // 1..255; none: the inner packet's
  std::optional<std::uint8_t> dscp = std::nullopt;  // 0..max_dscp; none: the inner packet's
  bool operator==(const OuterTunnel&) const = default;
};

// "tunnel-preserve", "tunnel-fixed", "transport": as configurations and messages name them.
std::string text(EspMode mode);
// Refuses addresses of two families, a destination that is not multicast or only of link-local scope, a source that no
// host can have, a TTL of 0 and a DSCP above max_dscp.
Result<void> validate(const OuterTunnel& outer);

// The configured treatment of a group's traffic, whatever keys come.
struct GroupProtection {
  std::vector<Selector> selectors = {};             // at least one
  EspMode mode = EspMode::tunnel_preserve;          // epochs of another mode are refused (H12)
  std::optional<OuterTunnel> outer = std::nullopt;  // with tunnel_fixed, and only there
  // While the group has a key, the gateway itself is an IGMPv3 or MLDv2 host on black: it joins the tunnel's group,
  // else the groups of the selectors, at most max_joined_per_selector each.
  bool join = false;
  // take_events() reports when hosts on red begin or cease to listen to an address of the selectors.
  bool on_demand = false;
};

// AES-GCM key of one SPI (protocol.md "Keys": sa_key(spi)).
struct SaKey {
  std::uint32_t spi = 0;
  std::uint8_t key_size = 32;  // bytes of key in use: 16 or 32
  Secret<32> key;              // first key_size bytes
  std::array<std::uint8_t, 4> salt{};

  SaKey clone() const {
    SaKey copy;
    copy.spi = spi;
    copy.key_size = key_size;
    copy.key = key.clone();
    copy.salt = salt;
    return copy;
  }
};

struct InboundSa {
  SaKey key;
  std::uint64_t floor = 0;  // numbers below it are refused as replays; the epoch's own floor may be higher
};

// A slot of our own (H9): exactly one worker ever seals under it.
struct OutboundSa {
  SaKey key;
};

// How packets of a group are numbered (docs/dataplane.md, "Numbers").
enum class Numbers : std::uint8_t {
  timed,    // the IV is time and sequence
  foreign,  // the sequence alone counts (RFC 4303 §3.4.3), 32 bits; other implementations choose their IVs freely
};

std::string text(Numbers numbers);  // "timed", "foreign"

// An epoch's clock as this gateway knows it.
struct EpochClock {
  SteadyTime zero;                           // when the epoch's time was 0; not in the future
  std::chrono::milliseconds error{0};        // the truth is at most so far away now,
  std::chrono::milliseconds worst_error{0};  // ... and before it is set again
  bool operator==(const EpochClock&) const = default;
};

// One epoch of one group as the data plane needs it. The data plane never sees the group master.
struct GroupEpoch {
  std::string group_id;
  std::uint64_t epoch = 0;
  std::vector<Selector> selectors;  // at least one
  EspMode mode = EspMode::tunnel_preserve;
  std::uint32_t replay_window = replay_window_limits.standard;  // packets; valid_replay_window()
  std::uint32_t spi_prefix = 0;                                 // spi = spi_prefix | slot
  std::uint8_t spi_slot_bits = 16;                              // slots are 0 .. 2^bits - 1
  std::vector<InboundSa> inbound;                               // every slot derived so far, own ones left out
  std::vector<OutboundSa> outbound;  // own slots, one a worker, in worker order; empty for a pure receiver
  bool active = false;               // false: receive only until activate()
  SteadyTime expires;                // end of the epoch's life: nothing is sealed or opened after it
  SteadyTime lease_until;            // authority lease: nothing is sealed after it
  Numbers numbers = Numbers::timed;
  // Whether others may have sent under it before install(): what they sent before is refused. False for an epoch that
  // is handed out to all before any packet is sent under it.
  bool in_use = true;
  // With timed numbers. None: times are neither sent (they stay 0) nor judged.
  std::optional<EpochClock> clock = std::nullopt;
  std::chrono::milliseconds freshness = freshness_limits.standard;  // how old a packet may be when it arrives
};

// What the data plane reports to the agent. Bounded: a flood of one kind never displaces another kind.
struct SlotWanted {  // a packet came for a slot that is not derived yet
  std::string group_id;
  std::uint64_t epoch = 0;
  std::uint32_t slot = 0;
};
struct CounterLimit {  // an outbound SA reached its soft volume limit: ask for a rekey
  std::string group_id;
  std::uint64_t epoch = 0;
  std::uint32_t spi = 0;
};
struct InterestChange {  // of a group with on_demand
  std::string group_id;
  bool listened = false;
};
// An epoch's ESP packet for the gateways themselves (protocol.md "Rekeying by datagram"). Any member may have made it:
// check its signature before anything else.
struct GroupDatagram {
  std::string group_id;
  std::uint64_t epoch = 0;
  std::vector<std::uint8_t> bytes;
};
struct DataPlaneEvents {
  std::vector<SlotWanted> slots_wanted;
  std::vector<CounterLimit> counter_limits;
  std::vector<InterestChange> interests;
  std::vector<GroupDatagram> datagrams;
};

// ESP's next header of a GroupDatagram: a number for experiments (RFC 3692). No selector's traffic has it in a tunnel,
// and it is never forwarded.
inline constexpr std::uint8_t group_datagram_next_header = 253;

struct DropCount {
  std::string reason;  // stable name, e.g. "no_sa", "selector_mismatch", "too_big"
  std::uint64_t packets = 0;
};

// What the numbers in one sender's packets show; docs/dataplane.md, "What the numbers tell about a sender", has the
// definitions and their limits.
struct SenderEstimate {
  std::uint64_t first = 0, last = 0;               // lowest and highest number accepted; 0: none yet
  std::uint64_t lost = 0;                          // left the replay window unseen
  std::uint64_t leaps = 0, leapt_over = 0;         // rises by a window or more, and the sequences they passed over
  std::uint64_t breaks = 0;                        // a later number whose sequence did not rise: a second writer
  std::uint64_t missing = 0;                       // not seen yet, but still within the window
  std::uint64_t reordered = 0;                     // accepted below the highest
  std::uint64_t reorder_sum = 0, reorder_max = 0;  // how far below: over all of them, and at most
  std::uint64_t duplicates = 0;                    // numbers seen before; an attacker on black can raise these two
  std::uint64_t late = 0;                          // left of the window or below the floor
  std::optional<double> silent_s;                  // since a look at the counters found a new packet; none: no packet
};

struct SaStatistics {
  std::string group_id;
  std::uint64_t epoch = 0;
  std::uint32_t spi = 0;
  std::uint32_t worker = 0;  // the only worker that seals or opens under it
  bool outbound = false;
  bool active = false;            // outbound: packets are sealed under this one
  std::uint64_t packets = 0;      // sealed or opened
  std::uint64_t bytes = 0;        // of inner IP packets
  std::uint64_t next_number = 0;  // outbound: next IV; inbound: highest seen
  std::uint64_t replays = 0;
  std::uint64_t bad_tags = 0;
  std::vector<DropCount> drops;          // those above 0
  std::optional<SenderEstimate> sender;  // inbound
};

// Since start: counts of its present epochs and of those that are gone.
struct GroupStatistics {
  std::string group_id;
  std::optional<std::uint64_t> active_epoch;
  std::uint64_t epochs = 0;   // installed
  std::uint64_t senders = 0;  // inbound SPIs of installed epochs that packets came from
  std::uint64_t sealed = 0, sealed_bytes = 0, opened = 0, opened_bytes = 0;  // bytes of inner IP packets
  std::uint64_t lost = 0, reordered = 0, duplicates = 0, late = 0;           // over all senders
  std::optional<double> silent_s;  // of the sender that sent last; none: no packet so far
  std::vector<DropCount> drops;    // those above 0; without an SA (no_sa), too
};

struct WorkerStatistics {
  std::uint32_t index = 0;
  std::uint64_t sealed = 0, sealed_bytes = 0, opened = 0, opened_bytes = 0;  // bytes of inner IP packets
  std::uint64_t bypassed = 0, bypassed_bytes = 0;                            // bytes of frames
  std::vector<DropCount> drops;                                              // those above 0
};

// What one bypass rule let through in one direction, summed over the workers.
struct BypassStatistics {
  std::string rule;                            // its name
  std::string direction;                       // "red-to-black" or "black-to-red"
  std::uint64_t passed = 0, passed_bytes = 0;  // bytes of frames
  std::uint64_t rate_limited = 0;              // dropped: above the rule's rate
  std::uint64_t looped = 0;                    // dropped: the same frame was seen on the other side
  std::string last_loop;                       // the last looped frame: "02:00:00:00:00:01 on black"
};

// Another gateway, as its beacon on red tells.
struct NeighbourStatistics {
  std::string name, site;
  std::string mac;       // "02:00:00:00:00:01"
  std::string state;     // like RedSegmentStatistics::state
  bool ignored = false;  // by configuration
};

// This gateway beside others on its red segment (docs/dataplane.md, "No loop, no echo").
struct RedSegmentStatistics {
  std::string state;  // "works", "listens" (at the start), "stands by" (another one works); empty: it sends no beacon
  std::vector<NeighbourStatistics> neighbours;
  std::string last_moved;  // the last source that was heard on both sides: "10.0.0.1 to red"; empty: none
};

struct PortStatistics {
  std::string name;    // "red" or "black"
  std::string device;  // the configured port string
  bool link_up = false;
  std::uint64_t rx_packets = 0, rx_bytes = 0, tx_packets = 0, tx_bytes = 0, tx_dropped = 0;
};
struct DataPlaneStatistics {
  SteadyTime taken;    // when the counters were read
  std::string engine;  // AEAD engine in use
  std::uint64_t sealed = 0, opened = 0, bypassed = 0;
  std::uint64_t spread_waits = 0;  // rounds in which a spread stream waited for its slowest worker
  std::uint64_t cut = 0;           // packets cut into fragments before they were sealed
  std::uint64_t reassembled = 0;   // ESP packets put together from fragments
  std::uint64_t parked = 0;        // packets that waited for the key of their slot, whatever followed
  std::vector<PortStatistics> ports;
  std::vector<SaStatistics> sas;
  std::vector<DropCount> drops;  // every reason, zeros too, in a fixed order
  std::vector<GroupStatistics> groups;
  std::vector<WorkerStatistics> workers;
  std::vector<BypassStatistics> bypass;  // the rules in force, in their order, each direction they open
  RedSegmentStatistics red_segment;
  std::vector<DropCount> events_lost;  // by kind of event, zeros too: their ring was full
};

// Every call is pure: a default could go unnoticed in a layer that forgets to pass it on, and would then cost time that
// grows with the number of groups.
class DataPlaneControl {
 public:
  virtual ~DataPlaneControl() = default;

  // Number of workers, hence of outbound slots a sender asks the key server for.
  virtual std::uint32_t workers() const = 0;

  // Policy without keys: from this moment packets that match a protected selector are never sent in clear (H10). Called
  // for every configured group before any port is started, and for groups added later. Takes all or, if it refuses one,
  // none. One call for many groups costs far less than many calls.
  struct NamedProtection {
    std::string group_id;
    GroupProtection protection;
  };
  virtual Result<void> protect_all(const std::vector<NamedProtection>& groups) = 0;
  Result<void> protect(const std::string& group_id, const GroupProtection& protection) {
    return protect_all({{group_id, protection}});
  }

  // Forgets groups with their epochs and wipes their keys once no worker uses them. From then on their packets belong
  // to no group and are dropped in either direction (H10). Still remembers which own SPIs sealed (H9). Takes all groups
  // or, if one is not protected or named twice, none.
  virtual Result<void> unprotect_all(const std::vector<std::string>& group_ids) = 0;
  Result<void> unprotect(const std::string& group_id) { return unprotect_all({group_id}); }

  // Adds an epoch (receiving at once, sending only if active). The pair (group_id, epoch) must be new.
  virtual Result<void> install(GroupEpoch epoch) = 0;
  // Adds keys of slots seen later to an installed epoch; slots already there are left untouched.
  virtual Result<void> add_inbound(const std::string& group_id, std::uint64_t epoch, std::vector<InboundSa> slots) = 0;
  // Replaces the outbound SAs of an epoch (a new registration brought new slots).
  virtual Result<void> replace_outbound(const std::string& group_id, std::uint64_t epoch,
                                        std::vector<OutboundSa> slots) = 0;
  // From now on this epoch seals; the group's other epochs only open.
  virtual Result<void> activate(const std::string& group_id, std::uint64_t epoch) = 0;
  virtual Result<void> extend_lease(const std::string& group_id, SteadyTime until) = 0;
  // What is known of an installed epoch's clock now; also of one that had none so far. Where the error exceeds the
  // freshness, times are not judged: a working stream must not end because the key server is away (H19).
  virtual Result<void> set_clock(const std::string& group_id, std::uint64_t epoch, const EpochClock& clock) = 0;
  // Forgets an epoch and wipes its keys once no worker uses them.
  virtual Result<void> retire(const std::string& group_id, std::uint64_t epoch) = 0;
  // Drops every outbound SA of every group at once (H9: resumed from a snapshot). Receiving goes on.
  virtual void drop_all_outbound() = 0;

  // Sends an ESP packet sealed elsewhere, from its SPI to its tag, to the group's own address on black. Like any packet
  // it is lost when the port is busy.
  virtual Result<void> send_sealed(const std::string& group_id, const std::vector<std::uint8_t>& esp) = 0;

  virtual DataPlaneEvents take_events() = 0;
  virtual DataPlaneStatistics statistics() const = 0;
  // Like statistics().sas for one group, without a look at the others: the member agent asks for each group every
  // second.
  virtual std::vector<SaStatistics> statistics_of_group(const std::string& group_id) const = 0;
};

}  // namespace sealcast
