// libFuzzer: bytes → a burst of packets (lengths, AAD lengths, keys, contents); burst and OpenSSL must agree, and what
// was sealed must open, unless a byte was spoilt.
#include <cstdlib>

#include "dataplane/aead/burst/burst_engine.h"
#include "dataplane/aead/burst/burst_testing.h"

using namespace sealcast;
using namespace sealcast::dataplane::aead;
using namespace sealcast::dataplane::aead::burst_testing;

namespace {

struct Engines {
  std::unique_ptr<Engine> burst, openssl;
  Keys burst_keys, openssl_keys;
};

Engines* make_engines() {
  auto burst = create_burst();
  auto openssl = create_engine("openssl");
  if (!burst || !openssl) std::abort();
  auto* e = new Engines{std::move(*burst), std::move(*openssl), {}, {}};
  std::mt19937_64 random(7);
  std::vector<Bytes> raw;
  for (std::size_t i = 0; i < 6; i++)
    raw.push_back(random_bytes(random, i % 2 == 0 ? 16 : 32));
  e->burst_keys = expand(*e->burst, raw);
  e->openssl_keys = expand(*e->openssl, raw);
  return e;
}

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Engines* const engines = make_engines();
  std::vector<TestPacket> packets;
  std::vector<bool> spoilt;
  // Four bytes describe a packet; contents follow from them.
  for (; size >= 4 && packets.size() < 130; data += 4, size -= 4) {
    std::mt19937_64 random(data[0] | data[1] << 8 | data[2] << 16);
    const std::size_t length = (data[0] | data[1] << 8) % 9217;
    packets.push_back(random_packet(random, length, data[2] < 200 ? 8 : data[2] % 48, data[3] % 6));
    spoilt.push_back(data[3] >= 240);
  }
  std::vector<TestPacket> sealed = packets, expected = packets;
  seal(*engines->burst, engines->burst_keys, sealed);
  seal(*engines->openssl, engines->openssl_keys, expected);
  for (std::size_t i = 0; i < packets.size(); i++) {
    require(sealed[i].data == expected[i].data);
    if (spoilt[i]) sealed[i].data[sealed[i].data.size() / 2] ^= 1;
  }
  const std::vector<bool> ok = open(*engines->burst, engines->burst_keys, sealed);
  for (std::size_t i = 0; i < packets.size(); i++) {
    require(ok[i] != spoilt[i]);
    sealed[i].data.resize(sealed[i].length());
    packets[i].data.resize(sealed[i].data.size());
    require(sealed[i].data == (spoilt[i] ? Bytes(sealed[i].data.size()) : packets[i].data));
  }
  return 0;
}
