// A key server with several groups, and members that join more than one of them on one connection.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/keyserver/testing/key_server_fixture.h"

namespace sealcast::keyserver::testing {

class SeveralGroups : public KeyServerTest {
 protected:
  // tv, and g0 to g<count - 1>, alike.
  void groups(int count) {
    for (int i = 0; i < count; ++i) {
      auto group = config_.groups[0];
      group.id = "g" + std::to_string(i);
      group.selectors[0].destination =
          *Prefix::parse("239.2." + std::to_string(i / 256) + "." + std::to_string(i % 256) + "/32");
      config_.groups.push_back(group);
    }
  }
  // Joined to tv; its certificate allows the groups named, without any: all.
  std::unique_ptr<TestClient> member(const std::string& name, std::vector<std::string> allowed = {}) {
    auto client = connect(member_config(allowed.empty() ? pki_.member(name) : pki_.member(name, allowed)));
    EXPECT_TRUE(client->join()) << name << ": " << (client->error() ? client->error()->message() : "no answer");
    return client;
  }
  std::optional<handshake::GroupUpdate> join_further(TestClient& client, const std::string& group) {
    EXPECT_TRUE(client.say(handshake::GroupJoin{group}));
    return client.expect<handshake::GroupUpdate>();
  }
};

}  // namespace sealcast::keyserver::testing
