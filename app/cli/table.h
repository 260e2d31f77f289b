// Text for people: aligned columns, readable times and numbers. Removes control characters from text that a peer may
// have chosen (names, reasons), so that it can't play with the operator's terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sealcast::cli {

enum class Align : std::uint8_t { left, right };

class Table {
 public:
  struct Column {
    std::string title;
    Align align = Align::left;
  };
  explicit Table(std::vector<Column> columns);  // one or more

  // Missing cells are blank; further ones are dropped.
  void row(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  // Every line begins with indent blanks and has no trailing ones.
  std::string text(std::size_t indent = 0) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

std::string clean(std::string_view text);     // control characters become '?'
std::string count(std::uint64_t value);       // 1234567 -> "1,234,567"
std::string duration(std::int64_t seconds);   // "23 h 59 min", "1 min 5 s", "0 s"
std::string bytes_text(std::uint64_t bytes);  // "999 B", "1.21 MB"
std::string packets_rate(double per_second);  // "0", "0.50", "1,234"
std::string bits_rate(double per_second);     // "999 b", "1.21 Gb"

}  // namespace sealcast::cli
