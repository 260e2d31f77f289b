// Looks after the ports while the workers run: takes a device from them before anybody touches what it stands on, opens
// it again when it can be, and gives it back. The workers' SAs and windows are not concerned.
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
    Port* red = nullptr;  // both outlive this object, which alone may tend() and recover() them
    Port* black = nullptr;
    ActivePorts* active = nullptr;           // set here alone; outlives this object
    std::function<void()> synchronize;       // returns when no worker uses what active said before
    std::function<void()> every_tenth = {};  // called about ten times a second from the keeper's thread
  };
  // Gives both ports to the workers, as far as they are ready, and starts the thread.
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
