#include "controlplane/keyserver/persistence.h"

#include <utility>

#include "controlplane/keyserver/audit/audit.h"

namespace sealcast::keyserver {
namespace {

constexpr std::chrono::seconds alive_every{10};

}  // namespace

Result<void> Persistence::open(Loop& loop, std::unique_ptr<etcd::Etcd> etcd, const config::KeyserverConfig& config,
                               handshake::Random& random, GroupContext& context, HostedGroups& groups,
                               std::function<void()> revocations_changed, GroupClock::Now boot_time, Clocks& clocks) {
  context.vault = &vault_;
  if (config.cluster) {
    SEALCAST_TRY_ASSIGN(seat_, ClusterSeat::open(loop, std::move(etcd), config, random, context, groups,
                                                 std::move(revocations_changed), std::move(boot_time)));
    context.clock = seat_.get();
    context.store = &seat_->store();
    context.maker = seat_.get();
    return {};
  }
  SEALCAST_TRY_ASSIGN(auto booted, boot_id());
  SEALCAST_TRY_ASSIGN(store_, store::open_sqlite(config.state, config.id,
                                                 [&](const auto& before) { return clocks.start(before, booted); }));
  context.store = store_.get();
  clocks.keep_in(store_.get());
  SEALCAST_TRY_ASSIGN(clock_, GroupClock::open(std::move(boot_time), std::move(booted), *store_, random));
  context.clock = &*clock_;
  auto opened = open_keeper(config, random);
  context.keeper = keeper_.get();
  return opened;
}

// Without a wrapping key, or of a group that is no more, no epoch may stay in the file.
Result<void> Persistence::open_keeper(const config::KeyserverConfig& config, handshake::Random& random) {
  SEALCAST_TRY_ASSIGN(auto key, config::read_wrapping_key(config));
  std::vector<std::string> groups;
  for (const auto& group : config.groups)
    if (key) groups.push_back(group.id);
  SEALCAST_TRY(store_->drop_kept_except(groups));
  if (!key) return {};
  SEALCAST_TRY_ASSIGN(keeper_, EpochKeeper::create(std::move(*key), config.id, *store_, random));
  return {};
}

void Persistence::close() {
  keeper_.reset();
  clock_.reset();
  store_.reset();
  seat_.reset();
}

void Persistence::note_alive(Moment now) {
  if (const bool room = !store_ || store_->has_room(); room != std::exchange(has_room_, room)) {
    if (room)
      audit(Event("state_disk_has_room"));
    else
      audit_error(Event("state_disk_full", {{"why", "soon no keys can be handed out: make room where state lies"}}));
  }
  if (now.steady >= alive_again_) note_alive_now(now);
}

void Persistence::note_alive_now(Moment now) {
  if (!keeper_) return;
  alive_again_ = now.steady + alive_every;
  if (auto noted = store_->note_alive(now.unix_seconds); !noted)
    audit_error(Event("state_not_written", {{"why", noted.error().message}}));
}

}  // namespace sealcast::keyserver
