// Both ends of a handshake, run to its end in one process.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "handshake/testing/in_process.h"

namespace sealcast::handshake::testing {

inline std::string why(const Endpoint& endpoint) {
  return endpoint.failure() ? endpoint.failure()->message() : "no failure";
}

// chunk: bytes delivered at a time; 0: all there are.
struct Ends {
  explicit Ends(World& world, std::size_t chunk = 0) : server(world.server()), client(world.client()) {
    pump(*client, *server, chunk);
    server_events = server->take_events();
    client_events = client->take_events();
  }
  bool established() const { return server->established() && client->established(); }
  std::string why() const { return "client: " + testing::why(*client) + "; server: " + testing::why(*server); }

  std::unique_ptr<Endpoint> server, client;
  std::vector<Event> server_events, client_events;
};

}  // namespace sealcast::handshake::testing
