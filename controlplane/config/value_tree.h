// A parsed TOML document as plain values with their places; hides the TOML library from everything else.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/config/config.h"

namespace sealcast::config {

struct Node {
  enum class Kind : std::uint8_t { nothing, string, integer, real, boolean, moment, array, table };

  Kind kind = Kind::nothing;
  std::uint32_t line = 0;  // of the value; of the header for a table
  std::uint32_t column = 0;
  std::string name;  // in a table: the key, with its own place
  std::uint32_t name_line = 0;
  std::uint32_t name_column = 0;
  std::string text;          // string
  std::int64_t integer = 0;  // integer
  bool boolean = false;      // boolean
  std::vector<Node> items;   // array elements in order; a table's values sorted by name

  const Node* find(std::string_view key) const;  // in a table
  // As it stands in "expected …, got <describe()>"; long strings are cut.
  std::string describe() const;
};

// The document's root table, or the one syntax error that ended the parsing.
tl::expected<Node, Diagnostic> parse_tree(std::string_view toml, const std::string& file_name);

}  // namespace sealcast::config
