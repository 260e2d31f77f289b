// The gateways for tables of packets: fixture_tool runs them, and the fuzzer of the whole path starts with the tables'
// packets. fixtures_test.py and this file must agree.
//   preserve   "tv": 239.1.1.0/24 and ff1e:1::/32; "radio": UDP ports 5000-5010 of 239.2.2.0/24 and ff1e:2::/32;
//              "ssm": 232.1.1.0/24 from 10.0.0.0/8 and ff3e:3::/32 from 2001:db8::/32
//   fixed4     "tv" in a tunnel from 10.9.0.2 to 239.9.9.9, TTL 32, DSCP 46
//   fixed6     "tv" in a tunnel from 2001:db8:9::2 to ff1e:9::9
//   transport  "tv"
// Local red everywhere: 10.66.0.0/16 and 2001:db8:66::/48; black MTU 1500, red MTU 1500.
#pragma once

#include <string>
#include <vector>

#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {

struct ScenarioGroup {
  std::string name;
  GroupProtection protection;
};

inline constexpr const char* scenario_names[] = {"preserve", "fixed4", "fixed6", "transport"};

// Empty: there is no such scenario.
std::vector<ScenarioGroup> scenario_groups(const std::string& scenario);
PathSettings scenario_settings();

// The SPIs of the group-th group.
constexpr std::uint32_t scenario_prefix(std::size_t group) {
  return 0x10000000 + static_cast<std::uint32_t>(group) * 0x10000;
}

// Protects all groups and installs epoch 1 of each: the gateway seals under slot own of each prefix and opens slot
// peer.
Result<void> install_scenario(Harness& path, const std::vector<ScenarioGroup>& groups, std::uint32_t own = 1,
                              std::uint32_t peer = 2);

}  // namespace sealcast::dataplane::testing
