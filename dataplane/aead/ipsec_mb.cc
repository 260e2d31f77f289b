// IPsec-MB's direct single-call GCM: one call per packet, in place. The manager is only a table of functions chosen by
// CPU; no job queue is used, so one manager serves all workers. (Version 1.3 stores an error word per process at every
// call, which workers on several cores share.)
#include <intel-ipsec-mb.h>

#include <cstring>

#include "base/secret.h"
#include "dataplane/aead/engines.h"

namespace sealcast::dataplane::aead {
namespace {

// Small by design: with thousands of groups the key context decides the cache misses. The structure has no alignment of
// its own, so it gets whole cache lines: 16 for the 1008 bytes of version 1.3, 20 for the 1264 of version 2.0.
constexpr std::size_t ipsec_mb_context_size = (sizeof(gcm_key_data) + 63) / 64 * 64;
static_assert(ipsec_mb_context_size <= (IMB_VERSION_NUM < IMB_VERSION(2, 0, 0) ? 1024 : 1280));
static_assert(alignof(gcm_key_data) <= 64);

using Call = aes_gcm_enc_dec_t;

class IpsecMbEngine final : public Engine {
 public:
  explicit IpsecMbEngine(IMB_MGR* manager) : manager_(manager) {}
  ~IpsecMbEngine() override { free_mb_mgr(manager_); }

  std::string_view name() const override { return "ipsec_mb"; }
  std::size_t context_bytes() const override { return ipsec_mb_context_size; }

  Result<Key> expand_key(std::span<const std::uint8_t> key, Direction direction, void* context) const override {
    auto* data = static_cast<gcm_key_data*>(context);
    if (key.size() == 16) {
      manager_->gcm128_pre(key.data(), data);
    } else if (key.size() == 32) {
      manager_->gcm256_pre(key.data(), data);
    } else {
      return fail("AES key: expected 16 or 32 bytes, got " + std::to_string(key.size()));
    }
    return Key{context, static_cast<std::uint8_t>(key.size()), direction};
  }

  void release_key(Key& key) const override {
    wipe(key.context, ipsec_mb_context_size);
    key = Key{};
  }

  void seal(std::span<SealItem> items) const override {
    gcm_context_data scratch;
    for (SealItem& item : items) {
      const Call call = item.key->size == 16 ? manager_->gcm128_enc : manager_->gcm256_enc;
      call(static_cast<const gcm_key_data*>(item.key->context), &scratch, item.data, item.data, item.length,
           item.nonce.data(), item.aad, item.aad_length, item.tag, tag_bytes);
      item.ok = true;
    }
    wipe(&scratch, sizeof scratch);
  }

  void open(std::span<OpenItem> items) const override {
    gcm_context_data scratch;
    std::uint8_t tag[tag_bytes];
    for (OpenItem& item : items) {
      const Call call = item.key->size == 16 ? manager_->gcm128_dec : manager_->gcm256_dec;
      call(static_cast<const gcm_key_data*>(item.key->context), &scratch, item.data, item.data, item.length,
           item.nonce.data(), item.aad, item.aad_length, tag, tag_bytes);
      std::uint64_t got[2], want[2];
      std::memcpy(got, tag, tag_bytes);
      std::memcpy(want, item.tag, tag_bytes);
      item.ok = ((got[0] ^ want[0]) | (got[1] ^ want[1])) == 0;
      if (!item.ok) wipe(item.data, item.length);
    }
    wipe(&scratch, sizeof scratch);
    wipe(tag, sizeof tag);
  }

 private:
  IMB_MGR* manager_;
};

}  // namespace

Result<std::unique_ptr<Engine>> create_ipsec_mb() {
  IMB_MGR* manager = alloc_mb_mgr(0);
  if (manager == nullptr) return fail("engine ipsec_mb: the library could not allocate its manager");
  IMB_ARCH arch = IMB_ARCH_NONE;
  init_mb_mgr_auto(manager, &arch);
  constexpr std::uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ | IMB_FEATURE_SSE4_2;
  if (imb_get_errno(manager) != 0 || arch == IMB_ARCH_NONE || (manager->features & needed) != needed) {
    const std::string why = imb_get_strerror(imb_get_errno(manager));
    free_mb_mgr(manager);
    return fail("engine ipsec_mb: expected a CPU with AES-NI, PCLMULQDQ and SSE4.2, found none (" + why + ")");
  }
  return std::make_unique<IpsecMbEngine>(manager);
}

}  // namespace sealcast::dataplane::aead
