#include "base/event.h"

#include <algorithm>

namespace sealcast {

std::string EventField::in_line() const {
  if (!is_text) return value;
  constexpr char digits[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '"' || c == '\\')
      out += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    else
      out += c;
  }
  return out + (is_cut ? "…\"" : "\"");
}

std::string_view Event::field(std::string_view name) const {
  const auto found = std::find_if(fields_.begin(), fields_.end(), [&](const EventField& f) { return f.name == name; });
  return found == fields_.end() ? std::string_view() : std::string_view(found->value);
}

std::string Event::line() const {
  std::string out = name_;
  for (const EventField& field : fields_)
    out += " " + field.name + "=" + field.in_line();
  return out;
}

}  // namespace sealcast
