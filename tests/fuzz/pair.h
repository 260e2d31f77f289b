// Two real ends and an attacker between them: shared by fuzz_pair and fuzz_open_pair.
#pragma once

#include "handshake/messages/keying_codec.h"
#include "tests/fuzz/middle.h"
#include "tests/fuzz/worlds.h"

namespace sealcast::handshake::fuzz {

struct PairRun {
  explicit PairRun(testing::World& around) : world(around), server(around.server()), client(around.client()) {}

  testing::World& world;
  std::unique_ptr<Endpoint> server;
  std::unique_ptr<Endpoint> client;
  std::optional<Established> server_side;
  std::optional<Established> client_side;
  std::size_t keyings_sent = 0;
  std::size_t passwords = 0;

  // Both ends take turns until nothing moves.
  void run(Middle& middle, bool accept_password) {
    world.authority.issued = 0;
    for (bool moved = true; moved;) {
      const Bytes up = client->take_output();
      deliver(*server, middle.carry(up, true));
      collect(*server, server_side, accept_password);
      const Bytes down = server->take_output();
      deliver(*client, middle.carry(down, false));
      collect(*client, client_side, accept_password);
      moved = !up.empty() || !down.empty();
    }
    require(keyings_sent <= 1 && world.authority.issued <= 1 && passwords <= 1);
    require(!client->established() || client_side);
    require(!server->established() || server_side);
  }

  static void deliver(Endpoint& end, const Bytes& bytes) {
    if (end.failed() || bytes.empty()) return;
    const auto taken = end.receive(bytes, testing::test_now);
    require(taken.has_value() != end.failed());
    if (taken) return;
    require(!end.established() && end.failure() != nullptr && !end.failure()->message().empty());
    require(!end.receive(bytes, testing::test_now).has_value());  // a failed end stays failed
    require(!end.send(Keepalive{1}).has_value() && !end.send_data(bytes).has_value());
  }

  void collect(Endpoint& end, std::optional<Established>& side, bool accept_password) {
    for (auto events = end.take_events(); !events.empty(); events = end.take_events())
      for (Event& event : events) {
        if (auto* established = std::get_if<Established>(&event)) {
          require(!side);
          side = std::move(*established);
        } else if (std::get_if<KeyingSent>(&event) != nullptr) {
          ++keyings_sent;
        } else if (const auto* presented = std::get_if<PasswordPresented>(&event)) {
          ++passwords;
          require(presented->group_id == "tv" && !presented->user.empty() && !presented->secret.empty());
          (void)end.password_checked(accept_password, testing::test_now);
        }
      }
  }

  // A keying that a client accepts has passed the checks that every keying must pass.
  void check_keying_of_client() const {
    if (!client_side || !client_side->keying) return;
    require(client_side->group_id == "tv" && client_side->keying->group_id == "tv");
    require(check_keying(*client_side->keying).has_value());
    require(client_side->keying->policy.cipher_suite == client_side->suite);
  }
};

}  // namespace sealcast::handshake::fuzz
