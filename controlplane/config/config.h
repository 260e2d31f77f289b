// Both daemons' configuration as plain values (docs/configuration.md), read from TOML and validated as a whole: every
// problem is reported, each with its place, and nothing starts before the list is empty. No TOML type leaves this
// folder.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/bypass_rule.h"
#include "base/dataplane_control.h"
#include "base/limits.h"
#include "base/result.h"
#include "base/secret.h"
#include "handshake/endpoint.h"
#include "handshake/group_keying.h"

namespace sealcast::config {

// ---------------------------------------------------------------- problems

struct Diagnostic {
  std::string file;
  std::uint32_t line = 0;  // from 1; 0: the file as a whole (it can't be read)
  std::uint32_t column = 0;
  std::string key;           // "keyserver.group[0].replay_window"; empty for a TOML syntax error
  std::string message;       // "expected a power of two of at least 1024, got 1000"
  std::string text() const;  // "ks.toml:12:17: keyserver.group[0].replay_window: expected …, got …"
};

// value is set exactly when errors is empty. Warnings (a file that isn't there yet, a black MTU that is too small)
// never stop a start by themselves.
template <typename T>
struct Loaded {
  std::optional<T> value;
  std::vector<Diagnostic> errors;
  std::vector<Diagnostic> warnings;

  bool ok() const { return value.has_value(); }
};

// ---------------------------------------------------------------- values

// A place to listen at: an address of this machine. Port 0: the system chooses.
struct ListenAddress {
  IpAddress address;
  std::uint16_t port = 0;
  std::string text() const;  // "10.9.0.1:7400", "[2001:db8::1]:7400"
  static Result<ListenAddress> parse(std::string_view text);
  bool operator==(const ListenAddress&) const = default;
};

// A place to connect to: host is an IPv4 or IPv6 address (without brackets) or a DNS name.
struct HostPort {
  std::string host;
  std::uint16_t port = 0;
  std::string text() const;
  static Result<HostPort> parse(std::string_view text);
  bool operator==(const HostPort&) const = default;
};

// Inclusive; first_usable_spi <= first <= last.
struct SpiRange {
  std::uint32_t first = 0x10000000;
  std::uint32_t last = 0x1fffffff;
  bool contains(std::uint32_t spi) const { return spi >= first && spi <= last; }
  bool operator==(const SpiRange&) const = default;
};

// What the handshake and the control channel travel in over TCP (P34): TLS records alone, or those in ISAKMP messages.
enum class Carriage : std::uint8_t { tls, isakmp };
std::string_view name(Carriage carriage);  // "tls", "isakmp"

// ---------------------------------------------------------------- key server

// How a group's receivers are told the next epoch: each over its own connection, or all by one datagram to the group.
enum class Rekeying : std::uint8_t { unicast, multicast };
// The least activation_delay with such a datagram: it is sent three times, then those that missed it need time.
inline constexpr std::chrono::milliseconds least_multicast_delay{400};

// The next epoch is due when any one SA has sealed so much, at the latest. That keeps it below the 2^42 AES blocks at
// which its key must be changed (docs/dataplane.md), 2^32 packets even if each had 16 KiB.
inline constexpr std::uint64_t most_packets_of_an_sa = std::uint64_t{1} << 32;
inline constexpr std::uint64_t most_bytes_of_an_sa = std::uint64_t{1} << 46;

// How long what has ended still counts for a member that holds a live epoch (H19); of a list, for newcomers, too.
inline constexpr Limits<std::chrono::seconds> certificate_grace_limits{std::chrono::seconds(0), std::chrono::hours(720),
                                                                       std::chrono::hours(24)};
inline constexpr Limits<std::chrono::seconds> crl_grace_limits{std::chrono::seconds(0), std::chrono::hours(720),
                                                               std::chrono::hours(168)};
inline constexpr Limits<std::chrono::seconds> crl_grace_newcomers_limits{
    std::chrono::seconds(0), std::chrono::hours(720), std::chrono::seconds(0)};
// How far the wall clock may move against the boot-time clock before it is doubted.
inline constexpr Limits<std::chrono::seconds> clock_tolerance_limits{std::chrono::seconds(10), std::chrono::hours(24),
                                                                     std::chrono::hours(1)};

// [[keyserver.group]]
struct KeyserverGroup {
  std::string id;                   // 1..64 bytes
  std::vector<Selector> selectors;  // 1..64, each validated (H12)
  handshake::GroupFlow flow;        // one for every member (P31)
  EspMode mode = EspMode::tunnel_preserve;
  Numbers numbers = Numbers::timed;
  std::chrono::milliseconds epoch_lifetime = epoch_lifetime_limits.standard;
  std::uint32_t replay_window = replay_window_limits.standard;  // packets; valid_replay_window()
  std::chrono::milliseconds activation_delay = activation_delay_limits.standard;
  std::chrono::milliseconds deactivation_delay = deactivation_delay_limits.standard;
  std::chrono::seconds authority_lease = authority_lease_limits.standard;
  std::chrono::seconds certificate_grace = certificate_grace_limits.standard;
  std::chrono::seconds crl_grace = crl_grace_limits.standard;
  std::chrono::seconds crl_grace_newcomers = crl_grace_newcomers_limits.standard;
  std::uint32_t slots_per_member = 1024;  // quota per member and epoch
  bool members_by_certificate = true;     // members = "certificate-group", or "password-file" where there is no other
  std::vector<std::string> members;       // else: names
  Rekeying rekey = Rekeying::unicast;
  bool rekey_on_leave = false;  // a member that says goodbye ends the epoch
  bool rekey_on_join = false;   // a newcomer gets no epoch under which anything was sent before
  std::uint64_t rekey_after_packets = most_packets_of_an_sa;  // sealed by any one SA
  std::uint64_t rekey_after_bytes = most_bytes_of_an_sa;      // likewise, of inner IP packets
  bool every_member_sends = false;                            // senders = "*" or ["*"]
  std::vector<std::string> senders;                           // names that may send
  std::uint32_t joins_per_minute = 10;                        // of one member; those of three minutes at once

