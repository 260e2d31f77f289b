// The burst engine against IPsec-MB at its best: direct calls with 12 bytes of AAD, its only fast size. Both run in
// turns on the same packets in one process, the best of many short runs of each is kept; IPsec-MB's open includes the
// comparison of the tag that every user must add. Figures are TSC ticks per packet: compare them with each other only,
// and leave the other CPUs idle.
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

// One set of packets and both engines' view of it.
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

void run(const Engine& engine, const IMB_MGR& mb, std::size_t key_bytes, const Case& c, int rounds) {
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
  const auto per_packet = [&](std::uint64_t ticks) {
    return static_cast<double>(ticks) / static_cast<double>(contest.packets());
  };
  std::printf(
      "AES-%zu  %4zu..%4zu bytes  %2zu keys | seal %6.1f  ipsec_mb %6.1f  x%.2f | open %6.1f  ipsec_mb %6.1f  x%.2f\n",
      key_bytes * 8, c.shortest, c.longest, c.keys, per_packet(seal), per_packet(mb_seal),
      per_packet(mb_seal) / per_packet(seal), per_packet(open), per_packet(mb_open),
      per_packet(mb_open) / per_packet(open));
}

}  // namespace
}  // namespace sealcast::dataplane::aead

// burst_bench [rounds]
int main(int argc, char** argv) {
  using namespace sealcast::dataplane::aead;
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 1000;
  auto engine = create_burst();
  IMB_MGR* const mb = alloc_mb_mgr(0);
  if (!engine || mb == nullptr) {
    std::fprintf(stderr, "%s\n", engine ? "ipsec_mb: out of memory" : engine.error().message.c_str());
    return 1;
  }
  IMB_ARCH arch;
  init_mb_mgr_auto(mb, &arch);
  for (const std::size_t key_bytes : {16u, 32u}) {
    for (const std::size_t length : {60u, 64u, 80u, 128u, 256u, 512u, 1024u, 1400u, 2048u, 4096u, 8192u})
      run(**engine, *mb, key_bytes, {length, length, 1}, rounds);
    for (const std::size_t keys : {1u, 8u, 32u}) {
      run(**engine, *mb, key_bytes, {64, 256, keys}, rounds);
      if (keys == 1) continue;
      for (const std::size_t length : {64u, 128u, 256u})
        run(**engine, *mb, key_bytes, {length, length, keys}, rounds);
    }
    run(**engine, *mb, key_bytes, {0, 1500, 1}, rounds);
  }
  free_mb_mgr(mb);
  return 0;
}
