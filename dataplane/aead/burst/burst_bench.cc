// The burst engine against IPsec-MB at its best: direct calls with 12 bytes of AAD, its only fast size. Both run in
// turns on the same packets in one process, the best of many short runs of each is kept; IPsec-MB's open includes the
// comparison of the tag that every user must add. Figures are TSC ticks per packet: compare them with each other only,
// and leave the other CPUs idle. burst-256 is measured against IPsec-MB's code for CPUs without AVX-512.
#include <intel-ipsec-mb.h>
#include <x86intrin.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "dataplane/aead/burst/burst_engine.h"
#include "dataplane/aead/burst/burst_testing.h"

namespace sealcast::dataplane::aead {
namespace {

using burst_testing::Line;

constexpr std::size_t burst_size = 32;

struct Case {
  std::size_t shortest, longest;  // payload bytes, evenly spread
  std::size_t keys;               // per burst, packets of one key side by side
};

struct alignas(64) MbKey {
  gcm_key_data data;
};

// One set of packets, as both engines see it.
class Contest {
 public:
  Contest(const Engine& engine, const IMB_MGR& mb, std::size_t key_bytes, const Case& c, std::mt19937_64& random)
      : engine_(engine),
        mb_seal_(key_bytes == 16 ? mb.gcm128_enc : mb.gcm256_enc),
        mb_open_(key_bytes == 16 ? mb.gcm128_dec : mb.gcm256_dec),
        bursts_(c.longest > 2048 ? 2 : 16),
        contexts_(c.keys * engine.context_bytes() / sizeof(Line)),
        keys_(c.keys),
        mb_keys_(c.keys) {
    for (std::size_t k = 0; k < c.keys; k++) {
      const Bytes raw = burst_testing::random_bytes(random, key_bytes);
      keys_[k] =
          engine.expand_key(raw, Direction::seal, contexts_.data() + k * engine.context_bytes() / sizeof(Line)).value();
      (key_bytes == 16 ? mb.gcm128_pre : mb.gcm256_pre)(raw.data(), &mb_keys_[k].data);
    }
    // As in packet buffers: a stride that spreads over the cache's sets, data behind headers of 50 bytes.
    const std::size_t stride = (c.longest + 640) / 64 * 64;
    const std::size_t packets = bursts_ * burst_size;
    memory_ = burst_testing::random_bytes(random, packets * stride + 64);
    for (std::size_t i = 0; i < packets; i++) {
      const std::size_t key = i % burst_size * c.keys / burst_size;
      SealItem item;
      item.key = &keys_[key];
      item.data = memory_.data() + i * stride + 50;
      item.length = static_cast<std::uint32_t>(c.shortest + random() % (c.longest - c.shortest + 1));
      item.aad = item.data - 16;
      item.aad_length = 8;
      item.tag = item.data + item.length;
      std::memcpy(item.nonce.data(), item.data - 12, nonce_bytes);
      seal_.push_back(item);
      open_.push_back({item.key, item.data, item.length, 8, item.aad, item.tag, item.nonce, false});
      mb_key_.push_back(&mb_keys_[key].data);
    }
  }

  void seal() {
    for (std::size_t b = 0; b < bursts_; b++)
      engine_.seal({seal_.data() + b * burst_size, burst_size});
  }
  void open() {
    for (std::size_t b = 0; b < bursts_; b++)
      engine_.open({open_.data() + b * burst_size, burst_size});
  }
  void mb_seal() {
    for (std::size_t i = 0; i < seal_.size(); i++) {
      SealItem& s = seal_[i];
      mb_seal_(mb_key_[i], &scratch_, s.data, s.data, s.length, s.nonce.data(), s.aad, 12, s.tag, tag_bytes);
    }
  }
  void mb_open() {
    for (std::size_t i = 0; i < open_.size(); i++) {
      OpenItem& o = open_[i];
      std::uint64_t made[2], sent[2];
      mb_open_(mb_key_[i], &scratch_, o.data, o.data, o.length, o.nonce.data(), o.aad, 12,
               reinterpret_cast<std::uint8_t*>(made), tag_bytes);
      std::memcpy(sent, o.tag, tag_bytes);
      o.ok = ((made[0] ^ sent[0]) | (made[1] ^ sent[1])) == 0;
    }
  }
  std::size_t packets() const { return seal_.size(); }