  bool uses_certificates() const { return flow.authentication != handshake::Authentication::password; }
  bool uses_passwords() const { return flow.authentication != handshake::Authentication::certificate; }
  // Whether a member of one of these names (of its certificate; with passwords alone, its user's name) may join.
  // Without a list it may: its certificate's own list of groups decides, or that its user is in the password file.
  bool admits(const std::vector<std::string>& names) const;
  bool may_send(const std::vector<std::string>& names) const;
  bool operator==(const KeyserverGroup&) const = default;
};

// [keyserver.cluster]: several key servers under one id, over etcd (docs/cluster.md).
struct ClusterConfig {
  std::string name;                           // of this key server among its peers, 1..64 bytes
  std::vector<std::string> etcd;              // 1..16: "http://…" or "https://host:port", tried in order
  std::optional<std::string> key_file;        // path: 64 hexadecimal digits, mode 0600; this or key_credential
  std::optional<std::string> key_credential;  // name of the service manager's credential
  std::optional<std::string> ca;              // path: PEM, who signs etcd's certificates; always set with https
  std::optional<std::string> certificate;     // path: PEM, what this key server shows etcd; both or none
  std::optional<std::string> private_key;     // path: PEM
  std::chrono::seconds lease_ttl =
      lease_ttl_limits.standard;  // a key server not heard for this long is gone for the others
  bool operator==(const ClusterConfig&) const = default;
};

// [keyserver]; every path is absolute or relative to the working directory, no longer to the file.
struct KeyserverConfig {
  std::string id;                              // key_server_id, 1..64 bytes
  std::optional<ListenAddress> listen;         // one of these two or both
  std::optional<ListenAddress> listen_isakmp;  // P34
  std::string certificate;                     // path: PEM chain, leaf first
  std::string private_key;                     // path: PEM
  std::string ca;                              // path: PEM
  std::optional<std::string> crl;              // path: PEM
  std::optional<std::string> password_file;    // path; always set where a group uses passwords (variant 3)
  std::string state;                           // path: SQLite, or in a cluster what was last seen of etcd
  std::optional<ClusterConfig> cluster;        // set: state lies in etcd
  // Where running epochs' premasters are kept in `state`, sealed: path of 64 hexadecimal digits, mode 0600, or the name
  // of the service manager's credential. Neither: no secret is stored. Not in a cluster.
  std::optional<std::string> wrapping_key_file;
  std::optional<std::string> wrapping_key_credential;
  std::string audit;                                         // path: SQLite, the audit trail
  std::uint32_t audit_events = audit_event_limits.standard;  // kept in it; 0: there is none
  std::optional<std::string> admin_socket;                   // always set in a key server's own file
  SpiRange spi_range;
  std::uint8_t multicast_flag = standard_multicast_flag;
  bool allow_standard = false;
  std::chrono::seconds clock_tolerance = clock_tolerance_limits.standard;
  std::chrono::milliseconds handshake_timeout = std::chrono::seconds(10);
  std::uint32_t max_connections = 10000;
  std::uint32_t max_connections_per_address = 1000;
  std::uint32_t max_handshakes_per_address = 64;
  std::vector<KeyserverGroup> groups;  // at least one; ids are distinct
};

// Slot bits of every epoch's SPI block: the most (at most 16) for which spi_range still holds four aligned blocks a
// group, since old, active and pending epochs live side by side. nullopt: the range is too small (fewer than 4 bits).
std::optional<std::uint8_t> spi_slot_bits(const SpiRange& range, std::size_t groups);

// ---------------------------------------------------------------- gateway

enum class MemberRole : std::uint8_t { receiver, sender, both };
std::string_view name(MemberRole role);

// Where a member's password comes from (H7); the password itself is never in a configuration.
struct PasswordSource {
  enum class Kind : std::uint8_t { file, credential, prompt };
  Kind kind = Kind::prompt;
  std::string place;  // file: its path; credential: its name; prompt: empty
  bool operator==(const PasswordSource&) const = default;
};

// [[member.group]]
struct MemberGroup {
  std::string id;
  MemberRole role = MemberRole::receiver;
  std::vector<HostPort> keyservers;   // 1..16, tried in order
  Carriage carriage = Carriage::tls;  // of every one of keyservers
  std::string keyserver_name;         // must be a dNSName of the server's certificate
  std::string keyserver_id;           // must be SMKE's key_server_id
  std::vector<Selector> selectors;    // accepted at most: each selector of SMKE must be covered by one of them (H12)
  // Nothing else is offered or accepted (H4): one, or with flow = "auto" those that the key server may choose among
  // (H30). Never empty; auth is the same in all of them.
  std::vector<handshake::GroupFlow> flows = {handshake::GroupFlow{}};
  std::string user;  // with passwords (variant 3), and password with it
  std::optional<PasswordSource> password;
  EspMode mode = EspMode::tunnel_preserve;                          // pinned: the key server's must be the same (H12)
  Numbers numbers = Numbers::timed;                                 // pinned likewise
  std::chrono::milliseconds freshness = freshness_limits.standard;  // H17
  std::optional<OuterTunnel> outer;                                 // with tunnel-fixed, and only there
  // join = "static": while there is a key the gateway itself listens on black to the groups of selectors, or to the
  // tunnel's group (there unless join = "none" or the role is sender).
  bool join = false;
  // join = "on-demand": the group's key is joined while a host on red listens to an address of selectors, by IGMP or
  // MLD. In a fixed tunnel the gateway then listens on black, too.
  bool on_demand = false;
  SpiRange spi_range;
  std::chrono::milliseconds max_lifetime = epoch_lifetime_limits.most;  // longest remaining lifetime accepted
  bool sends() const { return role != MemberRole::receiver; }
  bool uses_certificate() const { return flows.front().authentication != handshake::Authentication::password; }
  bool uses_password() const { return flows.front().authentication != handshake::Authentication::certificate; }
  bool accepts(handshake::CipherSuite suite) const;
  bool operator==(const MemberGroup&) const = default;
};

// [member]
struct MemberConfig {
  std::string certificate;         // path: PEM chain, leaf first; empty where no group needs one
  std::string private_key;         // path: PEM; likewise
  std::string ca;                  // path: PEM, who signs key servers
  std::optional<std::string> crl;  // path: PEM
  std::optional<IpAddress> local_address;
  std::optional<std::string> site;  // of a gateway's beacon; none: the member's name
  std::uint8_t multicast_flag = standard_multicast_flag;
  std::vector<MemberGroup> groups;  // at least one; ids are distinct
};

// [black] host, host_address: the gateway's own kernel interface on black.
struct HostInterfaceConfig {
  std::string interface;             // name, 1..15 bytes
  std::optional<IpAddress> address;  // unicast; none: the operator gives it one
  std::uint8_t prefix_length = 0;    // of address
};

// [red] beacon, beacon_vlans, ignore_neighbours
struct BeaconConfig {
  bool enabled = true;
  std::vector<std::uint16_t> vlans;  // 1..4094, distinct
  std::vector<std::string> ignored;  // names of gateways
};

// [red], [black]
struct PortConfig {
  std::string device;                       // port string (docs/ports.md); relative paths in it already resolved
  std::uint32_t mtu = mtu_limits.standard;  // bytes of IP packet
  std::vector<Prefix> local_sources;        // red only: an opened packet from one of these is a loop and dropped
  bool learn_sources = true;                // red only: ... and one from a source that is heard on red
  BeaconConfig beacon;                      // red only
  std::optional<HostInterfaceConfig> host;  // black only
  std::optional<IpAddress> address4;        // black only: source of the gateway's own IGMP reports; none: 0.0.0.0
  // The gateway's own IPv6 address on this side: on red the source of Packet Too Big. None: such messages are not sent.
  std::optional<IpAddress> address6;
  bool reassemble = false;  // black only: put ESP packets together that were fragmented on the way
};

enum class EngineChoice : std::uint8_t { automatic, burst, burst_512, burst_256, ipsec_mb, openssl };
std::string_view name(EngineChoice engine);  // "auto", "burst", "burst-512", "burst-256", "ipsec_mb", "openssl"

// A gateway's whole file: [gateway], [red], [black], [member] and, embedded, [keyserver].
struct GatewayConfig {
  std::string admin_socket;  // path
  std::string state;         // path: highest epoch seen per key server and group (H5)
  std::uint32_t workers = worker_limits.standard;
  bool spread = false;               // single streams over all workers
  std::vector<std::uint32_t> cores;  // empty, or one per worker
  EngineChoice engine = EngineChoice::automatic;
  std::uint32_t memory_mb = memory_limits.standard;
  std::uint32_t idle_nap_us = idle_nap_limits.standard;
  bool telemetry = false;                  // DPDK telemetry: /sealcast/… over a socket of its own
  std::optional<std::string> export_keys;  // path: every SA key in clear, for a packet analyser (H14: off by default)
  PortConfig red;
  PortConfig black;
  std::vector<BypassRule> bypass;  // [[bypass]], without what passes by default
  MemberConfig member;
  std::optional<KeyserverConfig> keyserver;  // set: embedded
};

// Bytes of IP packet the black side must carry so that a red packet of red_mtu bytes fits in ESP with AES-GCM
// (base/esp_overhead.h): 54 to 57 more in a tunnel of IPv4, 74 to 77 in one of IPv6, 34 to 37 in transport mode. A
// shorter red packet never needs more. ip_version: of the packet on black.
std::uint32_t needed_black_mtu(std::uint32_t red_mtu, std::uint8_t ip_version = 4,
                               EspMode mode = EspMode::tunnel_preserve);

// The same for the groups of a file: every pair of mode and IP version on black that occurs, the costliest last.
struct BlackMtuNeed {
  EspMode mode = EspMode::tunnel_preserve;
  std::uint8_t ip_version = 4;
  std::uint32_t bytes = 0;
  bool operator==(const BlackMtuNeed&) const = default;
};
std::vector<BlackMtuNeed> black_mtu_needs(const GatewayConfig& config);

// ---------------------------------------------------------------- reading

// The file_name of the parse_… forms stands in diagnostics and its folder is what relative paths are relative to.
Loaded<KeyserverConfig> parse_keyserver_config(std::string_view toml, const std::string& file_name);
Loaded<GatewayConfig> parse_gateway_config(std::string_view toml, const std::string& file_name);
Loaded<KeyserverConfig> load_keyserver_config(const std::string& path);
Loaded<GatewayConfig> load_gateway_config(const std::string& path);

// Which daemon a file is for: [gateway], [red], [black] or [member] make it a gateway's; [keyserver] alone a key
// server's.
enum class FileKind : std::uint8_t { keyserver, gateway };
Loaded<FileKind> detect_kind(const std::string& path);

// Validates a file of either kind, for `sealcast check`: the kind (if it can be told) and every error and warning.
struct CheckReport {
  std::optional<FileKind> kind;
  std::vector<Diagnostic> errors;
  std::vector<Diagnostic> warnings;
};
CheckReport check_file(const std::string& path);

// ---------------------------------------------------------------- files the configuration names

// A PEM file of at most 1 MiB, whole. `what` names it in the error: "certificate", "ca".
Result<std::string> read_pem(const std::string& path, std::string_view what);
// The same for a private key; refuses a file that group or others may read (H14).
Result<SecretBytes> read_private_key(const std::string& path);
// 32 bytes, from a file that others may not access or from a credential: one line of 64 hexadecimal digits.
Result<Secret<32>> read_cluster_key(const ClusterConfig& cluster);
// Likewise; nothing where no such key is configured.
Result<std::optional<Secret<32>>> read_wrapping_key(const KeyserverConfig& keyserver);
// A member's password from its file, or from the service manager's credential ($CREDENTIALS_DIRECTORY/NAME): one line
// of 1 to 128 bytes, without its line end. Refuses what is no regular file, what others may access, and what belongs to
// neither this user nor root (H7). Not for a prompt.
Result<SecretBytes> read_password(const PasswordSource& source);

}  // namespace sealcast::config
