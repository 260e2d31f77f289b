#include "controlplane/config/table_reader.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <tuple>

namespace sealcast::config {
namespace {

using std::chrono::milliseconds;

bool has_control_characters(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; });
}

struct Unit {
  std::string_view text;
  std::int64_t in_ms;
};
constexpr Unit units[] = {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}};

std::string range_of(milliseconds min, milliseconds max) {
  return duration_text(min) + " to " + duration_text(max);
}

std::string string_of(std::size_t min_bytes, std::size_t max_bytes) {
  return "a string of " + std::to_string(min_bytes) + " to " + std::to_string(max_bytes) + " bytes";
}

}  // namespace

std::string in_quotes(std::string_view text) {
  return "`\"" + std::string(text) + "\"`";
}

Report::Report(const std::string& file_name) : file(file_name) {
  const auto slash = file_name.rfind('/');
  if (slash != std::string::npos) folder = file_name.substr(0, slash + 1);
}

void Report::error(const Node& at, const std::string& key, std::string message) {
  errors.push_back({file, at.line, at.column, key, std::move(message)});
}

void Report::warning(const Node& at, const std::string& key, std::string message) {
  warnings.push_back({file, at.line, at.column, key, std::move(message)});
}

std::string Report::resolve(const std::string& path) const {
  return path.empty() || path.front() == '/' ? path : folder + path;
}

void Report::sort() {
  const auto by_place = [](const Diagnostic& a, const Diagnostic& b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  };
  std::stable_sort(errors.begin(), errors.end(), by_place);
  std::stable_sort(warnings.begin(), warnings.end(), by_place);
}

void TableReader::add_row(std::string_view key, Need need, std::string value, std::string standard,
                          const About& about) {
  if (!report_.rows) return;
  std::string table = path_.empty() ? "file" : path_;
  while (table.find('[') != std::string::npos)  // "keyserver.group[0]"
    table.erase(table.find('['), table.find(']') - table.find('[') + 1);
  if (!about.standard.empty())
    standard = about.standard;
  else if (need == Need::required)
    standard = "required";
  else if (standard.empty())
    standard = "none";
  report_.rows->push_back({std::move(table), std::string(key), std::move(value), std::move(standard), about.text});
}

const Node* TableReader::find(std::string_view key) {
  known_.emplace(key);
  return table_.find(key);
}

const Node* TableReader::any(std::string_view key, std::string_view expected, const About& about) {
  add_row(key, Need::optional, std::string(expected), "", about);
  return find(key);
}

const Node* TableReader::take(std::string_view key, Need need, Node::Kind kind, std::string_view expected) {
  const Node* node = find(key);
  if (!node) {
    if (need == Need::required) note(table_, key, "expected " + std::string(expected) + ", but the key is missing");
    return nullptr;
  }
  if (node->kind != kind) {
    note(*node, key, "expected " + std::string(expected) + ", got " + node->describe());
    return nullptr;
  }
  return node;
}

const Node* TableReader::take_text(std::string_view key, std::string& out, Need need, std::size_t min_bytes,
                                   std::size_t max_bytes) {
  const std::string expected = string_of(min_bytes, max_bytes);
  const Node* node = take(key, need, Node::Kind::string, expected);
  if (!node) return nullptr;
  if (node->text.size() < min_bytes || node->text.size() > max_bytes || has_control_characters(node->text)) {
    note(*node, key, "expected " + expected + " without control characters, got " + node->describe());
    return nullptr;
  }
  out = node->text;
  return node;
}

const Node* TableReader::text(std::string_view key, std::string& out, Need need, std::size_t min_bytes,
                              std::size_t max_bytes, const About& about) {
  add_row(key, need, string_of(min_bytes, max_bytes), "", about);
  return take_text(key, out, need, min_bytes, max_bytes);
}

const Node* TableReader::wire_name(std::string_view key, std::string& out, Need need, const About& about) {
  return text(key, out, need, 1, max_name_bytes, about);
}

const Node* TableReader::take_path(std::string_view key, std::string& out, Need need) {
  const Node* node = take_text(key, out, need, 1, 4096);
  if (node) out = report_.resolve(out);
  return node;
}

const Node* TableReader::path(std::string_view key, std::string& out, Need need, const About& about) {
  add_row(key, need, "a path", "", about);
  return take_path(key, out, need);
}

const Node* TableReader::existing_file(std::string_view key, std::string& out, Need need, std::string_view how_to_get,
                                       const About& about) {
  add_row(key, need, "a file", "", about);
  const Node* node = take_path(key, out, need);
  if (!node) return nullptr;
  if (access(out.c_str(), R_OK) != 0)
    warn(*node, key, "can't read " + out + ": " + std::strerror(errno) + "; " + std::string(how_to_get));
  return node;
}

