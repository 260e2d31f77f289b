// keytree/<what>/<members>: rekeying a whole group by one datagram (docs/protocol.md, "Key tree and rekey datagram").
//   leave   the key server takes one member of so many out: new seeds, wrapped keys, ECDSA P-256 signature, all bytes
//   apply   a member reads the datagram, verifies the signature, unwraps its way to the new premaster
//   join    the key server places one more member and makes its path
// Counters: datagram_bytes, wrapped_keys (of the largest update seen).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>

#include "handshake/keytree/key_tree.h"
#include "handshake/keytree/member_path.h"
#include "handshake/keytree/rekey_datagram.h"

namespace sealcast::handshake {
namespace {

constexpr CipherSuite suite = CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384;
constexpr auto scheme = SignatureScheme::ecdsa_secp256r1_sha256;

template <typename T>
auto need(T result, const char* what) {
  if (!result) {
    std::fprintf(stderr, "keytree_bench: %s failed\n", what);
    std::exit(1);
  }
  return std::move(*result);
}

struct Group {
  explicit Group(std::uint32_t members)
      : tree(suite, system_random()), key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")) {
    for (std::uint32_t i = 0; i < members; ++i)
      in.push_back(need(tree.join(), "join"));
    system_random().fill(premaster.span());
    (void)tree.renew({}, premaster);  // gives keys to the nodes that growth left without one
  }

  Bytes leave() {
    std::swap(in[dice() % in.size()], in.back());
    const LeafPosition leaver = in.back();
    in.pop_back();
    RekeyDatagram datagram;
    datagram.key_server_id = "ks.example";
    datagram.group_id = "television";
    datagram.from_epoch = epoch;
    datagram.to_epoch = ++epoch;
    datagram.sequence = epoch;
    datagram.spi_prefix = 0x10000000;
    datagram.spi_slot_bits = 16;
    datagram.update = tree.renew(std::span(&leaver, 1), premaster);
    keys = std::max(keys, datagram.update.wrapped_keys());
    Bytes made = need(encode_rekey_datagram(datagram, key.get(), scheme), "signing");
    bytes = std::max(bytes, made.size());
    return made;
  }
  void join() { in.push_back(need(tree.join(), "join")); }

  KeyTree tree;
  PkeyPtr key;
  Secret<48> premaster;
  std::vector<LeafPosition> in;
  std::mt19937_64 dice{1};
  std::uint64_t epoch = 1;
  std::size_t keys = 0, bytes = 0;
};

Group& group_of(std::uint32_t members) {
  static std::map<std::uint32_t, std::unique_ptr<Group>> groups;
  auto& group = groups[members];
  if (!group) group = std::make_unique<Group>(members);
  return *group;
}

void count(benchmark::State& state, const Group& group) {
  state.counters["wrapped_keys"] = static_cast<double>(group.keys);
  state.counters["datagram_bytes"] = static_cast<double>(group.bytes);
}

void leave(benchmark::State& state) {
  Group& group = group_of(static_cast<std::uint32_t>(state.range(0)));
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(group.leave());
    state.PauseTiming();
    group.join();
    state.ResumeTiming();
  }
  count(state, group);
}

void apply(benchmark::State& state) {
  Group& group = group_of(static_cast<std::uint32_t>(state.range(0)));
  for ([[maybe_unused]] auto _ : state) {
    state.PauseTiming();
    MemberPath member(suite, group.tree.path(group.in.front()));
    const LeafPosition watched = group.in.front();
    Bytes datagram = group.leave();
    while (!group.tree.occupied(watched)) {  // the watched member was the one that left
      group.join();
      member = MemberPath(suite, group.tree.path(watched));
      datagram = group.leave();
    }
    state.ResumeTiming();
    const auto read = need(decode_rekey_datagram(datagram), "decoding");
    if (!read.verify(group.key.get())) std::abort();
    benchmark::DoNotOptimize(need(member.apply(read.datagram.update), "applying"));
    state.PauseTiming();
    group.join();
    state.ResumeTiming();
  }
  count(state, group);
}

void join(benchmark::State& state) {
  Group& group = group_of(static_cast<std::uint32_t>(state.range(0)));
  for ([[maybe_unused]] auto _ : state) {
    const LeafPosition position = need(group.tree.join(), "join");
    benchmark::DoNotOptimize(group.tree.path(position));
    state.PauseTiming();
    (void)group.tree.renew(std::span(&position, 1), group.premaster);
    state.ResumeTiming();
  }
}

BENCHMARK(leave)->Name("keytree/leave")->RangeMultiplier(10)->Range(1000, 1'000'000)->Unit(benchmark::kMicrosecond);
BENCHMARK(apply)->Name("keytree/apply")->RangeMultiplier(10)->Range(1000, 1'000'000)->Unit(benchmark::kMicrosecond);
BENCHMARK(join)->Name("keytree/join")->RangeMultiplier(10)->Range(1000, 1'000'000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sealcast::handshake

BENCHMARK_MAIN();
