// A stand-in for the first peer of a virtio-user socket server.
#pragma once

#include <atomic>
#include <string>
#include <thread>

namespace sealcast::dataplane {

// DPDK's virtio-user in server mode waits inside its device probe, without end and holding the device list, until a
// vhost-user client has connected and negotiated. A port must not wait for its peer. So this object connects to the
// socket from the same process with DPDK's own vhost library, lets the probe finish, and hangs up; from then on the
// driver accepts real peers in the background. If a real peer connects first, the driver serves that one and never
// accepts this one.
class FirstPeer {
 public:
  explicit FirstPeer(std::string socket_path);  // waits for the socket to appear, in the background
  ~FirstPeer();                                 // hangs up, which takes up to a second, unless that is done
  FirstPeer(const FirstPeer&) = delete;
  FirstPeer& operator=(const FirstPeer&) = delete;

  // Asks to hang up; call it once the device is started. The vhost library needs up to a second, in the background.
  void hang_up() { leave_ = true; }

  enum class Outcome : std::uint8_t {
    connected,   // not gone yet
    served,      // gone; the driver used it and will notice that its link went down
    not_served,  // gone; the driver never accepted it
  };
  Outcome outcome() const { return outcome_; }

 private:
  void run();

  std::string path_;
  std::atomic<bool> leave_{false};
  std::atomic<Outcome> outcome_{Outcome::connected};
  std::thread thread_;
};

}  // namespace sealcast::dataplane
