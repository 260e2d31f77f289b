#include "controlplane/cluster/epoch_intake.h"

#include <algorithm>
#include <utility>

#include "controlplane/cluster/sealing.h"

namespace sealcast::cluster {

using std::chrono::milliseconds;

void EpochIntake::touch_all() {
  for (const std::string& id : host_.groups())
    touch(id);
}

void EpochIntake::begin_anew(const std::string& group_id) {
  Given& given = given_[group_id];
  given.adopted.clear();
  given.activated = 0;
  touch(group_id);
}

std::vector<std::string> EpochIntake::take_touched() {
  if (touched_.empty()) return {};
  const auto ours = host_.groups();
  const std::set<std::string> known(ours.begin(), ours.end());
  std::vector<std::string> touched;
  for (const std::string& id : std::exchange(touched_, {}))
    if (known.count(id)) touched.push_back(id);
  return touched;
}

bool EpochIntake::hand_over(const std::string& group_id, Moment now) {
  const ClusterView::Group& group = view_.group(group_id);
  Given& given = given_[group_id];
  for (const auto& [number, epoch] : group.epochs) {
    if (number < group.value.active || !view_.usable(epoch, now.unix_ms)) continue;
    if (given.adopted.count(number) || given.unreadable.count(number)) continue;
    if (adopt(group_id, number, epoch, now)) continue;
    touch(group_id);
    break;  // later ones wait for it
  }
  if (given.activated == group.value.active || !given.adopted.count(group.value.active)) return false;
  given.activated = group.value.active;
  host_.activated(group_id, given.activated);
  return true;
}

// False: it has to wait.
bool EpochIntake::adopt(const std::string& id, std::uint64_t number, const ClusterView::Epoch& epoch, Moment now) {
  const EpochValue& value = epoch.value;
  if (!claims_.ready({id, number}, host_.slots_needed(id))) return false;
  // Members learn the time from this key server. A clock of leaders before is measured no more.
  if (value.clock_id != 0 && value.clock_id == view_.clock().reading.clock_id && !clock_.good(now.boot)) return false;
  auto content =
      open_epoch(settings_.key, {settings_.cluster_id, id, number, value.begun_ms, value.expires_ms}, value.sealed);
  if (content && (content->policy.spi_prefix != value.spi_prefix || content->policy.spi_slot_bits != value.slot_bits))
    content = fail("group \"" + id + "\": its SPIs are not those that were sealed");
  if (content && content->zero.clock_id != value.clock_id)
    content = fail("group \"" + id + "\": its clock is not the one that was sealed");
  if (!content) {
    given_[id].unreadable.insert(number);
    host_.note(NodeHost::Weight::error, Event("cluster_epoch_refused", {{"why", content.error().message}}));
    return true;
  }
  const std::chrono::seconds lease(content->policy.authority_lease_s);
  const auto lifetime = value.expires_ms - value.begun_ms;
  MadeEpoch made{number, std::move(*content),
                 milliseconds(std::clamp<std::int64_t>(now.unix_ms - value.begun_ms, 0, lifetime)),
                 milliseconds(std::clamp<std::int64_t>(value.expires_ms - now.unix_ms, 1, lifetime))};
  if (auto adopted = host_.adopt(id, std::move(made)); !adopted) {
    host_.note(NodeHost::Weight::error, Event("cluster_epoch_failed", {{"why", adopted.error().message}}));
    return false;
  }
  given_[id].adopted.insert(number);
  departed_.found_lease(lease);  // those that vanished may have had members with it, too
  claims_.refill({id, number});
  return true;
}

bool EpochIntake::has_any(const std::string& group_id) const {
  const auto given = given_.find(group_id);
  return given != given_.end() && !given->second.adopted.empty();
}

void EpochIntake::forget(const std::string& group_id, std::uint64_t number) {
  const auto given = given_.find(group_id);
  if (given == given_.end()) return;
  given->second.adopted.erase(number);
  given->second.unreadable.erase(number);
}

void EpochIntake::clear() {
  touched_.clear();
  given_.clear();
}

}  // namespace sealcast::cluster
