// Checks of a port that need no DPDK: each answer is one line with the remedy.
#include "dataplane/dpdk/device_check.h"

#include <fcntl.h>
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

namespace sealcast::dataplane {
namespace {

tl::unexpected<Error> port_problem(const PortSpec& spec, const std::string& text) {
  return fail("port \"" + spec.text + "\": " + text);
}

Result<void> check_kernel_interface(const PortSpec& spec, std::uint16_t mtu) {
  const Descriptor any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  spec.target.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
  if (::ioctl(any.get(), SIOCGIFMTU, &request) != 0)
    return port_problem(spec,
                        "no interface " + spec.target + " in this network namespace (ip link shows what there is)");
  if (request.ifr_mtu < mtu)
    return port_problem(spec, "the interface's MTU is " + std::to_string(request.ifr_mtu) +
                                  ", the configuration says " + std::to_string(mtu) + "; ip link set dev " +
                                  spec.target + " mtu " + std::to_string(mtu));
  if (::ioctl(any.get(), SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) == 0)
    return port_problem(spec, "the interface is down; ip link set dev " + spec.target + " up");
  return {};
}

Result<void> check_tap(const PortSpec& spec) {
  if (!spec.netns.empty()) {
    if (::access(("/run/netns/" + spec.netns).c_str(), F_OK) != 0)
      return port_problem(spec, "no network namespace " + spec.netns + "; ip netns add " + spec.netns);
  } else if (::if_nametoindex(spec.target.c_str()) != 0)
    return port_problem(spec, "an interface " + spec.target +
                                  " exists already; the port makes its own, so choose another name or ip link del " +
                                  spec.target);
  if (::access("/dev/net/tun", F_OK) != 0) return port_problem(spec, "no /dev/net/tun; modprobe tun");
  return {};
}

Result<void> check_pci(const PortSpec& spec) {
  const std::filesystem::path device = "/sys/bus/pci/devices/" + spec.target;
  std::error_code error;
  if (!std::filesystem::exists(device, error))
    return port_problem(spec, "no PCI device at this address (lspci -D lists them)");
  const std::string driver = std::filesystem::read_symlink(device / "driver", error).filename().string();
  // mlx4/mlx5 and mana share the card with the kernel's driver; all other cards must first be taken from it.
  if (driver == "vfio-pci" || driver == "igb_uio" || driver == "uio_pci_generic" || driver.starts_with("mlx") ||
      driver == "mana")
    return {};
  return port_problem(spec, (driver.empty() ? "no driver holds the device" : "the device belongs to driver " + driver) +
                                "; bind it: dpdk-devbind.py -b vfio-pci " + spec.target);
}

Result<void> check_files(const PortSpec& spec) {
  if (!spec.target.empty() && ::access(spec.target.c_str(), R_OK) != 0)
    return port_problem(spec, "cannot read " + spec.target + ": " + std::strerror(errno));
  if (!spec.output.empty()) {
    const std::string folder = std::filesystem::path(spec.output).parent_path().string();
    if (::access(folder.empty() ? "." : folder.c_str(), W_OK) != 0)
      return port_problem(spec, "cannot write into " + (folder.empty() ? "." : folder) + ": " + std::strerror(errno));
  }
  return {};
}

// Whether a process answers on the socket; ENOENT and ECONNREFUSED both mean that none does.
bool has_listener(const std::string& path, int type) {
  const Descriptor probe(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return true;
  // Alive with a full backlog, alive with another kind of socket, or not accessible to us.
  return errno == EAGAIN || errno == EPROTOTYPE || errno == EACCES || errno == EPERM;
}

Result<void> check_socket(const PortSpec& spec) {
  struct stat status {};
  const bool exists = ::lstat(spec.target.c_str(), &status) == 0;
  if (exists && !S_ISSOCK(status.st_mode)) return port_problem(spec, spec.target + " exists and is not a socket");
  if (spec.socket_server) {
    const std::string folder = std::filesystem::path(spec.target).parent_path().string();
    if (::access(folder.empty() ? "." : folder.c_str(), W_OK) != 0)
      return port_problem(spec,
                          "cannot make a socket in " + (folder.empty() ? "." : folder) + ": " + std::strerror(errno));
    if (exists && has_listener(spec.target, spec.kind == PortKind::memif ? SOCK_SEQPACKET : SOCK_STREAM))
      return port_problem(spec, "another process listens on " + spec.target + "; end it or choose another path");
  }
  return {};
}

Result<void> check_secret(const PortSpec& spec) {
  if (spec.secret_file.empty()) return {};
  SEALCAST_TRY(read_memif_secret(spec));
  return {};
}

}  // namespace

Result<SecretBytes> read_memif_secret(const PortSpec& spec) {
  const auto wrong = [&](const std::string& why) {
    return port_problem(spec, "secret_file " + spec.secret_file + ": " + why);
  };
  const Descriptor file(::open(spec.secret_file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  struct stat status {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) return wrong(std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return wrong("expected a regular file");
  if ((status.st_mode & 077) != 0) return wrong("others than its owner may read it; chmod 600 " + spec.secret_file);
  SecretBytes text(memif_secret_bytes + 2);
  const ssize_t n = ::read(file.get(), text.data(), text.size());
  std::size_t length = n < 0 ? 0 : static_cast<std::size_t>(n);
  if (length != 0 && text.data()[length - 1] == '\n') --length;
  bool printable = true;
  for (std::size_t i = 0; i < length; ++i)
    printable = printable && text.data()[i] > ' ' && text.data()[i] < 127 &&
                std::strchr(",=[]()\"'", text.data()[i]) == nullptr;
  if (length == 0 || length > memif_secret_bytes || !printable)
    return wrong("expected one line of 1 to 24 printable ASCII characters, none of , = [ ] ( ) quote or space");
  SecretBytes secret(length);
  std::memcpy(secret.data(), text.data(), length);
  return secret;
}

Result<void> check_device(const PortSpec& spec, std::uint16_t mtu) {
  switch (spec.kind) {
    case PortKind::af_packet:
    case PortKind::af_xdp:
      return check_kernel_interface(spec, mtu);
    case PortKind::tap:
      return check_tap(spec);
    case PortKind::pci:
      return check_pci(spec);
    case PortKind::pcap:
      return check_files(spec);
    case PortKind::memif:
      SEALCAST_TRY(check_secret(spec));
      return check_socket(spec);
    case PortKind::virtio_user:
    case PortKind::vhost_user:
      return check_socket(spec);
    default:
      return {};
  }
}

}  // namespace sealcast::dataplane
