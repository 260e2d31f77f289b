#include "controlplane/member/member_agent.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/asio_loop.h"
#include "controlplane/admin/validity.h"
#include "controlplane/member/group_member.h"
#include "controlplane/member/member_clocks.h"
#include "controlplane/member/own_ends.h"
#include "controlplane/terminal/secret_input.h"

namespace sealcast::member {
namespace {

constexpr std::size_t longest_password = 128;  // bytes, as ClientAuthResponse carries it

double seconds_until(SteadyTime when, SteadyTime now) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(when - now).count();
  return static_cast<double>(std::max<std::int64_t>(left, 0)) / 1000.0;
}

admin::AgentGroup status_of(const GroupMember& member, SteadyTime now) {
  const GroupMember::Status& status = member.status();
  const GroupEpochs& epochs = member.epochs();
  const RekeyDatagrams::Counts& datagrams = member.datagrams().counts();
  admin::AgentGroup out{.group = member.group().id,
                        .state = std::string(name(status.state)),
                        .why = status.why,
                        .role = std::string(config::name(member.group().role)),
                        .carriage = std::string(config::name(member.group().carriage)),
                        .keyserver = status.keyserver,
                        .keyserver_id = member.group().keyserver_id,
                        .member_id = status.member_id,
                        .joins = status.joins,
                        .failures = status.failures,
                        .rekeys = status.rekeys,
                        .alarm = status.alarm,
                        .alarms = status.alarms,
                        .datagrams = {{.taken = datagrams.taken,
                                       .old = datagrams.old,
                                       .refused = datagrams.refused,
                                       .held_back = datagrams.held_back}}};
  const auto views = epochs.views();
  auto shown = epochs.active();
  if (!shown && !views.empty()) shown = views.front();
  const auto clock = shown ? epochs.clock(shown->epoch, now) : std::nullopt;
  if (shown)
    out.held = {
        .epoch = shown->epoch,
        .epoch_id = to_hex(shown->epoch_id),
        .epoch_state = shown->active ? "active" : "pending",
        .remaining = seconds_until(shown->expires, now),
        .lease_remaining = seconds_until(epochs.lease_until(), now),
        .clock_error = clock ? std::optional(std::chrono::duration<double>(clock->error).count()) : std::nullopt,
        .slots_known = shown->slots_known,
        .own_slots = shown->own_spis};
  const std::uint64_t active = epochs.active() ? epochs.active()->epoch : 0;
  for (const auto& view : views)
    out.epochs.push_back({.epoch = view.epoch,
                          .epoch_id = to_hex(view.epoch_id),
                          .state = view.active           ? "active"
                                   : view.epoch < active ? "old"
                                                         : "pending",
                          .remaining = seconds_until(view.expires, now),
                          .slots_derived = view.derived});
  return out;
}

}  // namespace

class MemberAgent::Impl : public std::enable_shared_from_this<MemberAgent::Impl> {
 public:
  Impl(asio::io_context& io, MemberSettings settings, DataPlaneControl& data_plane)
      : asio_loop_(io),
        settings_(std::move(settings)),
        world_{settings_.seams.loop ? *settings_.seams.loop : asio_loop_,
               settings_.seams.open_link ? settings_.seams.open_link : Link::over_tcp(io),
               settings_.seams.random ? *settings_.seams.random : handshake::system_random(),
               [this] { return clocks_.unix_now(); }},
        plane_(data_plane),
        links_(world_, {settings_.timing.refused_password, settings_.timing.refused_password_max}),
        timer_(world_.loop.timer()),
        clocks_(settings_.seams.clocks, settings_.timing.clock_jump, config::clock_tolerance_limits.standard) {}

  Result<void> start() {
    const auto& all = settings_.member.groups;
    const bool identity =
        std::any_of(all.begin(), all.end(), [](const auto& group) { return group.uses_certificate(); });
    if (auto good = check_files(settings_.member, identity); !good) return good;
    const auto ask = [](const std::string& prompt) { return terminal::ask(prompt, longest_password); };
    const auto prepared = passwords_.prepare(
        settings_.member, settings_.ask_password ? settings_.ask_password : MemberPasswords::Ask(ask));
    if (!prepared) return prepared;
    auto memory = EpochMemory::load(settings_.state_file);
    if (!memory) return tl::unexpected(memory.error());
    memory_ = std::move(*memory);
    // Every group's policy stands before anything else happens (H10).
    std::vector<DataPlaneControl::NamedProtection> protections;
    for (const config::MemberGroup& group : settings_.member.groups)
      protections.push_back({group.id, protection_of(group)});
    if (auto done = plane_.protect_all(protections); !done) return done;
    for (const config::MemberGroup& group : settings_.member.groups)
      add(group);
    for (const auto& group : groups_)
      begin(*group);
    running_ = true;
    tick();
    return {};
  }

