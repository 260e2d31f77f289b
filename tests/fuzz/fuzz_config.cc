// Configuration files of both kinds: a value or errors, never both or neither; each problem one line with its place;
// and accepted values keep the promises of config.h, which the daemons rely on. An input that begins with a zero byte
// is a single value (address, prefix, ports, place) instead: writing what was read gives the same.
#include <set>

#include "controlplane/config/config.h"
#include "tests/fuzz/input.h"

namespace {

using namespace sealcast;          // NOLINT: a fuzzer of it
using namespace sealcast::config;  // NOLINT
using fuzz::require;

void check(const std::vector<Diagnostic>& problems, std::size_t lines) {
  for (const Diagnostic& problem : problems) {
    require(!problem.message.empty() && problem.line <= lines + 1);
    // One line each, without characters that control a terminal.
    const std::string text = problem.text();
    require(std::none_of(text.begin(), text.end(),
                         [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }));
  }
}

void check(const std::vector<Selector>& selectors) {
  require(!selectors.empty() && selectors.size() <= 64);
  for (const Selector& selector : selectors)
    require(validate(selector).has_value());
}

template <typename Group>
void check_ids(const std::vector<Group>& groups) {
  std::set<std::string> ids;
  for (const Group& group : groups)
    require(!group.id.empty() && group.id.size() <= 64 && ids.insert(group.id).second);
  require(!ids.empty());
}

void check(const SpiRange& range) {
  require(range.first >= 256 && range.first <= range.last);
}

void check(const KeyserverConfig& config) {
  require(!config.id.empty() && config.id.size() <= 64);
  check(config.spi_range);
  check_ids(config.groups);
  require(spi_slot_bits(config.spi_range, config.groups.size()).has_value());
  for (const KeyserverGroup& group : config.groups) {
    check(group.selectors);
    require(group.replay_window >= 1024 && (group.replay_window & (group.replay_window - 1)) == 0);
    require(group.epoch_lifetime.count() > 0 && group.authority_lease.count() > 0);
  }
}

void check(const GatewayConfig& config) {
  require(config.workers >= 1 && config.workers <= 16);
  require(config.cores.empty() || config.cores.size() == config.workers);
  require(config.red.device != config.black.device);
  check_ids(config.member.groups);
  for (const MemberGroup& group : config.member.groups) {
    check(group.selectors);
    check(group.spi_range);
    require(!group.keyservers.empty() && group.keyservers.size() <= 16);
  }
  if (config.keyserver) check(*config.keyserver);
}

template <typename T>
void check(const Loaded<T>& loaded, std::size_t lines) {
  require(loaded.ok() == loaded.errors.empty());
  check(loaded.errors, lines);
  check(loaded.warnings, lines);
  if (loaded.ok()) check(*loaded.value);
}

template <typename T>
void round_trip(const std::string& text) {
  const auto value = T::parse(text);
  if (!value) {
    require(value.error().message.find('\n') == std::string::npos || text.find('\n') != std::string::npos);
    return;
  }
  const auto again = T::parse(value->text());
  require(again && *again == *value);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 0 && data[0] == 0) {
    const std::string text = fuzz::text({data + 1, size - 1});
    round_trip<IpAddress>(text);
    round_trip<Prefix>(text);
    round_trip<PortRange>(text);
    round_trip<ListenAddress>(text);
    round_trip<HostPort>(text);
    return 0;
  }
  const std::string toml = fuzz::text({data, size});
  const auto lines = static_cast<std::size_t>(std::count(toml.begin(), toml.end(), '\n')) + 1;
  check(parse_keyserver_config(toml, "ks.toml"), lines);
  check(parse_gateway_config(toml, "/etc/sealcast/gw.toml"), lines);
  return 0;
}
