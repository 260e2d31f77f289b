#include "controlplane/keyserver/connection/tcp_door.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/bytes.h"
#include "controlplane/keyserver/connection/tcp_transport.h"

namespace sealcast::keyserver {
namespace {

using asio::error_code;
using asio::ip::tcp;

constexpr int backlog = 4096;  // as many as the kernel holds by default (net.core.somaxconn)

tcp::endpoint endpoint_of(const config::ListenAddress& listen) {
  const IpAddress& address = listen.address;
  if (address.family == 4) return {asio::ip::address_v4(load_be<std::uint32_t>(address.bytes.data())), listen.port};
  asio::ip::address_v6::bytes_type bytes;
  std::copy(address.bytes.begin(), address.bytes.end(), bytes.begin());
  return {asio::ip::address_v6(bytes), listen.port};
}

IpAddress address_of(const tcp::endpoint& peer) {
  if (peer.address().is_v4()) return IpAddress::v4(peer.address().to_v4().to_uint());
  IpAddress out;
  out.family = 6;
  const auto bytes = peer.address().to_v6().to_bytes();
  std::copy(bytes.begin(), bytes.end(), out.bytes.begin());
  return out;
}

}  // namespace

Result<void> TcpDoor::open(const config::ListenAddress& at) {
  const tcp::endpoint place = endpoint_of(at);
  error_code error;
  acceptor_.open(place.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(place, error);
  if (!error) acceptor_.listen(backlog, error);
  if (!error) acceptor_.non_blocking(true, error);
  if (!error) port_ = acceptor_.local_endpoint(error).port();
  if (!error) return {};
  std::string hint;
  if (error == asio::error::address_in_use) hint = ": another program (another key server?) listens there";
  if (error.value() == EADDRNOTAVAIL) hint = ": this machine has no such address";
  if (error == asio::error::access_denied) hint = ": ports below 1024 need the right to bind them";
  return fail("can't listen at " + at.text() + ": " + error.message() + hint);
}

void TcpDoor::accept(Then then) {
  acceptor_.async_accept([then = std::move(then)](const error_code& error, tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (error) return then(fail(error.message()));
    Came came;
    error_code gone;
    const tcp::endpoint peer = socket.remote_endpoint(gone);
    if (gone) return then(std::move(came));
    came.address = address_of(peer);
    came.port = peer.port();
    came.host = peer.address().to_string();
    came.take = [held = std::make_shared<tcp::socket>(std::move(socket))]() -> std::unique_ptr<Transport> {
      return TcpTransport::open(std::move(*held));
    };
    then(std::move(came));
  });
}

void TcpDoor::close() {
  error_code ignored;
  acceptor_.close(ignored);
}

}  // namespace sealcast::keyserver
