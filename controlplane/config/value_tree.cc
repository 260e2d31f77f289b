#include "controlplane/config/value_tree.h"

#include <algorithm>
#include <optional>

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
// The library asserts what a malformed file breaks ("[%"), and right after it has an error for the same: the error is
// what an operator wants to see, in every build.
#define TOML_ASSERT(expr) static_assert(true)
#include <toml++/toml.h>

namespace sealcast::config {
namespace {

void place(Node& node, const toml::source_region& source) {
  node.line = source.begin.line;
  node.column = source.begin.column;
}

Node convert(const toml::node& from) {
  Node node;
  place(node, from.source());
  if (const auto* table = from.as_table()) {
    node.kind = Node::Kind::table;
    for (const auto& [key, value] : *table) {
      Node child = convert(value);
      child.name = std::string(key.str());
      child.name_line = key.source().begin.line;
      child.name_column = key.source().begin.column;
      node.items.push_back(std::move(child));
    }
    std::sort(node.items.begin(), node.items.end(), [](const Node& a, const Node& b) { return a.name < b.name; });
  } else if (const auto* array = from.as_array()) {
    node.kind = Node::Kind::array;
    for (const auto& value : *array)
      node.items.push_back(convert(value));
  } else if (const auto* text = from.as_string()) {
    node.kind = Node::Kind::string;
    node.text = text->get();
  } else if (const auto* integer = from.as_integer()) {
    node.kind = Node::Kind::integer;
    node.integer = integer->get();
  } else if (const auto* boolean = from.as_boolean()) {
    node.kind = Node::Kind::boolean;
    node.boolean = boolean->get();
  } else if (from.is_floating_point()) {
    node.kind = Node::Kind::real;
  } else {
    node.kind = Node::Kind::moment;
  }
  return node;
}

// The first byte beyond ASCII that stands in no string and no comment, where TOML 1.0 allows none. The library does not
// only refuse such a character, it reaches code that it declared unreachable; so it never gets to see one.
std::optional<Diagnostic> stray_character(std::string_view toml, const std::string& file_name) {
  std::uint32_t line = 1;
  std::size_t line_start = 0;
  std::string_view until;  // what ends the string or comment that is being read; empty: neither
  if (toml.starts_with("\xef\xbb\xbf")) toml.remove_prefix(3);  // a byte order mark
  for (std::size_t at = 0; at < toml.size(); ++at) {
    const char c = toml[at];
    const bool several_lines = until.size() == 3;
    if (c == '\n') {
      ++line;
      line_start = at + 1;
      if (!several_lines) until = {};
    } else if (until.empty()) {
      if (static_cast<unsigned char>(c) >= 0x80) {
        const auto column = static_cast<std::uint32_t>(at - line_start + 1);
        return Diagnostic{file_name, line, column, "",
                          "not valid TOML: letters beyond ASCII only in strings and comments"};
      }
      if (c == '#') until = "\n";
      // Elsewhere a quote begins no string, it is a mistake.
      const bool may_begin = at == 0 || std::string_view(" \t\n=[{,.").find(toml[at - 1]) != std::string_view::npos;
      if ((c == '"' || c == '\'') && may_begin) {
        const std::string_view three = c == '"' ? R"(""")" : "'''";
        until = toml.substr(at).starts_with(three) ? three : three.substr(0, 1);
        at += until.size() - 1;
      }
    } else if (c == '\\' && until.front() == '"') {
      if (toml.substr(at + 1, 1) != "\n") ++at;
    } else if (toml.substr(at).starts_with(until)) {
      at += until.size() - 1;
      // Up to two quotes more belong to the string that three of them end.
      for (int more = 0; several_lines && more < 2 && toml.substr(at + 1, 1) == until.substr(0, 1); ++more)
        ++at;
      until = {};
    }
  }
  return std::nullopt;
}

}  // namespace

const Node* Node::find(std::string_view key) const {
  for (const Node& item : items)
    if (item.name == key) return &item;
  return nullptr;
}

std::string Node::describe() const {
  switch (kind) {
    case Kind::nothing:
      return "nothing";
    case Kind::string:
      return text.size() <= 80 ? '"' + text + '"' : '"' + text.substr(0, 80) + "…\"";
    case Kind::integer:
      return std::to_string(integer);
    case Kind::real:
      return "a number with a fraction";
    case Kind::boolean:
      return boolean ? "true" : "false";
    case Kind::moment:
      return "a date or time";
    case Kind::array:
      return items.size() == 1 ? "an array of 1 value" : "an array of " + std::to_string(items.size()) + " values";
    case Kind::table:
      return "a table";
  }
  return "something unknown";
}

tl::expected<Node, Diagnostic> parse_tree(std::string_view toml, const std::string& file_name) {
  if (auto stray = stray_character(toml, file_name)) return tl::unexpected(std::move(*stray));
  const toml::parse_result result = toml::parse(toml, file_name);
  if (!result) {
    const toml::parse_error& error = result.error();
    return tl::unexpected(Diagnostic{file_name, error.source().begin.line, error.source().begin.column, "",
                                     "not valid TOML: " + std::string(error.description())});
  }
  return convert(result.table());
}

}  // namespace sealcast::config
