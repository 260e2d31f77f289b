// Reads a daemon's JSON leniently: a field that a daemon of another version leaves out is blank, never guessed. Only
// for the files that format answers.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "app/cli/table.h"
#include "base/result.h"

namespace sealcast::cli {

using Json = nlohmann::json;

inline const Json& at(const Json& object, const char* key) {
  static const Json nothing;
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found == object.end() ? nothing : *found;
}
inline std::string text(const Json& value) {
  if (value.is_string()) return clean(value.get_ref<const std::string&>());
  return value.is_null() ? "" : clean(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}
inline std::string number(const Json& value) {
  return value.is_number_unsigned() ? count(value.get<std::uint64_t>()) : "";
}
inline std::string seconds(const Json& value) {
  return value.is_number() ? duration(static_cast<std::int64_t>(std::floor(value.get<double>()))) : "";
}
inline std::string size(const Json& value) {
  return value.is_number_unsigned() ? bytes_text(value.get<std::uint64_t>()) : "";
}
inline std::string yes(const Json& value) {
  return value.is_boolean() ? (value.get<bool>() ? "yes" : "no") : text(value);
}
inline std::string list(const Json& values, std::size_t most = 8) {
  std::string out;
  if (!values.is_array()) return out;
  for (std::size_t i = 0; i < values.size() && i < most; ++i)
    out += (i == 0 ? "" : ", ") + text(values[i]);
  if (values.size() > most) out += fmt::format(", … ({} in all)", values.size());
  return out;
}
// {"no_sa": 3, "replay": 1} -> "no_sa 3, replay 1"; zeros left out.
inline std::string counters(const Json& by_reason) {
  std::string out;
  if (!by_reason.is_object()) return out;
  for (const auto& [reason, value] : by_reason.items())
    if (value != 0) out += (out.empty() ? "" : ", ") + clean(reason) + " " + number(value);
  return out;
}

// Per second between two readings of one counter; nothing if there is no earlier reading or the counter began anew.
inline std::optional<double> rate(const Json& now, const Json& earlier, double seconds_between) {
  if (!now.is_number_unsigned() || !earlier.is_number_unsigned() || !(seconds_between > 0)) return std::nullopt;
  const auto a = earlier.get<std::uint64_t>();
  const auto b = now.get<std::uint64_t>();
  if (b < a) return std::nullopt;
  return static_cast<double>(b - a) / seconds_between;
}
inline double seconds_between(const Json& now, const Json& earlier) {
  const Json& b = at(now, "taken_s");
  const Json& a = at(earlier, "taken_s");
  return a.is_number() && b.is_number() ? b.get<double>() - a.get<double>() : 0;
}

// An answer's text as an object, or the error it carries.
inline Result<Json> read_answer(const std::string& answer) {
  Json value = Json::parse(answer, nullptr, false);
  if (!value.is_object()) return fail("the daemon's answer is no JSON object");
  if (value.contains("error")) return fail("the daemon answers: " + text(at(value, "error")));
  return value;
}

}  // namespace sealcast::cli
