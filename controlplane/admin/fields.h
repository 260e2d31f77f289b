// JSON objects from structs and back, by one list of fields for both directions. Only for the file that has these
// lists.
//
// A list is a function template `fields(F& f, S& s)` that calls f(name, member) for each field. F is Writer or Reader;
// S is the struct, const for a Writer.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/figures.h"
#include "base/spi_text.h"

namespace sealcast::admin {

using OrderedJson = nlohmann::ordered_json;

template <typename S, typename T>
concept Is = std::same_as<std::remove_const_t<S>, T>;

class Writer {
 public:
  OrderedJson take() { return std::move(out_); }

  // An empty optional is left out, everything else is written.
  template <typename T>
  void operator()(const char* name, const T& value) {
    out_[name] = json_of(value);
  }
  template <typename T>
  void operator()(const char* name, const std::optional<T>& value) {
    if (value) out_[name] = json_of(*value);
  }
  template <typename T>
  void or_null(const char* name, const std::optional<T>& value) {
    out_[name] = value ? json_of(*value) : OrderedJson();
  }
  void unless_empty(const char* name, const std::string& value) {
    if (!value.empty()) out_[name] = value;
  }
  template <typename T>
  void required(const char* name, const T& value) {
    (*this)(name, value);
  }
  // The fields of value among those of the object around it; `key` is one that value always has.
  template <typename T>
  void flat(const char* /*key*/, const std::optional<T>& value) {
    if (value) fields(*this, *value);
  }
  void spi(const char* name, std::uint32_t value) { out_[name] = spi_text(value); }
  void spi(const char* name, const std::optional<std::uint32_t>& value) {
    if (value) out_[name] = spi_text(*value);
  }
  void spis(const char* name, const std::vector<std::uint32_t>& values) {
    OrderedJson& list = out_[name] = OrderedJson::array();
    for (const std::uint32_t value : values)
      list.push_back(spi_text(value));
  }
  void hex(const char* name, const Bytes& value) { out_[name] = to_hex(value); }
  void time(const char* name, SteadyTime value) {
    out_[name] = std::chrono::duration<double>(value.time_since_epoch()).count();
  }
  // An enumerator by its name(); `all` that there are.
  template <typename E>
  void word(const char* name_of_field, E value, std::initializer_list<E> /*all*/) {
    out_[name_of_field] = name(value);
  }
  // One of two words for a truth.
  void either(const char* name, bool value, const char* yes, const char* no) { out_[name] = value ? yes : no; }
  void pairs(const char* name, const std::vector<std::pair<std::string, std::string>>& values) {
    OrderedJson& object = out_[name] = OrderedJson::object();
    for (const auto& [key, value] : values)
      object[key] = value;
  }
  // As {"reason": packets}.
  void by_reason(const char* name, const std::vector<DropCount>& counts) {
    OrderedJson& object = out_[name] = OrderedJson::object();
    for (const DropCount& count : counts)
      object[count.reason] = count.packets;
  }
  template <typename S, std::size_t n>
  void figures(const S& of, const Figure<S> (&table)[n]) {
    for (const Figure<S>& figure : table)
      out_[figure.name] = of.*figure.value;
  }

 private:
  template <typename T>
  static OrderedJson json_of(const T& value) {
    if constexpr (requires(Writer & writer) { fields(writer, value); }) {
      Writer inner;
      fields(inner, value);
      return inner.take();
    } else {
      return value;
    }
  }
  template <typename T>
  static OrderedJson json_of(const std::vector<T>& values) {
    OrderedJson list = OrderedJson::array();
    for (const T& value : values)
      list.push_back(json_of(value));
    return list;
  }
  static OrderedJson json_of(const std::map<std::string, std::uint64_t>& values) {
    OrderedJson object = OrderedJson::object();
    for (const auto& [key, value] : values)
      object[key] = value;
    return object;
  }

  OrderedJson out_ = OrderedJson::object();
};

// Reads what is there and of the right kind; the rest of the struct stays as it was.
class Reader {
 public:
  struct Notes {
    std::string error;             // the first field of another kind, or a required one that is missing; empty: none
    std::set<std::string> untold;  // figures that are missing
  };
  Reader(const OrderedJson& in, Notes& notes) : in_(in), notes_(notes) {}

