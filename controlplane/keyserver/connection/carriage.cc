#include "controlplane/keyserver/connection/carriage.h"

#include <utility>

#include "handshake/isakmp/carriage.h"

namespace sealcast::keyserver {
CookieJar::CookieJar(Loop& loop, handshake::Random& random, std::chrono::milliseconds period)
    : random_(random), period_(period), loop_(loop), timer_(loop.timer()), keys_(fresh_key()) {}

Secret<32> CookieJar::fresh_key() {
  Secret<32> key;
  random_.fill(ByteSpan(key.data(), key.size()));
  return key;
}

void CookieJar::start() {
  wait();
}

void CookieJar::stop() {
  timer_->cancel();
}

void CookieJar::rotate() {
  keys_.rotate(fresh_key());
  ++rotations_;
}

void CookieJar::wait() {
  timer_->set(loop_.now() + period_, [this] {
    rotate();
    wait();
  });
}

std::unique_ptr<handshake::Endpoint> CookieJar::responder(
    const isakmp::PeerAddress& peer, std::function<std::unique_ptr<handshake::Endpoint>()> make_tls) {
  ++opened_;
  auto make = [self = shared_from_this(), make_tls = std::move(make_tls)] {
    ++self->shown_;
    return make_tls();
  };
  return isakmp::make_responder(std::move(make), keys_, peer);
}

}  // namespace sealcast::keyserver
