// Which certificates were found good, and for how long that holds: a rekey asks again for every member (H8), and
// verifying ten thousand chains again would take seconds in which no other member is served.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "handshake/endpoint.h"

namespace sealcast::keyserver {

class StandingCertificates {
 public:
  // At most so many are kept, then all are forgotten; about 150 bytes each.
  explicit StandingCertificates(std::size_t most = 200'000) : most_(most) {}
  // As handshake::recheck_member_until(); returns what counts by the grace alone, once for each that does. An earlier
  // answer is given again only while it must be the same: with the same trust store, group and chain, no sooner than it
  // was found and no later than any part of it ends. learn: one that is not known yet is from now on.
  handshake::Outcome<std::string> check(const Bytes& chain_der, const handshake::TrustStore& trust,
                                        const std::string& group_id, std::int64_t unix_now, handshake::Grace grace = {},
                                        bool learn = true);
  // Whether it was found good for the group and learned, and nothing was found against it since.
  bool knows(const Bytes& chain_der, const std::string& group_id) const;
  std::size_t size() const { return found_.size(); }
  // Whether any that was found good has ended by now, or may have, where it was forgotten: then members must be asked
  // for again. True once for each.
  bool any_ended(std::int64_t unix_now);

 private:
  using Key = std::pair<std::array<std::uint8_t, 32>, std::string>;  // SHA-256 of the chain; the group
  struct Good {
    std::int64_t from = 0, until = 0;  // Unix seconds, inclusive; until below from: with another trust store
    std::string late;                  // as it was told
  };
  static std::optional<Key> key_of(const Bytes& chain_der, const std::string& group_id);

  handshake::TrustStore trust_;  // that all of them were checked against
  std::size_t most_;
  std::map<Key, Good> found_;
  bool forgotten_ = false;                                             // some that may be members' still
  std::int64_t first_end_ = std::numeric_limits<std::int64_t>::max();  // no later than the next of them
};

}  // namespace sealcast::keyserver
