// A receiver's side of rekeying by datagram (docs/protocol.md "Rekeying by datagram"): its path in the key server's
// tree, and what it believes of the datagrams that came. Nothing else changes by a datagram: what one says becomes a
// GroupUpdate, which the member then judges like any other (H5, H12). No socket and no clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/dataplane_control.h"
#include "controlplane/config/config.h"
#include "handshake/group_keying.h"
#include "handshake/keytree/member_path.h"

namespace sealcast::member {

inline constexpr std::uint32_t signatures_at_once = 8;  // checks of signatures, a group; one more each
inline constexpr std::chrono::milliseconds signature_every{500};

class RekeyDatagrams {
 public:
  explicit RekeyDatagrams(const config::MemberGroup& group) : group_(group) {}

  // A new connection to a key server of this certificate (DER), under the group's suite. Its path is yet to come.
  void joined(Bytes certificate, handshake::CipherSuite suite);
  // The connection is gone, and with it our leaf.
  void left() { path_.reset(); }
  void set_path(handshake::TreePath path) { path_.emplace(suite_, std::move(path)); }

  // The newest epoch that is held.
  struct Held {
    std::uint64_t epoch = 0;
    handshake::GroupPolicy policy;
    std::string member_id;
  };
  // The next epoch, pending, where the datagram is right; the path has followed it. nullopt: nothing has changed, and
  // there is nothing to be done about it.
  std::optional<handshake::GroupKeying> take(const GroupDatagram& datagram, const Held& held, std::int64_t unix_now,
                                             SteadyTime now);

  struct Counts {
    std::uint64_t taken = 0;
    std::uint64_t old = 0;        // copies, replays, of other epochs
    std::uint64_t refused = 0;    // malformed, of another group or key server, expired, a wrong signature, not for us
    std::uint64_t held_back = 0;  // not looked at: too many signatures
  };
  const Counts& counts() const { return counts_; }
  const Bytes& certificate() const { return certificate_; }  // of the connection, or of the one before

 private:
  bool may_verify(SteadyTime now);

  const config::MemberGroup& group_;
  Bytes certificate_;
  handshake::CipherSuite suite_{};
  std::optional<handshake::MemberPath> path_;
  SteadyTime verified_until_{};  // the allowance of signature checks is used up to here
  Counts counts_;
};

}  // namespace sealcast::member
