// The burst engine against OpenSSL and IPsec-MB; what it must refuse, and what it must not touch.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>

#include "dataplane/aead/burst/burst_engine.h"
#include "dataplane/aead/burst/burst_testing.h"

namespace sealcast::dataplane::aead {
namespace {

using namespace burst_testing;

// Random packets compared with both other engines; builds without optimisation take a sample.
#ifdef NDEBUG
constexpr std::size_t differential_packets = 1'000'000;
constexpr std::size_t length_step = 1;
#else
constexpr std::size_t differential_packets = 100'000;
constexpr std::size_t length_step = 3;
#endif
constexpr std::size_t longest = 9216;

class BurstEngine : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto made = create_engine(GetParam());
    if (!made) GTEST_SKIP() << made.error().message;
    burst_ = std::move(*made);
    openssl_ = create_engine("openssl").value();
    ipsec_mb_ = create_engine("ipsec_mb").value();
  }

  std::mt19937_64 random_{20240611};
  std::unique_ptr<Engine> burst_, openssl_, ipsec_mb_;
};

// Seals `packets` with all engines, opens them again with the one under test.
void expect_agreement(const std::vector<std::pair<const Engine*, const Keys*>>& others, const Engine& burst,
                      const Keys& keys, const std::vector<TestPacket>& packets) {
  std::vector<TestPacket> sealed = packets;
  seal(burst, keys, sealed);
  for (const auto& [engine, their_keys] : others) {
    std::vector<TestPacket> theirs = packets;
    seal(*engine, *their_keys, theirs);
    for (std::size_t i = 0; i < packets.size(); i++) {
      ASSERT_EQ(sealed[i].data, theirs[i].data)
          << engine->name() << " disagrees on packet " << i << " of " << packets.size() << ", " << packets[i].length()
          << " bytes, " << packets[i].aad.size() << " of AAD";
    }
  }
  const std::vector<bool> ok = open(burst, keys, sealed);
  for (std::size_t i = 0; i < packets.size(); i++) {
    ASSERT_TRUE(ok[i]) << i;
    ASSERT_TRUE(std::equal(packets[i].data.begin(), packets[i].data.end() - tag_bytes, sealed[i].data.begin())) << i;
  }
}

TEST_P(BurstEngine, EveryLengthAgreesWithBothOtherEngines) {
  for (const std::size_t key_size : {16u, 32u}) {
    const std::vector<Bytes> raw = {random_bytes(random_, key_size)};
    const Keys keys = expand(*burst_, raw), theirs = expand(*openssl_, raw), imb = expand(*ipsec_mb_, raw);
    std::vector<TestPacket> packets;
    for (std::size_t length = 0; length <= longest; length += length_step) {
      packets.push_back(random_packet(random_, length, 8, 0));
      if (packets.size() == 32 || length + length_step > longest) {
        expect_agreement({{openssl_.get(), &theirs}, {ipsec_mb_.get(), &imb}}, *burst_, keys, packets);
        if (HasFatalFailure()) return;
        packets.clear();
      }
    }
  }
}

// Packet sizes as on a network: mostly small, some of Ethernet's size, few jumbo.
std::size_t random_length(std::mt19937_64& random) {
  const std::uint64_t r = random();
  switch (r % 16) {
    case 0:
      return (r >> 8) % 1500;
    case 1:
      return r % 256 < 4 ? (r >> 8) % (longest + 1) : 1400;
    case 2:
      return (r >> 8) % 600;
    case 3:
      return 64 * ((r >> 8) % 10);
    default:
      return (r >> 8) % 300;
  }
}

