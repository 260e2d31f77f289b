// Watches the ports while the workers run: takes a failed device from the workers before it is closed, opens it again
// when possible, and gives it back. The workers' SAs and windows are not affected.
#pragma once

#include <functional>
#include <memory>

#include "base/result.h"
#include "dataplane/dpdk/active_ports.h"

namespace sealcast::dataplane {

class Port;

class PortKeeper {
 public:
  struct Settings {
    Port* red = nullptr;  // both outlive this object; only it may call tend() and recover()
    Port* black = nullptr;
    ActivePorts* active = nullptr;           // set only here; outlives this object
    std::function<void()> synchronize;       // returns when no worker uses the devices that active held before
    std::function<void()> every_tenth = {};  // called about ten times a second from the keeper's thread
  };
  // Gives the workers the ports that are ready, and starts the thread.
  static Result<std::unique_ptr<PortKeeper>> start(Settings settings);
  ~PortKeeper();  // ends the thread
  PortKeeper(const PortKeeper&) = delete;
  PortKeeper& operator=(const PortKeeper&) = delete;

 private:
  struct State;
  explicit PortKeeper(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sealcast::dataplane
