// One line per failure, not one per attempt: an identical line is repeated only after a while, and then says how often
// it happened meanwhile.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/dataplane_control.h"

namespace sealcast::member {

class FailureLog {
 public:
  explicit FailureLog(std::chrono::milliseconds repeat) : repeat_(repeat) {}

  // What to log now, if anything.
  std::optional<std::string> line(const std::string& text, SteadyTime now) {
    if (entries_.size() >= max_entries && entries_.count(text) == 0) entries_.clear();
    const auto [entry, is_new] = entries_.try_emplace(text);
    if (!is_new && now < entry->second.logged + repeat_) {
      ++entry->second.suppressed;
      return std::nullopt;
    }
    const std::uint64_t suppressed = entry->second.suppressed;
    entry->second = {now, 0};
    return suppressed == 0 ? text : text + " (" + std::to_string(suppressed) + " times more since the last such line)";
  }
  void clear() { entries_.clear(); }

 private:
  static constexpr std::size_t max_entries = 64;
  struct Entry {
    SteadyTime logged{};
    std::uint64_t suppressed = 0;
  };
  std::chrono::milliseconds repeat_;
  std::map<std::string, Entry> entries_;
};

}  // namespace sealcast::member
