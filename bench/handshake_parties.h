// Two ends of a handshake without a socket, Sealcast's and OpenSSL's, behind one interface: the benchmark's drivers
// treat both alike, so that two figures differ by the handshake alone.
#pragma once

#include <memory>
#include <string>

#include "handshake/testing/in_process.h"

namespace sealcast::bench {

class Party {
 public:
  virtual ~Party() = default;
  // False: the handshake failed.
  virtual bool receive(ByteView bytes) = 0;
  virtual Bytes take_output() = 0;
  virtual bool established() const = 0;
};

// Makes fresh ends of one kind; certificates and configurations are loaded once, as a server's are.
class Pairing {
 public:
  virtual ~Pairing() = default;
  virtual std::unique_ptr<Party> server() = 0;
  virtual std::unique_ptr<Party> client() = 0;
};

// Sealcast's, with the flow of world.
std::unique_ptr<Pairing> make_sealcast(std::unique_ptr<handshake::testing::World> world);

// libssl, TLS 1.2, both sides with certificates of this kind and checking the other's chain, name and purpose;
// ECDHE over X25519, AES-256-GCM, extended master secret; no tickets, no session cache. Ends the process where libssl
// refuses its configuration.
std::unique_ptr<Pairing> make_openssl(handshake::testing::KeyKind key);

// Carries bytes until nothing moves. True: both ends are established.
bool shake(Party& client, Party& server);

}  // namespace sealcast::bench