 private:
  const Engine& engine_;
  aes_gcm_enc_dec_t mb_seal_, mb_open_;
  std::size_t bursts_;
  std::vector<Line> contexts_;
  std::vector<Key> keys_;
  std::vector<MbKey> mb_keys_;
  Bytes memory_;
  std::vector<SealItem> seal_;
  std::vector<OpenItem> open_;
  std::vector<const gcm_key_data*> mb_key_;
  gcm_context_data scratch_{};
};

template <class Action>
void keep_best(std::uint64_t& best, Action action) {
  const std::uint64_t before = __rdtsc();
  action();
  best = std::min<std::uint64_t>(best, __rdtsc() - before);
}

// The data plane's target: at least so many times as fast as IPsec-MB; 0: none.
double target_of(const Case& c) {
  if (c.longest != c.shortest) return c.longest > 256 ? 0 : c.keys == 32 ? 1.3 : 1.7;
  if (c.keys != 1) return 0;
  switch (c.longest) {
    case 64:
      return 2.8;
    case 128:
      return 2.1;
    case 256:
      return 1.55;
    case 512:
      return 1.2;
    case 1024:
      return 1.05;
    default:
      return c.longest >= 1400 ? 1.0 : 0;
  }
}

struct Score {
  unsigned rows = 0, missed = 0;
};

void report(std::uint64_t ours, std::uint64_t theirs, std::size_t packets, double target, Score& score) {
  const auto per_packet = [&](std::uint64_t ticks) {
    return static_cast<double>(ticks) / static_cast<double>(packets);
  };
  const double ratio = per_packet(theirs) / per_packet(ours);
  std::printf(" | %7.1f %7.1f  x%4.2f", per_packet(ours), per_packet(theirs), ratio);
  if (target == 0) {
    std::printf("           ");
    return;
  }
  const bool met = ratio >= target;
  std::printf(" %4.2f %s", target, met ? "pass  " : "MISSED");
  score.rows++;
  score.missed += met ? 0 : 1;
}

void run(const Engine& engine, const IMB_MGR& mb, std::size_t key_bytes, const Case& c, int rounds, Score& score) {
  std::mt19937_64 random(1);
  Contest contest(engine, mb, key_bytes, c, random);
  std::uint64_t seal = ~0ull, open = ~0ull, mb_seal = ~0ull, mb_open = ~0ull;
  for (int r = 0; r < rounds; r++) {
    keep_best(mb_seal, [&] { contest.mb_seal(); });
    keep_best(seal, [&] { contest.seal(); });
    keep_best(open, [&] { contest.open(); });
    contest.mb_seal();
    keep_best(mb_open, [&] { contest.mb_open(); });
  }
  char bytes[16];
  if (c.shortest == c.longest)
    std::snprintf(bytes, sizeof bytes, "%zu", c.longest);
  else
    std::snprintf(bytes, sizeof bytes, "%zu-%zu", c.shortest, c.longest);
  std::printf("%3zu %7s %4zu", key_bytes * 8, bytes, c.keys);
  const double target = target_of(c);
  report(seal, mb_seal, contest.packets(), target, score);
  report(open, mb_open, contest.packets(), target, score);
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace
}  // namespace sealcast::dataplane::aead

// burst_bench [rounds [engine]]: "burst" (the default), "burst-512" or "burst-256"
int main(int argc, char** argv) {
  using namespace sealcast::dataplane::aead;
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 1000;
  const std::string_view name = argc > 2 ? argv[2] : "burst";
  auto engine = name == "burst-512" ? create_burst_512() : name == "burst-256" ? create_burst_256() : create_burst();
  IMB_MGR* const mb = alloc_mb_mgr(0);
  if (!engine || mb == nullptr) {
    std::fprintf(stderr, "%s\n", engine ? "ipsec_mb: out of memory" : engine.error().message.c_str());
    return 1;
  }
  IMB_ARCH arch = IMB_ARCH_AVX2;
  if ((*engine)->name() == "burst-256")
    init_mb_mgr_avx2(mb);
  else
    init_mb_mgr_auto(mb, &arch);
  std::printf("%s against IPsec-MB (%s), bursts of 32, ticks per packet, best of %d\n",
              std::string((*engine)->name()).c_str(), arch == IMB_ARCH_AVX512 ? "AVX-512" : "AVX2", rounds);
  std::printf("AES   bytes keys |    seal     imb  ratio target     |    open     imb  ratio target\n");
  Score score;
  for (const std::size_t key_bytes : {16u, 32u}) {
    for (const std::size_t length : {52u, 64u, 80u, 128u, 256u, 512u, 1024u, 1400u, 2048u, 4096u, 8192u})
      run(**engine, *mb, key_bytes, {length, length, 1}, rounds, score);
    for (const std::size_t keys : {1u, 8u, 32u}) {
      run(**engine, *mb, key_bytes, {64, 256, keys}, rounds, score);
      if (keys == 1) continue;
      for (const std::size_t length : {64u, 128u, 256u})
        run(**engine, *mb, key_bytes, {length, length, keys}, rounds, score);
    }
    run(**engine, *mb, key_bytes, {0, 1500, 1}, rounds, score);
  }
  std::printf("targets met: %u of %u\n", score.rows - score.missed, score.rows);
  free_mb_mgr(mb);
  return 0;
}
