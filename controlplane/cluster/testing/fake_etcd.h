// An etcd in memory, for tests: transactions and leases as etcd v3 has them, revisions that never fall unless a test
// restores a backup, and answers that come when the test says so.
#pragma once

#include <algorithm>
#include <map>
#include <set>

#include "controlplane/etcd/etcd.h"

namespace sealcast::cluster::testing {

class FakeStore {
 public:
  struct Value {
    std::string value;
    etcd::Revision created = 0;
    etcd::Revision modified = 0;
    std::int64_t lease = 0;
  };

  etcd::Reply run(const etcd::Transaction& transaction) {
    etcd::Reply reply;
    reply.cluster = cluster;
    reply.succeeded = true;
    for (const etcd::Compare& compare : transaction.compares) {
      const auto found = keys.find(compare.key);
      const bool created = compare.what == etcd::Compare::What::created;
      const etcd::Revision is = found == keys.end() ? 0 : (created ? found->second.created : found->second.modified);
      if (is != compare.revision) reply.succeeded = false;
    }
    bool wrote = false;
    std::set<std::string> written;
    for (const etcd::Operation& operation : reply.succeeded ? transaction.success : transaction.failure) {
      if (const auto* put = std::get_if<etcd::Put>(&operation)) {
        if (!written.insert(put->key).second) ++duplicate_puts;  // etcd refuses such a transaction
        Value& value = keys[put->key];
        if (value.created == 0) value.created = revision + 1;
        value.value = put->value;
        value.modified = revision + 1;
        value.lease = put->lease;
        wrote = true;
      } else if (const auto* gone = std::get_if<etcd::Delete>(&operation)) {
        if (gone->end.empty())
          keys.erase(gone->key);
        else
          keys.erase(keys.lower_bound(gone->key), keys.lower_bound(gone->end));
        wrote = true;
      } else {
        reply.ranges.push_back(range(std::get<etcd::Range>(operation)));
      }
    }
    if (wrote) ++revision;
    reply.revision = revision;
    return reply;
  }

  // The lease ends, and its keys with it.
  void end_lease(std::int64_t lease) {
    leases.erase(lease);
    if (std::erase_if(keys, [&](const auto& entry) { return lease != 0 && entry.second.lease == lease; })) ++revision;
  }

  std::map<std::string, Value> keys;
  std::set<std::int64_t> leases;
  std::uint64_t cluster = 77;
  etcd::Revision revision = 1;
  std::int64_t next_lease = 1;
  int duplicate_puts = 0;

 private:
  etcd::RangeResult range(const etcd::Range& range) const {
    etcd::RangeResult result;
    for (auto it = keys.lower_bound(range.key); it != keys.end(); ++it) {
      if (range.end.empty() ? it->first != range.key : it->first >= range.end) break;
      if (!range.last_key_only && it->second.modified < range.changed_since) continue;
      result.entries.push_back({it->first, it->second.value, it->second.created, it->second.modified});
    }
    if (range.last_key_only && !result.entries.empty())
      result.entries.erase(result.entries.begin(), result.entries.end() - 1);
    if (range.changed_since)
      std::stable_sort(result.entries.begin(), result.entries.end(),
                       [](const auto& a, const auto& b) { return a.modified < b.modified; });
    if (range.limit && !range.last_key_only && result.entries.size() > static_cast<std::size_t>(range.limit)) {
      result.entries.resize(static_cast<std::size_t>(range.limit));
      result.more = true;
    }
    return result;
  }
};

// One key server's way to it.
class FakeEtcd final : public etcd::Etcd {
 public:
  explicit FakeEtcd(FakeStore& store) : store_(store) {}

  void transact(etcd::Transaction transaction, std::function<void(Result<etcd::Reply>)> done) override {
    waiting_.push_back([this, transaction = std::move(transaction), done = std::move(done)] {
      if (!reachable) return done(fail("no answer"));
      auto reply = store_.run(transaction);
      if (lose_answers) return done(fail("the answer was lost"));
      done(std::move(reply));
    });
  }
  Result<etcd::Reply> transact_now(etcd::Transaction transaction) override {
    if (!reachable) return fail("no answer");
    return store_.run(transaction);
  }
  void grant(std::chrono::seconds ttl, std::function<void(Result<etcd::Lease>)> done) override {
    waiting_.push_back([this, ttl, done = std::move(done)] {
      if (!reachable) return done(fail("no answer"));
      store_.leases.insert(store_.next_lease);
      done(etcd::Lease{store_.next_lease++, ttl});
    });
  }
  void keep_alive(std::int64_t lease, std::function<void(Result<etcd::Lease>)> done) override {
    waiting_.push_back([this, lease, done = std::move(done)] {
      if (!reachable) return done(fail("no answer"));
      done(etcd::Lease{lease, std::chrono::seconds(store_.leases.count(lease) ? 5 : 0)});
    });
  }
  void revoke(std::int64_t lease) override {
    if (reachable) store_.end_lease(lease);
  }

  // Answers what was asked so far and what the answers ask, in order.
  void answer() {
    while (!waiting_.empty())
      answer_one();
  }
  void answer_one() {
    if (waiting_.empty()) return;
    auto next = std::move(waiting_.front());
    waiting_.erase(waiting_.begin());
    next();
  }
  std::size_t waiting() const { return waiting_.size(); }

  bool reachable = true;
  bool lose_answers = false;  // it is done, and no answer comes

 private:
  FakeStore& store_;
  std::vector<std::function<void()>> waiting_;
};

}  // namespace sealcast::cluster::testing
