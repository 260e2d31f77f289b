// The connections of all groups. Groups that are alike but for their names share one at a key server: one handshake,
// and GroupJoin for the rest (docs/protocol.md "Further groups on a connection"). Each has a Link of its own, as if it
// were alone; a key server that does not know GroupJoin gives each a connection, too.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "controlplane/member/backoff.h"
#include "controlplane/member/link.h"
#include "controlplane/member/world.h"

namespace sealcast::member {

struct LinkWish {
  std::string group_id;
  // Groups with the same text may share: key server, flow, and whatever this member proves itself with.
  std::string alike;
  LinkSettings settings;  // but for client
  // Called when a connection is opened for this group: credentials are read then.
  std::function<Result<std::shared_ptr<const handshake::ClientConfig>>()> client;
  // Whether a password was shown since client() was called.
  std::function<bool()> password_shown;
};

class LinkPool {
 public:
  struct Timing {
    std::chrono::milliseconds refused_password{90000};  // as AgentTiming's
    std::chrono::milliseconds refused_password_max{900000};
  };
  LinkPool(const World& world, Timing timing);
  ~LinkPool();
  LinkPool(const LinkPool&) = delete;
  LinkPool& operator=(const LinkPool&) = delete;

  // No callback comes before it returns.
  std::shared_ptr<Link> open(LinkWish wish, Link::Callbacks callbacks);
  // Established ones, however many groups share them.
  std::size_t connections() const;

 private:
  friend class SharedLink;
  struct Place;

  const World& world_;
  Timing timing_;
  std::map<std::string, std::shared_ptr<Place>> places_;  // by LinkWish::alike
};

}  // namespace sealcast::member
