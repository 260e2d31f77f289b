// Requests and answers of etcd's HTTP/JSON gateway as text; the JSON library stays in json.cc. Answers are network
// input: all fields used are checked, unknown ones are ignored.
#pragma once

#include <string>
#include <string_view>

#include "controlplane/etcd/etcd.h"

namespace sealcast::etcd {

std::string transaction_json(const Transaction& transaction);
std::string grant_json(std::chrono::seconds ttl);
std::string lease_json(std::int64_t lease);

Result<Reply> parse_reply(std::string_view json);
// The answer to grant and keep_alive.
Result<Lease> parse_lease(std::string_view json);
// From an answer that reports a failure: its "error", made safe for a log.
std::string parse_error(std::string_view json);

}  // namespace sealcast::etcd
