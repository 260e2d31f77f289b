// The daemons' local admin socket: one JSON object per line in, one JSON object per line out, over a UNIX stream socket
// that only the daemon's own user may open (mode 0600).
//
//   {"command": "status"}\n   ->   {"daemon": "gateway", ...}\n
//   any failure               ->   {"error": "what was expected, what came"}\n
//
// It never blocks the loop: every read and write is asynchronous, requests and clients are bounded, and a client that
// says nothing for the deadline is closed.
#pragma once

#include <asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"

namespace sealcast::admin {

inline constexpr std::size_t max_request_bytes = 24 * 1024;  // one line, newline included: a jumbo frame as hex fits
inline constexpr std::size_t max_clients = 16;               // a further one gets an error and is closed
inline constexpr std::chrono::seconds client_deadline{10};   // per request or response
inline constexpr std::size_t max_response_bytes = 16 * 1024 * 1024;

class AdminServer {
 public:
  // Answers one request object (its text, already checked to be a JSON object) with one JSON object's text. Called on
  // the loop's thread: must not block. A newline in the answer's text is replaced by a blank.
  using Handler = std::function<std::string(const std::string& request_json)>;

  // path: of the socket. With an empty path start() does not listen (an embedded daemon).
  AdminServer(asio::io_context& io, std::string path, std::chrono::milliseconds deadline = client_deadline);
  ~AdminServer();  // stops
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  // Registers the answer to {"command": command}. Before start(). A second handler for a command replaces the first.
  void handle(std::string command, Handler handler);

  // The client of the present request; within a handler only. Reported by the kernel, not by the client.
  struct Caller {
    std::uint32_t user = 0;  // uid
    std::int32_t process = 0;
  };
  std::optional<Caller> caller() const;

  // Binds and listens. An existing socket file is unlinked only after a connect() has proved that no process serves it;
  // a live one, or a file that is no socket, is an error.
  Result<void> start();

  // Closes every client and unlinks the socket (only if it is still ours). Idempotent.
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace sealcast::admin
