// A gateway as one object: the data plane, the member agent, if asked the key server, and the admin socket, started in
// the one order that never lets a protected packet out in clear (H10) and stopped in the reverse one.
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

  // Embedded key server, then policy and credentials, then ports, then the admin socket. The error is the first thing
  // that is missing, with what to do about it; nothing is left running then.
  Result<void> start();
  // Of a file read again, the embedded key server gets its table, and the member agent its groups: those that are new
  // are taken up, those that are gone are let go. The rest of the file is not looked at. If one of them refuses nothing
  // of its own changes.
  Result<void> reload(const config::GatewayConfig& config);
  // Says goodbye to key servers and members, then stops the ports. The loop should run a little longer.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sealcast::gateway
