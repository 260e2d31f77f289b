// A listening port and the connections that come there. The product's is TCP; a test or a simulator puts its own in its
// place, with transports of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/address.h"
#include "base/result.h"
#include "controlplane/config/config.h"
#include "controlplane/keyserver/connection/transport.h"

namespace sealcast::keyserver {

class Door {
 public:
  struct Came {
    IpAddress address;
    std::uint16_t port = 0;
    // The address as the system shows it, with a scope where there is one: "10.0.0.1", "fe80::1%eth0". Empty: it is
    // gone already, and there is nothing to take.
    std::string host;
    // The connection, once; nullptr: it cannot be used. One that is not taken is closed.
    std::function<std::unique_ptr<Transport>()> take;
  };
  using Then = std::function<void(Result<Came>)>;

  virtual ~Door() = default;
  // Binds and listens; connections wait until accept(). The error is one line, with what to do about it.
  virtual Result<void> open(const config::ListenAddress& at) = 0;
  virtual std::uint16_t port() const = 0;  // once it is open
  // Calls then once, later, with the next connection, or with an error of this machine's: it lacks descriptors or
  // memory. Not after close().
  virtual void accept(Then then) = 0;
  virtual void close() = 0;
};

using MakeDoor = std::function<std::unique_ptr<Door>()>;

}  // namespace sealcast::keyserver
