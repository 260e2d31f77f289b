// The daemons' status answers as a screen for people.
#pragma once

#include <string>

#include "base/result.h"

namespace sealcast::cli {

struct StatusView {
  bool all = false;  // SAs without packets and drop reasons that never occurred, too
};

// answer: the JSON text of a daemon's answer to "status"; earlier: an earlier one of the same daemon, for rates, or
// empty. Fails if it is no such answer.
Result<std::string> status_text(const std::string& answer, const StatusView& view, const std::string& earlier = "");

}  // namespace sealcast::cli
