// A sealcast-keyserver for one group of many members, on loopback, with a folder of its own under /tmp.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "bench/member_load/options.h"

namespace sealcast::load {

class OwnServer {
 public:
  static constexpr std::chrono::seconds activation_delay{30};  // its group's

  // Makes CA, certificate and configuration, and starts it.
  static Result<OwnServer> start(const Options& options);
  OwnServer(OwnServer&& other) noexcept;
  OwnServer& operator=(OwnServer&&) = delete;
  ~OwnServer();  // stops the server, and removes the folder unless it is to be kept

  void kill();             // -9
  Result<void> restart();  // on the same port and state
  pid_t pid() const { return pid_; }
  std::uint16_t port() const { return port_; }
  const std::string& folder() const { return folder_; }
  std::string admin_socket() const { return folder_ + "/admin.sock"; }

 private:
  OwnServer() = default;
  Result<void> write_configuration(const Options& options);
  Result<void> launch();

  std::string folder_, program_;
  std::uint16_t port_ = 0;
  pid_t pid_ = 0;
  bool keep_ = false;
};

}  // namespace sealcast::load
