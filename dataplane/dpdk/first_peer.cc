#include "dataplane/dpdk/first_peer.h"

#include <fcntl.h>
#include <rte_vhost.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <sstream>

namespace sealcast::dataplane {

namespace {

using namespace std::chrono_literals;

// Of a fixed length, because name alone may fill a socket address; the same at the next start, which removes what a
// killed process left.
std::string private_name_for(const std::string& name) {
  std::ostringstream out;
  out << ".starting-" << std::hex << std::hash<std::string>()(name);
  return out.str();
}

}  // namespace

Result<std::unique_ptr<FirstPeer>> FirstPeer::open(const std::string& socket_path) {
  const std::filesystem::path path(socket_path);
  const std::string folder_path = path.has_parent_path() ? path.parent_path().string() : ".";
  auto folder = std::make_unique<Descriptor>(::open(folder_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (folder->get() < 0) return fail("cannot open the socket's folder " + folder_path + ": " + std::strerror(errno));
  return std::unique_ptr<FirstPeer>(new FirstPeer(std::move(folder), folder_path, path.filename().string()));
}

FirstPeer::FirstPeer(std::unique_ptr<Descriptor> folder, std::string folder_path, std::string name)
    : folder_(std::move(folder)),
      folder_path_(std::move(folder_path)),
      name_(std::move(name)),
      private_name_(private_name_for(name_)),
      driver_path_("/proc/self/fd/" + std::to_string(folder_->get()) + "/" + private_name_) {
  ::unlinkat(folder_->get(), private_name_.c_str(), 0);
  thread_ = std::thread([this] { run(); });
}

FirstPeer::~FirstPeer() {
  leave_ = true;
  thread_.join();
  ::unlinkat(folder_->get(), private_name_.c_str(), 0);
}

Result<void> FirstPeer::publish() {
  if (::renameat(folder_->get(), private_name_.c_str(), folder_->get(), name_.c_str()) != 0)
    return fail("cannot give the socket its name " + name_ + " in " + folder_path_ + ": " + std::strerror(errno));
  leave_ = true;
  return {};
}

void FirstPeer::run() {
  struct stat status {};
  while (!leave_ && ::stat(driver_path_.c_str(), &status) != 0)
    std::this_thread::sleep_for(1ms);
  // The socket's file appears at bind; a connect before the following listen would cost a retry of one second.
  std::this_thread::sleep_for(5ms);
  if (leave_ || rte_vhost_driver_register(driver_path_.c_str(), RTE_VHOST_USER_CLIENT) != 0) return;
  // Declines the features that vhost-user ports decline by default: features can only shrink later. Bits 11 and 12
  // are VIRTIO_NET_F_HOST_TSO4 and 6 (virtio 1.2 §5.1.3; the kernel's header with these names is not C++).
  rte_vhost_driver_disable_features(driver_path_.c_str(), (1ULL << 11) | (1ULL << 12));
  static const rte_vhost_device_ops nothing{};
  rte_vhost_driver_callback_register(driver_path_.c_str(), &nothing);
  rte_vhost_driver_start(driver_path_.c_str());
  while (!leave_)
    std::this_thread::sleep_for(1ms);
  rte_vhost_driver_unregister(driver_path_.c_str());
}

}  // namespace sealcast::dataplane
