#include "dataplane/dpdk/memif_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace sealcast::dataplane {
namespace {

using namespace std::chrono_literals;

constexpr auto between_tries = 500ms;
constexpr std::size_t longest_message = 256;  // memif's are 128 bytes
// The last message of a client, and of a server, before they use their shared memory.
constexpr std::uint16_t message_connect = 6, message_connected = 7;

sockaddr_un socket_address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return address;
}

std::unique_ptr<Descriptor> new_socket() {
  return std::make_unique<Descriptor>(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

int connect_to(const Descriptor& socket, const std::string& path) {
  const sockaddr_un address = socket_address_of(path);
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

tl::unexpected<Error> socket_problem(const std::string& what) {
  return fail(what + ": " + std::strerror(errno));
}

// Listens on a socket at path that has these permissions before any client can enter: the mode is set between bind and
// listen, and a connect before listen is refused.
Result<std::unique_ptr<Descriptor>> listening(const std::string& path, mode_t mode) {
  auto socket = new_socket();
  const sockaddr_un address = socket_address_of(path);
  if (::bind(socket->get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::chmod(path.c_str(), mode) != 0 || ::listen(socket->get(), 4) != 0)
    return socket_problem("cannot listen on " + path);
  return socket;
}

}  // namespace

Result<std::unique_ptr<MemifSocket>> MemifSocket::open(Settings settings) {
  std::unique_ptr<MemifSocket> made(new MemifSocket(std::move(settings)));
  char folder[] = "/tmp/sealcast-memif-XXXXXX";
  if (::mkdtemp(folder) == nullptr) return socket_problem("cannot make a folder in /tmp");
  made->folder_ = folder;
  made->driver_path_ = made->folder_ + "/driver";
  if (made->settings_.server) {
    ::unlink(made->settings_.path.c_str());  // check_device() found no listener on it
    SEALCAST_TRY_ASSIGN(made->listener_, listening(made->settings_.path, made->settings_.mode));
  }
  return made;
}

MemifSocket::~MemifSocket() {
  hang_up();
  remove_folder();
  if (listener_) ::unlink(settings_.path.c_str());
}

Result<void> MemifSocket::make_folder() {
  if (::mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST) return socket_problem("cannot make " + folder_);
  struct stat status {};
  // A folder of that name with another owner is not to be trusted with the driver's socket.
  if (::lstat(folder_.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) || status.st_uid != ::geteuid() ||
      (status.st_mode & 077) != 0)
    return fail(folder_ + " is not a private folder of this process");
  return {};
}

void MemifSocket::remove_folder() {
  ::unlink(driver_path_.c_str());
  ::rmdir(folder_.c_str());
}

// The bound socket stays reachable by its inode after its name is removed; a kill leaves nothing behind.
Result<void> MemifSocket::driver_is_bound() {
  if (settings_.server) {
    driver_place_ = std::make_unique<Descriptor>(::open(driver_path_.c_str(), O_PATH | O_CLOEXEC));
    if (driver_place_->get() < 0) return socket_problem("cannot find the driver's socket");
  }
  remove_folder();
  return {};
}

void MemifSocket::look_for_peer() {
  if (settings_.server) {
    auto peer =
        std::make_unique<Descriptor>(::accept4(listener_->get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (peer->get() < 0) return;
    auto driver = new_socket();
    if (connect_to(*driver, "/proc/self/fd/" + std::to_string(driver_place_->get())) != 0) return;
    peer_ = std::move(peer);
    driver_ = std::move(driver);
    state_ = State::relaying;
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (now < next_try_) return;
  next_try_ = now + between_tries;
  auto peer = new_socket();
  if (connect_to(*peer, settings_.path) != 0) return;
  peer_ = std::move(peer);
  state_ = State::server_found;
}

// Moves every waiting message with its file descriptors.
bool MemifSocket::pass_on(int from, int to, bool from_peer) {
  while (!from_peer || !set_up_) {
    std::array<char, longest_message> bytes;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(4 * sizeof(int))> control;
    iovec piece{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t n = ::recvmsg(from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    std::array<int, 4> descriptors{};
    std::size_t count = 0;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c))
      if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        std::memcpy(descriptors.data(), CMSG_DATA(c), count * sizeof(int));
      }
    msghdr onward{};
    piece.iov_len = static_cast<std::size_t>(n);
    onward.msg_iov = &piece;
    onward.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(4 * sizeof(int))> carried{};
    if (count != 0) {
      onward.msg_control = carried.data();
      onward.msg_controllen = CMSG_SPACE(count * sizeof(int));
      cmsghdr* const c = CMSG_FIRSTHDR(&onward);
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN(count * sizeof(int));
      std::memcpy(CMSG_DATA(c), descriptors.data(), count * sizeof(int));
    }
    // A peer that does not read for so long counts as gone.
    const bool cut = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    const bool sent = !cut && ::sendmsg(to, &onward, MSG_DONTWAIT | MSG_NOSIGNAL) == n;
    for (std::size_t i = 0; i < count; ++i)
      ::close(descriptors[i]);
    if (!sent) return false;
    // The type is the first two bytes, in this machine's byte order: both ends run on this machine.
    std::uint16_t type = 0;
    std::memcpy(&type, bytes.data(), sizeof(type));
    if (from_peer && (type == message_connect || type == message_connected)) set_up_ = true;
  }
  // The next message, even a goodbye, would make the driver unmap its memory at once.
  pollfd more{from, POLLIN, 0};
  return ::poll(&more, 1, 0) == 0;
}

MemifSocket::State MemifSocket::step() {
  if (state_ == State::waiting) look_for_peer();
  if (state_ != State::relaying) return state_;
  if (!pass_on(peer_->get(), driver_->get(), true) || !pass_on(driver_->get(), peer_->get(), false))
    state_ = State::left;
  return state_;
}

Result<std::unique_ptr<Descriptor>> MemifSocket::listen_for_driver() {
  SEALCAST_TRY(make_folder());
  return listening(driver_path_, 0600);
}

Result<void> MemifSocket::accept_driver(const Descriptor& listener, Result<void> result) {
  if (result) {
    auto driver =
        std::make_unique<Descriptor>(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (driver->get() < 0)
      result = socket_problem("the driver did not connect");
    else
      driver_ = std::move(driver);
  }
  remove_folder();
  state_ = result ? State::relaying : State::left;
  return result;
}

void MemifSocket::hang_up() {
  peer_.reset();
  driver_.reset();
  set_up_ = false;
  state_ = State::waiting;
  next_try_ = std::chrono::steady_clock::now() + between_tries / 5;
}

void MemifSocket::add_to(std::vector<pollfd>& list) const {
  if (state_ == State::waiting && listener_) list.push_back({listener_->get(), POLLIN, 0});
  if (state_ == State::relaying) {
    list.push_back({peer_->get(), POLLIN, 0});
    list.push_back({driver_->get(), POLLIN, 0});
  }
}

}  // namespace sealcast::dataplane
