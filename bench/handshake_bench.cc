// Joins per second, both ends on one core and in one process: from two fresh endpoints to both Established. Names:
//   handshake/variant2/<ecdsa|rsa|ed25519>    the multicast join (order of claim 5), the group's keying included
//   handshake/standard_mutual/<…>             the same certificates, standard TLS 1.2, for comparison
//   handshake/server_only/variant2/ecdsa      the key server's share alone: a member is simulated outside the clock
// Counters: joins/s; for server_only also heap bytes kept per established connection.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include "handshake/testing/in_process.h"

namespace {

using namespace sealcast::handshake;           // NOLINT: a benchmark of it
using namespace sealcast::handshake::testing;  // NOLINT

CipherSuite suite_for(KeyKind key) {
  return key == KeyKind::rsa2048 ? CipherSuite::ecdhe_rsa_aes_256_gcm_sha384
                                 : CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384;
}

void join(benchmark::State& state, KeyKind key, bool multicast) {
  World world(key, key, suite_for(key));
  if (!multicast) world.make_standard(true);
  const auto server_config = std::make_shared<ServerConfig>(world.server_config);
  const auto client_config = std::make_shared<ClientConfig>(world.client_config);
  for (auto _ : state) {
    const auto server = make_server(server_config, world.authority, system_random());
    const auto client = make_client(client_config, system_random());
    pump(*client, *server);
    if (!client->established() || !server->established()) {
      state.SkipWithError("the handshake failed");
      break;
    }
  }
  state.counters["joins/s"] = benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

void server_share(benchmark::State& state) {
  World world;
  const auto server_config = std::make_shared<ServerConfig>(world.server_config);
  const auto client_config = std::make_shared<ClientConfig>(world.client_config);
  std::vector<std::unique_ptr<Endpoint>> kept;
  std::size_t kept_bytes = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const auto client = make_client(client_config, system_random());
    const std::size_t before = mallinfo2().uordblks;
    auto server = make_server(server_config, world.authority, system_random());
    state.ResumeTiming();
    while (!server->established()) {
      state.PauseTiming();
      const auto up = client->take_output();
      state.ResumeTiming();
      if (up.empty() || !server->receive(up, kNow)) break;
      const auto down = server->take_output();
      state.PauseTiming();
      (void)client->receive(down, kNow);
      state.ResumeTiming();
    }
    state.PauseTiming();
    if (!server->established()) state.SkipWithError("the handshake failed");
    (void)server->take_events();
    (void)client->take_events();
    kept_bytes = mallinfo2().uordblks - std::min<std::size_t>(before, mallinfo2().uordblks);
    kept.push_back(std::move(server));
    if (kept.size() > 1000) kept.clear();
    state.ResumeTiming();
  }
  state.counters["joins/s"] = benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  state.counters["bytes_kept"] = static_cast<double>(kept_bytes);
}

BENCHMARK_CAPTURE(join, ecdsa, KeyKind::p256, true)->Name("handshake/variant2/ecdsa");
BENCHMARK_CAPTURE(join, rsa, KeyKind::rsa2048, true)->Name("handshake/variant2/rsa");
BENCHMARK_CAPTURE(join, ed25519, KeyKind::ed25519, true)->Name("handshake/variant2/ed25519");
BENCHMARK_CAPTURE(join, standard_ecdsa, KeyKind::p256, false)->Name("handshake/standard_mutual/ecdsa");
BENCHMARK_CAPTURE(join, standard_rsa, KeyKind::rsa2048, false)->Name("handshake/standard_mutual/rsa");
BENCHMARK(server_share)->Name("handshake/server_only/variant2/ecdsa");

}  // namespace

BENCHMARK_MAIN();
