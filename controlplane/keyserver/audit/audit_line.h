// A line of the audit trail taken apart again: `event key=value key="text with \x22 escapes" …` (audit.h).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sealcast::keyserver {

struct AuditLine {
  std::string event;
  std::vector<std::pair<std::string, std::string>> fields;  // in the line's order; values without their escapes

  // The first field of that name, or "".
  std::string_view field(std::string_view name) const;
};

// Never fails: from the first word on that is no key=value the rest of the line is one field, "text".
AuditLine parse_audit_line(std::string_view line);

}  // namespace sealcast::keyserver
