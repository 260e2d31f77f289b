#include "app/gateway/trace.h"

#include <algorithm>

#include "base/bytes.h"

namespace sealcast::gateway {
namespace {

using dataplane::Side;
using dataplane::Verdict;

const char* name(Verdict verdict) {
  switch (verdict) {
    case Verdict::drop:
      return "drop";
    case Verdict::forward:
      return "forward";
    case Verdict::hand_off:
      return "hand_off";
    case Verdict::park:
      return "park";
    case Verdict::fragment:
      return "fragment";
    case Verdict::reassemble:
      return "reassemble";
    case Verdict::reply:
      return "reply";
    case Verdict::punt:
      return "punt";
  }
  return "";
}

}  // namespace

Result<dataplane::WhatIfQuestion> question_of(const admin::WhatIfRequest& request) {
  constexpr std::uint64_t most = 255;  // workers; the data plane knows how many there are
  if (request.worker.value_or(0) > most)
    return fail("expected \"worker\" from 0 to " + std::to_string(most) + ", got " + std::to_string(*request.worker));
  dataplane::WhatIfQuestion question;
  question.side = request.side == admin::Side::red ? Side::red : Side::black;
  question.frame = request.frame;
  question.worker = static_cast<std::uint32_t>(request.worker.value_or(0));
  question.spi = request.spi;
  question.number = request.number;
  return question;
}

admin::WhatIfAnswer answer_of(const dataplane::WhatIfAnswer& answer) {
  admin::WhatIfAnswer out{.verdict = answer.key_decides ? "undecided" : name(answer.verdict),
                          .key_decides = answer.key_decides,
                          .group = answer.group,
                          .selector = answer.selector,
                          .spi = answer.spi,
                          .epoch = answer.epoch,
                          .number = answer.number,
                          .worker = answer.worker,
                          .bytes_in = answer.bytes_in,
                          .bytes_out = answer.bytes_out};
  if (answer.verdict == Verdict::drop && !answer.key_decides) {
    out.reason = dataplane::name(answer.reason);
    out.text = dataplane::text(answer.reason);
  }
  for (const auto& step : answer.steps)
    out.steps.push_back({step.name, step.text});
  return out;
}

std::uint32_t further_of(const admin::DropsRequest& request) {
  constexpr std::uint64_t most = 64;
  return static_cast<std::uint32_t>(std::min(request.further.value_or(0), most));
}

admin::DropsAnswer answer_of(const std::vector<dataplane::DropSample>& samples) {
  admin::DropsAnswer out;
  for (const auto& sample : samples) {
    // Only headers were sampled: the rest is read as zeros.
    Bytes header(sample.header.begin(), sample.header.begin() + sample.kept);
    header.resize(std::max<std::size_t>(sample.length, sample.kept), 0);
    out.drops.push_back({.side = sample.side == Side::red ? admin::Side::red : admin::Side::black,
                         .reason = std::string(dataplane::name(sample.reason)),
                         .bytes = sample.length,
                         .headers = dataplane::describe_frame(header),
                         .hex = to_hex({sample.header.data(), sample.kept})});
  }
  return out;
}

}  // namespace sealcast::gateway