  Result<void> reload(config::MemberConfig member) {
    if (!running_) return fail("the member agent is not running");
    if (const std::string fixed = changed_for_good(settings_.member, member); !fixed.empty())
      return fail(fixed + " can't change while the gateway runs; restart it. Nothing was taken over");
    std::vector<const config::MemberGroup*> gone, come;
    const auto same = [](const config::MemberConfig& in, const config::MemberGroup& group) {
      const auto found =
          std::find_if(in.groups.begin(), in.groups.end(), [&](const auto& other) { return other.id == group.id; });
      return found != in.groups.end() && *found == group;
    };
    for (const config::MemberGroup& group : settings_.member.groups)
      if (!same(member, group)) gone.push_back(&group);
    for (const config::MemberGroup& group : member.groups)
      if (!same(settings_.member, group)) come.push_back(&group);
    // Everything that can be wrong with a new group is found before an old one ends.
    const bool identity =
        std::any_of(come.begin(), come.end(), [](const auto* group) { return group->uses_certificate(); });
    if (!come.empty())
      if (auto good = check_files(member, identity); !good)
        return fail(good.error().message + ". Nothing was taken over");
    const auto nobody = [](const std::string&) -> Result<SecretBytes> {
      return fail("a password cannot be asked for while the gateway runs; restart it");
    };
    if (auto prepared = passwords_.prepare(member, nobody); !prepared)
      return fail(prepared.error().message + ". Nothing was taken over");
    std::string refused;
    remove(gone);
    // Thousands are protected at once; where one is refused, it alone is left out.
    std::vector<DataPlaneControl::NamedProtection> protections;
    for (const auto* group : come)
      protections.push_back({group->id, protection_of(*group)});
    const bool all = come.empty() || plane_.protect_all(protections);
    for (const auto* group : come) {
      if (!all)
        if (auto done = plane_.protect(group->id, protection_of(*group)); !done) {
          refused += (refused.empty() ? "" : "; ") + done.error().message;
          continue;
        }
      begin(*add(*group));
      spdlog::info("group \"{}\": taken up", group->id);
    }
    std::erase_if(member.groups, [&](const config::MemberGroup& group) { return by_id_.count(group.id) == 0; });
    settings_.member = std::move(member);
    if (!refused.empty()) return fail(refused + ". Everything else was taken over");
    return {};
  }

  void stop() {
    if (!std::exchange(running_, false)) return;
    timer_->cancel();
    for (const auto& group : groups_)
      group->stop();
  }

  admin::AgentStatus status() const {
    const auto now = world_.now();
    admin::AgentStatus out{.connections = links_.connections(), .snapshot_resumes = clocks_.jumps()};
    std::uint64_t joined = 0;
    for (const auto& group : groups_) {
      out.groups.push_back(status_of(*group, now));
      if (group->status().state == MemberState::joined) ++joined;
    }
    out.joined = joined;
    out.validity = admin::validity_of(ends_.lives(), clocks_.unix_now());
    return out;
  }

 private:
  static GroupProtection protection_of(const config::MemberGroup& group) {
    return {group.selectors, group.mode, group.outer, group.join, group.on_demand};
  }

  static std::string changed_for_good(const config::MemberConfig& a, const config::MemberConfig& b) {
    if (a.certificate != b.certificate) return "member.certificate";
    if (a.private_key != b.private_key) return "member.private_key";
    if (a.ca != b.ca) return "member.ca";
    if (a.crl != b.crl) return "member.crl";
    if (a.local_address != b.local_address) return "member.local_address";
    if (a.site != b.site) return "member.site";
    if (a.multicast_flag != b.multicast_flag) return "member.multicast_flag";
    return "";
  }

  Result<void> check_files(const config::MemberConfig& member, bool with_identity) {
    if (with_identity) SEALCAST_TRY(load_identity(member));
    SEALCAST_TRY(trust_.of(member));
    return {};
  }

  static void begin(GroupMember& group) {
    if (group.group().on_demand)
      group.wait_until_wanted();
    else
      group.start();
  }

  // The key server hears that it leaves; its keys are wiped here and in the data plane, which drops its packets (H10).
  void remove(const std::vector<const config::MemberGroup*>& gone) {
    std::vector<std::string> ids;
    for (const config::MemberGroup* group : gone) {
      const auto found = by_id_.find(group->id);
      if (found == by_id_.end()) continue;
      found->second->stop();
      by_id_.erase(found);
      ids.push_back(group->id);
    }
    if (ids.empty()) return;
    std::erase_if(groups_, [this](const auto& one) { return by_id_.count(one->group().id) == 0; });
    if (auto done = plane_.unprotect_all(ids); !done) spdlog::error("{}", done.error().message);
    for (const std::string& id : ids)
      spdlog::info("group \"{}\": let go; what comes for it is dropped", id);
  }

