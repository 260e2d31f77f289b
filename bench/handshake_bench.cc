// Joins per second on one core, which does both ends' work. Names:
//   handshake/<flow>/<ecdsa|rsa|ed25519>         in process: from two fresh endpoints to both established
//     variant3: the password is compared at once; a key server's Argon2id comes on top, by design
//   handshake/openssl_mutual/<ecdsa|rsa>         libssl's mutually authenticated TLS 1.2 with the same certificates
//   handshake/tcp/<flow|openssl_mutual>/<…>      the same over TCP on 127.0.0.1, 64 handshakes under way at any moment
//   handshake/server_only/variant2/ecdsa         the key server's share alone: a member is simulated outside the clock
// Counters: joins/s; for server_only also heap bytes kept per established connection.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include "bench/handshake_parties.h"
#include "bench/loopback.h"

namespace {

using namespace sealcast::handshake;           // NOLINT: a benchmark of it
using namespace sealcast::handshake::testing;  // NOLINT

CipherSuite suite_for(KeyKind key) {
  return key == KeyKind::rsa2048 ? CipherSuite::ecdhe_rsa_aes_256_gcm_sha384
                                 : CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384;
}

using sealcast::bench::Loopback;
using sealcast::bench::make_openssl;
using sealcast::bench::make_sealcast;
using sealcast::bench::Pairing;
using PairingMaker = std::unique_ptr<Pairing> (*)();

constexpr std::size_t handshakes_at_once = 64;

void rate(benchmark::State& state, std::size_t joins = 1) {  // an iteration
  const auto done = static_cast<double>(state.iterations()) * static_cast<double>(joins);
  state.counters["joins/s"] = benchmark::Counter(done, benchmark::Counter::kIsRate);
}

template <KeyKind key, bool multicast>
std::unique_ptr<Pairing> sealcast_pairing() {
  auto world = std::make_unique<World>(key, key, suite_for(key));
  if (!multicast) world->make_standard(true);
  return make_sealcast(std::move(world));
}

template <Flow flow>
std::unique_ptr<Pairing> flow_pairing() {
  return make_sealcast(std::make_unique<World>(flow));
}

template <KeyKind key>
std::unique_ptr<Pairing> openssl_pairing() {
  return make_openssl(key);
}

void in_process(benchmark::State& state, PairingMaker make) {
  const auto pairing = make();
  for (auto _ : state) {
    const auto server = pairing->server();
    const auto client = pairing->client();
    if (!sealcast::bench::shake(*client, *server)) {
      state.SkipWithError("the handshake failed");
      break;
    }
  }
  rate(state);
}

// Joins under way at once are done in waves: an iteration is one wave.
void over_tcp(benchmark::State& state, PairingMaker make) {
  const auto pairing = make();
  Loopback loopback(*pairing, handshakes_at_once);
  const auto wave = [&] {
    for (std::size_t i = 0; i < handshakes_at_once; ++i)
      if (!loopback.next()) return false;
    return true;
  };
  bool good = wave();  // the first ones begin all at once; from then on one begins for each that ends
  for (auto _ : state) {
    good = good && wave();
    if (!good) {
      state.SkipWithError(loopback.failure().c_str());
      break;
    }
  }
  rate(state, handshakes_at_once);
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
      if (up.empty() || !server->receive(up, test_now)) break;
      const auto down = server->take_output();
      state.PauseTiming();
      (void)client->receive(down, test_now);
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
  rate(state);
  state.counters["bytes_kept"] = static_cast<double>(kept_bytes);
}

struct Contender {
  const char* name;
  PairingMaker make;
};
constexpr Contender contenders[] = {
    {"variant1/rsa", flow_pairing<Flow::variant1>},
    {"variant2/ecdsa", sealcast_pairing<KeyKind::p256, true>},
    {"variant2/rsa", sealcast_pairing<KeyKind::rsa2048, true>},
    {"variant2/ed25519", sealcast_pairing<KeyKind::ed25519, true>},
    {"variant2_description/ecdsa", flow_pairing<Flow::variant2_description>},
    {"variant3_password/ecdsa", flow_pairing<Flow::variant3_password_claim5>},
    {"variant3_both/ecdsa", flow_pairing<Flow::variant3_both_claim5>},
    {"standard_mutual/ecdsa", sealcast_pairing<KeyKind::p256, false>},
    {"standard_mutual/rsa", sealcast_pairing<KeyKind::rsa2048, false>},
    {"openssl_mutual/ecdsa", openssl_pairing<KeyKind::p256>},
    {"openssl_mutual/rsa", openssl_pairing<KeyKind::rsa2048>},
};

void register_contenders() {
  for (const Contender& contender : contenders) {
    benchmark::RegisterBenchmark((std::string("handshake/") + contender.name).c_str(), in_process, contender.make);
    benchmark::RegisterBenchmark((std::string("handshake/tcp/") + contender.name).c_str(), over_tcp, contender.make)
        ->UseRealTime();
  }
}

BENCHMARK(server_share)->Name("handshake/server_only/variant2/ecdsa");

}  // namespace

int main(int argc, char** argv) {
  register_contenders();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
