// The session: a lease, a key of its own, polling, and how it ends.
#include "controlplane/cluster/node.h"

#include <algorithm>
#include <set>

namespace sealcast::cluster {

using etcd::Compare;
using etcd::Range;
using etcd::Transaction;
using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

constexpr auto retry_session = 300ms;
constexpr auto busy_after_a_change = 3s;
constexpr std::int64_t page = 500;  // keys an answer; more than a transaction of ours ever changes at once
constexpr std::size_t max_servers = 64;

}  // namespace

Node::Node(NodeSettings settings, NodeHost& host, etcd::Etcd& etcd, handshake::Random& random)
    : settings_(std::move(settings)), host_(host), etcd_(etcd), random_(random), keys_(settings_.cluster_id) {}

Node::~Node() = default;

Result<std::unique_ptr<Node>> Node::open(NodeSettings settings, NodeHost& host, etcd::Etcd& etcd,
                                         handshake::Random& random) {
  auto memory = Memory::load(settings.state_file);
  if (!memory) return tl::unexpected(memory.error());
  std::unique_ptr<Node> node(new Node(std::move(settings), host, etcd, random));
  node->memory_ = std::move(*memory);
  return node;
}

std::string Node::random_name() {
  std::array<std::uint8_t, 16> bytes{};
  random_.fill(bytes);
  return to_hex(bytes);
}

void Node::save_memory() {
  if (!memory_changed_) return;
  if (auto saved = memory_.save(settings_.state_file); !saved)
    host_.note(NodeHost::Weight::error, Event("cluster_memory_failed", {{"why", saved.error().message}}));
  else
    memory_changed_ = false;
}

std::string Node::standing(const std::string& group_id) const {
  const auto found = memory_.standing.find(group_id);
  return found == memory_.standing.end() ? std::string() : found->second;
}

void Node::note_standing(const std::map<std::string, std::string>& by_group) {
  for (const auto& [id, standing] : by_group) {
    std::string& noted = memory_.standing[id];
    if (noted == standing) continue;
    noted = standing;
    memory_changed_ = true;
  }
  if (session_) save_memory();
}

void Node::tick() {
  const SteadyTime now = host_.now().steady;
  if (!session_) {
    if (!starting_ && (!try_again_ || *try_again_ <= now)) begin_session();
    return;
  }
  // Asked, not answered: what is answered late says nothing about now. A little before the others would give it up.
  if (!fresh(now)) return lose("etcd has not answered for too long");
  watch_silence(now);
  Session& session = *session_;
  if (!session.keeping && now >= session.keep_alive_at) {
    session.keeping = true;
    session.keep_alive_at = now + milliseconds(settings_.lease_ttl) / 4;
    etcd_.keep_alive(session.lease, mine(&Node::on_kept_alive, now));
  }
  poll();
}

milliseconds Node::next_tick() const {
  const bool idle = session_ && session_->serving && !silent_ && watched_.empty() && wanted_slots_.empty() &&
                    extra_puts_.empty() && owed_.empty() && touched_.empty() &&
                    host_.now().steady > session_->changed + busy_after_a_change;
  return idle ? idle_poll_period : poll_period;
}

bool Node::fresh(SteadyTime now) const {
  return session_ && now - std::min(session_->kept_alive, session_->polled) <= silence();
}

bool Node::serving() const {
  return session_ && session_->serving && fresh(host_.now().steady);
}

void Node::leave() {
  if (session_) {
    etcd_.revoke(session_->lease);
    memory_.lease = 0;
    memory_changed_ = true;
  }
  guard_ = std::make_shared<int>(0);
  session_.reset();
  save_memory();
}

// ---------------------------------------------------------------- beginning

void Node::begin_session() {
  starting_ = true;
  // What is left of the session before would be waited for.
  if (memory_.lease) etcd_.revoke(memory_.lease);
  etcd_.grant(settings_.lease_ttl, mine(&Node::on_granted, host_.now().steady));
}

void Node::on_granted(Result<etcd::Lease>&& lease, SteadyTime) {
  if (!lease) return lose(lease.error().message);
  pending_lease_ = lease->id;
  // Before anything is written: is this the etcd that was known, and no older one?
  Transaction look;
  look.success = {Range{keys_.generation(), ""}};
  etcd_.transact(std::move(look), mine(&Node::on_looked, host_.now().steady));
}

