// A stand-in for the first peer of a virtio-user socket server.
#pragma once

#include <atomic>
#include <string>
#include <thread>

namespace sealcast::dataplane {

// DPDK's virtio-user in server mode waits inside its device probe, without end and holding the device list, until a
// vhost-user client has connected and negotiated. A port must not wait for its peer, so this object connects to the
// socket from the same process with DPDK's own vhost library, lets the probe finish, and hangs up on destruction; from
// then on the driver accepts real peers in the background. Should a real peer connect first, that one is served and
// this one is never accepted.
class FirstPeer {
 public:
  explicit FirstPeer(std::string socket_path);  // starts waiting for the socket to appear
  ~FirstPeer();                                 // hangs up
  FirstPeer(const FirstPeer&) = delete;
  FirstPeer& operator=(const FirstPeer&) = delete;

 private:
  void connect();

  std::string path_;
  std::atomic<bool> stop_{false};
  bool registered_ = false;  // written by the thread, read after join
  std::thread thread_;
};

}  // namespace sealcast::dataplane
