// What one packet costs in each AEAD engine: bursts of 32 packets of one length under one key, in place, as the data
// plane calls them.
//
//   seal/<engine>/aes<128|256>/<payload bytes>     open/...
//
// AAD is 8 bytes, as in ESP; the engine name ipsec_mb_aad12 is IPsec-MB with an AAD of 12 bytes, its fast path.
// cycles_per_packet counts TSC ticks. Quote ratios of one run: figures move with clock frequency and neighbours.
#include <benchmark/benchmark.h>
#include <x86intrin.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "dataplane/aead/engine.h"

namespace {

using namespace sealcast::dataplane::aead;

constexpr std::size_t burst_size = 32;
constexpr std::size_t payloads[] = {64, 128, 256, 512, 1024, 1400, 4096, 8192};
// Where an inner packet begins in a packet buffer: 128 bytes of headroom, then the Ethernet header.
constexpr std::size_t payload_offset = 128 + 14;

struct alignas(64) Line {
  std::uint8_t bytes[64] = {};
};

struct Subject {
  std::string label;
  std::string engine;
  std::uint32_t aad_length;
};

class Burst {
 public:
  Burst(const Engine& engine, std::size_t key_bytes, std::size_t payload, std::uint32_t aad_length, Direction direction)
      : engine_(engine),
        context_(engine.context_bytes() / sizeof(Line)),
        lines_per_packet_((payload_offset + payload + tag_bytes) / sizeof(Line) + 1),
        memory_(lines_per_packet_ * burst_size),
        aad_(burst_size),
        tags_{std::vector<Line>(burst_size), std::vector<Line>(burst_size)},
        payload_(payload),
        aad_length_(aad_length) {
    const std::vector<std::uint8_t> key(key_bytes, 0x42);
    key_ = engine.expand_key(key, direction, context_.data()).value();
    for (std::size_t i = 0; i < burst_size; ++i) {
      std::memset(data(i), static_cast<int>(i), payload);
      aad_[i].bytes[0] = static_cast<std::uint8_t>(i);
    }
  }
  ~Burst() { engine_.release_key(key_); }
  Burst(const Burst&) = delete;
  Burst& operator=(const Burst&) = delete;

  std::uint8_t* data(std::size_t i) { return memory_[i * lines_per_packet_].bytes + payload_offset; }

  template <typename Item>
  void fill(Item& item, std::size_t i, std::size_t tag_set) {
    item.key = &key_;
    item.data = data(i);
    item.length = static_cast<std::uint32_t>(payload_);
    item.aad = aad_[i].bytes;
    item.aad_length = aad_length_;
    item.tag = tags_[tag_set][i].bytes;
    item.nonce[0] = static_cast<std::uint8_t>(i);
  }

  const Engine& engine_;
  std::vector<Line> context_;
  std::size_t lines_per_packet_;
  std::vector<Line> memory_, aad_;
  std::vector<Line> tags_[2];
  std::size_t payload_;
  std::uint32_t aad_length_;
  Key key_;
};

void report(benchmark::State& state, std::uint64_t ticks, std::size_t payload) {
  const auto packets = static_cast<double>(state.iterations()) * burst_size;
  state.counters["cycles_per_packet"] = static_cast<double>(ticks) / packets;
  state.SetItemsProcessed(static_cast<std::int64_t>(packets));
  state.SetBytesProcessed(static_cast<std::int64_t>(packets) * static_cast<std::int64_t>(payload));
}

void seal(benchmark::State& state, const Engine& engine, const Subject& subject, std::size_t key, std::size_t payload) {
  Burst burst(engine, key, payload, subject.aad_length, Direction::seal);
  std::vector<SealItem> items(burst_size);
  for (std::size_t i = 0; i < burst_size; ++i)
    burst.fill(items[i], i, 0);
  const std::uint64_t start = __rdtsc();
  for (auto _ : state)
    engine.seal(items);
  report(state, __rdtsc() - start, payload);
  for (const SealItem& item : items) {
    if (!item.ok) state.SkipWithError("a packet was not sealed");
  }
}

// Opening in place turns ciphertext C into plaintext P. Under the same nonce P is the ciphertext of C, with another
// tag: so two sets of tags, used in turn, keep every packet of every burst authentic without copying anything back.
void open(benchmark::State& state, const Engine& engine, const Subject& subject, std::size_t key, std::size_t payload) {
  Burst burst(engine, key, payload, subject.aad_length, Direction::open);
  {
    std::vector<Line> context(engine.context_bytes() / sizeof(Line));
    Key sealing = engine.expand_key(std::vector<std::uint8_t>(key, 0x42), Direction::seal, context.data()).value();
    for (std::size_t set = 0; set < 2; ++set) {
      std::vector<SealItem> items(burst_size);
      for (std::size_t i = 0; i < burst_size; ++i) {
        burst.fill(items[i], i, set);
        items[i].key = &sealing;
      }
      engine.seal(items);  // first P to C, tags of C; then C to P, tags of P
    }
    engine.release_key(sealing);
  }
  // The buffers hold P now, so the tags of P come first.
  std::vector<OpenItem> items[2] = {std::vector<OpenItem>(burst_size), std::vector<OpenItem>(burst_size)};
  for (std::size_t i = 0; i < burst_size; ++i) {
    burst.fill(items[0][i], i, 1);
    burst.fill(items[1][i], i, 0);
  }
  std::size_t turn = 0;
  bool ok = true;
  const std::uint64_t start = __rdtsc();
  for (auto _ : state) {
    engine.open(items[turn]);
    ok = ok && items[turn][0].ok && items[turn][burst_size - 1].ok;
    turn ^= 1;
  }
  report(state, __rdtsc() - start, payload);
  if (!ok) state.SkipWithError("a packet was not opened");
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::unique_ptr<Engine>> engines;
  for (const std::string_view name : engine_names()) {
    auto made = create_engine(name);
    if (!made) {
      std::fprintf(stderr, "%s\n", made.error().message.c_str());
      continue;
    }
    engines.push_back(std::move(*made));
    const Engine& engine = *engines.back();
    std::vector<Subject> subjects = {{std::string(name), std::string(name), 8}};
    if (name == "ipsec_mb") subjects.push_back({"ipsec_mb_aad12", "ipsec_mb", 12});
    for (const Subject& subject : subjects) {
      for (const std::size_t key : {16U, 32U}) {
        for (const std::size_t payload : payloads) {
          const std::string rest =
              "/" + subject.label + "/aes" + std::to_string(key * 8) + "/" + std::to_string(payload);
          benchmark::RegisterBenchmark(("seal" + rest).c_str(), [&engine, subject, key, payload](auto& state) {
            seal(state, engine, subject, key, payload);
          });
          benchmark::RegisterBenchmark(("open" + rest).c_str(), [&engine, subject, key, payload](auto& state) {
            open(state, engine, subject, key, payload);
          });
        }
      }
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