void Node::on_looked(Result<etcd::Reply>&& reply, SteadyTime) {
  if (!reply) return lose(reply.error().message);
  std::string why;
  if (start_over_) {
    why = "etcd was set back to an older state";
  } else if (memory_.revision == 0) {
    // There is nothing to compare with.
  } else if (reply->revision < memory_.revision) {
    why = "etcd is at revision " + std::to_string(reply->revision) + ", which is below the known " +
          std::to_string(memory_.revision);
  } else if (reply->cluster != memory_.etcd_cluster) {
    why = "this is another etcd cluster than the known one";
  }
  pending_incarnation_ = random_name();
  Transaction enter;
  enter.compares = {{Compare::What::created, keys_.server(pending_incarnation_), 0}};
  enter.success = {
      etcd::Put{keys_.server(pending_incarnation_), settings_.address + " " + settings_.name, pending_lease_}};
  if (!why.empty()) {
    start_over_ = true;  // until it is done
    enter.success.push_back(etcd::Put{keys_.generation(), pending_incarnation_});
    enter.success.push_back(etcd::Put{keys_.trusted(pending_incarnation_), "", pending_lease_});
    host_.note(NodeHost::Weight::error, Event("cluster_starts_over", {{"why", why + "; all groups get new epochs"}}));
  }
  memory_.etcd_cluster = reply->cluster;
  if (!why.empty()) memory_.revision = reply->revision;
  etcd_.transact(std::move(enter), mine(&Node::on_registered, host_.now().steady));
}

void Node::on_registered(Result<etcd::Reply>&& reply, SteadyTime asked) {
  if (!reply) return lose(reply.error().message);
  if (!reply->succeeded) return lose("another key server has the same incarnation");
  starting_ = false;
  const bool started_over = std::exchange(start_over_, false);
  memory_.revision = reply->revision;
  memory_.lease = pending_lease_;
  memory_changed_ = true;
  save_memory();
  Session& session = session_.emplace();
  session.incarnation = pending_incarnation_;
  session.lease = pending_lease_;
  session.registered = reply->revision;
  session.since = session.kept_alive = session.polled = session.quiet_since = asked;
  session.keep_alive_at = asked + milliseconds(settings_.lease_ttl) / 4;
  blind_since_ = host_.now().steady;
  blind_until_ = blind_since_ + longest_lease();
  blind_ = true;
  if (started_over) trusted();
  groups_.clear();
  revocations_.clear();
  generation_ = 0;
  last_prefix_ = 0;
  last_prefix_created_ = 0;
  revocations_moved_ = true;  // what etcd does not have is put there
  host_.note(NodeHost::Weight::event,
             Event("cluster_joined", {{"incarnation", Word{session.incarnation}}, {"revision", session.registered}}));
  poll();
}

// ---------------------------------------------------------------- going on

void Node::on_kept_alive(Result<etcd::Lease>&& lease, SteadyTime asked) {
  if (!session_ || asked < session_->since) return;
  session_->keeping = false;
  if (!lease) last_error_ = lease.error().message;
  if (!lease) return;  // again at the next tick that is due; fresh() says when it has been too long
  if (lease->id != session_->lease) return;
  if (lease->ttl == 0s) return lose("the lease has ended");
  session_->kept_alive = asked;
}

// etcd's revision never falls while it is the etcd that was known.
bool Node::check_revision(const etcd::Reply& reply) {
  if (reply.revision >= memory_.revision && reply.cluster == memory_.etcd_cluster) {
    if (reply.revision > memory_.revision) memory_changed_ = true;
    memory_.revision = reply.revision;
    return true;
  }
  start_over_ = true;
  lose("etcd was set back: revision " + std::to_string(reply.revision) + " came after " +
       std::to_string(memory_.revision));
  return false;
}

void Node::poll() {
  if (!session_ || session_->polling) return;
  session_->polling = true;
  Transaction look;
  look.success = {Range{keys_.live(), etcd::end_of(keys_.live())}};
  etcd_.transact(std::move(look), mine(&Node::on_polled, host_.now().steady));
}

void Node::on_polled(Result<etcd::Reply>&& reply, SteadyTime asked) {
  if (!session_ || asked < session_->since) return;
  session_->polling = false;
  if (!reply) last_error_ = reply.error().message;
  if (!reply || !check_revision(*reply)) return;
  if (reply->ranges.size() != 1) return;
  last_error_.clear();
  session_->polled = asked;
  take_alive(reply->ranges[0].entries);
  if (!session_) return;
  if (reply->revision > session_->synced) {
    session_->changed = asked;
    session_->polling = true;
    return fetch_changes();
  }
  settle();
}

void Node::fetch_changes() {
  Transaction look;
  look.success = {Range{keys_.shared(), etcd::end_of(keys_.shared()), session_->synced + 1, page}};
  etcd_.transact(std::move(look), mine(&Node::on_changes, host_.now().steady));
}

