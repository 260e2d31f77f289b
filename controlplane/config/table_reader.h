// Reads one table of a configuration file key by key, checks every value's type and bounds, and notes every problem
// with its place instead of stopping at the first. What no call asked for is an unknown key. A read call declares its
// key: the key's row in docs/configuration.md is made from the same call (key_tables.h).
#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "controlplane/config/value_tree.h"

namespace sealcast::config {

// A key's row in docs/configuration.md.
struct KeyRow {
  std::string table;  // "keyserver.group"; "file" for a file's own tables
  std::string key;
  std::string value;     // what it may be: "1 to 16", "a file"
  std::string standard;  // its default, "required" or "none"
  std::string about;
};

// What a row says besides the bounds and the default. The default is what the read call's `out` holds before.
struct About {
  // Both Markdown. instead: of the default, where that depends on other keys.
  About(const char* line, std::string instead = {}) : text(line), standard(std::move(instead)) {}
  About(std::string line, std::string instead = {}) : text(std::move(line)), standard(std::move(instead)) {}
  std::string text;
  std::string standard;
};

// A string of TOML in Markdown: `"text"`.
std::string in_quotes(std::string_view text);

// What belongs to one file's reading.
struct Report {
  std::string file;
  std::string folder;  // relative paths start here; ends with '/' or is empty
  std::vector<Diagnostic> errors;
  std::vector<Diagnostic> warnings;
  std::vector<KeyRow>* rows = nullptr;  // set: every read call adds its key's row

  explicit Report(const std::string& file_name);
  void error(const Node& at, const std::string& key, std::string message);
  void warning(const Node& at, const std::string& key, std::string message);
  std::string resolve(const std::string& path) const;
  void sort();  // in the order of the file
};

enum class Need : std::uint8_t { required, optional };

inline constexpr std::size_t max_credential_bytes = 255;  // of a file's name
inline constexpr std::size_t max_dns_name_bytes = 253;    // RFC 1035 §2.3.4, as text

class TableReader {
 public:
  TableReader(const Node& table, std::string path, Report& report)
      : table_(table), path_(std::move(path)), report_(report) {}

  // Each read call leaves `out` untouched and returns null when the key is missing or wrong; a wrong one, or a missing
  // required one, is noted. `expected` completes the sentence "expected …".
  const Node* text(std::string_view key, std::string& out, Need need, std::size_t min_bytes, std::size_t max_bytes,
                   const About& about);
  // A name that goes on the wire and into logs: 1 to max_name_bytes bytes, no control characters.
  const Node* wire_name(std::string_view key, std::string& out, Need need, const About& about);
  const Node* path(std::string_view key, std::string& out, Need need, const About& about);
  // The same for a file that must exist before the daemon starts; a warning tells what is missing.
  const Node* existing_file(std::string_view key, std::string& out, Need need, std::string_view how_to_get,
                            const About& about);
  // The name of a credential of the service manager; `out` is set even where a wrong one is noted.
  const Node* credential(std::string_view key, std::optional<std::string>& out, const About& about);
  const Node* boolean(std::string_view key, bool& out, const About& about);
  const Node* duration(std::string_view key, std::chrono::milliseconds& out, std::chrono::milliseconds min,
                       std::chrono::milliseconds max, const About& about);
  const Node* duration(std::string_view key, std::chrono::milliseconds& out,
                       const Limits<std::chrono::milliseconds>& limits, const About& about) {
    return duration(key, out, limits.least, limits.most, about);
  }
  // A duration of whole seconds.
  const Node* seconds(std::string_view key, std::chrono::seconds& out, const Limits<std::chrono::seconds>& limits,
                      const About& about);
  template <typename Integer>
  const Node* integer(std::string_view key, Integer& out, std::int64_t min, std::int64_t max, const About& about) {
    auto value = static_cast<std::int64_t>(out);
    const Node* node = integer64(key, value, min, max, about);
    if (node) out = static_cast<Integer>(value);
    return node;
  }
  const Node* integer(std::string_view key, std::uint32_t& out, const Limits<std::uint32_t>& limits,
                      const About& about) {
    return integer(key, out, limits.least, limits.most, about);
  }
  // A string that `parse` turns into a T; its error message follows the key.
  template <typename T, typename Parse>
  const Node* parsed(std::string_view key, T& out, Need need, std::string_view expected, Parse parse,
                     const About& about) {
    add_row(key, need, std::string(expected), "", about);
    return take_parsed(key, out, need, expected, parse);
  }
  // One of a fixed set of strings.
  template <typename T>
  struct Choice {
    std::string_view text;
    T value;
  };
  template <typename T>
  const Node* choice(std::string_view key, T& out, Need need, const std::vector<Choice<T>>& choices,
                     const About& about) {
    std::string expected, standard;
    for (const auto& option : choices) {
      expected += (expected.empty() ? "\"" : " or \"") + std::string(option.text) + "\"";
      if (option.value == out) standard = in_quotes(option.text);
    }
    add_row(key, need, expected, standard, about);
    const Node* node = take(key, need, Node::Kind::string, expected);
    if (!node) return nullptr;
    for (const auto& option : choices) {
      if (node->text == option.text) {
        out = option.value;
        return node;
      }
    }
    note(*node, key, "expected " + expected + ", got " + node->describe());
    return nullptr;
  }

