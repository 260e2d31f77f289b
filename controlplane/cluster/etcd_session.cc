#include "controlplane/cluster/etcd_session.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"

namespace sealcast::cluster {

using etcd::Compare;
using etcd::Put;
using etcd::Range;
using etcd::Transaction;
using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

constexpr auto retry_join = 300ms;
constexpr auto quiet_after = 3s;
constexpr std::int64_t page = 500;  // keys an answer; more than a transaction of ours ever changes at once

}  // namespace

EtcdSession::EtcdSession(const NodeSettings& settings, NodeHost& host, etcd::Etcd& etcd, handshake::Random& random,
                         KeptMemory& memory, ClusterView& view, Outage& outage, SessionOwner& owner)
    : settings_(settings),
      host_(host),
      etcd_(etcd),
      random_(random),
      memory_(memory),
      view_(view),
      outage_(outage),
      owner_(owner) {}

template <typename Value>
std::function<void(Result<Value>)> EtcdSession::answer(void (EtcdSession::*then)(Result<Value>&&, SteadyTime)) {
  return [this, then, asked = host_.now().steady, guard = std::weak_ptr<int>(guard_)](Result<Value> value) {
    if (!guard.expired()) (this->*then)(std::move(value), asked);
  };
}

void EtcdSession::tick() {
  const SteadyTime now = host_.now().steady;
  if (stage_ == Stage::cut_off && (!try_again_ || *try_again_ <= now)) return join();
  if (!open()) return;
  // Asked, not answered: what is answered late says nothing about now. A little before the others would give it up.
  if (!fresh(now)) return lose("etcd has not answered for too long");
  outage_.watch(view_.self().incarnation, answered(), answered() + patience(), settings_.lease_ttl, now);
  if (!lease_.asked && now >= lease_.due) {
    lease_.asked = true;
    lease_.due = now + milliseconds(settings_.lease_ttl) / 4;
    etcd_.keep_alive(view_.self().lease, answer(&EtcdSession::on_kept_alive));
  }
  poll();
}

void EtcdSession::advance(Stage to) {
  if (open() && to > stage_) stage_ = to;
}

SteadyTime EtcdSession::answered() const {
  return std::min(lease_.kept_alive, look_.answered);
}

bool EtcdSession::fresh(SteadyTime now) const {
  return open() && now - answered() <= patience();
}

bool EtcdSession::quiet(SteadyTime now) const {
  return now > look_.changed + quiet_after;
}

// ---------------------------------------------------------------- beginning

void EtcdSession::join() {
  stage_ = Stage::joining;
  // What is left of the session before would be waited for.
  if (memory_->lease) etcd_.revoke(memory_->lease);
  etcd_.grant(settings_.lease_ttl, answer(&EtcdSession::on_granted));
}

void EtcdSession::on_granted(Result<etcd::Lease>&& lease, SteadyTime) {
  if (!lease) return lose(lease.error().message);
  entering_.lease = lease->id;
  // Before anything is written: is this the etcd that was known, and no older one?
  Transaction look;
  look.success = {Range{view_.keys().generation(), ""}};
  etcd_.transact(std::move(look), answer(&EtcdSession::on_looked));
}

// Why it is not the etcd that was known; empty: it is, or none is known.
std::string EtcdSession::set_back(const etcd::Reply& reply) const {
  if (start_over_) return "etcd was set back to an older state";
  if (memory_->revision == 0) return "";
  if (reply.revision < memory_->revision)
    return "etcd is at revision " + std::to_string(reply.revision) + ", which is below the known " +
           std::to_string(memory_->revision);
  return reply.cluster == memory_->etcd_cluster ? "" : "this is another etcd cluster than the known one";
}

void EtcdSession::on_looked(Result<etcd::Reply>&& reply, SteadyTime) {
  if (!reply) return lose(reply.error().message);
  const std::string why = set_back(*reply);
  std::array<std::uint8_t, 16> incarnation{};
  random_.fill(incarnation);
  entering_.incarnation = to_hex(incarnation);
  entering_.cluster = reply->cluster;
  const Keys& keys = view_.keys();
  Transaction enter;
  enter.compares = {{Compare::What::created, keys.server(entering_.incarnation), 0}};
  enter.success = {Put{keys.server(entering_.incarnation), settings_.address + " " + settings_.name, entering_.lease}};
  if (!why.empty()) {
    start_over_ = true;  // until it is done
    enter.success.push_back(Put{keys.generation(), entering_.incarnation});
    enter.success.push_back(Put{keys.trusted(entering_.incarnation), "", entering_.lease});
    host_.note(NodeHost::Weight::error, Event("cluster_starts_over", {{"why", why + "; all groups get new epochs"}}));
  }
  etcd_.transact(std::move(enter), answer(&EtcdSession::on_registered));
}

