// What the member agent is told: plain values, made from the configuration by the daemon or written down by a test.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "handshake/endpoint.h"

namespace sealcast::member {

struct SpiRange {
  std::uint32_t first = 256;  // inclusive, never below 256 (H12)
  std::uint32_t last = 0xffffffff;
};

struct GroupSettings {
  std::string id;
  handshake::Role role = handshake::receiver;
  std::vector<std::string> keyservers;  // "host:port", tried in order
  std::string keyserver_name;           // must be a dNSName of the server's certificate
  std::string keyserver_id;             // must be SMKE's key_server_id
  std::vector<Selector> selectors;      // what is accepted at most (H12), and protected from the start (H10)
  handshake::GroupFlow flow;            // suite and variant, pinned (H4)
  EspMode mode = EspMode::tunnel_preserve;
  SpiRange spi_range;
  std::chrono::milliseconds max_lifetime = std::chrono::hours(48);  // an epoch that claims to live longer is refused
  std::chrono::seconds max_lease = std::chrono::hours(24);          // likewise for the authority lease
};

// Every constant of the agent's behaviour in time. Tests make them small; nothing else changes them.
struct AgentTiming {
  std::chrono::milliseconds poll{50};                  // data plane events, timers
  std::chrono::milliseconds connect_timeout{5000};     // one address
  std::chrono::milliseconds handshake_timeout{10000};  // from connected to both closing Finished
  std::chrono::milliseconds backoff_first{100};        // doubles per failure, full jitter
  std::chrono::milliseconds backoff_max{10000};
  std::chrono::milliseconds keepalive{5000};  // shortened to a third of the lease where that is shorter
  std::chrono::milliseconds status_report{5000};
  std::chrono::milliseconds repeat_log{60000};  // an identical failure is logged again after this long
  std::chrono::milliseconds clock_jump{2000};   // H9: a larger jump between the clocks means a resumed snapshot
};

struct MemberSettings {
  std::string certificate, private_key, ca, crl;  // PEM files; crl may be empty. Read again at every connection
  std::string state_file;                         // highest epoch per (server name, key_server_id, group) (H5)
  std::optional<IpAddress> local_address;         // source address of the control connections
  std::uint8_t multicast_flag = 30;
  std::vector<GroupSettings> groups;
  AgentTiming timing;
};

}  // namespace sealcast::member
