// What one packet costs in each AEAD engine: bursts of 32 packets, in place, as the data plane calls them.
//
//   seal/<engine>/aes<128|256>/<payload bytes|mix>[/keys:<8|32>]          open/...
//
// Mixes, lengths drawn once and then kept: 64-256 and 0-1500 are equally likely lengths; imix is seven packets of 64,
// four of 594 and one of 1514 bytes. Bursts of several keys hold packets of one key side by side, as many of each.
// AAD is 8 bytes, as in ESP; the engine name ipsec_mb_aad12 is IPsec-MB with an AAD of 12 bytes, its fast path:
// IPsec-MB at its best. As many different bursts take turns as fit half the second-level cache (at most 16, at least
// 2), so that neither branch prediction nor the first-level cache knows what comes. ticks counts TSC ticks a packet.
// Quote ratios of one run: figures move with clock frequency and neighbours.
#include <benchmark/benchmark.h>
#include <x86intrin.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "dataplane/aead/engine.h"

namespace {

using namespace sealcast::dataplane::aead;

constexpr std::size_t burst_size = 32;
constexpr std::size_t cache_bytes = 512 << 10;
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

struct Mix {
  std::string label;
  std::vector<std::size_t> lengths;  // one of these, equally likely
};

std::vector<Mix> mixes() {
  std::vector<Mix> all;
  for (const std::size_t payload : {64, 128, 256, 512, 1024, 1400, 4096, 8192})
    all.push_back({std::to_string(payload), {payload}});
  Mix small{"64-256", {}}, wide{"0-1500", {}};
  for (std::size_t length = 0; length <= 1500; ++length) {
    if (length >= 64 && length <= 256) small.lengths.push_back(length);
    wide.lengths.push_back(length);
  }
  all.push_back(small);
  all.push_back(wide);
  all.push_back({"imix", {64, 64, 64, 64, 64, 64, 64, 594, 594, 594, 594, 1514}});
  return all;
}

struct Case {
  Mix mix;
  std::size_t key_bytes = 16;
  std::size_t keys = 1;  // a burst
  Subject subject;
};

class Bursts {
 public:
  Bursts(const Engine& engine, const Case& c, Direction direction)
      : engine_(engine),
        case_(c),
        lines_a_key_(engine.context_bytes() / sizeof(Line)),
        contexts_(c.keys * lines_a_key_),
        keys_(c.keys) {
    for (std::size_t k = 0; k < c.keys; ++k) {
      const std::vector<std::uint8_t> raw(c.key_bytes, static_cast<std::uint8_t>(0x42 + k));
      keys_[k] = engine.expand_key(raw, direction, contexts_.data() + k * lines_a_key_).value();
    }
    const std::size_t longest = *std::max_element(c.mix.lengths.begin(), c.mix.lengths.end());
    lines_a_packet_ = (payload_offset + longest + tag_bytes) / sizeof(Line) + 1;
    count_ = std::clamp<std::size_t>(cache_bytes / (burst_size * lines_a_packet_ * sizeof(Line)), 2, 16);
    memory_.resize(count_ * burst_size * lines_a_packet_);
    aad_.resize(count_ * burst_size);
    for (auto& tags : tags_)
      tags.resize(count_ * burst_size);
    std::mt19937 random(1);
    for (std::size_t i = 0; i < count_ * burst_size; ++i) {
      lengths_.push_back(static_cast<std::uint32_t>(c.mix.lengths[random() % c.mix.lengths.size()]));
      std::memset(data(i), static_cast<int>(i), lengths_.back());
      aad_[i].bytes[0] = static_cast<std::uint8_t>(i);
      bytes_ += lengths_.back();
    }
  }
  ~Bursts() {
    for (Key& key : keys_)
      engine_.release_key(key);
  }
  Bursts(const Bursts&) = delete;
  Bursts& operator=(const Bursts&) = delete;

  template <typename Item>
  std::vector<Item> items(std::size_t tag_set) {
    std::vector<Item> all(count_ * burst_size);
    for (std::size_t i = 0; i < all.size(); ++i) {
      Item& item = all[i];
      item.key = &keys_[i % burst_size * keys_.size() / burst_size];
      item.data = data(i);
      item.length = lengths_[i];
      item.aad = aad_[i].bytes;
      item.aad_length = case_.subject.aad_length;
      item.tag = tags_[tag_set][i].bytes;
      std::memcpy(item.nonce.data(), &i, sizeof i);
    }
    return all;
  }
  std::size_t count() const { return count_; }

