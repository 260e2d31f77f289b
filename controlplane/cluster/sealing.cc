#include "controlplane/cluster/sealing.h"

#include <openssl/evp.h>

#include <memory>

#include "handshake/messages/keying_codec.h"

namespace sealcast::cluster {
namespace {

constexpr std::size_t nonce_size = 12;
constexpr std::size_t tag_size = 16;
const char* label(SealedIn place) {
  return place == SealedIn::etcd ? "sealcast cluster epoch 1" : "sealcast kept epoch 1";
}

using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

Bytes bound_to(const SealedFor& where) {
  handshake::Writer out;
  out.string8(label(where.place));
  out.string8(where.cluster_id);
  out.string8(where.group_id);
  out.u64(where.epoch);
  out.u64(static_cast<std::uint64_t>(where.begun_ms));
  out.u64(static_cast<std::uint64_t>(where.expires_ms));
  const auto bytes = out.finish("cluster epoch");
  return bytes ? Bytes(bytes->begin(), bytes->end()) : Bytes();
}

int size_of(std::size_t size) {
  return static_cast<int>(size);
}

}  // namespace

Result<std::string> seal_epoch(const Secret<32>& key, const SealedFor& where, const EpochContent& content,
                               handshake::Random& random) {
  handshake::GroupKeying keying;
  keying.key_server_id = where.cluster_id;
  keying.group_id = where.group_id;
  keying.epoch = where.epoch;
  keying.remaining_ms = 1;
  keying.policy = content.policy;
  keying.zero = content.zero;
  keying.assignment.member_id = "cluster";
  keying.premaster = content.premaster.clone();
  if (auto good = handshake::check_keying(keying); !good)
    return fail("group \"" + where.group_id + "\": " + good.error().message());
  handshake::Writer plain;
  handshake::write_keying(plain, keying);
  const auto text = plain.finish("epoch");
  const Bytes about = bound_to(where);
  if (!text || about.empty()) return fail("group \"" + where.group_id + "\": the epoch is too large to be sealed");

  Bytes out(nonce_size + text->size() + tag_size);
  random.fill(ByteSpan(out).first(nonce_size));
  const Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  int size = 0;
  const bool sealed =
      context && EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), out.data()) == 1 &&
      EVP_EncryptUpdate(context.get(), nullptr, &size, about.data(), size_of(about.size())) == 1 &&
      EVP_EncryptUpdate(context.get(), out.data() + nonce_size, &size, text->data(), size_of(text->size())) == 1 &&
      EVP_EncryptFinal_ex(context.get(), out.data() + nonce_size + text->size(), &size) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, size_of(tag_size),
                          out.data() + nonce_size + text->size()) == 1;
  if (!sealed) return fail("group \"" + where.group_id + "\": the epoch could not be sealed: no memory?");
  return std::string(out.begin(), out.end());
}

Result<EpochContent> open_epoch(const Secret<32>& key, const SealedFor& where, const std::string& sealed) {
  const auto refused = [&] {
    return fail(
        "group \"" + where.group_id + "\", epoch " + std::to_string(where.epoch) + ": expected what " +
        (where.place == SealedIn::etcd
             ? "a key server of this cluster sealed, got something else; has every key server the same key_file?"
             : "this key server sealed, got something else; is it another wrapping key?"));
  };
  if (sealed.size() < nonce_size + tag_size || sealed.size() > 65536) return refused();
  const ByteView in = as_bytes(sealed);
  SecretBytes text(in.size() - nonce_size - tag_size);
  Bytes tag(in.end() - tag_size, in.end());
  const Bytes about = bound_to(where);
  const Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  int size = 0;
  const bool opened =
      context && EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), in.data()) == 1 &&
      EVP_DecryptUpdate(context.get(), nullptr, &size, about.data(), size_of(about.size())) == 1 &&
      EVP_DecryptUpdate(context.get(), text.data(), &size, in.data() + nonce_size, size_of(text.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, size_of(tag.size()), tag.data()) == 1 &&
      EVP_DecryptFinal_ex(context.get(), text.data() + text.size(), &size) == 1;
  if (!opened) return refused();
  handshake::Reader reader("epoch", text.view());
  handshake::GroupKeying keying = handshake::read_keying(reader);
  if (!reader.finish()) return refused();
  return EpochContent{std::move(keying.policy), std::move(keying.premaster), keying.zero};
}

}  // namespace sealcast::cluster
