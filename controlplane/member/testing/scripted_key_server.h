// A key server with answers that the test decides: the real server half of the handshake on a loopback port, with a
// scripted group authority behind it. Everything runs on the test's own loop.
#pragma once

#include <asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "handshake/testing/in_process.h"

namespace sealcast::member::testing {

class ScriptedKeyServer {
 public:
  // port 0: the system chooses.
  ScriptedKeyServer(asio::io_context& io, handshake::ServerConfig config, std::uint16_t port = 0);
  ~ScriptedKeyServer();

  std::uint16_t port() const;
  // Closes every connection without a word and the port with them, as kill -9 does.
  void die();
  // To the newest established connection.
  bool say(const handshake::ControlMessage& message);
  void say_goodbye();
  std::size_t established() const;  // connections now

  // The authority: what issue() hands out is this, a new slot each time.
  handshake::testing::TestAuthority authority;
  // Bytes to write to each client instead of a handshake; empty: the handshake.
  std::string babble;
  bool mute = false;    // accepts and says nothing
  bool answers = true;  // every Keepalive, at once, as key servers do

  int accepted = 0;
  int joins = 0;
  std::vector<std::string> failures;                // handshakes that failed here
  std::vector<handshake::ControlMessage> received;  // from members
  template <typename T>
  std::vector<T> all() const {
    std::vector<T> out;
    for (const auto& message : received)
      if (const T* found = std::get_if<T>(&message)) out.push_back(*found);
    return out;
  }

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace sealcast::member::testing
