// What of a running epoch outlives this process: its policy and premaster sealed under the wrapping key, its holders'
// identities in clear, all in the store. Whether it is resumed is for Resumption to decide.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/cluster/sealing.h"
#include "controlplane/store/store.h"
#include "handshake/endpoint.h"

namespace sealcast::keyserver {

class EpochKeeper {
 public:
  using Key = Secret<32>;
  // The key goes into locked memory (H14). store and random must outlive the keeper.
  static Result<std::unique_ptr<EpochKeeper>> create(Key key, std::string key_server_id, store::Store& store,
                                                     handshake::Random& random);
  ~EpochKeeper();
  EpochKeeper(const EpochKeeper&) = delete;
  EpochKeeper& operator=(const EpochKeeper&) = delete;

  struct Times {
    std::int64_t begun = 0;  // unix seconds
    std::int64_t expires = 0;
  };
  // Durable when it returns, instead of what was kept of the group.
  Result<void> keep(const std::string& group_id, std::uint64_t epoch, Times times,
                    const cluster::EpochContent& content);

  struct Holder {
    handshake::PeerIdentity identity;
    std::vector<std::pair<std::uint16_t, std::uint16_t>> runs;  // slots: first, count
  };
  struct Found {
    std::uint64_t number = 0;
    Times times;
    cluster::EpochContent content;  // slots_used as the store counts them
    std::vector<Holder> holders;
  };
  // The group's epoch of the process before; nothing: none is kept. An error says why what is kept is of no use.
  Result<std::optional<Found>> take_up(const std::string& group_id, std::int64_t unix_now);

  // For store::Holder.
  static std::string bytes_of(const handshake::PeerIdentity& identity);

 private:
  EpochKeeper(LockedArena arena, std::string key_server_id, store::Store& store, handshake::Random& random);
  const Key& key() const { return *static_cast<const Key*>(arena_.data()); }

  LockedArena arena_;  // begins with the key
  std::string key_server_id_;
  store::Store& store_;
  handshake::Random& random_;
};

}  // namespace sealcast::keyserver
