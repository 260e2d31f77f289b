#include "dataplane/dpdk/first_peer.h"

#include <rte_vhost.h>
#include <sys/stat.h>

#include <chrono>

namespace sealcast::dataplane {

FirstPeer::FirstPeer(std::string socket_path) : path_(std::move(socket_path)), thread_([this] { connect(); }) {}

FirstPeer::~FirstPeer() {
  stop_ = true;
  thread_.join();
  if (registered_) rte_vhost_driver_unregister(path_.c_str());
}

void FirstPeer::connect() {
  struct stat status {};
  while (!stop_ && ::stat(path_.c_str(), &status) != 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  // The socket's file appears at bind; connecting before the listen that follows would cost a retry of one second.
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  if (stop_) return;
  static const rte_vhost_device_ops no_interest{};
  if (rte_vhost_driver_register(path_.c_str(), RTE_VHOST_USER_CLIENT) != 0) return;
  registered_ = true;
  // What vhost-user ports decline by default is declined here too: features can only shrink later. Bits 11 and 12 are
  // VIRTIO_NET_F_HOST_TSO4 and 6 (virtio 1.2 §5.1.3; the kernel's header with these names is not C++).
  rte_vhost_driver_disable_features(path_.c_str(), (1ULL << 11) | (1ULL << 12));
  rte_vhost_driver_callback_register(path_.c_str(), &no_interest);
  rte_vhost_driver_start(path_.c_str());
}

}  // namespace sealcast::dataplane
