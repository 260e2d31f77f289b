#include "controlplane/keyserver/audit/audit_line.h"

#include <algorithm>
#include <optional>

namespace sealcast::keyserver {
namespace {

bool of_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

std::optional<std::string> take_name(std::string_view& text) {
  const auto end = static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), of_name) - text.begin());
  if (end == 0) return std::nullopt;
  std::string name(text.substr(0, end));
  text.remove_prefix(end);
  return name;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// What escaped() made, up to the closing quote, which is taken, too.
std::optional<std::string> take_quoted(std::string_view& text) {
  std::string value;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      text.remove_prefix(i + 1);
      return value;
    }
    if (text[i] != '\\') {
      value += text[i];
      continue;
    }
    if (text.size() - i < 4 || text[i + 1] != 'x') return std::nullopt;
    const int high = hex_digit(text[i + 2]), low = hex_digit(text[i + 3]);
    if (high < 0 || low < 0) return std::nullopt;
    value += static_cast<char>(high * 16 + low);
    i += 3;
  }
  return std::nullopt;
}

std::optional<std::string> take_value(std::string_view& text) {
  if (!text.empty() && text[0] == '"') return take_quoted(text);
  const std::size_t end = std::min(text.find(' '), text.size());
  std::string value(text.substr(0, end));
  text.remove_prefix(end);
  return value;
}

}  // namespace

std::string_view AuditLine::field(std::string_view name) const {
  const auto found = std::find_if(fields.begin(), fields.end(), [&](const auto& field) { return field.first == name; });
  return found == fields.end() ? std::string_view() : std::string_view(found->second);
}

AuditLine parse_audit_line(std::string_view line) {
  AuditLine out;
  std::string_view left = line;
  if (auto event = take_name(left); event && (left.empty() || left[0] == ' '))
    out.event = std::move(*event);
  else
    left = line;
  for (;;) {
    left.remove_prefix(std::min(left.find_first_not_of(' '), left.size()));
    if (left.empty()) return out;
    std::string_view rest = left;
    const auto key = take_name(rest);
    const bool assigned = key && !rest.empty() && rest[0] == '=';
    if (assigned) rest.remove_prefix(1);
    auto value = assigned ? take_value(rest) : std::nullopt;
    if (!value || (!rest.empty() && rest[0] != ' ')) {
      out.fields.emplace_back("text", std::string(left));
      return out;
    }
    out.fields.emplace_back(*key, std::move(*value));
    left = rest;
  }
}

}  // namespace sealcast::keyserver
