// The questions about a port that the machine can answer before DPDK is asked: each answer is one line with the remedy.
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/descriptor.h"
#include "dataplane/dpdk/port.h"

namespace sealcast::dataplane {
namespace {

tl::unexpected<Error> problem(const PortSpec& spec, const std::string& text) {
  return fail("port \"" + spec.text + "\": " + text);
}

Result<void> check_interface(const PortSpec& spec, std::uint16_t mtu) {
  const Descriptor packet(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (packet.get() < 0)
    return problem(spec, std::string("cannot open a packet socket (") + std::strerror(errno) +
                             "); run as root or with CAP_NET_RAW");
  ifreq request{};
  spec.target.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
  if (::ioctl(packet.get(), SIOCGIFMTU, &request) != 0)
    return problem(spec, "no interface " + spec.target + " in this network namespace (ip link shows what there is)");
  if (request.ifr_mtu < mtu)
    return problem(spec, "the interface's MTU is " + std::to_string(request.ifr_mtu) + ", the configuration says " +
                             std::to_string(mtu) + "; ip link set dev " + spec.target + " mtu " + std::to_string(mtu));
  if (::ioctl(packet.get(), SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) == 0)
    return problem(spec, "the interface is down; ip link set dev " + spec.target + " up");
  return {};
}

Result<void> check_pci(const PortSpec& spec) {
  const std::filesystem::path device = "/sys/bus/pci/devices/" + spec.target;
  std::error_code error;
  if (!std::filesystem::exists(device, error))
    return problem(spec, "no PCI device at this address (lspci -D lists them)");
  const std::string driver = std::filesystem::read_symlink(device / "driver", error).filename().string();
  // mlx4/mlx5 and mana share the card with the kernel's driver; everything else has to be taken from it first.
  if (driver == "vfio-pci" || driver == "igb_uio" || driver == "uio_pci_generic" || driver.starts_with("mlx") ||
      driver == "mana")
    return {};
  return problem(spec, (driver.empty() ? "no driver holds the device" : "the device belongs to driver " + driver) +
                           "; bind it: dpdk-devbind.py -b vfio-pci " + spec.target);
}

Result<void> check_files(const PortSpec& spec) {
  if (!spec.target.empty() && ::access(spec.target.c_str(), R_OK) != 0)
    return problem(spec, "cannot read " + spec.target + ": " + std::strerror(errno));
  if (!spec.output.empty()) {
    const std::string folder = std::filesystem::path(spec.output).parent_path().string();
    if (::access(folder.empty() ? "." : folder.c_str(), W_OK) != 0)
      return problem(spec, "cannot write into " + (folder.empty() ? "." : folder) + ": " + std::strerror(errno));
  }
  return {};
}

// Whether a process answers on the socket; ENOENT and ECONNREFUSED both mean that none does.
bool somebody_listens(const std::string& path) {
  const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return true;
  return errno == EAGAIN || errno == EACCES || errno == EPERM;  // alive with a full backlog, or not ours to judge
}

Result<void> check_socket(const PortSpec& spec) {
  struct stat status {};
  const bool exists = ::lstat(spec.target.c_str(), &status) == 0;
  if (exists && !S_ISSOCK(status.st_mode)) return problem(spec, spec.target + " exists and is not a socket");
  if (spec.socket_server) {
    const std::string folder = std::filesystem::path(spec.target).parent_path().string();
    if (::access(folder.empty() ? "." : folder.c_str(), W_OK) != 0)
      return problem(spec, "cannot make a socket in " + (folder.empty() ? "." : folder) + ": " + std::strerror(errno));
    if (exists && somebody_listens(spec.target))
      return problem(spec, "another process listens on " + spec.target + "; end it or choose another path");
  }
  return {};
}

}  // namespace

Result<void> check_device(const PortSpec& spec, std::uint16_t mtu) {
  if (!supported(spec.kind)) return problem(spec, std::string(name(spec.kind)) + " is not yet supported");
  switch (spec.kind) {
    case PortKind::af_packet:
      return check_interface(spec, mtu);
    case PortKind::pci:
      return check_pci(spec);
    case PortKind::pcap:
      return check_files(spec);
    case PortKind::virtio_user:
    case PortKind::vhost_user:
      return check_socket(spec);
    default:
      return {};
  }
}

}  // namespace sealcast::dataplane