  template <typename T>
  void operator()(const char* name, T& value) {
    if (const OrderedJson* const found = find(name)) read(name, *found, value);
  }
  template <typename T>
  void operator()(const char* name, std::optional<T>& value) {
    const OrderedJson* const found = find(name);
    if (found == nullptr) return;
    T inner{};
    if (read(name, *found, inner)) value = std::move(inner);
  }
  template <typename T>
  void or_null(const char* name, std::optional<T>& value) {
    const OrderedJson* const found = find(name);
    if (found != nullptr && !found->is_null()) (*this)(name, value);
  }
  void unless_empty(const char* name, std::string& value) { (*this)(name, value); }
  template <typename T>
  void required(const char* name, T& value) {
    if (find(name) == nullptr) complain(std::string("expected \"") + name + "\", got none");
    (*this)(name, value);
  }
  template <typename T>
  void flat(const char* key, std::optional<T>& value) {
    if (find(key) != nullptr) fields(*this, value.emplace());
  }
  template <typename T>
  void spi(const char* name, T& value) {
    const OrderedJson* const found = find(name);
    if (found == nullptr) return;
    if (const auto spi = spi_of(*found))
      value = *spi;
    else
      complain(std::string(name) + ": expected an SPI such as \"0x10000001\", got " + dump(*found));
  }
  void spis(const char* name, std::vector<std::uint32_t>& values) {
    const OrderedJson* const found = find(name);
    if (found == nullptr || !expect(found->is_array(), name, "a list", *found)) return;
    for (const OrderedJson& one : *found)
      if (const auto spi = spi_of(one)) values.push_back(*spi);
  }
  void hex(const char* name, Bytes& value) {
    std::string digits;
    required(name, digits);
    if (auto bytes = from_hex(digits))
      value = std::move(*bytes);
    else
      complain(std::string(name) + ": expected an even number of hex digits and nothing else");
  }
  void time(const char* name, SteadyTime& value) {
    double seconds = 0;
    (*this)(name, seconds);
    // Beyond 10^9 s no clock that counts from a machine's start has gone.
    if (seconds > 0 && seconds < 1e9)
      value = SteadyTime(std::chrono::duration_cast<SteadyTime::duration>(std::chrono::duration<double>(seconds)));
  }
  // Required, like everything that has no other meaning when it is missing.
  template <typename E>
  void word(const char* name_of_field, E& value, std::initializer_list<E> all) {
    const OrderedJson* const found = find(name_of_field);
    std::string known;
    for (const E one : all) {
      if (found != nullptr && *found == name(one)) {
        value = one;
        return;
      }
      known += (known.empty() ? "\"" : " or \"") + std::string(name(one)) + "\"";
    }
    complain(std::string("expected \"") + name_of_field + "\" to be " + known + ", got " +
             (found ? dump(*found) : "none"));
  }
  void either(const char* name, bool& value, const char* yes, const char* /*no*/) {
    std::string word;
    (*this)(name, word);
    value = word == yes;
  }
  void pairs(const char* name, std::vector<std::pair<std::string, std::string>>& values) {
    const OrderedJson* const found = find(name);
    if (found == nullptr || !expect(found->is_object(), name, "an object", *found)) return;
    for (const auto& [key, value] : found->items())
      values.emplace_back(key, value.is_string() ? value.get<std::string>() : dump(value));
  }
  void by_reason(const char* name, std::vector<DropCount>& counts) {
    std::map<std::string, std::uint64_t> map;
    (*this)(name, map);
    for (auto& [reason, packets] : map)
      counts.push_back({reason, packets});
  }
  template <typename S, std::size_t n>
  void figures(S& of, const Figure<S> (&table)[n]) {
    for (const Figure<S>& figure : table) {
      const OrderedJson* const found = find(figure.name);
      if (found != nullptr && found->is_number_unsigned())
        of.*figure.value = found->template get<std::uint64_t>();
      else
        notes_.untold.insert(figure.name);
    }
  }

 private:
  const OrderedJson* find(const char* name) const {
    const auto found = in_.find(name);
    return found == in_.end() ? nullptr : &*found;
  }
  void complain(std::string error) {
    if (notes_.error.empty()) notes_.error = std::move(error);
  }
  bool expect(bool good, const char* name, const char* kind, const OrderedJson& came) {
    if (!good) complain(std::string("expected \"") + name + "\" to be " + kind + ", got " + dump(came));
    return good;
  }
  // What came, for a message. What is nested is only named: it may be nested deeper than a recursion can go.
  static std::string dump(const OrderedJson& value) {
    if (value.is_object()) return "an object";
    if (value.is_array()) return "a list";
    return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  }
  static std::optional<std::uint32_t> spi_of(const OrderedJson& value) {
    return value.is_string() ? parse_spi(value.get_ref<const std::string&>()) : std::nullopt;
  }

  bool read(const char* name, const OrderedJson& from, std::string& value) {
    if (!expect(from.is_string(), name, "a text", from)) return false;
    value = from.get<std::string>();
    return true;
  }
  bool read(const char* name, const OrderedJson& from, bool& value) {
    if (!expect(from.is_boolean(), name, "true or false", from)) return false;
    value = from.get<bool>();
    return true;
  }
  bool read(const char* name, const OrderedJson& from, double& value) {
    if (!expect(from.is_number(), name, "a number", from)) return false;
    value = from.get<double>();
    return true;
  }
  template <std::unsigned_integral T>
  bool read(const char* name, const OrderedJson& from, T& value) {
    const bool good = from.is_number_unsigned() && std::in_range<T>(from.get<std::uint64_t>());
    if (!expect(good, name, "a whole number", from)) return false;
    value = from.get<T>();
    return true;
  }
  bool read(const char* name, const OrderedJson& from, std::int64_t& value) {
    if (!expect(from.is_number_integer(), name, "a whole number", from)) return false;
    value = from.get<std::int64_t>();
    return true;
  }
  bool read(const char* name, const OrderedJson& from, std::map<std::string, std::uint64_t>& values) {
    if (!expect(from.is_object(), name, "an object", from)) return false;
    for (const auto& [key, value] : from.items())
      if (value.is_number_unsigned()) values[key] = value.template get<std::uint64_t>();
    return true;
  }
  template <typename T>
  bool read(const char* name, const OrderedJson& from, std::vector<T>& values) {
    if (!expect(from.is_array(), name, "a list", from)) return false;
    for (const OrderedJson& one : from) {
      T value{};
      if (read(name, one, value)) values.push_back(std::move(value));
    }
    return true;
  }
  template <typename T>
  requires std::is_class_v<T>
  bool read(const char* name, const OrderedJson& from, T& value) {
    if (!expect(from.is_object(), name, "an object", from)) return false;
    Reader inner(from, notes_);
    fields(inner, value);
    return true;
  }

  const OrderedJson& in_;
  Notes& notes_;
};

}  // namespace sealcast::admin
