// The pair once more, with a crypto provider that accepts everything: records are not encrypted, no tag, signature or
// Finished is ever wrong. So the attacker's edits reach every message in every state of both ends; otherwise they would
// end at the first check. The linker puts the provider in place of the real functions, in this program alone (--wrap in
// CMakeLists.txt).
#include <cstring>

#include "handshake/crypto/signature.h"
#include "tests/fuzz/pair.h"

namespace {

using namespace sealcast;             // NOLINT: a fuzzer of it
using namespace sealcast::handshake;  // NOLINT
using sealcast::fuzz::Input;
using sealcast::fuzz::require;

struct Provider {
  bool open = false;  // false while the certificates are made: the real functions run
  unsigned sealed = 0, opened = 0, compared = 0, verified = 0;
} provider;

}  // namespace

#define SPAN_CONST "St4spanIKhLm18446744073709551615EE"
#define SEAL "_ZN8sealcast9handshake6AesGcm4sealEm" SPAN_CONST "S4_S2_IhLm18446744073709551615EE"
#define OPEN "_ZN8sealcast9handshake6AesGcm4openEm" SPAN_CONST "S4_S2_IhLm18446744073709551615EE"
#define VERIFY                                              \
  "_ZN8sealcast9handshake16verify_signatureEP11evp_pkey_st" \
  "t" SPAN_CONST "S5_"
#define EQUAL "_ZN8sealcast19equal_constant_timeEPKhS1_m"

void real_seal(AesGcm*, std::uint64_t, ByteView, ByteView, ByteSpan) __asm__("__real_" SEAL);
bool real_open(AesGcm*, std::uint64_t, ByteView, ByteView, ByteSpan) __asm__("__real_" OPEN);
Outcome<void> real_verify(EVP_PKEY*, std::uint16_t, ByteView, ByteView) __asm__("__real_" VERIFY);
bool real_equal(const std::uint8_t*, const std::uint8_t*, std::size_t) noexcept __asm__("__real_" EQUAL);
void open_seal(AesGcm*, std::uint64_t, ByteView, ByteView, ByteSpan) __asm__("__wrap_" SEAL);
bool open_open(AesGcm*, std::uint64_t, ByteView, ByteView, ByteSpan) __asm__("__wrap_" OPEN);
Outcome<void> open_verify(EVP_PKEY*, std::uint16_t, ByteView, ByteView) __asm__("__wrap_" VERIFY);
bool open_equal(const std::uint8_t*, const std::uint8_t*, std::size_t) noexcept __asm__("__wrap_" EQUAL);

void open_seal(AesGcm* self, std::uint64_t nonce, ByteView aad, ByteView plaintext, ByteSpan out) {
  if (!provider.open) return real_seal(self, nonce, aad, plaintext, out);
  ++provider.sealed;
  require(out.size() == plaintext.size() + gcm_tag_size);
  if (!plaintext.empty()) std::memmove(out.data(), plaintext.data(), plaintext.size());
  std::memset(out.data() + plaintext.size(), 0, gcm_tag_size);
}

bool open_open(AesGcm* self, std::uint64_t nonce, ByteView aad, ByteView sealed, ByteSpan out) {
  if (!provider.open) return real_open(self, nonce, aad, sealed, out);
  ++provider.opened;
  require(sealed.size() == out.size() + gcm_tag_size);
  if (!out.empty()) std::memmove(out.data(), sealed.data(), out.size());
  return true;
}

Outcome<void> open_verify(EVP_PKEY* key, std::uint16_t scheme, ByteView message, ByteView signature) {
  if (!provider.open) return real_verify(key, scheme, message, signature);
  ++provider.verified;
  return {};
}

bool open_equal(const std::uint8_t* a, const std::uint8_t* b, std::size_t n) noexcept {
  if (!provider.open) return real_equal(a, b, n);
  ++provider.compared;
  return true;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const std::size_t way = input.pick(handshake::fuzz::all_ways.size());
  const bool accept_password = !input.flag();
  testing::World* world = handshake::fuzz::world_of(way);
  if (world == nullptr) return 0;
  provider = Provider{true};
  handshake::fuzz::Middle middle(handshake::fuzz::read_edits(input), true);
  handshake::fuzz::PairRun pair(*world);
  pair.run(middle, accept_password);
  if (pair.client_side && pair.server_side) {
    // The control channel, edited like the rest. Not every end may send every message; then it is refused.
    (void)pair.server->send(GroupUpdate{testing::clone(world->authority.keying)});
    (void)pair.server->send(Activate{"tv", 7});
    (void)pair.client->send(StatusReport{"tv", 7, 1, 2, 3, {{0x10000002, 5, 700}}});
    (void)pair.client->send(Keepalive{1});
    (void)pair.client->send_data(Bytes(10));
    pair.run(middle, accept_password);
  }
  pair.check_keying_of_client();
  const bool refused = pair.passwords > 0 && !accept_password;
  if (!middle.changed() && !refused) {
    require(pair.client_side && pair.server_side);
    // The provider is really in place: if one of the functions changes its signature, the linker silently leaves it
    // out.
    require(provider.sealed > 0 && provider.opened > 0 && provider.compared > 0 && provider.verified > 0);
  }
  provider.open = false;
  return 0;
}
