// A gateway's answers about its data plane as tables for people. Each takes the answer and, where the screen shows
// rates, an earlier one of the same daemon (empty: no rates).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"

namespace sealcast::cli {

Result<std::string> ports_text(const std::string& answer, const std::string& earlier);
Result<std::string> groups_text(const std::string& answer, const std::string& earlier);
// all: SAs without packets, too.
Result<std::string> sas_text(const std::string& answer, const std::string& earlier, bool all);
// Ports, then the busiest groups, at most rows of them.
Result<std::string> top_text(const std::string& answer, const std::string& earlier, std::size_t rows);

// "12 cut, 3 put together, ...": packets that took a special path, counts above 0. now: an answer to "ports" or a
// status' "dataplane".
std::string detours(const nlohmann::json& now);

// The ports' table alone, for the screen of a whole status: now and earlier hold "ports" and "taken_s". Empty without
// ports.
std::string ports_rows(const nlohmann::json& now, const nlohmann::json& earlier, std::size_t indent);

}  // namespace sealcast::cli