// Sizes 1 to 100, keys of both sizes mixed, one key or runs of several, now and then another AAD length.
TEST_P(BurstEngine, RandomMixedBurstsAgreeWithBothOtherEngines) {
  std::vector<Bytes> raw;
  for (int i = 0; i < 12; i++)
    raw.push_back(random_bytes(random_, i % 3 == 0 ? 32 : 16));
  const Keys keys = expand(*burst_, raw), theirs = expand(*openssl_, raw), imb = expand(*ipsec_mb_, raw);
  for (std::size_t done = 0; done < differential_packets;) {
    const std::uint64_t shape = random_();
    const std::size_t size = shape % 4 == 0 ? 32 : 1 + (shape >> 8) % 100;
    const std::size_t run = std::array<std::size_t, 4>{1000, 1, 4, 7}[(shape >> 16) % 4];
    const bool other_aad = (shape >> 20) % 8 == 0;
    std::vector<TestPacket> packets;
    std::size_t key = random_() % raw.size();
    for (std::size_t i = 0; i < size; i++) {
      if (i % run == run - 1) key = random_() % raw.size();
      packets.push_back(random_packet(random_, random_length(random_), other_aad ? random_() % 40 : 8, key));
    }
    expect_agreement({{openssl_.get(), &theirs}, {ipsec_mb_.get(), &imb}}, *burst_, keys, packets);
    if (HasFatalFailure()) return;
    done += size;
  }
}

TEST_P(BurstEngine, EmptyBurstDoesNothing) {
  burst_->seal({});
  burst_->open({});
}

TEST_P(BurstEngine, RefusesOtherKeySizes) {
  std::vector<Line> memory(burst_->context_bytes() / sizeof(Line));
  for (const std::size_t size : {0u, 15u, 24u, 33u}) {
    const Bytes key(size);
    EXPECT_FALSE(burst_->expand_key(key, Direction::seal, memory.data())) << size;
  }
}

TEST_P(BurstEngine, H14_ReleasedContextHoldsNothing) {
  std::vector<Line> memory(burst_->context_bytes() / sizeof(Line));
  Key key = burst_->expand_key(random_bytes(random_, 32), Direction::seal, memory.data()).value();
  burst_->release_key(key);
  const auto* bytes = memory.data()->bytes;
  EXPECT_TRUE(std::all_of(bytes, bytes + burst_->context_bytes(), [](std::uint8_t b) { return b == 0; }));
}

// Spoils a packet in one way: a bit of the tag, the data, the AAD or the nonce.
void forge(TestPacket& p, std::uint64_t choice) {
  const auto flip = [&](std::uint8_t* bytes, std::size_t n) {
    const std::size_t bit = (choice >> 8) % (n * 8);
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1u << (bit % 8)));
  };
  switch (choice % 4) {
    case 0:
      return flip(p.tag(), tag_bytes);
    case 1:
      return p.length() == 0 ? flip(p.tag(), tag_bytes) : flip(p.data.data(), p.length());
    case 2:
      return flip(p.aad.data(), p.aad.size());
    default:
      return flip(p.nonce.data(), p.nonce.size());
  }
}

// Opens `sealed` after spoiling those of `forged`: exactly these fail and hold zeros, all others are right.
void expect_only_forged_fail(const Engine& engine, const Keys& keys, const std::vector<TestPacket>& plain,
                             const std::vector<TestPacket>& sealed, const std::vector<bool>& forged,
                             std::mt19937_64& random) {
  std::vector<TestPacket> received = sealed;
  for (std::size_t i = 0; i < forged.size(); i++) {
    if (forged[i]) forge(received[i], random());
  }
  const std::vector<bool> ok = open(engine, keys, received);
  for (std::size_t i = 0; i < forged.size(); i++) {
    ASSERT_NE(ok[i], forged[i]) << "packet " << i << " of " << forged.size();
    const auto end = received[i].data.end() - tag_bytes;
    if (forged[i])
      ASSERT_TRUE(std::all_of(received[i].data.begin(), end, [](std::uint8_t b) { return b == 0; })) << i;
    else
      ASSERT_TRUE(std::equal(received[i].data.begin(), end, plain[i].data.begin())) << i;
  }
}

