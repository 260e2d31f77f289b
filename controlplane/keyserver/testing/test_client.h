// A member (or a stranger) at the other end of a real TCP connection, blocking and driven by the test.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "handshake/endpoint.h"

namespace sealcast::keyserver::testing {

using Deadline = std::chrono::steady_clock::time_point;
inline Deadline in(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

// A connected TCP socket to 127.0.0.1.
class Wire {
 public:
  explicit Wire(std::uint16_t port, int receive_buffer = 0) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const void* address = &to;
    connected_ = connect(fd_, static_cast<const sockaddr*>(address), sizeof to) == 0;
  }
  ~Wire() { close(fd_); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  bool send(ByteView bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return true;
  }
  // Empty: the peer closed or reset. nullopt: nothing came before the deadline.
  std::optional<Bytes> receive(Deadline deadline) {
    pollfd ready{fd_, POLLIN, 0};
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (poll(&ready, 1, left > 0 ? static_cast<int>(left) + 1 : 0) <= 0) return std::nullopt;
    Bytes bytes(16384);
    const ssize_t n = recv(fd_, bytes.data(), bytes.size(), 0);
    bytes.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return bytes;
  }
  // Everything until the peer closes; nullopt: it did not before the deadline.
  std::optional<Bytes> receive_all(Deadline deadline) {
    Bytes all;
    for (;;) {
      const auto bytes = receive(deadline);
      if (!bytes) return std::nullopt;
      if (bytes->empty()) return all;
      all.insert(all.end(), bytes->begin(), bytes->end());
    }
  }

 private:
  int fd_;
  bool connected_ = false;
};

class TestClient {
 public:
  TestClient(std::uint16_t port, std::shared_ptr<const handshake::ClientConfig> config, int receive_buffer = 0)
      : TestClient(port, handshake::make_client(std::move(config), handshake::system_random()), receive_buffer) {}
  TestClient(std::uint16_t port, std::unique_ptr<handshake::Endpoint> endpoint, int receive_buffer = 0)
      : wire_(port, receive_buffer), endpoint_(std::move(endpoint)) {
    flush();
  }

  // Runs until both Finished are verified. False: failed(), closed() or nothing happened in time.
  bool join(Deadline deadline = in(std::chrono::seconds(5))) {
    while (!established_ && !over())
      if (!step(deadline)) return false;
    return established_.has_value();
  }
  // The next control message of type T, other kinds left out; nullopt when none comes in time or the connection ends.
  template <typename T>
  std::optional<T> expect(std::chrono::milliseconds time = std::chrono::seconds(5)) {
    const Deadline deadline = in(time);
    for (;;) {
      while (!messages_.empty()) {
        handshake::ControlMessage message = std::move(messages_.front());
        messages_.pop_front();
        if (T* found = std::get_if<T>(&message)) return std::move(*found);
      }
      if (over() || !step(deadline)) return std::nullopt;
    }
  }
  // True: the server ended the connection in time.
  bool ended(std::chrono::milliseconds time = std::chrono::seconds(5)) {
    const Deadline deadline = in(time);
    while (!closed_)
      if (!step(deadline)) return false;
    return true;
  }
  bool say(const handshake::ControlMessage& message) {
    return endpoint_->send(message).has_value() && wire_.send(endpoint_->take_output());
  }

  bool over() const { return closed_ || error_.has_value(); }
  bool close_notified() const { return close_notified_; }
  const std::optional<handshake::HandshakeError>& error() const { return error_; }
  handshake::Established& established() { return *established_; }
  const handshake::GroupKeying& keying() const { return *established_->keying; }
  handshake::Endpoint& endpoint() { return *endpoint_; }
  Wire& wire() { return wire_; }
  const std::string& text() const { return text_; }  // application data of a standard flow

 private:
  void flush() {
    const Bytes out = endpoint_->take_output();
    if (!out.empty()) wire_.send(out);
  }
  // One read. False: nothing came in time.
  bool step(Deadline deadline) {
    const auto bytes = wire_.receive(deadline);
    if (!bytes) return false;
    if (bytes->empty()) {
      closed_ = true;
      return true;
    }
    if (error_) return true;
    if (const auto received = endpoint_->receive(*bytes, std::time(nullptr)); !received) error_ = received.error();
    for (handshake::Event& event : endpoint_->take_events()) {
      if (auto* done = std::get_if<handshake::Established>(&event)) established_ = std::move(*done);
      if (auto* control = std::get_if<handshake::ControlReceived>(&event))
        messages_.push_back(std::move(control->message));
      if (auto* data = std::get_if<handshake::ApplicationData>(&event))
        text_.append(data->data.begin(), data->data.end());
      if (std::holds_alternative<handshake::PeerClosed>(event)) close_notified_ = true;
    }
    flush();
    return true;
  }

  Wire wire_;
  std::unique_ptr<handshake::Endpoint> endpoint_;
  std::optional<handshake::Established> established_;
  std::optional<handshake::HandshakeError> error_;
  std::deque<handshake::ControlMessage> messages_;
  std::string text_;
  bool closed_ = false;
  bool close_notified_ = false;
};

}  // namespace sealcast::keyserver::testing
