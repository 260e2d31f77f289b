// The key server's audit trail: one line an event, structured as "event key=value …", never a secret (H14). Text that
// came from the network is escaped before it gets here.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace sealcast::keyserver {

void audit(const std::string& line);          // what an auditor wants to find later
void audit_warning(const std::string& line);  // what an operator should look at
void audit_error(const std::string& line);    // what keeps members from being served

// Quoted, control and non-ASCII bytes escaped, cut at 200 bytes.
std::string escaped(std::string_view text);

// At most so many lines a second pass; how many were held back is told with the next one that passes, so that a flood
// of bad connections fills no disk (H13).
class LineLimit {
 public:
  explicit LineLimit(std::uint32_t lines_per_second) : limit_(lines_per_second) {}
  // True: log it; *held_back lines were not logged since the last one.
  bool pass(std::chrono::steady_clock::time_point now, std::uint64_t* held_back);

 private:
  std::uint32_t limit_;
  std::uint32_t used_ = 0;
  std::uint64_t held_back_ = 0;
  std::chrono::steady_clock::time_point second_{};
};

}  // namespace sealcast::keyserver
