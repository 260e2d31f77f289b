#include "bench/loopback.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace sealcast::bench {
namespace {

constexpr int events_at_once = 128;  // events taken at once

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// Closing must leave no port in TIME_WAIT: there are only 28,000 ports.
void prepare(int fd) {
  const linger abort_on_close{1, 0};
  const int on = 1;
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_on_close, sizeof abort_on_close);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

Loopback::Loopback(Pairing& pairing, std::size_t concurrency) : pairing_(pairing), partner_(2 * 65536, -1) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener_;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (listener_ < 0 || epoll_ < 0 || bind(listener_, generic, sizeof address) != 0 || listen(listener_, 1024) != 0 ||
      getsockname(listener_, generic, &size) != 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event) != 0) {
    (void)fail("listening");
    return;
  }
  port_ = ntohs(address.sin_port);
  for (std::size_t i = 0; i < concurrency && failure_.empty(); ++i)
    (void)open_client();
}

Loopback::~Loopback() {
  for (const auto& end : ends_)
    if (end) ::close(end->fd);
  if (listener_ >= 0) ::close(listener_);
  if (epoll_ >= 0) ::close(epoll_);
}

bool Loopback::fail(const std::string& what) {
  if (failure_.empty()) failure_ = what + ": " + std::strerror(errno);
  return false;
}

bool Loopback::open_client() {
  auto end = std::make_unique<End>();
  end->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (end->fd < 0) return fail("a socket");
  prepare(end->fd);
  end->party = pairing_.client();
  // The kernel completes the connection without the listener's help.
  const sockaddr_in address = loopback(port_);
  sockaddr_in own{};
  socklen_t size = sizeof own;
  if (connect(end->fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      getsockname(end->fd, reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    ::close(end->fd);
    return fail("connecting");
  }
  end->port = ntohs(own.sin_port);
  End& kept = *end;
  return watch(std::move(end)) && flush(kept);
}

bool Loopback::accept_all() {
  for (;;) {
    auto end = std::make_unique<End>();
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    end->fd = accept4(listener_, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (end->fd < 0) return errno == EAGAIN ? true : fail("accepting");
    prepare(end->fd);
    end->party = pairing_.server();
    end->port = ntohs(peer.sin_port);
    end->server = true;
    if (!watch(std::move(end))) return false;
  }
}

bool Loopback::watch(std::unique_ptr<End> end) {
  const int fd = end->fd;
  partner_[2u * end->port + (end->server ? 1 : 0)] = fd;
  if (ends_.size() <= static_cast<std::size_t>(fd)) ends_.resize(static_cast<std::size_t>(fd) + 1);
  ends_[static_cast<std::size_t>(fd)] = std::move(end);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0 ? true : fail("epoll");
}

bool Loopback::flush(End& end) {
  const Bytes out = end.party->take_output();
  if (out.empty()) return true;
  // A flight is far smaller than a socket's buffer: a short write is a failure of the benchmark.
  return send(end.fd, out.data(), out.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(out.size()) ? true
                                                                                                : fail("sending");
}

void Loopback::close(End& end) {
  partner_[2u * end.port + (end.server ? 1 : 0)] = -1;
  ::close(end.fd);
  ends_[static_cast<std::size_t>(end.fd)].reset();
}

bool Loopback::move(End& end) {
  std::array<std::uint8_t, 16384> buffer;
  const ssize_t size = recv(end.fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (size < 0 && errno == EAGAIN) return true;
  if (size <= 0) return fail("an end closed in mid-handshake");
  if (!end.party->receive({buffer.data(), static_cast<std::size_t>(size)})) return fail("the handshake failed");
  if (!flush(end)) return false;
  if (end.done || !end.party->established()) return true;
  end.done = true;
  return finish(end);
}

// A connection ends when both its ends are established: the flow decides which comes last.
bool Loopback::finish(End& end) {
  const int fd = partner_[2u * end.port + (end.server ? 0 : 1)];
  if (fd < 0) return fail("an end without the other");
  End& other = *ends_[static_cast<std::size_t>(fd)];
  if (!other.done) return true;
  close(other);
  close(end);
  ++complete_;
  return open_client();
}

bool Loopback::next() {
  std::array<epoll_event, events_at_once> events;
  while (failure_.empty() && returned_ >= complete_) {
    const int count = epoll_wait(epoll_, events.data(), events_at_once, 5000);
    if (count <= 0) return fail("nothing moved for 5 s");
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == listener_) {
        if (!accept_all()) return false;
      } else if (static_cast<std::size_t>(fd) < ends_.size() && ends_[static_cast<std::size_t>(fd)]) {
        if (!move(*ends_[static_cast<std::size_t>(fd)])) return false;
      }
    }
  }
  if (failure_.empty()) ++returned_;
  return failure_.empty();
}

}  // namespace sealcast::bench
