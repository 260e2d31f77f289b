// Log lines that a member can cause as often as it likes: ten a second, and how many were left out (H13).
#pragma once

#include <string>

#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/group/parts.h"

namespace sealcast::keyserver {

class MemberWarnings {
 public:
  void warn(const std::string& line, Moment now) {
    std::uint64_t held_back = 0;
    if (limit_.pass(now.steady, &held_back))
      audit_warning(line + (held_back ? " not_logged_before=" + std::to_string(held_back) : ""));
  }

 private:
  LineLimit limit_{10};
};

}  // namespace sealcast::keyserver