void EtcdSession::on_registered(Result<etcd::Reply>&& reply, SteadyTime asked) {
  if (!reply) return lose(reply.error().message);
  if (!reply->succeeded) return lose("another key server has the same incarnation");
  Memory& memory = memory_.change();
  memory.etcd_cluster = entering_.cluster;
  memory.revision = reply->revision;
  memory.lease = entering_.lease;
  memory_.save();
  stage_ = Stage::registered;
  view_.begin({entering_.incarnation, entering_.lease, reply->revision}, asked);
  lease_ = {asked, asked + milliseconds(settings_.lease_ttl) / 4, false};
  look_ = {asked, {}, false};
  owner_.joined(std::exchange(start_over_, false));
  poll();
}

// ---------------------------------------------------------------- going on

void EtcdSession::on_kept_alive(Result<etcd::Lease>&& lease, SteadyTime asked) {
  lease_.asked = false;
  if (!lease)
    return outage_.failed(lease.error().message);  // again with the next tick; fresh() says when it is too late
  if (lease->id != view_.self().lease) return;
  if (lease->ttl == 0s) return lose("the lease has ended");
  lease_.kept_alive = asked;
}

void EtcdSession::ask(Transaction transaction, std::function<void(const etcd::Reply*)> then) {
  etcd_.transact(std::move(transaction),
                 [this, then = std::move(then), guard = std::weak_ptr<int>(guard_)](const Result<etcd::Reply>& reply) {
                   if (guard.expired()) return;
                   if (!reply) return then(nullptr);
                   if (check_revision(*reply)) then(&*reply);
                 });
}

// etcd's revision never falls while it is the etcd that was known.
bool EtcdSession::check_revision(const etcd::Reply& reply) {
  if (reply.revision >= memory_->revision && reply.cluster == memory_->etcd_cluster) {
    if (reply.revision > memory_->revision) memory_.change().revision = reply.revision;
    return true;
  }
  start_over_ = true;
  lose("etcd was set back: revision " + std::to_string(reply.revision) + " came after " +
       std::to_string(memory_->revision));
  return false;
}

void EtcdSession::poll() {
  if (!open() || look_.asked) return;
  look_.asked = true;
  Transaction look;
  look.success = {Range{view_.keys().live(), etcd::end_of(view_.keys().live())}};
  etcd_.transact(std::move(look), answer(&EtcdSession::on_polled));
}

void EtcdSession::on_polled(Result<etcd::Reply>&& reply, SteadyTime asked) {
  look_.asked = false;
  if (!reply) return outage_.failed(reply.error().message);
  if (!check_revision(*reply) || reply->ranges.size() != 1) return;
  outage_.answered();
  look_.answered = asked;
  const auto vanished = view_.take_live(reply->ranges[0].entries, host_.now().steady);
  if (!vanished) return lose("the lease has ended");
  owner_.looked(*vanished);
  if (reply->revision <= view_.revision()) return owner_.all_read();
  look_.changed = asked;
  fetch_changes();
}

void EtcdSession::fetch_changes() {
  look_.asked = true;
  Transaction look;
  look.success = {Range{view_.keys().shared(), etcd::end_of(view_.keys().shared()), view_.revision() + 1, page}};
  etcd_.transact(std::move(look), answer(&EtcdSession::on_changes));
}

void EtcdSession::on_changes(Result<etcd::Reply>&& reply, SteadyTime) {
  look_.asked = false;
  if (!reply || !check_revision(*reply) || reply->ranges.size() != 1) return;
  const auto& range = reply->ranges[0];
  for (const etcd::KeyValue& entry : range.entries) {
    owner_.read(entry);
    if (!open()) return;
  }
  if (range.more && !range.entries.empty()) {
    // What else changed with the last one comes again.
    view_.read_up_to(std::max(view_.revision() + 1, range.entries.back().modified - 1));
    return fetch_changes();
  }
  view_.read_up_to(reply->revision);
  advance(Stage::synced);
  owner_.all_read();
}

// ---------------------------------------------------------------- ending

void EtcdSession::end() {
  guard_ = std::make_shared<int>(0);
  stage_ = Stage::cut_off;
  view_.clear();
}

void EtcdSession::lose(const std::string& why) {
  const bool had = open();
  try_again_ = host_.now().steady + retry_join;
  if (had) etcd_.revoke(view_.self().lease);
  end();
  owner_.lost(why, had);
}

void EtcdSession::leave() {
  if (open()) {
    etcd_.revoke(view_.self().lease);
    memory_.change().lease = 0;
  }
  end();
  memory_.save();
}

}  // namespace sealcast::cluster
