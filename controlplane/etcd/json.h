// Requests and answers of etcd's HTTP/JSON gateway as text; the JSON library stays in json.cc. Answers are network
// input: everything in them is checked, what is unknown is ignored.
#pragma once

#include <string>
#include <string_view>

#include "controlplane/etcd/etcd.h"

namespace sealcast::etcd {

std::string transaction_json(const Transaction& transaction);
std::string grant_json(std::chrono::seconds ttl);
std::string lease_json(std::int64_t lease);

Result<Reply> parse_reply(std::string_view json);
// What grant and keep_alive answer.
Result<Lease> parse_lease(std::string_view json);
// Of an answer that is no success: its "error", made fit for a log.
std::string parse_error(std::string_view json);

}  // namespace sealcast::etcd
