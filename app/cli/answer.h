// Values of a daemon's answer as text: an optional that is empty is blank. Only for the files that format answers.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string>

#include "app/cli/table.h"
#include "base/figures.h"
#include "base/spi_text.h"
#include "controlplane/admin/messages.h"

namespace sealcast::cli {

inline std::string digits(const admin::Number& value) {
  return value ? std::to_string(*value) : "";
}
inline std::string number(const admin::Number& value) {
  return value ? count(*value) : "";
}
// Whole seconds; a daemon's number may be out of all bounds.
inline std::int64_t whole(double seconds) {
  constexpr double most = 1e12;
  return seconds >= -most && seconds <= most ? static_cast<std::int64_t>(std::floor(seconds)) : 0;
}
inline std::string seconds(const admin::Seconds& value) {
  return value ? duration(whole(*value)) : "";
}
// The first `most` of them, and how many there are where some are left out.
template <typename Value, typename Text>
std::string list_of(const std::vector<Value>& values, std::size_t most, Text text) {
  std::string out;
  for (std::size_t i = 0; i < values.size() && i < most; ++i)
    out += (i == 0 ? "" : ", ") + text(values[i]);
  if (values.size() > most) out += fmt::format(", … ({} in all)", values.size());
  return out;
}
inline std::string list(const admin::Names& values, std::size_t most = 8) {
  return list_of(values, most, clean);
}
inline std::string list(const admin::Spis& values, std::size_t most = 8) {
  return list_of(values, most, spi_text);
}
// "no_sa 3, replay 1" of {reason, number} pairs; zeros left out.
template <typename Reasons>
std::string counters(const Reasons& by_reason) {
  std::string out;
  for (const auto& [reason, number] : by_reason)
    if (number != 0) out += (out.empty() ? "" : ", ") + clean(reason) + " " + count(number);
  return out;
}
inline std::uint64_t sum(const std::vector<DropCount>& by_reason) {
  std::uint64_t all = 0;
  for (const DropCount& one : by_reason)
    all += one.packets;
  return all;
}

// A figure of base/figures.h as its unit asks.
template <typename Of>
std::string shown(const Figure<Of>& figure, const Of& of) {
  const std::uint64_t value = of.*figure.value;
  return figure.unit == Unit::bytes ? bytes_text(value) : count(value);
}

// The daemon's clock between two readings, in seconds; 0 if it did not tell it.
inline double seconds_between(SteadyTime now, SteadyTime earlier) {
  return earlier == SteadyTime() ? 0 : std::chrono::duration<double>(now - earlier).count();
}
// Per second between two readings of one counter; nothing if there is no earlier reading or the counter began anew.
inline std::optional<double> rate(std::uint64_t now, std::optional<std::uint64_t> earlier, double seconds_between) {
  if (!earlier || now < *earlier || !(seconds_between > 0)) return std::nullopt;
  return static_cast<double>(now - *earlier) / seconds_between;
}

}  // namespace sealcast::cli
