#include "controlplane/cluster/node.h"

#include <algorithm>
#include <utility>

namespace sealcast::cluster {

using namespace std::chrono_literals;
using Stage = EtcdSession::Stage;
using Weight = NodeHost::Weight;

namespace {

constexpr auto patience = 3s;  // for all groups to have an epoch, before members are served

// Those of today's configuration.
void expect_leases(const NodeHost& host, Departed& departed) {
  for (const std::string& id : host.groups())
    departed.expect_lease(std::chrono::seconds(host.wish(id).policy.authority_lease_s));
}

void ask_for_the_time(ClusterClock& clock, EtcdSession& session, const NodeHost& host) {
  auto question = clock.question(host.now().boot);
  if (!question) return;
  session.ask(std::move(*question), [&](const etcd::Reply* reply) {
    clock.questioned(reply);
    session.poll();
  });
}

void warn_of(ClusterClock::Outcome outcome, NodeHost& host) {
  const bool anew = outcome == ClusterClock::Outcome::begun_anew;
  if (!anew && outcome != ClusterClock::Outcome::contradicts) return;
  host.note(Weight::warning,
            Event("cluster_clock_contradicts",
                  {{"why", std::string("the leader's clock contradicts what it said before: was a machine asleep? ") +
                               (anew ? "It is believed" : "It is left out")}}));
}

}  // namespace

Node::Node(NodeSettings settings, Memory memory, NodeHost& host, etcd::Etcd& etcd, handshake::Random& random)
    : settings_(std::move(settings)),
      host_(host),
      memory_(std::move(memory), settings_.state_file, host),
      view_(settings_.cluster_id),
      clock_(view_, random),
      outage_(host),
      session_(settings_, host, etcd, random, memory_, view_, outage_, *this),
      trust_(view_),
      revocations_(view_, memory_, etcd),
      claims_(view_),
      intake_(settings_, host, view_, claims_, departed_, clock_),
      notices_(host, view_),
      attendees_(host, view_),
      leader_(settings_, host, random, view_, *memory_, clock_) {}

Node::~Node() = default;

Result<std::unique_ptr<Node>> Node::open(NodeSettings settings, NodeHost& host, etcd::Etcd& etcd,
                                         handshake::Random& random) {
  SEALCAST_TRY_ASSIGN(auto memory, Memory::load(settings.state_file));
  return std::unique_ptr<Node>(new Node(std::move(settings), std::move(memory), host, etcd, random));
}

void Node::tick() {
  session_.tick();
}

std::chrono::milliseconds Node::next_tick() const {
  const bool idle = session_.stage() == Stage::serving && !outage_.silent() && claims_.idle() && intake_.idle() &&
                    notices_.idle() && !clock_.waits() && session_.quiet(host_.now().steady);
  return idle ? idle_poll_period : poll_period;
}

bool Node::serving() const {
  return session_.stage() == Stage::serving && session_.fresh(host_.now().steady);
}

void Node::resumed() {
  clock_.forget();
  session_.lose("the clocks moved against each other: resumed from a snapshot?");
}

void Node::leave() {
  session_.leave();
  forget_session();
}

// ---------------------------------------------------------------- the session

void Node::joined(bool started_over) {
  expect_leases(host_, departed_);
  const SteadyTime now = host_.now().steady;
  departed_.begin_blind(now);
  trust_.begin(started_over, now);
  host_.note(Weight::event, Event("cluster_joined", {{"incarnation", Word{view_.self().incarnation}},
                                                     {"revision", view_.self().registered}}));
}

void Node::looked(const std::vector<Peer>& vanished) {
  const SteadyTime now = host_.now().steady;
  if (!vanished.empty()) expect_leases(host_, departed_);
  for (const Peer& peer : vanished) {
    departed_.vanished(peer.incarnation, peer.name, now);
    host_.note(Weight::warning,
               Event("cluster_peer_gone", {{"name", peer.name}, {"incarnation", Word{peer.incarnation}}}));
  }
  if (departed_.expire(now) || !vanished.empty()) intake_.touch_all();
}

void Node::read(const etcd::KeyValue& entry) {
  const SharedKey key = view_.take(entry, host_.now().steady, departed_);
  if (key.kind.empty()) return;
  if (key.kind == "generation") {
    if (session_.stage() >= Stage::trusted && entry.value != view_.self().incarnation)
      session_.lose("another key server found that etcd was set back");
    return;
  }
  if (key.kind == "revoked") return revocations_.take(key, entry);
  if (key.kind == "clock") return warn_of(clock_.measure(host_.now().boot), host_);
  intake_.touch(key.id);
  if (key.kind == "want") notices_.wish_read(key.id);
  if (key.kind != "epoch") return;
  const std::uint64_t number = *parse_number(key.rest);
  if (number <= memory_->highest_epoch) return;
  memory_.change().highest_epoch = number;
  memory_.change().last_prefix = view_.epoch(key.id, number)->value.spi_prefix;
}

// Now the consequences.
void Node::all_read() {
  if (session_.stage() < Stage::synced) return;
  if (revocations_.moved()) {
    notices_.put_back(revocations_.restore());
    host_.revocations_changed();
  }
  memory_.save();
  clock_.look(host_.now().boot);
  ask_for_the_time(clock_, session_, host_);
  if (!trust_.granted()) return seek_trust();
  session_.advance(Stage::trusted);
  const Moment now = host_.now();
  for (const std::string& id : intake_.take_touched()) {
    for (const std::uint64_t number : view_.expire(id, now.unix_ms)) {
      claims_.forget({id, number});
      intake_.forget(id, number);
      leader_.forget(id, number);
    }
    if (intake_.hand_over(id, now)) notices_.watch(id);
    host_.others_changed(id);
  }
  claim();
  tell();
  lead();
  begin_serving();
}

void Node::lost(const std::string& why, bool had) {
  forget_session();
  outage_.cut_off(why, had, host_.now().steady);
  if (had) host_.cut_off(why);
}

void Node::forget_session() {
  claims_.clear();
  notices_.clear();
  attendees_.clear();
  intake_.clear();
  leader_.clear();
  clock_.session_over();
  revocations_.clear();
}

// ---------------------------------------------------------------- what is written

void Node::seek_trust() {
  auto enter = trust_.seek();
  if (!enter) return;
  session_.ask(std::move(*enter), [this](const etcd::Reply* reply) {
    const Trust::Outcome outcome = trust_.answered(reply, host_.now().steady);
    if (outcome == Trust::Outcome::refused) return;  // again, when something was read again
    if (outcome == Trust::Outcome::founded) {
      view_.found_generation(reply->revision);
      host_.note(Weight::warning, Event("cluster_starts_over",
                                        {{"why", "no key server was there all the time; all groups get new epochs"}}));
    }
    session_.advance(Stage::trusted);
    session_.poll();
  });
}

void Node::claim() {
  if (!session_.open()) return;
  auto ask = claims_.next(host_.now().unix_ms);
  if (!ask) return;
  session_.ask(std::move(*ask), [this](const etcd::Reply* reply) {
    const bool claimed = reply && reply->succeeded;
    if (claimed) memory_.save();  // before any of them is used
    for (const std::string& id : claims_.answered(reply))
      intake_.touch(id);
    if (claimed) all_read();
  });
}

void Node::tell() {
  if (auto news = notices_.next())
    session_.ask(std::move(*news), [this](const etcd::Reply* reply) {
      if (notices_.answered(reply)) session_.poll();
    });
  if (auto who = attendees_.next(host_.now().steady))
    session_.ask(std::move(*who), [this](const etcd::Reply* reply) { attendees_.answered(reply); });
}

void Node::lead() {
  auto work = leader_.next(trust_.vouches(), host_.now());
  if (!work) return;
  session_.ask(std::move(*work), [this](const etcd::Reply* reply) {
    leader_.answered(reply);
    if (reply) session_.poll();
  });
}

void Node::begin_serving() {
  if (session_.stage() != Stage::trusted || !clock_.good(host_.now().boot)) return;
  if (host_.now().steady < trust_.since() + patience) {
    if (!claims_.idle()) return;
    for (const std::string& id : host_.groups())
      if (!intake_.has_any(id)) return;
  }
  session_.advance(Stage::serving);
  outage_.serving();
  host_.note(Weight::event, Event("cluster_serving", {{"incarnation", Word{view_.self().incarnation}}}));
  host_.serve();
}

// ---------------------------------------------------------------- what the host asks

void Node::group_added(const std::string& group_id) {
  if (!session_.open()) return;
  intake_.begin_anew(group_id);
  session_.poll();
}

void Node::want_epoch(const std::string& group_id, std::uint64_t seen, const std::string& why) {
  if (seen == 0) return;
  notices_.want(group_id, seen, why == "revocation");
  session_.poll();  // not only when it is time
}

void Node::installed_here(const std::string& group_id, std::uint64_t epoch) {
  if (!session_.open()) return;
  notices_.installed(group_id, epoch);
  session_.poll();
}

std::uint64_t Node::highest(const std::string& group_id) const {
  const std::uint64_t heard_of = revocations_.heard_of(group_id);
  // Numbers grow with the time: no group had a higher one when this key server was last told anything.
  if (session_.stage() < Stage::synced) return std::max(memory_->highest_epoch, heard_of);
  const ClusterView::Group& group = view_.group(group_id);
  return std::max({heard_of, group.value.highest, group.epochs.empty() ? 0 : group.epochs.rbegin()->first});
}

std::uint64_t Node::highest_before_revocation(const std::string& group_id, const store::Revocation& revocation) const {
  const auto noted = revocations_.noted_at(revocation);
  const auto group = view_.groups().find(group_id);
  if (!noted || group == view_.groups().end()) return highest(group_id);
  std::uint64_t newest = 0;
  for (const auto& [number, epoch] : group->second.epochs)
    if (epoch.created < *noted) newest = number;
  return newest;
}

bool Node::switched_elsewhere(const std::string& group_id, std::uint64_t epoch) const {
  if (session_.stage() < Stage::synced) return false;
  const ClusterView::Group& group = view_.group(group_id);
  const SteadyTime now = host_.now().steady;
  // One that vanished before this session had no epoch, if there was none.
  const bool had_epochs =
      view_.generation() != 0 || std::any_of(group.epochs.begin(), group.epochs.end(), [&](const auto& entry) {
        return entry.second.created < view_.self().registered;
      });
  if (departed_.blind(now) && had_epochs) return false;
  const auto switched = [&](const std::string& incarnation) {
    const auto at = group.at.find(incarnation);
    return at != group.at.end() && at->second.switched > epoch;
  };
  for (const auto& [incarnation, peer] : view_.live().alive)
    if (incarnation != view_.self().incarnation && !switched(incarnation)) return false;
  const auto& gone = departed_.servers();
  return std::all_of(gone.begin(), gone.end(),
                     [&](const auto& entry) { return entry.second.until <= now || switched(entry.first); });
}

std::string Node::standing(const std::string& group_id) const {
  const auto found = memory_->standing.find(group_id);
  return found == memory_->standing.end() ? std::string() : found->second;
}

void Node::note_standing(const std::map<std::string, std::string>& by_group) {
  for (const auto& [id, noted] : by_group)
    if (standing(id) != noted) memory_.change().standing[id] = noted;
  if (session_.open()) memory_.save();
}

bool Node::has_slots(const std::string& group_id, std::uint64_t epoch, std::uint32_t waiting) {
  if (claims_.any({group_id, epoch})) return true;
  claims_.want({group_id, epoch}, waiting + 1);
  claim();
  return !claims_.wants({group_id, epoch});
}

// ---------------------------------------------------------------- Store

Result<store::EpochRecord> Node::begin_epoch(const store::NewEpoch&) {
  return fail("epochs are made by the cluster's leader");
}

Result<store::Issue> Node::issue(const store::Holder& holder) {
  const Moment now = host_.now();
  if (!session_.fresh(now.steady)) return fail("cut off from etcd: nothing is handed out until it answers");
  const ClusterView::Epoch* epoch = view_.epoch(holder.group_id, holder.epoch);
  if (!epoch || !view_.usable(*epoch, now.unix_ms))
    return fail("group \"" + holder.group_id + "\", epoch " + std::to_string(holder.epoch) + ": no such epoch");
  auto issue = claims_.issue(holder);
  if (!issue || claims_.low({holder.group_id, holder.epoch})) claim();
  return issue;
}

Result<void> Node::revoke(const store::Revocation& revocation) {
  if (!session_.open()) return fail("cut off from etcd (" + outage_.why() + "): ask again, or ask another key server");
  return revocations_.revoke(revocation);
}

Result<bool> Node::reinstate(const std::string& member_id, const std::string& group_id) {
  if (!session_.open()) return fail("cut off from etcd (" + outage_.why() + "): ask again, or ask another key server");
  return revocations_.reinstate(member_id, group_id);
}

Result<std::vector<store::Revocation>> Node::revocations() const {
  return revocations_.all();
}

Result<std::uint32_t> Node::holder_count(const std::string&, std::uint64_t) const {
  return fail("a key server of a cluster does not know all holders");
}

Result<std::uint32_t> Node::slots_of(const std::string&, std::uint64_t, const std::string&) const {
  return fail("a key server of a cluster does not know all slots of a member");
}

}  // namespace sealcast::cluster
