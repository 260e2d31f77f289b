// The control socket of a memif port, held by the gateway instead of DPDK's driver. The driver unmaps the shared memory
// in the background the moment its socket hangs up, while a worker may be reading it. So its socket ends here, and it
// learns of its peer's end only after the workers were taken away. This class also sets the socket's permissions,
// removes a stale one, and keeps trying to reach a server. Knows no DPDK; one thread makes all calls.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "base/result.h"

struct pollfd;

namespace sealcast::dataplane {

class MemifSocket {
 public:
  struct Settings {
    std::string path;           // the path that the peer knows
    bool server = false;        // make the socket and listen; otherwise connect to it
    std::uint16_t mode = 0600;  // server: permissions of the socket
  };
  // Makes a private folder for the driver's end; for a server also the public socket, a dead one removed.
  static Result<std::unique_ptr<MemifSocket>> open(Settings settings);
  ~MemifSocket();  // hangs up; a server's socket is removed

  // The socket path for the driver. As server it has bound it when driver_is_bound() is called; as client it connects
  // to it in connect_driver's call. Afterwards nothing of it stays in the file system.
  const std::string& driver_path() const { return driver_path_; }
  Result<void> driver_is_bound();

  enum class State : std::uint8_t {
    waiting,       // no peer
    server_found,  // client: the server is there; connect_driver() next
    relaying,      // messages are passed on
    left,          // peer or driver hung up, or the peer sent more after the set-up's end: take the workers away,
                   // hang_up()
  };
  // Looks at all sockets and passes messages on, without blocking.
  State step();
  // Client, state server_found: connect is the call that makes the driver connect (it starts the device).
  template <typename Connect>
  Result<void> connect_driver(Connect&& connect) {
    SEALCAST_TRY_ASSIGN(auto listener, listen_for_driver());
    Result<void> result = connect();
    return accept_driver(*listener, std::move(result));
  }
  void hang_up();  // both ends; state waiting

  // For poll(2): the events at which to call step().
  void add_to(std::vector<pollfd>& list) const;

 private:
  explicit MemifSocket(Settings settings) : settings_(std::move(settings)) {}
  Result<std::unique_ptr<Descriptor>> listen_for_driver();
  Result<void> accept_driver(const Descriptor& listener, Result<void> result);
  Result<void> make_folder();
  void remove_folder();
  void look_for_peer();
  bool pass_on(int from, int to, bool from_peer);  // false: hung up

  Settings settings_;
  std::string folder_, driver_path_;
  std::unique_ptr<Descriptor> listener_;      // server: the public socket
  std::unique_ptr<Descriptor> driver_place_;  // server: O_PATH of the driver's socket
  std::unique_ptr<Descriptor> peer_, driver_;
  State state_ = State::waiting;
  bool set_up_ = false;  // the peer has sent its last message before a goodbye
  std::chrono::steady_clock::time_point next_try_{};
};

}  // namespace sealcast::dataplane