const Node* TableReader::credential(std::string_view key, std::optional<std::string>& out, const About& about) {
  add_row(key, Need::optional, "a credential's name", "", about);
  std::string name;
  const Node* node = take_text(key, name, Need::optional, 1, max_credential_bytes);
  if (!node) return nullptr;
  if (name.find('/') != std::string::npos || name.front() == '.')
    note(*node, key, "expected a credential's name, without a path, got " + node->describe());
  out = std::move(name);
  return node;
}

const Node* TableReader::boolean(std::string_view key, bool& out, const About& about) {
  add_row(key, Need::optional, "true or false", out ? "true" : "false", about);
  const Node* node = take(key, Need::optional, Node::Kind::boolean, "true or false");
  if (node) out = node->boolean;
  return node;
}

const Node* TableReader::integer64(std::string_view key, std::int64_t& out, std::int64_t min, std::int64_t max,
                                   const About& about) {
  const std::string range = std::to_string(min) + " to " + std::to_string(max);
  const std::string expected = "a whole number from " + range;
  add_row(key, Need::optional, range, std::to_string(out), about);
  const Node* node = take(key, Need::optional, Node::Kind::integer, expected);
  if (!node) return nullptr;
  if (node->integer < min || node->integer > max) {
    note(*node, key, "expected " + expected + ", got " + node->describe());
    return nullptr;
  }
  out = node->integer;
  return node;
}

const Node* TableReader::take_duration(std::string_view key, milliseconds& out, milliseconds min, milliseconds max) {
  milliseconds value{};
  const Node* node = take_parsed(key, value, Need::optional,
                                 "a duration such as \"500ms\", \"30s\", \"10m\" or \"24h\"", parse_duration);
  if (!node) return nullptr;
  if (value < min || value > max) {
    note(*node, key, "expected a duration from " + range_of(min, max) + ", got " + node->describe());
    return nullptr;
  }
  out = value;
  return node;
}

const Node* TableReader::duration(std::string_view key, milliseconds& out, milliseconds min, milliseconds max,
                                  const About& about) {
  add_row(key, Need::optional, range_of(min, max), in_quotes(duration_text(out)), about);
  return take_duration(key, out, min, max);
}

const Node* TableReader::seconds(std::string_view key, std::chrono::seconds& out,
                                 const Limits<std::chrono::seconds>& limits, const About& about) {
  add_row(key, Need::optional, range_of(limits.least, limits.most) + ", whole seconds", in_quotes(duration_text(out)),
          about);
  milliseconds value{};
  const Node* node = take_duration(key, value, limits.least, limits.most);
  if (!node) return nullptr;
  out = std::chrono::duration_cast<std::chrono::seconds>(value);
  if (out != value) note(*node, key, "expected whole seconds, got " + node->describe());
  return node;
}

const Node* TableReader::array(std::string_view key, Need need, std::size_t min, std::size_t max,
                               std::string_view expected, const About& about) {
  const std::string counted =
      std::string(expected) + " (" + std::to_string(min) + " to " + std::to_string(max) + " of them)";
  add_row(key, need, min == max ? std::string(expected) : counted, "", about);
  const Node* node = take(key, need, Node::Kind::array, expected);
  if (!node) return nullptr;
  if (node->items.size() < min || node->items.size() > max) {
    note(*node, key, "expected " + counted + ", got " + node->describe());
    return nullptr;
  }
  return node;
}

const Node* TableReader::table(std::string_view key, Need need, const About& about) {
  add_row(key, need, "a table", "", about);
  return take(key, need, Node::Kind::table, "a table");
}

void TableReader::finish() {
  for (const Node& item : table_.items) {
    if (known_.count(item.name)) continue;
    std::string list;
    for (const std::string& name : known_)
      list += (list.empty() ? "" : ", ") + name;
    Node at;
    at.line = item.name_line;
    at.column = item.name_column;
    note(at, item.name, "unknown key; expected one of: " + list);
  }
}

Result<milliseconds> parse_duration(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (error == std::errc() && value >= 0) {
    for (const Unit& candidate : units) {
      if (candidate.text == unit && value <= INT64_MAX / 1000 / candidate.in_ms)
        return milliseconds(value * candidate.in_ms);
    }
  }
  return fail("expected a duration such as \"500ms\", \"30s\", \"10m\" or \"24h\", got \"" + std::string(text) + "\"");
}

std::string duration_text(milliseconds value) {
  const Unit* best = &units[0];
  for (const Unit& unit : units)
    if (value.count() % unit.in_ms == 0 && value.count() != 0) best = &unit;
  return std::to_string(value.count() / best->in_ms) + std::string(best->text);
}

}  // namespace sealcast::config
