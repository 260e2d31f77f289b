// The daemons' status answers as a screen for people.
#pragma once

#include <string>

#include "base/result.h"

namespace sealcast::cli {

struct StatusView {
  bool all = false;  // SAs without packets and drop reasons that never occurred, too
};

// answer: the JSON text a daemon gave to "status"; earlier: one it gave before, for rates, or empty. An error if it is
// none of ours.
Result<std::string> status_text(const std::string& answer, const StatusView& view, const std::string& earlier = "");

}  // namespace sealcast::cli
