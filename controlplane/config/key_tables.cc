#include "controlplane/config/key_tables.h"

#include <algorithm>
#include <set>
#include <sstream>

namespace sealcast::config {
namespace {

// Each table once, so that all keys are asked for. outer is only read in its mode.
constexpr std::string_view every_table = R"([gateway]
[red]
[black]
[[bypass]]
[member]
[[member.group]]
selectors = [{}]
mode = "tunnel-fixed"
outer = {}
[keyserver]
[keyserver.cluster]
[[keyserver.group]]
selectors = [{}]
)";

constexpr std::string_view begin_marker = "<!-- keys: ";
constexpr std::string_view marker_end = " -->";
constexpr std::string_view end_marker = "<!-- end -->";

// Strings and arrays of TOML as code.
std::string with_code(const std::string& text) {
  if (text.starts_with('[') && text.ends_with(']')) return "`" + text + "`";
  std::string out;
  bool open = false;
  for (const char c : text) {
    if (c == '"' && !open) out += '`';
    out += c;
    if (c == '"' && open) out += '`';
    if (c == '"') open = !open;
  }
  return out;
}

std::string line_of(const KeyRow& row) {
  return "| `" + row.key + "` | " + with_code(row.value) + " | " + row.standard + " | " + row.about + " |\n";
}

}  // namespace

std::vector<KeyRow> key_rows() {
  std::vector<KeyRow> rows;
  const auto tree = parse_tree(every_table, "");
  Report report("");
  report.rows = &rows;
  GatewayConfig config;
  if (tree) read_gateway_file(*tree, report, config);
  return rows;
}

Result<std::string> with_key_tables(std::string_view page) {
  const std::vector<KeyRow> rows = key_rows();
  std::set<std::string> missing;
  for (const KeyRow& row : rows)
    missing.insert(row.table);

  std::string out;
  bool inside = false;
  std::istringstream lines{std::string(page)};
  for (std::string line; std::getline(lines, line);) {
    const bool begins = line.starts_with(begin_marker) && line.ends_with(marker_end);
    if (begins && inside) return fail("expected " + std::string(end_marker) + " before " + line);
    if (line == end_marker && inside) {
      inside = false;
      out += "\n";
    }
    if (!inside) out += line + "\n";
    if (!begins) continue;
    inside = true;
    out += "\n| key | value | default | meaning |\n|---|---|---|---|\n";
    std::set<std::string> written;
    std::istringstream names(line.substr(begin_marker.size(), line.size() - begin_marker.size() - marker_end.size()));
    for (std::string name; names >> name;) {
      if (std::none_of(rows.begin(), rows.end(), [&](const KeyRow& row) { return row.table == name; }))
        return fail("expected a table of the configuration, got " + line);
      missing.erase(name);
      for (const KeyRow& row : rows)
        if (row.table == name && written.insert(line_of(row)).second) out += line_of(row);
    }
  }
  if (inside) return fail("expected " + std::string(end_marker) + " before the page's end");
  if (!missing.empty()) return fail("expected a line " + std::string(begin_marker) + *missing.begin() + " -->");
  return out;
}

}  // namespace sealcast::config
