// A key server's seat in its cluster (docs/cluster.md): joins the groups of this process with cluster::Node, and
// owns the clock, timer and etcd client of that. Everything on the key server's loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "controlplane/cluster/node.h"
#include "controlplane/config/config.h"
#include "controlplane/keyserver/hosted_groups.h"

namespace sealcast::keyserver {

class ClusterSeat final : public EpochMaker, public ClockSource, public cluster::NodeHost {
 public:
  // Reads the cluster key and the state file. etcd need not answer yet: no member is served before it does. All that is
  // given must outlive it; revocations_changed: etcd says something else of revocations, or was read for the first
  // time.
  static Result<std::unique_ptr<ClusterSeat>> open(Loop& loop, std::unique_ptr<etcd::Etcd> etcd,
                                                   const config::KeyserverConfig& config, handshake::Random& random,
                                                   const GroupContext& context, HostedGroups& groups,
                                                   std::function<void()> revocations_changed,
                                                   GroupClock::Now boot_time);
  ~ClusterSeat() override;

  void start();
  void leave();  // the lease is given up; etcd's client sends that for up to a second and a half
  store::Store& store() { return *node_; }
  bool serving() const { return node_->serving(); }
  // SessionHost's.
  bool wait_for_slots(const std::string& group_id, std::function<void()> then);
  // A group is there that was not, or not any more.
  void group_added(const std::string& group_id) { node_->group_added(group_id); }
  void resumed();  // this machine was resumed from a snapshot: what it owns may be another's, too
  const cluster::Node& node() const { return *node_; }
  // Node's.
  std::string standing(const std::string& group_id) const { return node_->standing(group_id); }
  void note_standing(const std::map<std::string, std::string>& by_group) { node_->note_standing(by_group); }

  // EpochMaker
  Result<std::optional<MadeEpoch>> want_epoch(const EpochWish& wish) override;
  bool installed_here(const std::string& group_id, std::uint64_t epoch) override;
  bool has_peers() const override { return true; }
  bool switched_elsewhere(const std::string& group_id, std::uint64_t epoch) const override;
  std::uint64_t highest(const std::string& group_id) const override;
  // Of the group's epochs, the newest that the revoked may have been given by any key server.
  std::uint64_t highest_before(const store::Revocation& revocation, const std::string& group_id) const;

  // ClockSource
  handshake::ClockReading read() const override { return node_->read_clock(); }

  // cluster::NodeHost
  cluster::Moment now() const override;
  std::vector<std::string> groups() const override;
  cluster::GroupWish wish(const std::string& group_id) const override;
  std::uint32_t slots_needed(const std::string& group_id) const override;
  Result<void> adopt(const std::string& group_id, cluster::MadeEpoch&& made) override;
  void activated(const std::string& group_id, std::uint64_t epoch) override;
  std::uint64_t switched(const std::string& group_id) const override;
  std::uint64_t attendance_changes(const std::string& group_id) const override;
  cluster::AttendeeList attendees(const std::string& group_id) const override;
  void others_changed(const std::string& group_id) override;
  void revocations_changed() override;
  void serve() override;
  void cut_off(const std::string& why) override;
  void note(Weight weight, const Event& event) override;

 private:
  ClusterSeat(Loop& loop, const GroupContext& context, HostedGroups& groups, std::function<void()> revocations_changed,
              GroupClock::Now boot_time);
  void tick();
  bool has_slots(const std::string& group_id);
  void wake_waiting();

  const GroupContext& context_;
  Loop& loop_;
  HostedGroups& groups_;
  std::function<void()> revocations_changed_;
  GroupClock::Now boot_time_;
  struct Waiting {
    std::string group_id;
    SteadyTime until;
    std::function<void()> then;
  };
  std::vector<Waiting> waiting_;  // for slots; as many as there are connections, at most
  std::unique_ptr<Timer> timer_;
  std::unique_ptr<etcd::Etcd> etcd_;
  std::unique_ptr<cluster::Node> node_;
};

}  // namespace sealcast::keyserver
