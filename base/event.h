// An event as a value: a name, and fields in order. Log lines, rows on disk and JSON are made from it at the edge. It
// never holds a secret (H14).
#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sealcast {

// A field's value that is one printable word by its nature (an address, hexadecimal digits): not quoted in a line.
struct Word {
  std::string_view text;
};

struct EventField {
  static constexpr std::size_t most_text = 200;  // bytes; longer text is cut

  EventField(std::string_view field, std::string_view text)
      : name(field), value(text.substr(0, most_text)), is_text(true), is_cut(text.size() > most_text) {}
  EventField(std::string_view field, const char* text) : EventField(field, std::string_view(text)) {}
  EventField(std::string_view field, const std::string& text) : EventField(field, std::string_view(text)) {}
  EventField(std::string_view field, Word word) : name(field), value(word.text) {}
  EventField(std::string_view field, std::integral auto number) : name(field), value(std::to_string(number)) {}

  // The value as readers see it outside of a line.
  std::string shown() const { return is_cut ? value + "…" : value; }
  // The value in a line: text is quoted; its quotes, backslashes and bytes other than printable ASCII are escaped like
  // \x22.
  std::string in_line() const;

  std::string name;  // lower case letters, digits and underscores
  std::string value;
  bool is_text = false;  // perhaps from the network
  bool is_cut = false;
};

class Event {
 public:
  explicit Event(std::string_view name, std::initializer_list<EventField> fields = {}) : name_(name), fields_(fields) {}

  Event& add(EventField field) {
    fields_.push_back(std::move(field));
    return *this;
  }
  const std::string& name() const { return name_; }
  const std::vector<EventField>& fields() const { return fields_; }
  // The first field of that name, or "".
  std::string_view field(std::string_view name) const;
  // `member_joined group="tv" epoch=7`
  std::string line() const;

 private:
  std::string name_;
  std::vector<EventField> fields_;
};

// Text from outside as a line or an error message shows it: EventField's.
inline std::string escaped(std::string_view text) {
  return EventField("", text).in_line();
}

}  // namespace sealcast
