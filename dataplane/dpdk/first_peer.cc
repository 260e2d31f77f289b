#include "dataplane/dpdk/first_peer.h"

#include <rte_vhost.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <map>
#include <mutex>

namespace sealcast::dataplane {
namespace {

using namespace std::chrono_literals;

// The vhost library's number of each stand-in's connection, by socket path. Never destroyed: its threads outlive main.
struct Connections {
  std::mutex mutex;
  std::map<std::string, int> by_path;
};
Connections& connections() {
  static auto* const instance = new Connections;
  return *instance;
}

int on_connection(int connection) {
  std::array<char, 128> path{};
  if (rte_vhost_get_ifname(connection, path.data(), path.size()) != 0) return 0;
  Connections& c = connections();
  const std::lock_guard lock(c.mutex);
  c.by_path[path.data()] = connection;
  return 0;
}

// A connection that the driver has not accepted waits in the socket's backlog: connected, but not negotiated.
bool negotiated(const std::string& path) {
  Connections& c = connections();
  const std::lock_guard lock(c.mutex);
  const auto found = c.by_path.find(path);
  if (found == c.by_path.end()) return false;
  std::uint64_t features = 0;
  const bool yes = rte_vhost_get_negotiated_features(found->second, &features) == 0 && features != 0;
  c.by_path.erase(found);
  return yes;
}

}  // namespace

FirstPeer::FirstPeer(std::string socket_path) : path_(std::move(socket_path)), thread_([this] { run(); }) {}

FirstPeer::~FirstPeer() {
  leave_ = true;
  thread_.join();
}

void FirstPeer::run() {
  struct stat status {};
  while (!leave_ && ::stat(path_.c_str(), &status) != 0)
    std::this_thread::sleep_for(1ms);
  // The socket's file appears at bind; a connect before the following listen would cost a retry of one second.
  std::this_thread::sleep_for(5ms);
  bool served = false;
  if (!leave_ && rte_vhost_driver_register(path_.c_str(), RTE_VHOST_USER_CLIENT) == 0) {
    // Declines the features that vhost-user ports decline by default: features can only shrink later. Bits 11 and 12
    // are VIRTIO_NET_F_HOST_TSO4 and 6 (virtio 1.2 §5.1.3; the kernel's header with these names is not C++).
    rte_vhost_driver_disable_features(path_.c_str(), (1ULL << 11) | (1ULL << 12));
    static const rte_vhost_device_ops interest = [] {
      rte_vhost_device_ops ops{};
      ops.new_connection = on_connection;
      return ops;
    }();
    rte_vhost_driver_callback_register(path_.c_str(), &interest);
    rte_vhost_driver_start(path_.c_str());
    while (!leave_)
      std::this_thread::sleep_for(1ms);
    served = negotiated(path_);
    rte_vhost_driver_unregister(path_.c_str());
  }
  outcome_ = served ? Outcome::served : Outcome::not_served;
}

}  // namespace sealcast::dataplane
