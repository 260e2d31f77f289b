// A listening TCP port, on an Asio loop.
#pragma once

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <memory>

#include "controlplane/keyserver/connection/door.h"

namespace sealcast::keyserver {

class TcpDoor final : public Door {
 public:
  explicit TcpDoor(asio::io_context& io) : acceptor_(io) {}

  Result<void> open(const config::ListenAddress& at) override;
  std::uint16_t port() const override { return port_; }
  void accept(Then then) override;
  void close() override;

 private:
  asio::ip::tcp::acceptor acceptor_;
  std::uint16_t port_ = 0;
};

}  // namespace sealcast::keyserver
