// libFuzzer: bytes → a burst of packets (lengths, AAD lengths, keys, contents). OpenSSL and every kernel of the burst
// engine that this CPU runs must agree, and sealed packets must open, unless a byte was spoilt.
#include <algorithm>
#include <cstdlib>

#include "dataplane/aead/burst/burst_engine.h"
#include "dataplane/aead/burst/burst_testing.h"

using namespace sealcast;
using namespace sealcast::dataplane::aead;
using namespace sealcast::dataplane::aead::burst_testing;

namespace {

struct Subject {
  std::unique_ptr<Engine> engine;
  Keys keys;
};

// OpenSSL first.
std::vector<Subject>* make_engines() {
  auto* engines = new std::vector<Subject>;
  std::mt19937_64 random(7);
  std::vector<Bytes> raw;
  for (std::size_t i = 0; i < 6; i++)
    raw.push_back(random_bytes(random, i % 2 == 0 ? 16 : 32));
  for (const char* name : {"openssl", "burst-512", "burst-256"}) {
    auto engine = create_engine(name);
    if (!engine) continue;
    Keys keys = expand(**engine, raw);
    engines->push_back({std::move(*engine), std::move(keys)});
  }
  if (engines->size() < 2) std::abort();
  return engines;
}

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<Subject>* const engines = make_engines();
  std::vector<TestPacket> packets;
  std::vector<bool> spoilt;
  // Four bytes describe a packet and determine its contents.
  for (; size >= 4 && packets.size() < 130; data += 4, size -= 4) {
    std::mt19937_64 random(data[0] | data[1] << 8 | data[2] << 16);
    const std::size_t length = (data[0] | data[1] << 8) % 9217;
    packets.push_back(random_packet(random, length, data[2] < 200 ? 8 : data[2] % 48, data[3] % 6));
    spoilt.push_back(data[3] >= 240);
  }
  std::vector<TestPacket> expected = packets;
  seal(*engines->front().engine, engines->front().keys, expected);
  for (std::size_t e = 1; e < engines->size(); e++) {
    const Subject& burst = (*engines)[e];
    std::vector<TestPacket> sealed = packets;
    seal(*burst.engine, burst.keys, sealed);
    for (std::size_t i = 0; i < packets.size(); i++) {
      require(sealed[i].data == expected[i].data);
      if (spoilt[i]) sealed[i].data[sealed[i].data.size() / 2] ^= 1;
    }
    const std::vector<bool> ok = open(*burst.engine, burst.keys, sealed);
    for (std::size_t i = 0; i < packets.size(); i++) {
      require(ok[i] != spoilt[i]);
      sealed[i].data.resize(sealed[i].length());
      const std::span plain(packets[i].data.data(), sealed[i].data.size());
      require(spoilt[i] ? sealed[i].data == Bytes(plain.size())
                        : std::equal(plain.begin(), plain.end(), sealed[i].data.begin()));
    }
  }
  return 0;
}
