// The fate of a packet, and why: the control thread runs the path of a worker, made for this run, on a copy of the
// frame. It sees the policy, the deadlines and the windows in force, but seals and opens with copies of SAs under a dry
// key: it takes no number, moves no window, raises no counter and touches no key.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "dataplane/path/recent_frames.h"
#include "dataplane/path/worker.h"

namespace sealcast::dataplane {

struct WhatIfQuestion {
  Side side = Side::red;     // where the frame comes in
  Bytes frame;               // from destination MAC on, without FCS
  std::uint32_t worker = 0;  // index of the worker that receives it
  // Black only: frame is the plain packet that the sender with this slot sealed; none: frame is the packet on the wire.
  std::optional<std::uint32_t> spi;
  std::optional<std::uint64_t> number;  // with spi: the packet's number; else the next one
};

struct WhatIfStep {
  std::string name;  // received, frame, policy, sa, verdict, leaves …
  std::string text;  // for people
};

struct WhatIfAnswer {
  std::vector<WhatIfStep> steps;
  Verdict verdict = Verdict::drop;
  DropReason reason = DropReason::none;
  // The ICV and the content under it decide, and a dry run has no key: all checks before them passed.
  bool key_decides = false;
  std::string group, selector;  // empty: none was found
  std::optional<std::uint32_t> spi;
  std::optional<std::uint64_t> epoch;
  std::optional<std::uint64_t> number;  // of the ESP packet that comes or leaves
  std::uint32_t worker = 0;             // the worker that decided
  std::uint32_t bytes_in = 0;           // of the frame
  std::uint32_t bytes_out = 0;          // 0: nothing leaves, or in pieces
};

// The data plane in force; only read, and must live through the call.
struct WhatIfPlane {
  const PathSettings* settings = nullptr;
  const aead::Engine* engine = nullptr;
  const Snapshot* snapshot = nullptr;
  std::uint64_t now_tsc = 0;
  std::size_t groups = 0;
  struct GroupView {
    std::string id;
    std::vector<Selector> selectors;
  };
  std::function<GroupView(std::uint32_t index)> group;
  // Group and epoch of an SPI; none: no installed epoch has it.
  std::function<std::optional<std::pair<std::string, std::uint64_t>>(std::uint32_t spi)> owner;
};

// Fails if the question makes no sense: a worker that does not exist, a frame too long for a buffer.
Result<WhatIfAnswer> what_if(const WhatIfPlane& plane, const WhatIfQuestion& question);

// One line about a frame's headers, whatever it holds.
std::string describe_frame(const Bytes& frame);

}  // namespace sealcast::dataplane
