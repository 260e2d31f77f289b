#include "controlplane/cluster/revocations.h"

#include <algorithm>

namespace sealcast::cluster {

using etcd::Compare;
using etcd::Put;
using etcd::Range;
using etcd::Transaction;

namespace {

constexpr const char* being_put_back = "etcd had lost this revocation, and it is just being put back: ask again";
constexpr const char* just_cut_off = "cut off from etcd: ask again, or ask another key server";

}  // namespace

void Revocations::take(const SharedKey& key, const etcd::KeyValue& entry) {
  const auto space = entry.value.find(' ');
  const auto since = parse_number(std::string_view(entry.value).substr(0, space));
  if (!since || space == std::string::npos) return;
  Known& known = known_[{key.id, key.rest}];
  if (entry.modified < known.modified) return;  // read before it was changed from here
  known = {static_cast<std::int64_t>(*since), entry.value.substr(space + 1) == "lifted", entry.modified};
  moved_ = true;
}

// A revocation that this key server knows, and etcd has never heard of, is younger than the backup that etcd was
// restored from; so is one that holds here, where the backup says that an earlier one was lifted.
Operations Revocations::restore() {
  moved_ = false;
  Operations lost;
  for (const auto& [subject, since] : memory_->revoked) {
    const auto known = known_.find(subject);
    if (known != known_.end() && (!known->second.lifted || known->second.since >= since)) continue;
    lost.push_back(Put{view_.keys().revoked(subject.first, subject.second), std::to_string(since) + " revoked"});
    known_[subject] = {since, false, 0};
  }
  std::map<Subject, std::int64_t> now;
  for (const auto& [subject, known] : known_)
    if (!known.lifted) now[subject] = known.since;
  if (now != memory_->revoked) {
    memory_.change().revoked = std::move(now);
    memory_.save();
  }
  return lost;
}

Result<void> Revocations::revoke(const store::Revocation& revocation) {
  const Subject subject{revocation.member_id, revocation.group_id};
  const std::string key = view_.keys().revoked(subject.first, subject.second);
  std::int64_t since = revocation.since;
  if (const auto known = known_.find(subject); known != known_.end()) {
    if (known->second.modified == 0) return fail(being_put_back);
    if (!known->second.lifted) {
      // Unless another key server lifted it a moment ago.
      Transaction look;
      look.compares = {view_.still_here(), {Compare::What::modified, key, known->second.modified}};
      SEALCAST_TRY_ASSIGN(const auto same, etcd_.transact_now(std::move(look)));
      if (same.succeeded) return {};
    }
    since = std::max(since, known->second.since + 1);  // so that no key server takes it for that one
  }
  Transaction note;
  note.compares = {view_.still_here()};
  // With it the newest epochs of that moment, which may not have come here yet: the revoked may hold them (H11).
  const std::string groups = view_.keys().group(revocation.group_id);
  note.success = {Put{key, std::to_string(since) + " revoked"},
                  Range{groups, revocation.group_id.empty() ? etcd::end_of(groups) : ""}};
  SEALCAST_TRY_ASSIGN(const auto done, etcd_.transact_now(std::move(note)));
  if (!done.succeeded) return fail(just_cut_off);
  for (const auto& range : done.ranges) {
    for (const etcd::KeyValue& entry : range.entries) {
      const SharedKey group = parse_shared(view_.keys(), entry.key);
      const auto value = GroupValue::parse(entry.value);
      if (group.kind == "group" && value) heard_of_[group.id] = std::max(heard_of_[group.id], value->highest);
    }
  }
  known_[subject] = {since, false, done.revision};
  memory_.change().revoked[subject] = since;
  memory_.save();
  return {};
}

Result<bool> Revocations::reinstate(const std::string& member_id, const std::string& group_id) {
  const auto known = known_.find({member_id, group_id});
  if (known == known_.end() || known->second.lifted) return false;
  if (known->second.modified == 0) return fail(being_put_back);
  Transaction note;
  note.compares = {view_.still_here()};
  note.success = {Put{view_.keys().revoked(member_id, group_id), std::to_string(known->second.since) + " lifted"}};
  SEALCAST_TRY_ASSIGN(const auto done, etcd_.transact_now(std::move(note)));
  if (!done.succeeded) return fail(just_cut_off);
  known->second.lifted = true;
  known->second.modified = done.revision;
  memory_.change().revoked.erase({member_id, group_id});
  memory_.save();
  return true;
}

std::vector<store::Revocation> Revocations::all() const {
  std::vector<store::Revocation> all;
  for (const auto& [subject, since] : memory_->revoked)
    all.push_back({subject.first, subject.second, since});
  return all;
}

std::uint64_t Revocations::heard_of(const std::string& group_id) const {
  const auto heard = heard_of_.find(group_id);
  return heard == heard_of_.end() ? 0 : heard->second;
}

std::optional<etcd::Revision> Revocations::noted_at(const store::Revocation& revocation) const {
  const auto known = known_.find({revocation.member_id, revocation.group_id});
  if (known == known_.end() || known->second.modified == 0) return std::nullopt;
  return known->second.modified;
}

void Revocations::clear() {
  known_.clear();
  heard_of_.clear();
  moved_ = true;
}

}  // namespace sealcast::cluster
