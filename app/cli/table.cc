#include "app/cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace sealcast::cli {
namespace {

// Columns on the screen, for UTF-8: bytes that begin a character.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::row(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  for (std::string& cell : cells)
    cell = clean(cell);
  rows_.push_back(std::move(cells));
}

std::string Table::text(std::size_t indent) const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = width_of(columns_[i].title);
    for (const auto& cells : rows_)
      width = std::max(width, width_of(cells[i]));
    widths.push_back(width);
  }
  std::string out;
  const auto line = [&](const auto& cell_of) {
    std::string text(indent, ' ');
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const std::string& cell = cell_of(i);
      const std::string padding(widths[i] - width_of(cell), ' ');
      text += columns_[i].align == Align::left ? cell + padding : padding + cell;
      text += "  ";
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  line([&](std::size_t i) -> const std::string& { return columns_[i].title; });
  for (const auto& cells : rows_)
    line([&](std::size_t i) -> const std::string& { return cells[i]; });
  return out;
}

std::string clean(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // C1 controls are two bytes in UTF-8: 0xc2 0x80..0x9f.
    const bool c1 = byte == 0xc2 && i + 1 < text.size() && (static_cast<unsigned char>(text[i + 1]) & 0xe0) == 0x80;
    if (c1) ++i;
    out += (byte < 0x20 || byte == 0x7f || c1) ? '?' : text[i];
  }
  return out;
}

std::string count(std::uint64_t value) {
  std::string digits = std::to_string(value);
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::string duration(std::int64_t seconds) {
  if (seconds < 0) return "-" + duration(-seconds);
  if (seconds < 60) return fmt::format("{} s", seconds);
  if (seconds < 3600)
    return seconds % 60 == 0 ? fmt::format("{} min", seconds / 60)
                             : fmt::format("{} min {} s", seconds / 60, seconds % 60);
  if (seconds < 86400)
    return seconds % 3600 < 60 ? fmt::format("{} h", seconds / 3600)
                               : fmt::format("{} h {} min", seconds / 3600, seconds % 3600 / 60);
  return seconds % 86400 < 3600 ? fmt::format("{} d", seconds / 86400)
                                : fmt::format("{} d {} h", seconds / 86400, seconds % 86400 / 3600);
}

namespace {

std::string scaled(double value, const std::array<const char*, 6>& units) {
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, units[unit]);
}

}  // namespace

std::string bytes_text(std::uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  return scaled(static_cast<double>(bytes), {"B", "kB", "MB", "GB", "TB", "PB"});
}

std::string packets_rate(double per_second) {
  if (per_second > 0 && per_second < 10) return fmt::format("{:.2f}", per_second);
  return count(static_cast<std::uint64_t>(std::llround(per_second)));
}

std::string bits_rate(double per_second) {
  if (per_second < 1000) return fmt::format("{} b", std::llround(per_second));
  return scaled(per_second, {"b", "kb", "Mb", "Gb", "Tb", "Pb"});
}

}  // namespace sealcast::cli
