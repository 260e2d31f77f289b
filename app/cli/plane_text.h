// A gateway's statistics as tables for people. Where a screen shows rates, it takes an earlier look at the same gateway
// (nullptr: no rates).
#pragma once

#include <string>

#include "base/dataplane_control.h"

namespace sealcast::cli {

// The data plane at one moment and, where there was one, at an earlier one.
struct Looks {
  const DataPlaneStatistics& now;
  const DataPlaneStatistics* earlier = nullptr;
};

std::string ports_text(const Looks& looks);
std::string plane_groups_text(const Looks& looks);
// all: SAs without packets, too.
std::string sas_text(const Looks& looks, bool all);
// Ports, then the busiest groups, at most rows of them.
std::string top_text(const Looks& looks, std::size_t rows);

// "12 cut before sealing, 3 put together ...": packets that took a special path, counts above 0.
std::string detours(const DataPlaneStatistics& now);

// The ports' table alone, for the screen of a whole status. Empty without ports.
std::string ports_rows(const Looks& looks, std::size_t indent);

}  // namespace sealcast::cli
