#include "controlplane/keyserver/connection/carriage.h"

#include <algorithm>
#include <utility>

#include "handshake/isakmp/carriage.h"

namespace sealcast::keyserver {
namespace {

isakmp::PeerAddress address_of(const asio::ip::tcp::endpoint& peer) {
  isakmp::PeerAddress out;
  out.port = peer.port();
  if (peer.address().is_v4()) {
    out.address = IpAddress::v4(peer.address().to_v4().to_uint());
  } else {
    const auto bytes = peer.address().to_v6().to_bytes();
    out.address.family = 6;
    std::copy(bytes.begin(), bytes.end(), out.address.bytes.begin());
  }
  return out;
}

}  // namespace

CookieJar::CookieJar(asio::io_context& io, handshake::Random& random, std::chrono::milliseconds period)
    : random_(random), period_(period), timer_(io), keys_(fresh_key()) {}

Secret<32> CookieJar::fresh_key() {
  Secret<32> key;
  random_.fill(ByteSpan(key.data(), key.size()));
  return key;
}

void CookieJar::start() {
  wait();
}

void CookieJar::stop() {
  timer_.cancel();
}

void CookieJar::rotate() {
  keys_.rotate(fresh_key());
  ++rotations_;
}

void CookieJar::wait() {
  timer_.expires_after(period_);
  timer_.async_wait([weak = weak_from_this()](const asio::error_code& cancelled) {
    const auto self = weak.lock();
    if (cancelled || !self) return;
    self->rotate();
    self->wait();
  });
}

std::unique_ptr<handshake::Endpoint> CookieJar::responder(
    const asio::ip::tcp::endpoint& peer, std::function<std::unique_ptr<handshake::Endpoint>()> make_tls) {
  ++opened_;
  auto make = [self = shared_from_this(), make_tls = std::move(make_tls)] {
    ++self->shown_;
    return make_tls();
  };
  return isakmp::make_responder(std::move(make), keys_, address_of(peer));
}

}  // namespace sealcast::keyserver
