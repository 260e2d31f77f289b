// One attempt at one key server, and if it succeeds the control channel: TCP, the modified handshake, in ISAKMP
// messages where the carriage says so (P34), deadlines. It tells its owner what happened and knows nothing of groups or
// epochs. Ends once, with one reason.
#pragma once

#include <asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/address.h"
#include "controlplane/config/config.h"
#include "handshake/endpoint.h"

namespace sealcast::member {

struct LinkSettings {
  config::HostPort server;
  config::Carriage carriage = config::Carriage::tls;
  std::optional<IpAddress> local_address;
  std::shared_ptr<const handshake::ClientConfig> client;
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds handshake_timeout{10000};
  // To judge certificates by, seconds.
  std::function<std::int64_t()> unix_now = [] { return std::int64_t{std::time(nullptr)}; };
};

inline constexpr std::size_t max_unsent_bytes = 1024 * 1024;  // to a key server that does not read

// Why a link ended. What to do about it is decided by cause alone: text holds what the peer chose to show, a
// certificate's subject for one.
struct LinkEnd {
  std::string text;
  std::optional<handshake::HandshakeError> cause;  // where the handshake or the control channel failed
  bool password_shown = false;                     // in that attempt, for whichever group it was made
  bool dismissed = false;                          // the key server said so, under the channel's keys
};

// The group's first epoch.
struct Joined {
  handshake::GroupKeying keying;
  handshake::GroupMaster group_master;
  Bytes server_leaf;  // the key server's certificate, in DER, as it was proved
};

class Link : public std::enable_shared_from_this<Link> {
 public:
  // Called on the loop's thread. A callback may close the link; none comes after on_end or close().
  struct Callbacks {
    std::function<void(Joined&&)> on_joined;
    std::function<void(handshake::ControlMessage&&)> on_message;
    std::function<void(LinkEnd&&)> on_end;
  };

  // How links are opened: over TCP, or as a test or a simulator does. No callback comes before it returns.
  using Open = std::function<std::shared_ptr<Link>(LinkSettings settings, Callbacks callbacks)>;
  static Open over_tcp(asio::io_context& io);
  virtual ~Link() = default;

  // Queues a message. False: the link has ended (on_end was called) or is not established.
  virtual bool send(const handshake::ControlMessage& message) = 0;
  // When our random was drawn, or the group was asked for: a peer that proves to have seen that was there later. The
  // epoch before TCP was connected.
  virtual std::chrono::steady_clock::time_point greeted() const = 0;
  // As close(), and the connection may not be used any more: it is silent, or this machine is not what it was.
  virtual void abandon() { close(); }
  // Says close_notify if there is a channel, lets what is queued leave, makes no more calls.
  virtual void close() = 0;
};

}  // namespace sealcast::member
