// The part of etcd v3 that Sealcast uses: transactions (a range is one without comparisons) and leases. Values only: no
// JSON, no HTTP type. Client is the real one, over etcd's HTTP/JSON gateway; tests have one of their own.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"

namespace sealcast::etcd {

using Revision = std::int64_t;

// Equality of a key's revision; 0: the key does not exist.
struct Compare {
  enum class What : std::uint8_t { created, modified };
  What what = What::created;
  std::string key;
  Revision revision = 0;
};

struct Put {
  std::string key;
  std::string value;
  std::int64_t lease = 0;  // 0: for ever
};

// end empty: the key alone; else all keys of [key, end).
struct Delete {
  std::string key;
  std::string end;
};

struct Range {
  std::string key;
  std::string end;
  Revision changed_since = 0;  // only keys last changed at this revision or later, in the order of that revision
  std::int64_t limit = 0;      // 0: none
  bool last_key_only = false;  // only the key that sorts last, without its value; ignores limit and changed_since
};

using Operation = std::variant<Put, Delete, Range>;

struct Transaction {
  std::vector<Compare> compares;
  std::vector<Operation> success;
  std::vector<Operation> failure;
};

struct KeyValue {
  std::string key;
  std::string value;
  Revision created = 0;
  Revision modified = 0;
};

struct RangeResult {
  std::vector<KeyValue> entries;
  bool more = false;  // there were more keys than limit
};

struct Reply {
  std::uint64_t cluster = 0;  // etcd's own cluster id
  Revision revision = 0;      // of the whole store, this transaction included
  bool succeeded = false;
  std::vector<RangeResult> ranges;  // of the executed operations, in their order
};

struct Lease {
  std::int64_t id = 0;
  std::chrono::seconds ttl{};  // 0: there is no such lease (any more)
};

// Keys that begin with prefix: [prefix, end_of(prefix)). prefix must not be empty or end with 0xff.
std::string end_of(const std::string& prefix);

// Called on one thread; answers come on that thread, never from inside a call, in any order. After an error it is
// unknown whether the request was carried out.
class Etcd {
 public:
  virtual ~Etcd() = default;
  virtual void transact(Transaction transaction, std::function<void(Result<Reply>)> done) = 0;
  // Waits for the answer, at most a second and a half.
  virtual Result<Reply> transact_now(Transaction transaction) = 0;
  virtual void grant(std::chrono::seconds ttl, std::function<void(Result<Lease>)> done) = 0;
  virtual void keep_alive(std::int64_t lease, std::function<void(Result<Lease>)> done) = 0;
  // Has no answer; what was asked before the end is still sent.
  virtual void revoke(std::int64_t lease) = 0;
};

}  // namespace sealcast::etcd
