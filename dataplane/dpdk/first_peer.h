// A stand-in for the first peer of a virtio-user socket server.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "base/descriptor.h"
#include "base/result.h"

namespace sealcast::dataplane {

// DPDK's virtio-user in server mode waits inside its device probe, without end and holding the device list, until a
// vhost-user client has connected and negotiated. A port must not wait for its peer. So this object connects to the
// socket from the same process with DPDK's own vhost library, lets the probe finish, and hangs up; from then on the
// driver accepts real peers in the background. The socket gets its public name only then: no real peer comes first, and
// the stand-in's connection never waits in the backlog until it is dead, where DPDK 24.11 would accept it later and
// never again enable a queue for any peer.
class FirstPeer {
 public:
  // socket_path is the public path. Nothing connects before the driver has bound driver_path().
  static Result<std::unique_ptr<FirstPeer>> open(const std::string& socket_path);
  ~FirstPeer();  // hangs up, which takes up to a second, unless that is done; removes a socket without its public name
  FirstPeer(const FirstPeer&) = delete;
  FirstPeer& operator=(const FirstPeer&) = delete;

  // Where the driver shall bind: a private name in the public path's folder, short however long that path is. It leads
  // nowhere once this object is gone.
  const std::string& driver_path() const { return driver_path_; }

  // Gives the socket its public name, in place of what had it, and asks the stand-in to hang up; call it once the
  // device is started. The vhost library needs up to a second, in the background.
  Result<void> publish();

 private:
  FirstPeer(std::unique_ptr<Descriptor> folder, std::string folder_path, std::string name);
  void run();

  std::unique_ptr<Descriptor> folder_;  // O_PATH
  std::string folder_path_, name_, private_name_, driver_path_;
  std::atomic<bool> leave_{false};
  std::thread thread_;
};

}  // namespace sealcast::dataplane
