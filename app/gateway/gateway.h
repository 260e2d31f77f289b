// A gateway as one object: the data plane, the member agent, the admin socket and, if configured, the key server. It
// starts them in the one order that never lets a protected packet out in clear (H10), and stops them in reverse.
#pragma once

#include <asio/io_context.hpp>
#include <memory>
#include <string>

#include "base/result.h"
#include "controlplane/config/config.h"

namespace sealcast::gateway {

class Gateway {
 public:
  Gateway(asio::io_context& io, config::GatewayConfig config, std::string version);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // Starts the embedded key server, then policy and credentials, then ports, then the admin socket. The error names the
  // first thing that is missing and what to do about it; then nothing is left running.
  Result<void> start();
  // Takes over a file read again: the embedded key server gets its table; the member agent takes up new groups and lets
  // go those that are gone. Ignores the rest of the file. A part that refuses changes nothing of its own.
  Result<void> reload(const config::GatewayConfig& config);
  // Says goodbye to key servers and members, then stops the ports. The loop should run a little longer.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sealcast::gateway