void Node::on_changes(Result<etcd::Reply>&& reply, SteadyTime asked) {
  if (!session_ || asked < session_->since) return;
  session_->polling = false;
  if (!reply || !check_revision(*reply) || reply->ranges.size() != 1) return;
  const auto& range = reply->ranges[0];
  for (const etcd::KeyValue& entry : range.entries)
    take(entry);
  if (!session_) return;
  if (range.more && !range.entries.empty()) {
    // What else changed with the last one comes again.
    session_->synced = std::max(session_->synced + 1, range.entries.back().modified - 1);
    session_->polling = true;
    return fetch_changes();
  }
  session_->synced = reply->revision;
  session_->synced_once = true;
  settle();
}

// Those of today's configuration, and those that epochs were given out with.
std::chrono::seconds Node::longest_lease() {
  for (const std::string& id : host_.groups())
    longest_lease_ = std::max(longest_lease_, std::chrono::seconds(host_.wish(id).policy.authority_lease_s));
  return longest_lease_;
}

void Node::take_alive(const std::vector<etcd::KeyValue>& entries) {
  Session& session = *session_;
  std::map<std::string, Peer> alive;
  session.leader.clear();
  session.leader_created = 0;
  session.vouched = false;
  std::set<std::string> marked;
  std::set<std::string> vouched_for;
  const std::string servers = keys_.server("");
  const std::string marks = keys_.trusted("");
  const std::string vouches = keys_.vouched("");
  for (const etcd::KeyValue& entry : entries) {
    if (entry.key == keys_.leader()) {
      session.leader = entry.value;
      session.leader_created = entry.created;
    } else if (entry.key.compare(0, marks.size(), marks) == 0) {
      marked.insert(entry.key.substr(marks.size()));
    } else if (entry.key.compare(0, vouches.size(), vouches) == 0) {
      vouched_for.insert(entry.key.substr(vouches.size()));
    } else if (entry.key.compare(0, servers.size(), servers) == 0 && alive.size() < max_servers) {
      const std::string incarnation = entry.key.substr(servers.size());
      const std::size_t space = entry.value.find(' ');
      const auto odd = [](char c) { return c < 0x20 || c > 0x7e || c == '"' || c == '\\'; };
      const bool plain = entry.value.size() <= 256 && std::none_of(entry.value.begin(), entry.value.end(), odd) &&
                         incarnation.size() == 32 && std::none_of(incarnation.begin(), incarnation.end(), odd);
      if (plain && space != std::string::npos)
        alive[incarnation] = {incarnation, entry.value.substr(space + 1), entry.value.substr(0, space), {}};
    }
  }
  if (!alive.count(session.incarnation)) return lose("the lease has ended");
  session.vouched = vouched_for.count(session.incarnation) > 0;
  const auto gone = [&](const std::string& incarnation) { return !alive.count(incarnation); };
  std::erase_if(marked, gone);
  std::erase_if(vouched_for, gone);
  marked.erase(session.incarnation);
  session.trusted = std::move(marked);
  session.vouched_for = std::move(vouched_for);
  const SteadyTime now = host_.now().steady;
  for (const auto& [incarnation, peer] : session.alive) {
    if (alive.count(incarnation)) continue;
    session.quiet_since = now;
    gone_[incarnation] = {peer.name, now, now + longest_lease()};
    host_.note(NodeHost::Weight::warning,
               Event("cluster_peer_gone", {{"name", peer.name}, {"incarnation", Word{incarnation}}}));
    for (auto& [id, group] : groups_)
      touched_.insert(id);
  }
  for (auto& [incarnation, peer] : alive) {
    const auto before = session.alive.find(incarnation);
    peer.since = before == session.alive.end() ? now : before->second.since;
  }
  session.alive = std::move(alive);
  // Who waits for the leases of senders that this key server cannot know is told when they are over.
  const bool sees = blind_ && now >= blind_until_;
  if (sees) blind_ = false;
  if (std::erase_if(gone_, [&](const auto& entry) { return entry.second.until <= now; }) != 0 || sees)
    for (auto& [id, group] : groups_)
      touched_.insert(id);
}

// ---------------------------------------------------------------- ending

void Node::lose(const std::string& why) {
  const bool had = session_.has_value();
  starting_ = false;
  try_again_ = host_.now().steady + retry_session;
  if (had) etcd_.revoke(session_->lease);
  session_.reset();
  claims_.clear();
  published_.clear();
  wanted_slots_.clear();
  extra_puts_.clear();
  extra_under_way_ = 0;
  wants_under_way_.clear();
  for (auto& [id, owed] : owed_)
    owed.told = false;
  slots_.clear();
  groups_.clear();
  touched_.clear();
  watched_.clear();
  silent_ = false;
  note_cut_off(why, had);
  if (had) host_.cut_off(why);
}

Compare Node::still_here() const {
  return {Compare::What::created, keys_.server(session_->incarnation), session_->registered};
}

Compare Node::same_generation() const {
  return {Compare::What::modified, keys_.generation(), generation_};
}

}  // namespace sealcast::cluster