TEST_P(BurstEngine, OneForgedPacketIsFoundAtEveryPlaceOfEveryBurstSize) {
  for (const std::size_t key_size : {16u, 32u}) {
    const std::vector<Bytes> raw = {random_bytes(random_, key_size), random_bytes(random_, key_size)};
    const Keys keys = expand(*burst_, raw);
    for (std::size_t size = 1; size <= 64; size++) {
      std::vector<TestPacket> plain;
      for (std::size_t i = 0; i < size; i++)
        plain.push_back(random_packet(random_, random_length(random_) % 1400, 8, size % 2 * i % 2));
      std::vector<TestPacket> sealed = plain;
      seal(*burst_, keys, sealed);
      for (std::size_t place = 0; place < size; place++) {
        std::vector<bool> forged(size, false);
        forged[place] = true;
        expect_only_forged_fail(*burst_, keys, plain, sealed, forged, random_);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(BurstEngine, AnySetOfForgedPacketsIsFound) {
  const std::vector<Bytes> raw = {random_bytes(random_, 16), random_bytes(random_, 16)};
  const Keys keys = expand(*burst_, raw);
  for (unsigned set = 0; set < 256; set++) {
    std::vector<TestPacket> plain;
    std::vector<bool> forged;
    for (std::size_t i = 0; i < 8; i++) {
      plain.push_back(random_packet(random_, set % 2 == 0 ? 64 : random_length(random_), 8, set / 2 % 2 * i % 2));
      forged.push_back(((set >> i) & 1) != 0);
    }
    std::vector<TestPacket> sealed = plain;
    seal(*burst_, keys, sealed);
    expect_only_forged_fail(*burst_, keys, plain, sealed, forged, random_);
    if (HasFatalFailure()) return;
  }
}

TEST_P(BurstEngine, EveryBitOfTheTagCountsInEveryLane) {
  const std::vector<Bytes> raw = {random_bytes(random_, 16)};
  const Keys keys = expand(*burst_, raw);
  std::vector<TestPacket> sealed;
  for (int i = 0; i < 4; i++)
    sealed.push_back(random_packet(random_, 100, 8, 0));
  seal(*burst_, keys, sealed);
  for (std::size_t lane = 0; lane < 4; lane++) {
    for (std::size_t bit = 0; bit < 8 * tag_bytes; bit++) {
      std::vector<TestPacket> received = sealed;
      std::uint8_t& byte = received[lane].tag()[bit / 8];
      byte = static_cast<std::uint8_t>(byte ^ (1u << (bit % 8)));
      const std::vector<bool> ok = open(*burst_, keys, received);
      for (std::size_t i = 0; i < 4; i++)
        ASSERT_EQ(ok[i], i != lane) << "bit " << bit;
    }
  }
}

// Memory with an inaccessible page on either side.
class GuardedPages {
 public:
  explicit GuardedPages(std::size_t bytes) : bytes_((bytes + page - 1) / page * page) {
    void* p = mmap(nullptr, bytes_ + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return;
    base_ = static_cast<std::uint8_t*>(p);
    if (mprotect(base_ + page, bytes_, PROT_READ | PROT_WRITE) != 0) std::abort();
  }
  ~GuardedPages() {
    if (base_ != nullptr) munmap(base_, bytes_ + 2 * page);
  }
  GuardedPages(const GuardedPages&) = delete;
  GuardedPages& operator=(const GuardedPages&) = delete;

  std::uint8_t* first() const { return base_ + page; }
  std::uint8_t* end() const { return base_ + page + bytes_; }

 private:
  static constexpr std::size_t page = 4096;
  std::size_t bytes_;
  std::uint8_t* base_ = nullptr;
};

// Data, AAD and tag end (or start) at the edge of the memory: the next access would fault.
TEST_P(BurstEngine, TouchesNothingOutsideAPacket) {
  constexpr std::size_t packets = 5;
  const std::vector<Bytes> raw = {random_bytes(random_, 16), random_bytes(random_, 32)};
  const Keys keys = expand(*burst_, raw), theirs = expand(*openssl_, raw);
  std::vector<std::unique_ptr<GuardedPages>> data, aads, tags;
  for (std::size_t i = 0; i < packets; i++) {
    data.push_back(std::make_unique<GuardedPages>(longest));
    aads.push_back(std::make_unique<GuardedPages>(64));
    tags.push_back(std::make_unique<GuardedPages>(tag_bytes));
  }
  for (std::size_t length = 0; length <= longest; length += length < 1200 ? 1 : 509) {
    for (const bool at_end : {true, false}) {
      std::vector<TestPacket> expected;
      std::vector<SealItem> sealing;
      std::vector<OpenItem> opening;
      for (std::size_t i = 0; i < packets; i++) {
        // Neighbours in one group are of the same length or shorter: a shorter one is processed with a mask.
        const std::size_t own = i % 2 == 0 ? length : length * i / packets;
        const std::size_t aad = length % 5 == 0 ? length % 33 : 8;
        expected.push_back(random_packet(random_, own, aad, length % 2));
        TestPacket& p = expected.back();
        SealItem s = item_for<SealItem>(keys, p);
        s.data = at_end ? data[i]->end() - own : data[i]->first();
        std::uint8_t* const aad_at = at_end ? aads[i]->end() - aad : aads[i]->first();
        s.aad = aad_at;
        s.tag = at_end ? tags[i]->end() - tag_bytes : tags[i]->first();
        std::copy_n(p.data.begin(), own, s.data);
        std::copy_n(p.aad.begin(), aad, aad_at);
        sealing.push_back(s);
        OpenItem o = item_for<OpenItem>(keys, p);
        o.data = s.data;
        o.aad = s.aad;
        o.tag = s.tag;
        opening.push_back(o);
      }
      const std::vector<TestPacket> plain = expected;
      seal(*openssl_, theirs, expected);
      burst_->seal(sealing);
      for (std::size_t i = 0; i < packets; i++) {
        ASSERT_TRUE(std::equal(sealing[i].data, sealing[i].data + sealing[i].length, expected[i].data.begin()));
        ASSERT_TRUE(std::equal(sealing[i].tag, sealing[i].tag + tag_bytes, expected[i].tag()));
      }
      burst_->open(opening);
      for (std::size_t i = 0; i < packets; i++) {
        ASSERT_TRUE(opening[i].ok);
        ASSERT_TRUE(std::equal(opening[i].data, opening[i].data + opening[i].length, plain[i].data.begin()));
      }
    }
  }
}

// Packets lie close together; the bytes around them stay unchanged.
TEST_P(BurstEngine, LeavesNeighboursAlone) {
  const std::vector<Bytes> raw = {random_bytes(random_, 16)};
  const Keys keys = expand(*burst_, raw);
  for (std::size_t length = 0; length < 700; length += 7) {
    constexpr std::size_t packets = 9, gap = 3;
    const std::size_t stride = length + tag_bytes + gap;
    Bytes memory(packets * stride, 0xee);
    Bytes aad(8, 1);
    std::vector<SealItem> items(packets);
    for (std::size_t i = 0; i < packets; i++) {
      items[i].key = keys[0]->sealing();
      items[i].data = memory.data() + i * stride;
      items[i].length = static_cast<std::uint32_t>(length);
      items[i].aad = aad.data();
      items[i].aad_length = 8;
      items[i].tag = items[i].data + length;
      items[i].nonce[11] = static_cast<std::uint8_t>(i);
    }
    burst_->seal(items);
    for (std::size_t i = 0; i < packets; i++) {
      ASSERT_TRUE(items[i].ok);
      for (std::size_t k = 0; k < gap; k++)
        ASSERT_EQ(memory[i * stride + length + tag_bytes + k], 0xee) << length;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, BurstEngine, testing::Values("burst-512", "burst-256"), [](const auto& instance) {
  return std::string(instance.param) == "burst-512" ? "Vaes512" : "Vaes256";
});

}  // namespace
}  // namespace sealcast::dataplane::aead
