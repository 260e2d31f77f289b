// What a connection's bytes travel in (P34): the cookies of the ISAKMP listener, and the endpoints that ask for them.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "base/loop.h"
#include "handshake/endpoint.h"
#include "handshake/isakmp/cookie.h"

namespace sealcast::keyserver {

// The keys of all cookies of one key server, from its CSPRNG, renewed on the loop's thread for as long as it runs.
class CookieJar : public std::enable_shared_from_this<CookieJar> {
 public:
  // A cookie lives for 10 s at most; a key makes cookies for one period and is good for checking them for another.
  static constexpr std::chrono::seconds rotation_period{60};
  static_assert(rotation_period.count() >= 2 * isakmp::CookieKeys::slot_seconds);

  // random outlives the jar's last rotation.
  CookieJar(Loop& loop, handshake::Random& random, std::chrono::milliseconds period);

  void start();
  void stop();
  void rotate();

  // An endpoint that calls make_tls once, when the peer has shown its cookie: before that there is neither a TLS
  // endpoint nor the use of a private key (H13). It keeps the jar alive.
  std::unique_ptr<handshake::Endpoint> responder(const isakmp::PeerAddress& peer,
                                                 std::function<std::unique_ptr<handshake::Endpoint>()> make_tls);

  std::uint64_t opened() const { return opened_; }  // connections
  std::uint64_t shown() const { return shown_; }    // of which showed their cookie
  std::uint64_t rotations() const { return rotations_; }

 private:
  Secret<32> fresh_key();
  void wait();

  handshake::Random& random_;
  std::chrono::milliseconds period_;
  Loop& loop_;
  std::unique_ptr<Timer> timer_;
  isakmp::CookieKeys keys_;
  std::uint64_t opened_ = 0;
  std::uint64_t shown_ = 0;
  std::uint64_t rotations_ = 0;
};

}  // namespace sealcast::keyserver
