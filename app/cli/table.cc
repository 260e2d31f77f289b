#include "app/cli/table.h"

#include <fmt/format.h>
#include <libsmartcols.h>
#include <locale.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>

namespace sealcast::cli {
namespace {

// libsmartcols measures text by the thread's locale. A process that set none is in "C", which knows no UTF-8.
class InUtf8 {
 public:
  InUtf8() : utf8_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)), former_(uselocale(utf8_)) {}
  InUtf8(const InUtf8&) = delete;
  InUtf8& operator=(const InUtf8&) = delete;
  ~InUtf8() {
    uselocale(former_);
    if (utf8_ != nullptr) freelocale(utf8_);
  }

 private:
  locale_t utf8_;
  locale_t former_;
};

// Its calls fail for want of memory alone, which is told as std::string tells it.
void require(bool done) {
  if (!done) throw std::bad_alloc();
}

void add_row(libscols_table* table, const std::vector<std::string>& cells) {
  libscols_line* const line = scols_table_new_line(table, nullptr);
  require(line != nullptr);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    require(scols_line_set_data(line, i, cells[i].c_str()) == 0);
    // Unencoded, text that is no UTF-8 would keep libsmartcols 2.38 busy for ever.
    if (std::mbstowcs(nullptr, cells[i].c_str(), 0) == static_cast<std::size_t>(-1))
      scols_table_enable_noencoding(table, 0);
  }
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
  const InUtf8 in_utf8;
  const std::unique_ptr<libscols_table, void (*)(libscols_table*)> table(scols_new_table(), scols_unref_table);
  require(table != nullptr);
  scols_table_set_termforce(table.get(), SCOLS_TERMFORCE_NEVER);  // else it cuts what the screen has no room for
  scols_table_enable_noencoding(table.get(), 1);                  // clean() was here, and "\x" is text
  scols_table_enable_noheadings(table.get(), 1);                  // the titles are a row: they show without others, too
  require(scols_table_set_column_separator(table.get(), "  ") == 0);
  std::vector<std::string> titles;
  for (const Column& column : columns_) {
    const int flags = column.align == Align::right ? SCOLS_FL_RIGHT : 0;
    require(scols_table_new_column(table.get(), nullptr, 0, flags) != nullptr);
    titles.push_back(column.title);
  }
  add_row(table.get(), titles);
  for (const auto& cells : rows_)
    add_row(table.get(), cells);
  char* text = nullptr;
  require(scols_print_table_to_string(table.get(), &text) == 0);
  const std::unique_ptr<char, void (*)(void*)> owner(text, std::free);

  std::string out;
  std::string_view rest = text;
  for (std::size_t row = 0; row <= rows_.size(); ++row) {  // with the titles
    const std::string_view drawn = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(drawn.size() + 1, rest.size()));
    std::string line = std::string(indent, ' ').append(drawn);
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
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