  // Any value of the key, marked as known; the caller checks it.
  const Node* any(std::string_view key, std::string_view expected, const About& about);
  const Node* array(std::string_view key, Need need, std::size_t min, std::size_t max, std::string_view expected,
                    const About& about);
  const Node* table(std::string_view key, Need need, const About& about);

  std::string full(std::string_view key) const {
    return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
  }
  void note(const Node& at, std::string_view key, std::string message) {
    report_.error(at, full(key), std::move(message));
  }
  void warn(const Node& at, std::string_view key, std::string message) {
    report_.warning(at, full(key), std::move(message));
  }
  const Node& node() const { return table_; }
  Report& report() { return report_; }

  // Notes every key that no call asked for; call it last.
  void finish();

 private:
  void add_row(std::string_view key, Need need, std::string value, std::string standard, const About& about);
  const Node* find(std::string_view key);  // and marks it as known
  const Node* take(std::string_view key, Need need, Node::Kind kind, std::string_view expected);
  template <typename T, typename Parse>
  const Node* take_parsed(std::string_view key, T& out, Need need, std::string_view expected, Parse parse) {
    const Node* node = take(key, need, Node::Kind::string, expected);
    if (!node) return nullptr;
    auto value = parse(std::string_view(node->text));
    if (!value) {
      note(*node, key, value.error().message);
      return nullptr;
    }
    out = std::move(*value);
    return node;
  }
  const Node* take_text(std::string_view key, std::string& out, Need need, std::size_t min_bytes,
                        std::size_t max_bytes);
  const Node* take_path(std::string_view key, std::string& out, Need need);
  const Node* take_duration(std::string_view key, std::chrono::milliseconds& out, std::chrono::milliseconds min,
                            std::chrono::milliseconds max);
  const Node* integer64(std::string_view key, std::int64_t& out, std::int64_t min, std::int64_t max,
                        const About& about);

  const Node& table_;
  std::string path_;
  Report& report_;
  std::set<std::string, std::less<>> known_;
};

Result<std::chrono::milliseconds> parse_duration(std::string_view text);
std::string duration_text(std::chrono::milliseconds value);  // "500ms", "2s", "24h"

// Tables that both files share.
// `ports`: a port as an integer, or a range as a string.
void read_ports(TableReader& table, std::optional<PortRange>& out, const About& about);
void read_selectors(TableReader& table, std::vector<Selector>& out, const About& about);
void read_spi_range(TableReader& table, SpiRange& out, const About& about);
void read_group_flow(TableReader& table, handshake::GroupFlow& flow, EspMode& mode);
// Of a member: what it accepts, the flows in which it proves itself alike.
void read_member_flows(TableReader& table, std::vector<handshake::GroupFlow>& flows, EspMode& mode);
void read_numbers(TableReader& table, Numbers& numbers);
void read_multicast_flag(TableReader& table, std::uint8_t& out);
// [member].
void read_member(const Node& node, Report& report, MemberConfig& out);
// [[bypass]] of a gateway's file; member: whose groups no rule may let pass.
void read_bypass(TableReader& root, const MemberConfig& member, std::vector<BypassRule>& out);
// [keyserver.cluster].
void read_cluster(TableReader& table, ClusterConfig& out);
// Warns where a group's delays are too short for what a cluster needs.
void check_cluster_groups(TableReader& keyserver, const ClusterConfig& cluster,
                          const std::vector<KeyserverGroup>& groups);
// [keyserver] of either file.
void read_keyserver(const Node& node, bool embedded, Report& report, KeyserverConfig& out);
// A gateway's whole file.
void read_gateway_file(const Node& tree, Report& report, GatewayConfig& out);

bool overlaps(const Selector& a, const Selector& b);

// File contents, at most 1 MiB.
tl::expected<std::string, Diagnostic> read_config_file(const std::string& path);

template <typename T>
Loaded<T> finish(Report& report, T&& value) {
  Loaded<T> loaded;
  report.sort();
  if (report.errors.empty()) loaded.value = std::forward<T>(value);
  loaded.errors = std::move(report.errors);
  loaded.warnings = std::move(report.warnings);
  return loaded;
}
template <typename T>
Loaded<T> failed(Diagnostic diagnostic) {
  Loaded<T> loaded;
  loaded.errors.push_back(std::move(diagnostic));
  return loaded;
}

}  // namespace sealcast::config
