#include "controlplane/member/testing/scripted_key_server.h"

#include <array>
#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>
#include <ctime>

namespace sealcast::member::testing {

using asio::ip::tcp;

struct ScriptedKeyServer::Impl : std::enable_shared_from_this<ScriptedKeyServer::Impl> {
  Impl(asio::io_context& io, ScriptedKeyServer& server, handshake::ServerConfig settings)
      : owner(&server), config(std::make_shared<handshake::ServerConfig>(std::move(settings))), acceptor(io) {}

  struct Connection {
    explicit Connection(tcp::socket peer) : socket(std::move(peer)) {}
    tcp::socket socket;
    std::unique_ptr<handshake::Endpoint> endpoint;
    std::array<std::uint8_t, 4096> input{};
  };

  ScriptedKeyServer* owner;
  std::shared_ptr<const handshake::ServerConfig> config;
  tcp::acceptor acceptor;
  std::vector<std::shared_ptr<Connection>> connections;

  void accept() {
    acceptor.async_accept([self = shared_from_this()](const asio::error_code& error, tcp::socket socket) {
      if (error || self->owner == nullptr) return;
      ++self->owner->accepted;
      auto connection = std::make_shared<Connection>(std::move(socket));
      self->connections.push_back(connection);
      if (!self->owner->babble.empty()) {
        asio::error_code ignored;
        asio::write(connection->socket, asio::buffer(self->owner->babble), ignored);
      } else if (!self->owner->mute) {
        connection->endpoint = handshake::make_server(self->config, self->owner->authority, handshake::system_random());
        self->read(connection);
      }
      self->accept();
    });
  }

  void read(const std::shared_ptr<Connection>& connection) {
    connection->socket.async_read_some(
        asio::buffer(connection->input),
        [self = shared_from_this(), connection](const asio::error_code& error, std::size_t n) {
          if (self->owner == nullptr) return;
          if (error) {
            self->close(connection);
            return;
          }
          const auto received = connection->endpoint->receive({connection->input.data(), n}, std::time(nullptr));
          for (handshake::Event& event : connection->endpoint->take_events()) {
            if (std::holds_alternative<handshake::Established>(event)) ++self->owner->joins;
            auto* control = std::get_if<handshake::ControlReceived>(&event);
            if (control == nullptr) continue;
            const auto* keepalive = std::get_if<handshake::Keepalive>(&control->message);
            if (keepalive != nullptr && self->owner->answers) (void)connection->endpoint->send(*keepalive);
            self->owner->received.push_back(std::move(control->message));
          }
          self->flush(*connection);
          if (!received) {
            self->owner->failures.push_back(received.error().message());
            self->close(connection);
            return;
          }
          self->read(connection);
        });
  }

  // A few hundred bytes into an empty socket buffer: never blocks.
  void flush(Connection& connection) {
    const Bytes out = connection.endpoint->take_output();
    asio::error_code ignored;
    if (!out.empty()) asio::write(connection.socket, asio::buffer(out), ignored);
  }

  void close(const std::shared_ptr<Connection>& connection) {
    asio::error_code ignored;
    connection->socket.close(ignored);
    std::erase(connections, connection);
  }

  std::shared_ptr<Connection> newest() const {
    for (auto it = connections.rbegin(); it != connections.rend(); ++it)
      if ((*it)->endpoint && (*it)->endpoint->established()) return *it;
    return nullptr;
  }
};

ScriptedKeyServer::ScriptedKeyServer(asio::io_context& io, handshake::ServerConfig config, std::uint16_t port)
    : impl_(std::make_shared<Impl>(io, *this, std::move(config))) {
  const tcp::endpoint here(asio::ip::address_v4::loopback(), port);
  impl_->acceptor.open(here.protocol());
  impl_->acceptor.set_option(tcp::acceptor::reuse_address(true));
  impl_->acceptor.bind(here);
  impl_->acceptor.listen();
  impl_->accept();
}

ScriptedKeyServer::~ScriptedKeyServer() {
  die();
  impl_->owner = nullptr;
}

std::uint16_t ScriptedKeyServer::port() const {
  return impl_->acceptor.local_endpoint().port();
}

void ScriptedKeyServer::die() {
  asio::error_code ignored;
  impl_->acceptor.close(ignored);
  for (const auto& connection : std::vector(impl_->connections))
    impl_->close(connection);
}

bool ScriptedKeyServer::say(const handshake::ControlMessage& message) {
  const auto connection = impl_->newest();
  if (!connection || !connection->endpoint->send(message)) return false;
  impl_->flush(*connection);
  return true;
}

void ScriptedKeyServer::say_goodbye() {
  if (const auto connection = impl_->newest()) {
    connection->endpoint->close();
    impl_->flush(*connection);
  }
}

std::size_t ScriptedKeyServer::established() const {
  std::size_t count = 0;
  for (const auto& connection : impl_->connections)
    if (connection->endpoint && connection->endpoint->established()) ++count;
  return count;
}

}  // namespace sealcast::member::testing
