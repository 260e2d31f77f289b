#include "controlplane/cluster/records.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/bytes.h"
#include "controlplane/cluster/hex_text.h"

namespace sealcast::cluster {
namespace {

constexpr std::size_t max_assigned = 64;

std::string padded(std::uint64_t number, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*llu", digits, static_cast<unsigned long long>(number));
  return text;
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

template <typename Integer>
bool read(std::string_view text, Integer& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

}  // namespace

Keys::Keys(const std::string& cluster_id) : root_("/sealcast/" + hex_text(cluster_id) + "/") {}

std::string Keys::group(std::string_view id) const {
  return shared() + "group/" + hex_text(id);
}

std::string Keys::epoch(std::string_view group, std::uint64_t number) const {
  return shared() + "epoch/" + hex_text(group) + "/" + padded(number, 20);
}

std::string Keys::want(std::string_view group) const {
  return shared() + "want/" + hex_text(group);
}

std::string Keys::at(std::string_view group, const std::string& incarnation) const {
  return shared() + "at/" + hex_text(group) + "/" + incarnation;
}

std::string Keys::joined(std::string_view group, const std::string& incarnation, std::size_t part) const {
  return shared() + "joined/" + hex_text(group) + "/" + incarnation + "/" + padded(part, 2);
}

std::string Keys::revoked(std::string_view member, std::string_view group) const {
  return shared() + "revoked/" + hex_text(member) + "/" + hex_text(group);
}

std::string Keys::slots(std::string_view group, std::uint64_t epoch) const {
  return root_ + "slot/" + hex_text(group) + "/" + padded(epoch, 20) + "/";
}

std::string Keys::slot(std::string_view group, std::uint64_t epoch, std::uint32_t block) const {
  return slots(group, epoch) + padded(block, 5);
}

SharedKey parse_shared(const Keys& keys, const std::string& key) {
  const std::string prefix = keys.shared();
  if (key.compare(0, prefix.size(), prefix) != 0) return {};
  const auto parts = split(std::string_view(key).substr(prefix.size()), '/');
  const bool long_key = parts[0] == "epoch" || parts[0] == "at" || parts[0] == "revoked";
  const bool short_key = parts[0] == "group" || parts[0] == "want";
  if ((parts[0] == "generation" || parts[0] == "clock") && parts.size() == 1) return {std::string(parts[0]), "", ""};
  const bool joined = parts[0] == "joined" && parts.size() == 4;
  if (!(long_key && parts.size() == 3) && !(short_key && parts.size() == 2) && !joined) return {};
  auto id = text_from_hex(parts[1]);
  if (!id || id->empty()) return {};
  SharedKey out{std::string(parts[0]), std::move(*id), long_key ? std::string(parts[2]) : ""};
  if (joined) out.rest = std::string(parts[2]) + "/" + std::string(parts[3]);
  if (out.kind == "revoked") {
    auto group = text_from_hex(out.rest);
    if (!group) return {};
    out.rest = std::move(*group);
  }
  return out;
}

std::optional<std::uint32_t> parse_block(const std::string& key) {
  std::uint32_t block = 0;
  const std::size_t slash = key.rfind('/');
  if (slash == std::string::npos || !read(std::string_view(key).substr(slash + 1), block) || block > 65535)
    return std::nullopt;
  return block;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  if (!read(text, value)) return std::nullopt;
  return value;
}

std::string GroupValue::text() const {
  return std::to_string(highest) + " " + std::to_string(active);
}

std::optional<GroupValue> GroupValue::parse(std::string_view text) {
  const auto parts = split(text, ' ');
  GroupValue out;
  if (parts.size() != 2 || !read(parts[0], out.highest) || !read(parts[1], out.active) || out.active > out.highest)
    return std::nullopt;
  return out;
}

std::string EpochValue::text() const {
  std::string out = std::to_string(spi_prefix) + " " + std::to_string(slot_bits) + " " + std::to_string(begun_ms) +
                    " " + std::to_string(expires_ms) + " " + std::to_string(clock_id) + " " + (retired ? "1" : "0") +
                    " " + hex_text(sealed);
  for (const std::string& incarnation : assigned)
    out += " " + incarnation;
  return out;
}

std::optional<EpochValue> EpochValue::parse(std::string_view text) {
  const auto parts = split(text, ' ');
  EpochValue out;
  int retired = 0;
  if (parts.size() < 7 || parts.size() > 7 + max_assigned || !read(parts[0], out.spi_prefix) ||
      !read(parts[1], out.slot_bits) || !read(parts[2], out.begun_ms) || !read(parts[3], out.expires_ms) ||
      !read(parts[4], out.clock_id) || !read(parts[5], retired))
    return std::nullopt;
  auto sealed = text_from_hex(parts[6]);
  const bool sane = out.slot_bits >= 1 && out.slot_bits <= 16 && out.begun_ms >= 0 && out.expires_ms > out.begun_ms &&
                    (retired == 0 || retired == 1) && sealed && sealed->empty() == (retired == 1);
  if (!sane) return std::nullopt;
  out.retired = retired == 1;
  out.sealed = std::move(*sealed);
  out.assigned.assign(parts.begin() + 7, parts.end());
  return out;
}

// "name,j|h,roles,since,address" between spaces; name and address in hexadecimal digits.
std::string text_of(const AttendeeList& list) {
  std::string out;
  for (const auto& [name, attendee] : list)
    out += (out.empty() ? "" : " ") + hex_text(name) + (attendee.joined ? ",j," : ",h,") +
           std::to_string(attendee.roles) + "," + std::to_string(attendee.since) + "," + hex_text(attendee.address);
  return out;
}

std::optional<AttendeeList> attendees_from(std::string_view text) {
  AttendeeList out;
  if (text.empty()) return out;
  for (const std::string_view entry : split(text, ' ')) {
    const auto parts = split(entry, ',');
    if (parts.size() != 5 || (parts[1] != "j" && parts[1] != "h")) return std::nullopt;
    const auto name = text_from_hex(parts[0]), address = text_from_hex(parts[4]);
    Attendee attendee;
    attendee.joined = parts[1] == "j";
    if (!name || name->empty() || !address || !read(parts[2], attendee.roles) || attendee.roles > 3 ||
        !read(parts[3], attendee.since))
      return std::nullopt;
    attendee.address = *address;
    out.emplace(*name, std::move(attendee));
  }
  return out;
}

std::string ClockValue::text() const {
  return std::to_string(answers) + " " + std::to_string(reading.clock_id) + " " + std::to_string(reading.now_ms) + " " +
         std::to_string(reading.error_ms);
}

std::optional<ClockValue> ClockValue::parse(std::string_view text) {
  const auto parts = split(text, ' ');
  ClockValue out;
  if (parts.size() != 4 || !read(parts[0], out.answers) || out.answers < 0 || !read(parts[1], out.reading.clock_id) ||
      out.reading.clock_id == 0 || !read(parts[2], out.reading.now_ms) || !read(parts[3], out.reading.error_ms))
    return std::nullopt;
  return out;
}

std::string AtValue::text() const {
  return std::to_string(installed) + " " + std::to_string(switched);
}

std::optional<AtValue> AtValue::parse(std::string_view text) {
  const auto parts = split(text, ' ');
  AtValue out;
  if (parts.size() != 2 || !read(parts[0], out.installed) || !read(parts[1], out.switched)) return std::nullopt;
  return out;
}

}  // namespace sealcast::cluster
