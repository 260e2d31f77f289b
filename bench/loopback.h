// Many handshakes at once over TCP on 127.0.0.1, clients and server on one thread and so on one core: joins per second
// with what the kernel's sockets cost on both sides.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/handshake_parties.h"

namespace sealcast::bench {

class Loopback {
 public:
  // concurrency: handshakes under way at any moment, 1 to 512. Opens the listening socket and the first connections.
  Loopback(Pairing& pairing, std::size_t concurrency);
  ~Loopback();
  Loopback(const Loopback&) = delete;
  Loopback& operator=(const Loopback&) = delete;

  // Works until one more handshake is complete at both ends, and begins another in its place. False: failure().
  bool next();
  const std::string& failure() const { return failure_; }

 private:
  struct End {
    int fd = -1;
    std::unique_ptr<Party> party;
    std::uint16_t port = 0;  // the client's port, which both ends of a connection know
    bool server = false;
    bool done = false;
  };
  bool open_client();
  bool accept_all();
  bool watch(std::unique_ptr<End> end);
  bool move(End& end);
  bool flush(End& end);
  bool finish(End& end);
  bool fail(const std::string& what);
  void close(End& end);

  Pairing& pairing_;
  int listener_ = -1;
  int epoll_ = -1;
  std::uint16_t port_ = 0;
  std::vector<std::unique_ptr<End>> ends_;  // by descriptor
  std::vector<int> partner_;                // by port and side: its descriptor, -1 for none
  std::size_t complete_ = 0, returned_ = 0;
  std::string failure_;
};

}  // namespace sealcast::bench
