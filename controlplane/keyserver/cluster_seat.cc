#include "controlplane/keyserver/cluster_seat.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "controlplane/keyserver/audit/audit.h"

namespace sealcast::keyserver {
namespace {

constexpr std::chrono::seconds slots_patience{1};  // then the connection asks again, or goes on without
// So far the key servers' clocks may be apart, and so long a key server that vanished may be waited for.
constexpr std::chrono::milliseconds rekey_earlier{20'000};

}  // namespace

ClusterSeat::ClusterSeat(Loop& loop, const GroupContext& context, HostedGroups& groups,
                         std::function<void()> revocations_changed, GroupClock::Now boot_time)
    : context_(context),
      loop_(loop),
      groups_(groups),
      revocations_changed_(std::move(revocations_changed)),
      boot_time_(std::move(boot_time)),
      timer_(loop.timer()) {}

ClusterSeat::~ClusterSeat() {
  node_.reset();  // before etcd_, whose last answers are dropped
}

Result<std::unique_ptr<ClusterSeat>> ClusterSeat::open(Loop& loop, std::unique_ptr<etcd::Etcd> etcd,
                                                       const config::KeyserverConfig& config, handshake::Random& random,
                                                       const GroupContext& context, HostedGroups& groups,
                                                       std::function<void()> revocations_changed,
                                                       GroupClock::Now boot_time) {
  const config::ClusterConfig& cluster = *config.cluster;
  SEALCAST_TRY_ASSIGN(auto key, config::read_cluster_key(cluster));
  std::unique_ptr<ClusterSeat> seat(
      new ClusterSeat(loop, context, groups, std::move(revocations_changed), std::move(boot_time)));
  seat->etcd_ = std::move(etcd);
  cluster::NodeSettings settings;
  settings.cluster_id = config.id;
  settings.name = cluster.name;
  settings.address = config.listen ? config.listen->text() : config.listen_isakmp ? config.listen_isakmp->text() : "-";
  settings.state_file = config.state;
  settings.lease_ttl = cluster.lease_ttl;
  settings.key = std::move(key);
  settings.spi_first = config.spi_range.first;
  settings.spi_last = config.spi_range.last;
  SEALCAST_TRY_ASSIGN(seat->node_, cluster::Node::open(std::move(settings), *seat, *seat->etcd_, random));
  return seat;
}

void ClusterSeat::start() {
  tick();
}

void ClusterSeat::tick() {
  node_->tick();
  wake_waiting();
  timer_->set(loop_.now() + node_->next_tick(), [this] { tick(); });
}

void ClusterSeat::leave() {
  timer_->cancel();
  waiting_.clear();
  node_->leave();
}

void ClusterSeat::resumed() {
  node_->resumed();
}

// ---------------------------------------------------------------- newcomers

// Of the epoch that a newcomer gets, and of the one that it gets next.
bool ClusterSeat::has_slots(const std::string& group_id) {
  const GroupState* group = groups_.state(group_id);
  if (!group) return true;  // the caller finds that out
  const auto waiting =
      std::count_if(waiting_.begin(), waiting_.end(), [&](const Waiting& one) { return one.group_id == group_id; });
  bool any = false;
  bool all = true;
  for (const Epoch& epoch : group->epochs()) {
    if (epoch.phase == Phase::old) continue;
    any = true;
    all = node_->has_slots(group_id, epoch.number, static_cast<std::uint32_t>(waiting)) && all;
  }
  return any && all;
}

bool ClusterSeat::wait_for_slots(const std::string& group_id, std::function<void()> then) {
  if (has_slots(group_id)) return false;
  waiting_.push_back({group_id, groups_.now().steady + slots_patience, std::move(then)});
  return true;
}

void ClusterSeat::wake_waiting() {
  if (waiting_.empty()) return;
  const SteadyTime now = groups_.now().steady;
  std::map<std::string, bool> ready;
  for (const Waiting& one : waiting_)
    if (!ready.count(one.group_id)) ready[one.group_id] = has_slots(one.group_id);
  const auto first = std::stable_partition(waiting_.begin(), waiting_.end(),
                                           [&](const Waiting& one) { return !ready[one.group_id] && now < one.until; });
  std::vector<Waiting> awake(std::make_move_iterator(first), std::make_move_iterator(waiting_.end()));
  waiting_.erase(first, waiting_.end());
  if (awake.empty()) return;
  // Not from inside what etcd's answer has begun.
  loop_.post([awake = std::move(awake)] {
    for (const Waiting& one : awake)
      one.then();
  });
}

// ---------------------------------------------------------------- what groups say

Result<std::optional<MadeEpoch>> ClusterSeat::want_epoch(const EpochWish& wish) {
  node_->want_epoch(wish.group_id, wish.seen, wish.why);
  return std::nullopt;
}

bool ClusterSeat::installed_here(const std::string& group_id, std::uint64_t epoch) {
  node_->installed_here(group_id, epoch);
  return false;
}

bool ClusterSeat::switched_elsewhere(const std::string& group_id, std::uint64_t epoch) const {
  return node_->switched_elsewhere(group_id, epoch);
}

std::uint64_t ClusterSeat::highest(const std::string& group_id) const {
  return node_->highest(group_id);
}

std::uint64_t ClusterSeat::highest_before(const store::Revocation& revocation, const std::string& group_id) const {
  return node_->highest_before_revocation(group_id, revocation);
}

// ---------------------------------------------------------------- what the node asks and says

cluster::Moment ClusterSeat::now() const {
  const Moment now = groups_.now();
  const std::int64_t unix_ms = loop_.unix_time().count();
  // Seconds as the key server counts them, milliseconds as the system does.
  return {now.steady, now.unix_seconds * 1000 + (unix_ms / 1000 == now.unix_seconds ? unix_ms % 1000 : 0),
          SteadyTime(std::chrono::duration_cast<SteadyTime::duration>(boot_time_()))};
}

std::vector<std::string> ClusterSeat::groups() const {
  return groups_.names();
}

cluster::GroupWish ClusterSeat::wish(const std::string& group_id) const {
  const GroupState* group = groups_.state(group_id);
  if (!group) return {};
  return {policy_of(group->config()), group->config().epoch_lifetime, context_.slot_bits};
}

std::uint32_t ClusterSeat::slots_needed(const std::string& group_id) const {
  const GroupState* group = groups_.state(group_id);
  return group ? group->slots_needed() : 0;
}

Result<void> ClusterSeat::adopt(const std::string& group_id, cluster::MadeEpoch&& made) {
  GroupState* group = groups_.state(group_id);
  if (!group) return {};
  SEALCAST_TRY_ASSIGN(auto premaster, context_.vault->keep(made.content.premaster));
  auto adopted = group->adopt({.number = made.number,
                               .policy = std::move(made.content.policy),
                               .zero = made.content.zero,
                               .premaster = std::move(premaster),
                               .age = made.age,
                               .remaining = made.remaining,
                               .why = "made for the cluster",
                               .rekey_earlier = std::min(rekey_earlier, (made.age + made.remaining) / 8)},
                              groups_.now());
  groups_.changed(*group);
  return adopted;
}

void ClusterSeat::activated(const std::string& group_id, std::uint64_t epoch) {
  GroupState* group = groups_.state(group_id);
  if (!group) return;
  group->activated(epoch, groups_.now());
  groups_.changed(*group);
}

std::uint64_t ClusterSeat::switched(const std::string& group_id) const {
  const GroupState* group = groups_.state(group_id);
  return group ? group->switched(groups_.now()) : 0;
}

std::uint64_t ClusterSeat::attendance_changes(const std::string& group_id) const {
  const GroupState* group = groups_.state(group_id);
  return group ? group->roster().changes() : 0;
}

cluster::AttendeeList ClusterSeat::attendees(const std::string& group_id) const {
  cluster::AttendeeList out;
  const GroupState* group = groups_.state(group_id);
  if (!group) return out;
  for (const auto& [principal, holder] : group->holders())
    out[principal.first] = {};
  const Moment now = groups_.now();
  for (const auto& [name, member] : group->members()) {
    const auto joined_for = std::chrono::duration_cast<std::chrono::seconds>(now.steady - member.joined);
    out[name] = {true, member.roles, now.unix_seconds - joined_for.count(), member.address};
  }
  return out;
}

void ClusterSeat::others_changed(const std::string& group_id) {
  GroupState* group = groups_.state(group_id);
  if (!group) return;
  group->on_time(groups_.now());
  groups_.changed(*group);
  wake_waiting();
}

void ClusterSeat::revocations_changed() {
  revocations_changed_();
}

void ClusterSeat::serve() {}  // serving() says so to those that come

void ClusterSeat::cut_off(const std::string& why) {
  for (const std::string& id : groups_.names()) {
    GroupState* group = groups_.state(id);
    if (!group) continue;
    group->begin_anew(why, groups_.now());
    groups_.changed(*group);
  }
}

void ClusterSeat::note(Weight weight, const Event& event) {
  if (weight == Weight::error) return audit_error(event);
  weight == Weight::warning ? audit_warning(event) : audit(event);
}

}  // namespace sealcast::keyserver
