#include "controlplane/cluster/attendees.h"

#include <chrono>
#include <utility>

#include "base/bytes.h"

namespace sealcast::cluster {

using namespace std::chrono_literals;
using etcd::Put;

namespace {

constexpr auto once_a = 1s;
constexpr std::size_t most_puts = max_operations / 2;
constexpr std::size_t most_bytes = 512 * 1024;  // of a transaction; etcd refuses 1.5 MiB

// The same at all times, so that a name stays in its part (FNV-1a).
std::size_t part_of(const std::string& name, std::size_t parts) {
  std::uint32_t hash = 2166136261U;
  for (const std::uint8_t byte : as_bytes(name))
    hash = (hash ^ byte) * 16777619U;
  return hash % parts;
}

}  // namespace

bool Attendees::tell(const std::string& group_id, etcd::Transaction& out) {
  const std::uint64_t changes = host_.attendance_changes(group_id);
  Told& told = told_[group_id];
  if (told.changes == changes) return true;
  std::array<AttendeeList, parts> lists;
  for (auto& [name, attendee] : host_.attendees(group_id))
    lists[part_of(name, parts)].emplace(name, std::move(attendee));
  std::size_t bytes = 0;
  for (const Telling& telling : under_way_)
    bytes += telling.text.size();
  for (std::size_t part = 0; part < parts; ++part) {
    std::string text = text_of(lists[part]);
    if (text == told.texts[part]) continue;
    bytes += text.size();
    if (out.success.size() >= most_puts || (bytes > most_bytes && !out.success.empty())) return false;
    out.success.push_back(Put{view_.keys().joined(group_id, view_.self().incarnation, part), text, view_.self().lease});
    under_way_.push_back({group_id, part, std::move(text)});
  }
  whole_[group_id] = changes;
  return true;
}

std::optional<etcd::Transaction> Attendees::next(SteadyTime now) {
  if (!under_way_.empty() || now < due_) return std::nullopt;
  due_ = now + once_a;
  etcd::Transaction out;
  out.compares = {view_.still_here()};
  for (const std::string& id : host_.groups())
    if (!tell(id, out)) break;
  if (!under_way_.empty()) return out;
  for (const auto& [id, changes] : std::exchange(whole_, {}))
    told_[id].changes = changes;  // what changed is not told
  return std::nullopt;
}

void Attendees::answered(const etcd::Reply* reply) {
  auto told = std::exchange(under_way_, {});
  const auto whole = std::exchange(whole_, {});
  if (!reply || !reply->succeeded) return;
  for (Telling& telling : told)
    told_[telling.group].texts[telling.part] = std::move(telling.text);
  for (const auto& [id, changes] : whole)
    told_[id].changes = changes;
}

void Attendees::clear() {
  told_.clear();
  under_way_.clear();
  whole_.clear();
  due_ = {};
}

}  // namespace sealcast::cluster