  GroupMember* add(const config::MemberGroup& group) {
    const auto weak = weak_from_this();
    GroupMember::Surroundings around{world_,
                                     settings_,
                                     plane_,
                                     memory_,
                                     passwords_,
                                     trust_,
                                     links_,
                                     [weak](const GroupMember& but, std::uint32_t first_spi, std::uint32_t last_spi) {
                                       const auto self = weak.lock();
                                       return self ? self->others_within(but, first_spi, last_spi)
                                                   : std::vector<LiveEpoch>();
                                     }};
    groups_.push_back(std::make_shared<GroupMember>(std::move(around), group));
    return by_id_[group.id] = groups_.back().get();
  }

  std::vector<LiveEpoch> others_within(const GroupMember& but, std::uint32_t first_spi, std::uint32_t last_spi) const {
    std::vector<LiveEpoch> out;
    for (const auto& group : groups_)
      if (group.get() != &but) group->epochs().live_within(first_spi, last_spi, out);
    return out;
  }

  GroupMember* find(const std::string& group_id) const {
    const auto found = by_id_.find(group_id);
    return found == by_id_.end() ? nullptr : found->second;
  }

  void tick() {
    timer_->set(world_.now() + settings_.timing.poll, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self || !self->running_) return;
      self->poll();
      self->tick();
    });
  }

  // What changes slowly.
  void look_around(SteadyTime now) {
    if (!ends_.due(now)) return;
    // From the first key server on that was found good by it.
    clocks_.look(
        std::any_of(groups_.begin(), groups_.end(), [](const auto& group) { return group->status().joins != 0; }));
    if (const auto trust = trust_.of(settings_.member)) ends_.look(settings_.member, *trust, clocks_.unix_now());
  }

  void poll() {
    if (clocks_.jumped()) {
      spdlog::warn(
          "the boot-time and real-time clocks moved against each other: this machine may have been resumed from a "
          "snapshot; sending stops until the key servers gave new slots (H9)");
      plane_.drop_all_outbound();
      handshake::reseed_system_random();  // a twin draws the same numbers
      for (const auto& group : groups_)
        group->snapshot_resumed();
    }
    const auto now = world_.now();
    look_around(now);
    const DataPlaneEvents events = plane_.take_events();
    for (const InterestChange& change : events.interests)
      if (GroupMember* group = find(change.group_id)) group->wanted(change.listened);
    // Only groups that they concern: nearly always none, and there may be thousands of groups.
    std::set<GroupMember*> concerned;
    for (const SlotWanted& event : events.slots_wanted)
      concerned.insert(find(event.group_id));
    for (const CounterLimit& event : events.counter_limits)
      concerned.insert(find(event.group_id));
    for (const GroupDatagram& event : events.datagrams)
      concerned.insert(find(event.group_id));
    for (GroupMember* group : concerned)
      if (group) group->take(events, now);
    for (const auto& group : groups_)
      group->poll(now);
    // Thousands of groups share one thread: a bounded piece at a time, each group's turn comes.
    std::uint32_t budget = look_ahead_budget;
    for (std::size_t i = 0; i < groups_.size() && budget != 0; ++i)
      budget -= groups_[look_ahead_turn_++ % groups_.size()]->look_ahead(now, budget);
  }

  AsioLoop asio_loop_;
  MemberSettings settings_;
  const World world_;
  DataPlaneControl& plane_;
  EpochMemory memory_;
  MemberPasswords passwords_;  // outlives the groups
  CurrentTrust trust_;         // likewise
  LinkPool links_;             // likewise
  std::vector<std::shared_ptr<GroupMember>> groups_;
  std::unordered_map<std::string, GroupMember*> by_id_;
  std::unique_ptr<Timer> timer_;
  MemberClocks clocks_;
  OwnEnds ends_;
  std::size_t look_ahead_turn_ = 0;
  bool running_ = false;
};

MemberAgent::MemberAgent(asio::io_context& io, MemberSettings settings, DataPlaneControl& data_plane)
    : impl_(std::make_shared<Impl>(io, std::move(settings), data_plane)) {}

MemberAgent::~MemberAgent() {
  impl_->stop();
}

Result<void> MemberAgent::start() {
  return impl_->start();
}

Result<void> MemberAgent::reload(config::MemberConfig member) {
  return impl_->reload(std::move(member));
}

void MemberAgent::stop() {
  impl_->stop();
}

admin::AgentStatus MemberAgent::status() const {
  return impl_->status();
}

}  // namespace sealcast::member
