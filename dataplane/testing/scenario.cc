#include "dataplane/testing/scenario.h"

namespace sealcast::dataplane::testing {
namespace {

OuterTunnel tunnel(const std::string& source, const std::string& destination) {
  OuterTunnel outer;
  outer.source = *IpAddress::parse(source);
  outer.destination = *IpAddress::parse(destination);
  return outer;
}

}  // namespace

std::vector<ScenarioGroup> scenario_groups(const std::string& scenario) {
  GroupProtection tv{{selector("239.1.1.0/24"), selector("ff1e:1::/32")}};
  if (scenario == "preserve") {
    const PortRange ports{5000, 5010};
    return {{"tv", tv},
            {"radio", {{selector("239.2.2.0/24", ports), selector("ff1e:2::/32", ports)}}},
            {"ssm",
             {{selector("232.1.1.0/24", std::nullopt, "10.0.0.0/8"),
               selector("ff3e:3::/32", std::nullopt, "2001:db8::/32")}}}};
  }
  if (scenario == "fixed4") {
    tv.mode = EspMode::tunnel_fixed;
    tv.outer = tunnel("10.9.0.2", "239.9.9.9");
    tv.outer->ttl = std::uint8_t{32};
    tv.outer->dscp = std::uint8_t{46};
  } else if (scenario == "fixed6") {
    tv.mode = EspMode::tunnel_fixed;
    tv.outer = tunnel("2001:db8:9::2", "ff1e:9::9");
  } else if (scenario == "transport") {
    tv.mode = EspMode::transport;
  } else {
    return {};
  }
  return {{"tv", tv}};
}

PathSettings scenario_settings() {
  PathSettings settings;
  settings.black_mtu = 1500;
  settings.red_mtu = 1500;
  settings.local_red_sources = {*Prefix::parse("10.66.0.0/16"), *Prefix::parse("2001:db8:66::/48")};
  return settings;
}

Result<void> install_scenario(Harness& path, const std::vector<ScenarioGroup>& groups, std::uint32_t own,
                              std::uint32_t peer) {
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const ScenarioGroup& group = groups[i];
    GroupEpoch epoch = path.epoch(group.name, 1, scenario_prefix(i), group.protection.selectors);
    epoch.mode = group.protection.mode;
    epoch.outbound.push_back({key_of(scenario_prefix(i) + own)});
    epoch.inbound.push_back({key_of(scenario_prefix(i) + peer), 0});
    SEALCAST_TRY(path.plane().protect(group.name, group.protection));
    SEALCAST_TRY(path.plane().install(std::move(epoch)));
  }
  return {};
}

}  // namespace sealcast::dataplane::testing
