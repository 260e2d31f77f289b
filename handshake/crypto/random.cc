#include <openssl/rand.h>

#include "handshake/crypto/hash.h"
#include "handshake/endpoint.h"

namespace sealcast::handshake {
namespace {

class SystemRandom final : public Random {
 public:
  void fill(ByteSpan out) override {
    if (RAND_priv_bytes(out.data(), static_cast<int>(out.size())) != 1) crypto_unusable("random number generator");
  }
};

}  // namespace

void reseed_system_random() {
  if (RAND_poll() != 1) crypto_unusable("random number generator");
}

Random& system_random() {
  static SystemRandom random;  // stateless
  return random;
}

}  // namespace sealcast::handshake
