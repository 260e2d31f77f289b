// The results of a run.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bench/member_load/options.h"
#include "bench/member_load/process_use.h"

namespace sealcast::load {

// Of any number of samples; milliseconds.
struct Spread {
  std::size_t samples = 0;
  double p50 = 0, p99 = 0, max = 0;
};
Spread spread_of(std::vector<double> samples);

struct Joining {
  std::uint32_t members = 0;  // a member of two groups counts twice
  double seconds = 0;         // until all members were joined
  double server_cpu_s = 0;
  std::uint64_t failures = 0;  // attempts that failed
  Spread handshake;            // of a connection: TCP connect to the key of its last group
};

struct Rekeying {
  std::uint64_t epoch = 0;
  Spread acknowledged;       // from asking for the rekey to a member's acknowledgement
  double all_active_ms = 0;  // ... to the last Activate at a member
  double server_cpu_ms = 0;
};

struct Holding {
  double seconds = 0;
  double server_cpu_percent = 0;  // of one core
  std::uint64_t left = 0, crashed = 0;
  std::uint64_t bytes = 0;  // of all TCP streams
};

struct Summary {
  std::uint32_t members = 0, senders = 0, groups = 1;  // groups: each member's
  std::uint32_t connections = 0;
  Joining joining;
  std::uint64_t resident_before = 0, resident_after = 0;       // the key server's, bytes
  double members_cpu_s = 0;                                    // of all members together while they joined
  std::uint64_t bytes_to_members = 0, bytes_from_members = 0;  // TCP streams' until all were joined
  std::vector<Rekeying> rekeys;
  Holding holding;
  bool stormed = false;
  Joining storm;
  double down_ms = 0;  // the key server was gone in the storm
  bool surged = false;
  Joining surge;                             // half of the members come back at once ...
  Rekeying surge_rekey;                      // ... while the other half is rekeyed
  std::map<std::string, std::uint64_t> why;  // of failed attempts and lost connections
};

std::string text(const Summary& summary);
// The same for a document: a table in Markdown, as in docs/performance.md "Key server at scale".
std::string table(const Summary& summary);
std::string json(const Summary& summary);

}  // namespace sealcast::load
