#include "controlplane/config/value_tree.h"

#include <algorithm>

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
  const toml::parse_result result = toml::parse(toml, file_name);
  if (!result) {
    const toml::parse_error& error = result.error();
    return tl::unexpected(Diagnostic{file_name, error.source().begin.line, error.source().begin.column, "",
                                     "not valid TOML: " + std::string(error.description())});
  }
  return convert(result.table());
}

}  // namespace sealcast::config
