// Log lines that a member can cause as often as it likes: ten a second, and how many were left out (H13).
#pragma once

#include <cstdint>

#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/group/parts.h"

namespace sealcast::keyserver {

class MemberWarnings {
 public:
  void warn(Event event, Moment now) {
    std::uint64_t held_back = 0;
    if (!limit_.pass(now.steady, &held_back)) return;
    if (held_back) event.add({"not_logged_before", held_back});
    audit_warning(event);
  }

 private:
  LineLimit limit_{10};
};

}  // namespace sealcast::keyserver
