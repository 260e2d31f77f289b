#include "controlplane/keyserver/connection/tcp_transport.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <asio/write.hpp>
#include <cerrno>
#include <utility>

namespace sealcast::keyserver {
namespace {

using asio::error_code;

constexpr int kernel_send_buffer = 64 * 1024;      // bytes a member may leave untaken in the kernel (H13)
constexpr unsigned peer_silent_after_ms = 30'000;  // unacknowledged output: the peer's machine is gone

// The kernel finds out by itself that a peer has vanished: unacknowledged keepalives end the connection.
void set_up(asio::ip::tcp::socket& socket) {
  error_code ignored;  // none of these is needed for correctness
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  socket.set_option(asio::socket_base::send_buffer_size(kernel_send_buffer), ignored);
  setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &peer_silent_after_ms, sizeof peer_silent_after_ms);
}

}  // namespace

std::unique_ptr<TcpTransport> TcpTransport::open(asio::ip::tcp::socket socket) {
  error_code error;
  socket.non_blocking(true, error);
  if (error) return nullptr;
  set_up(socket);
  return std::unique_ptr<TcpTransport>(new TcpTransport(std::move(socket)));
}

TcpTransport::TcpTransport(asio::ip::tcp::socket socket) : socket_(std::move(socket)), timer_(socket_.get_executor()) {}

void TcpTransport::when_readable(Then then) {
  socket_.async_wait(asio::ip::tcp::socket::wait_read, [then = std::move(then)](const error_code& error) {
    if (!error) then();
  });
}

Result<std::size_t> TcpTransport::read(ByteSpan into) {
  error_code error;
  const std::size_t n = socket_.read_some(asio::buffer(into.data(), into.size()), error);
  if (error == asio::error::would_block || error == asio::error::try_again) return 0;
  if (error) return fail(error.message());
  return n;
}

bool TcpTransport::peer_is_gone() {
  std::uint8_t byte = 0;
  const ssize_t n = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void TcpTransport::write(ByteView bytes, Written written) {
  asio::async_write(socket_, asio::buffer(bytes.data(), bytes.size()),
                    [written = std::move(written)](const error_code& error, std::size_t) {
                      written(error ? Result<void>(fail(error.message())) : Result<void>());
                    });
}

void TcpTransport::end_output() {
  error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

void TcpTransport::close() {
  timer_.cancel();
  error_code ignored;
  socket_.close(ignored);
}

void TcpTransport::set_timer(std::chrono::milliseconds delay, Then then) {
  timer_.set(std::chrono::steady_clock::now() + delay, std::move(then));
}

void TcpTransport::post(Then then) {
  asio::post(socket_.get_executor(), std::move(then));
}

}  // namespace sealcast::keyserver
