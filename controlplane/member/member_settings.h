// What the member agent is told: the configuration's own values, and the constants of its behaviour in time.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <utility>

#include "base/loop.h"
#include "base/result.h"
#include "base/secret.h"
#include "controlplane/config/config.h"
#include "controlplane/member/link.h"

namespace sealcast::member {

// Every constant of the agent's behaviour in time. Tests make them small; nothing else changes them.
struct AgentTiming {
  std::chrono::milliseconds poll{50};                  // data plane events, expiry, clocks
  std::chrono::milliseconds connect_timeout{5000};     // one address
  std::chrono::milliseconds handshake_timeout{10000};  // from connected to both closing Finished
  std::chrono::milliseconds backoff_first{100};  // upper bound of the first wait; doubles per failure, full jitter
  std::chrono::milliseconds backoff_max{10000};
  std::chrono::milliseconds keepalive{5000};      // shortened to a third of the lease where that is shorter
  std::chrono::milliseconds status_report{5000};  // own slots' counters to the key server
  // After a refused password, at least this long and at most twice as long, doubling per refusal: less often than a key
  // server's limit on attempts gives back, so that a member never locks its user out for good.
  std::chrono::milliseconds refused_password{90000};
  std::chrono::milliseconds refused_password_max{900000};
  std::chrono::milliseconds refused_key{10000};  // likewise where SMKE's key material was refused (H6)
  std::chrono::milliseconds refused_key_max{600000};
  std::chrono::milliseconds repeat_log{60000};  // an identical failure is logged again after this long
  std::chrono::milliseconds clock_jump{2000};   // H9: a larger jump between the clocks means a resumed snapshot
};

// What tests and a simulator replace; the defaults are what a gateway uses. What is given outlives the agent.
struct AgentSeams {
  Loop* loop = nullptr;                 // nullptr: the io_context
  Link::Open open_link = {};            // empty: TCP on the io_context
  handshake::Random* random = nullptr;  // for back-off; nullptr: the system's CSPRNG
  // Boot-time and real-time clock (H9); empty: the system's.
  std::function<std::pair<std::chrono::nanoseconds, std::chrono::nanoseconds>()> clocks = {};
};

struct MemberSettings {
  config::MemberConfig member;  // PEM files are read again at every connection, so that renewed ones take effect
  std::string state_file;       // highest epoch per (server name, key_server_id, group) (H5): [gateway] state
  AgentTiming timing = {};
  // Asks for a password that must be typed (password_prompt); empty: on the terminal.
  std::function<Result<SecretBytes>(const std::string& prompt)> ask_password = {};
  AgentSeams seams = {};
};

}  // namespace sealcast::member
