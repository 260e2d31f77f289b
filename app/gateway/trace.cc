#include "app/gateway/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/bytes.h"

namespace sealcast::gateway {
namespace {

using Json = nlohmann::ordered_json;
using dataplane::Side;
using dataplane::Verdict;

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

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

Result<dataplane::WhatIfQuestion> parse_what_if(const std::string& request_json) {
  const Json request = Json::parse(request_json, nullptr, false);
  if (!request.is_object()) return fail(std::string("expected a JSON object"));
  dataplane::WhatIfQuestion question;
  const auto side = request.find("side");
  if (side == request.end() || (*side != "red" && *side != "black"))
    return fail(std::string("expected a member \"side\", \"red\" or \"black\""));
  question.side = *side == "red" ? Side::red : Side::black;
  const auto frame = request.find("frame");
  if (frame == request.end() || !frame->is_string())
    return fail(std::string("expected a member \"frame\" of hex digits"));
  auto bytes = from_hex(frame->get_ref<const std::string&>());
  if (!bytes) return fail(std::string("frame: expected an even number of hex digits and nothing else"));
  question.frame = std::move(*bytes);
  if (const auto worker = request.find("worker"); worker != request.end()) {
    if (!worker->is_number_unsigned() || worker->get<std::uint64_t>() > 255)
      return fail(std::string("worker: expected a number from 0 on"));
    question.worker = worker->get<std::uint32_t>();
  }
  if (const auto spi = request.find("spi"); spi != request.end()) {
    const std::string text = spi->is_string() ? spi->get<std::string>() : std::string();
    std::uint32_t value = 0;
    const bool prefixed = text.rfind("0x", 0) == 0;
    const char* const first = text.data() + (prefixed ? 2 : 0);
    const auto [end, error] = std::from_chars(first, text.data() + text.size(), value, prefixed ? 16 : 10);
    if (text.empty() || error != std::errc() || end != text.data() + text.size())
      return fail("spi: expected an SPI such as \"0x10000001\", got " + spi->dump());
    question.spi = value;
  }
  if (const auto number = request.find("number"); number != request.end()) {
    if (!number->is_number_unsigned()) return fail(std::string("number: expected a number from 0 on"));
    question.number = number->get<std::uint64_t>();
  }
  return question;
}

std::string to_json(const Result<dataplane::WhatIfAnswer>& answer) {
  if (!answer) return text_of({{"error", answer.error().message}});
  Json json{{"daemon", "gateway"},
            {"verdict", answer->key_decides ? "undecided" : name(answer->verdict)},
            {"key_decides", answer->key_decides},
            {"worker", answer->worker},
            {"bytes_in", answer->bytes_in},
            {"bytes_out", answer->bytes_out}};
  if (answer->verdict == Verdict::drop && !answer->key_decides) {
    json["reason"] = dataplane::name(answer->reason);
    json["text"] = dataplane::text(answer->reason);
  }
  if (!answer->group.empty()) json["group"] = answer->group;
  if (!answer->selector.empty()) json["selector"] = answer->selector;
  if (answer->spi) json["spi"] = fmt::format("0x{:08x}", *answer->spi);
  if (answer->epoch) json["epoch"] = *answer->epoch;
  if (answer->number) json["number"] = *answer->number;
  json["steps"] = Json::array();
  for (const auto& step : answer->steps)
    json["steps"].push_back({{"step", step.name}, {"text", step.text}});
  return text_of(json);
}

std::uint32_t further_of(const std::string& request_json) {
  const Json request = Json::parse(request_json, nullptr, false);
  const auto further = request.is_object() ? request.find("further") : request.end();
  if (further == request.end() || !further->is_number_unsigned()) return 0;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(further->get<std::uint64_t>(), 64));
}

std::string to_json(const std::vector<dataplane::DropSample>& samples) {
  Json drops = Json::array();
  for (const auto& sample : samples) {
    // Only headers were sampled: the rest is read as zeros.
    Bytes header(sample.header.begin(), sample.header.begin() + sample.kept);
    header.resize(std::max<std::size_t>(sample.length, sample.kept), 0);
    drops.push_back({{"side", sample.side == Side::red ? "red" : "black"},
                     {"reason", dataplane::name(sample.reason)},
                     {"bytes", sample.length},
                     {"headers", dataplane::describe_frame(header)},
                     {"hex", to_hex({sample.header.data(), sample.kept})}});
  }
  return text_of({{"daemon", "gateway"}, {"drops", std::move(drops)}});
}

}  // namespace sealcast::gateway
