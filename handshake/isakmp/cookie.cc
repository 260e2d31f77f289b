#include "handshake/isakmp/cookie.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include "handshake/crypto/openssl_ptr.h"

namespace sealcast::isakmp {
namespace {

using handshake::OpensslDeleter;
using handshake::Reason;
using handshake::refuse;

constexpr std::string_view cookie_label = "sealcast isakmp cookie";

Outcome<Cookie> cookie(const Secret<32>& key, const PeerAddress& peer, const Cookie& initiator, std::int64_t slot) {
  // Every field has a fixed size, so no two inputs look alike.
  std::array<std::uint8_t, cookie_label.size() + 1 + 16 + 2 + 8 + 8> input{};
  auto out = std::copy(cookie_label.begin(), cookie_label.end(), input.begin());
  *out++ = peer.address.family;
  out = std::copy(peer.address.bytes.begin(), peer.address.bytes.end(), out);
  store_be<std::uint16_t>(&*out, peer.port);
  out = std::copy(initiator.begin(), initiator.end(), out + 2);
  store_be<std::uint64_t>(&*out, static_cast<std::uint64_t>(slot));

  const std::unique_ptr<EVP_MAC, OpensslDeleter<EVP_MAC_free>> hmac(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  const std::unique_ptr<EVP_MAC_CTX, OpensslDeleter<EVP_MAC_CTX_free>> context(hmac ? EVP_MAC_CTX_new(hmac.get())
                                                                                    : nullptr);
  char digest[] = "SHA256";
  const std::array parameters = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
  std::array<std::uint8_t, 32> mac{};
  std::size_t size = 0;
  if (!context || EVP_MAC_init(context.get(), key.data(), key.size(), parameters.data()) != 1 ||
      EVP_MAC_update(context.get(), input.data(), input.size()) != 1 ||
      EVP_MAC_final(context.get(), mac.data(), &size, mac.size()) != 1 || size != mac.size()) {
    return refuse(Reason::internal_error, "HMAC of a cookie: " + handshake::take_openssl_error());
  }
  Cookie result{};
  std::copy_n(mac.begin(), result.size(), result.begin());
  // 0 means "none yet", so its last byte becomes 1, without a branch on secret bits.
  std::uint32_t any = 0;
  for (const std::uint8_t byte : result)
    any |= byte;
  result.back() = static_cast<std::uint8_t>(result.back() | (((any - 1) >> 8) & 1));
  return result;
}

}  // namespace

void CookieKeys::rotate(Secret<32> key) {
  previous_ = std::move(current_);
  current_ = std::move(key);
}

Outcome<Cookie> CookieKeys::make(const PeerAddress& peer, const Cookie& initiator, std::int64_t unix_now) const {
  return cookie(current_, peer, initiator, unix_now / slot_seconds);
}

Outcome<bool> CookieKeys::check(const PeerAddress& peer, const Cookie& initiator, const Cookie& responder,
                                std::int64_t unix_now) const {
  bool good = false;
  for (const Secret<32>* key : {&current_, previous_ ? &*previous_ : nullptr}) {
    if (key == nullptr) continue;
    for (const std::int64_t age : {0, 1}) {
      SEALCAST_TRY_ASSIGN(const auto wanted, cookie(*key, peer, initiator, unix_now / slot_seconds - age));
      const bool same = equal_constant_time(wanted.data(), responder.data(), responder.size());
      good = good || same;
    }
  }
  return good;
}

}  // namespace sealcast::isakmp
