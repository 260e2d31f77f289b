// An epoch's policy and premaster as they lie in etcd, or in the state file of a key server that stands alone:
// AES-256-GCM under the cluster key (there: the wrapping key), with a random nonce of 96 bits before and the tag of 128
// bits behind it. Cluster, group, epoch and its times are bound to it: what was sealed for one opens for no other.
// Fewer than 2^32 epochs are ever sealed under one key (SP 800-38D §8.3).
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/secret.h"
#include "handshake/endpoint.h"
#include "handshake/group_keying.h"

namespace sealcast::cluster {

enum class SealedIn : std::uint8_t { etcd, state_file };

struct SealedFor {
  std::string cluster_id;  // the key server id
  std::string group_id;
  std::uint64_t epoch = 0;
  std::int64_t begun_ms = 0;
  std::int64_t expires_ms = 0;
  SealedIn place = SealedIn::etcd;  // bound to it, too
};

struct EpochContent {
  handshake::GroupPolicy policy;
  Secret<48> premaster;
  handshake::EpochZero zero = {};
};

Result<std::string> seal_epoch(const Secret<32>& key, const SealedFor& where, const EpochContent& content,
                               handshake::Random& random);
// One error for whatever is wrong: another key, another place, tampered with.
Result<EpochContent> open_epoch(const Secret<32>& key, const SealedFor& where, const std::string& sealed);

}  // namespace sealcast::cluster