  void report(benchmark::State& state, std::uint64_t ticks) const {
    const auto packets = static_cast<double>(state.iterations()) * burst_size;
    state.counters["ticks"] = static_cast<double>(ticks) / packets;
    state.counters["mean_bytes"] = static_cast<double>(bytes_) / static_cast<double>(count_ * burst_size);
    state.SetItemsProcessed(static_cast<std::int64_t>(packets));
  }

 private:
  std::uint8_t* data(std::size_t i) { return memory_[i * lines_a_packet_].bytes + payload_offset; }

  const Engine& engine_;
  Case case_;
  std::size_t lines_a_key_, lines_a_packet_ = 0, count_ = 0, bytes_ = 0;
  std::vector<Line> contexts_;
  std::vector<Key> keys_;
  std::vector<Line> memory_, aad_;
  std::vector<Line> tags_[2];
  std::vector<std::uint32_t> lengths_;
};

template <typename Item>
std::span<Item> burst_of(std::vector<Item>& items, std::size_t number) {
  return std::span(items).subspan(number * burst_size, burst_size);
}

void seal(benchmark::State& state, const Engine& engine, const Case& c) {
  Bursts bursts(engine, c, Direction::seal);
  auto items = bursts.items<SealItem>(0);
  std::size_t next = 0;
  const std::uint64_t start = __rdtsc();
  for (auto _ : state) {
    engine.seal(burst_of(items, next));
    next = next + 1 == bursts.count() ? 0 : next + 1;
  }
  bursts.report(state, __rdtsc() - start);
  engine.seal(items);
  for (const SealItem& item : items)
    if (!item.ok) state.SkipWithError("a packet was not sealed");
}

// Opening in place turns ciphertext C into plaintext P. Under the same nonce P is the ciphertext of C, with another
// tag. So two sets of tags, used in turn, keep every packet of every burst authentic without copying anything back.
void open(benchmark::State& state, const Engine& engine, const Case& c) {
  Bursts bursts(engine, c, Direction::open);
  std::vector<OpenItem> items[2] = {bursts.items<OpenItem>(1), bursts.items<OpenItem>(0)};
  {
    Bursts sealing(engine, c, Direction::seal);  // for its keys only
    for (std::size_t set = 0; set < 2; ++set) {
      auto sealed = bursts.items<SealItem>(set);
      const auto keys = sealing.items<SealItem>(set);
      for (std::size_t i = 0; i < sealed.size(); ++i)
        sealed[i].key = keys[i].key;
      engine.seal(sealed);  // first P to C, tags of C; then C to P, tags of P: these come first below
    }
  }
  std::size_t next = 0, turn = 0;
  bool ok = true;
  const std::uint64_t start = __rdtsc();
  for (auto _ : state) {
    const auto burst = burst_of(items[turn], next);
    engine.open(burst);
    ok = ok && burst.front().ok && burst.back().ok;
    if (++next == bursts.count()) {
      next = 0;
      turn ^= 1;
    }
  }
  bursts.report(state, __rdtsc() - start);
  if (!ok) state.SkipWithError("a packet was not opened");
}

void add(const Engine& engine, const Case& c) {
  const std::string rest = "/" + c.subject.label + "/aes" + std::to_string(c.key_bytes * 8) + "/" + c.mix.label +
                           (c.keys == 1 ? "" : "/keys:" + std::to_string(c.keys));
  benchmark::RegisterBenchmark(("seal" + rest).c_str(), [&engine, c](auto& state) { seal(state, engine, c); });
  benchmark::RegisterBenchmark(("open" + rest).c_str(), [&engine, c](auto& state) { open(state, engine, c); });
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
    // The engine's own name stands for its best kernel.
    const auto burst = create_engine("burst");
    const std::string label(burst && (*burst)->name() == name ? "burst" : name);
    std::vector<Subject> subjects = {{label, label, 8}};
    if (name == "ipsec_mb") subjects.push_back({"ipsec_mb_aad12", "ipsec_mb", 12});
    for (const Subject& subject : subjects) {
      for (const std::size_t key : {16U, 32U}) {
        for (const Mix& mix : mixes()) {
          add(*engines.back(), {mix, key, 1, subject});
          if (mix.label != "64" && mix.label != "128" && mix.label != "256" && mix.label != "64-256") continue;
          for (const std::size_t keys : {8, 32})
            add(*engines.back(), {mix, key, keys, subject});
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
