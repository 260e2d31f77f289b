// A connection over TCP, on an Asio loop.
#pragma once

#include <asio/ip/tcp.hpp>
#include <memory>

#include "base/asio_loop.h"
#include "controlplane/keyserver/connection/transport.h"

namespace sealcast::keyserver {

class TcpTransport final : public Transport {
 public:
  // nullptr: the socket cannot be used; it is closed.
  static std::unique_ptr<TcpTransport> open(asio::ip::tcp::socket socket);

  void when_readable(Then then) override;
  Result<std::size_t> read(ByteSpan into) override;
  bool peer_is_gone() override;
  void write(ByteView bytes, Written written) override;
  void end_output() override;
  void close() override;
  void set_timer(std::chrono::milliseconds delay, Then then) override;
  void post(Then then) override;

 private:
  explicit TcpTransport(asio::ip::tcp::socket socket);

  asio::ip::tcp::socket socket_;
  AsioTimer timer_;
};

}  // namespace sealcast::keyserver
