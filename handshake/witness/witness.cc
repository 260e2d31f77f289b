#include "handshake/witness/witness.h"

#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <map>
#include <memory>

namespace sealcast::witness {
namespace {

std::uint16_t u16(const std::uint8_t* at) {
  return static_cast<std::uint16_t>(at[0] << 8 | at[1]);
}

Bytes bytes_of(ByteView view) {
  return {view.begin(), view.end()};
}

Bytes joined(const Bytes& a, const Bytes& b) {
  Bytes out = a;
  out.insert(out.end(), b.begin(), b.end());
  return out;
}

std::string name_of(std::uint8_t type) {
  static const std::map<int, std::string> names = {{1, "ClientHello"},         {2, "ServerHello"},
                                                   {11, "Certificate"},        {12, "ServerKeyExchange"},
                                                   {13, "CertificateRequest"}, {14, "ServerHelloDone"},
                                                   {15, "CertificateVerify"},  {16, "ClientKeyExchange"},
                                                   {20, "Finished"},           {240, "ServerMasterKeyExchange"},
                                                   {241, "ClientAuthRequest"}, {242, "ClientAuthResponse"}};
  const auto found = names.find(type);
  return found == names.end() ? "type " + std::to_string(type) : found->second;
}

template <typename T, void (*Free)(T*)>
struct Freed {
  void operator()(T* object) const { Free(object); }
};
using Context = std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX, EVP_PKEY_CTX_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, Freed<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>>;

// RSAES-OAEP with SHA-256; empty: it does not open.
Bytes oaep(EVP_PKEY* key, ByteView sealed) {
  const Context context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  Bytes out(sealed.size());
  std::size_t size = out.size();
  if (EVP_PKEY_decrypt_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), EVP_sha256()) != 1 ||
      EVP_PKEY_decrypt(context.get(), out.data(), &size, sealed.data(), sealed.size()) != 1)
    return {};
  out.resize(size);
  return out;
}

// X25519 of a private key and a public one; public_of: of the private key alone.
Bytes x25519(const Bytes& secret, ByteView point) {
  const Key own(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, secret.data(), secret.size()));
  const Key peer(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, point.data(), point.size()));
  const Context context(EVP_PKEY_CTX_new(own.get(), nullptr));
  Bytes out(32);
  std::size_t size = out.size();
  if (EVP_PKEY_derive_init(context.get()) != 1 || EVP_PKEY_derive_set_peer(context.get(), peer.get()) != 1 ||
      EVP_PKEY_derive(context.get(), out.data(), &size) != 1)
    return {};
  return out;
}

Bytes public_of(const Bytes& secret) {
  const Key own(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, secret.data(), secret.size()));
  Bytes out(32);
  std::size_t size = out.size();
  EVP_PKEY_get_raw_public_key(own.get(), out.data(), &size);
  return out;
}

}  // namespace

std::vector<std::string> Witness::order() const {
  std::vector<std::string> out;
  for (const Message& message : messages_)
    out.push_back(message.text());
  return out;
}

const Message* Witness::find(const std::string& name, std::size_t nth) const {
  for (const Message& message : messages_)
    if (message.name == name && nth-- == 0) return &message;
  return nullptr;
}

// RFC 5246 §5.
Bytes Witness::prf(ByteView secret, const std::string& label, ByteView seed, std::size_t size) const {
  const EVP_MD* digest = sha384() ? EVP_sha384() : EVP_sha256();
  const auto hmac = [&](const Bytes& data) {
    Bytes out(static_cast<std::size_t>(EVP_MD_get_size(digest)));
    HMAC(digest, secret.data(), static_cast<int>(secret.size()), data.data(), data.size(), out.data(), nullptr);
    return out;
  };
  const Bytes fixed = joined(Bytes(label.begin(), label.end()), bytes_of(seed));
  Bytes out, a = fixed;
  while (out.size() < size) {
    a = hmac(a);
    out = joined(out, hmac(joined(a, fixed)));
  }
  out.resize(size);
  return out;
}

Bytes Witness::hash() const {
  const EVP_MD* digest = sha384() ? EVP_sha384() : EVP_sha256();
  Bytes out(static_cast<std::size_t>(EVP_MD_get_size(digest)));
  EVP_Digest(transcript_.data(), transcript_.size(), out.data(), nullptr, digest, nullptr);
  return out;
}

// RFC 5246 §6.3.
void Witness::expand(const Bytes& master, Keys& client, Keys& server) const {
  const std::size_t n = key_bytes();
  const Bytes block = prf(master, "key expansion", joined(learned_.server_random, learned_.client_random), 2 * n + 8);
  const auto cut = [&](std::size_t at, std::size_t size) {
    return Bytes(block.begin() + static_cast<std::ptrdiff_t>(at),
                 block.begin() + static_cast<std::ptrdiff_t>(at + size));
  };
  client = {cut(0, n), cut(2 * n, 4), 0};
  server = {cut(n, n), cut(2 * n + 4, 4), 0};
}

Bytes Witness::sa_key(const std::string& group, std::uint64_t epoch, std::uint32_t spi) const {
  Bytes seed{static_cast<std::uint8_t>(group.size())};
  seed.insert(seed.end(), group.begin(), group.end());
  for (int shift = 56; shift >= 0; shift -= 8)
    seed.push_back(static_cast<std::uint8_t>(epoch >> shift));
  for (int shift = 24; shift >= 0; shift -= 8)
    seed.push_back(static_cast<std::uint8_t>(spi >> shift));
  return prf(group_master(), "multicast sa key", seed, key_bytes() + 4);
}

// RFC 5288 §3.
bool Witness::open(Keys keys, std::uint8_t type, ByteView sealed, Bytes& out) const {
  if (keys.key.empty() || sealed.size() < 24) return false;
  const Bytes nonce = joined(keys.salt, bytes_of(sealed.first(8)));
  const ByteView content = sealed.subspan(8, sealed.size() - 24), tag = sealed.last(16);
  Bytes aad;
  for (int shift = 56; shift >= 0; shift -= 8)
    aad.push_back(static_cast<std::uint8_t>(keys.sequence >> shift));
  aad.insert(aad.end(),
             {type, 3, 3, static_cast<std::uint8_t>(content.size() >> 8), static_cast<std::uint8_t>(content.size())});
  const Cipher context(EVP_CIPHER_CTX_new());
  const EVP_CIPHER* cipher = keys.key.size() == 32 ? EVP_aes_256_gcm() : EVP_aes_128_gcm();
  out.assign(content.size(), 0);
  int n = 0;
  return EVP_DecryptInit_ex(context.get(), cipher, nullptr, keys.key.data(), nonce.data()) == 1 &&
         EVP_DecryptUpdate(context.get(), nullptr, &n, aad.data(), static_cast<int>(aad.size())) == 1 &&
         EVP_DecryptUpdate(context.get(), out.data(), &n, content.data(), static_cast<int>(content.size())) == 1 &&
         EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, 16, const_cast<std::uint8_t*>(tag.data())) == 1 &&
         EVP_DecryptFinal_ex(context.get(), nullptr, &n) == 1;
}

void Witness::pass(char from, ByteView bytes) {
  if (bytes.empty()) return;
  if (from != speaker_) ++flight_;
  speaker_ = from;
  Direction& direction = directions_[from == 'S'];
  for (std::size_t at = 0; at + 5 <= bytes.size();) {
    const std::uint8_t type = bytes[at];
    const std::size_t size = u16(&bytes[at + 3]);
    const ByteView record = bytes.subspan(at + 5, size);
    at += 5 + size;
    Bytes plain = bytes_of(record);
    if (direction.protection != "clear") {
      if (!open(direction.keys, type, record, plain)) {
        messages_.push_back({from, flight_, "record of type " + std::to_string(type), "sealed", {}, false});
        continue;
      }
      Bytes twice;
      Keys first = learned_.first[from == 'S'];
      first.sequence = direction.keys.sequence;
      if (direction.protection == "channel") opened_by_both_ += open(first, type, record, twice);
      ++direction.keys.sequence;
    }
    if (type == 22) {
      read(from, plain);
    } else {
      const std::string name = type == 20 ? "ChangeCipherSpec" : type == 23 ? "data" : type == 21 ? "alert" : "?";
      messages_.push_back({from, flight_, name, direction.protection, plain, false});
      if (type == 20) change_keys(from);
    }
  }
}

void Witness::change_keys(char from) {
  Direction& direction = directions_[from == 'S'];
  const bool first = ++direction.changes == 1 && learned_.channel_master.empty();
  direction.protection = first ? "first" : "channel";
  direction.keys = (first ? learned_.first : learned_.channel)[from == 'S'];
}

void Witness::read(char from, ByteView handshake) {
  while (handshake.size() >= 4) {
    const std::size_t size = std::size_t{handshake[1]} << 16 | u16(&handshake[2]);
    const ByteView raw = handshake.first(4 + size), body = raw.subspan(4);
    handshake = handshake.subspan(4 + size);
    Direction& direction = directions_[from == 'S'];
    Message message{from, flight_, name_of(raw[0]), direction.protection, bytes_of(body), false};
    if (raw[0] == 20) {
      const Bytes& master = direction.protection == "channel" ? learned_.channel_master : learned_.first_master;
      message.proved = message.body == prf(master, from == 'C' ? "client finished" : "server finished", hash(), 12);
    }
    transcript_.insert(transcript_.end(), raw.begin(), raw.end());
    if (raw[0] == 1) read_client_hello(body);
    if (raw[0] == 2) {
      learned_.server_random = bytes_of(body.subspan(2, 32));
      learned_.suite = u16(&body[35 + body[34]]);
    }
    if (raw[0] == 12) learned_.server_point = bytes_of(body.subspan(4, body[3]));
    if (raw[0] == 16) read_client_key_exchange(body);
    if (raw[0] == 240) read_smke(body);
    messages_.push_back(std::move(message));
  }
}

void Witness::read_client_hello(ByteView body) {
  learned_.client_random = bytes_of(body.subspan(2, 32));
  const std::size_t at = 35 + body[34];
  for (std::size_t i = 0; i < u16(&body[at]); i += 2)
    learned_.offered.push_back(u16(&body[at + 2 + i]));
}

void Witness::read_client_key_exchange(ByteView body) {
  const Bytes point = bytes_of(body.subspan(1, body[0]));
  for (const Bytes& secret : drawn_) {
    if (secret.size() != 32 || public_of(secret) != point) continue;
    learned_.first_master = prf(x25519(secret, learned_.server_point), "extended master secret", hash(), 48);
    expand(learned_.first_master, learned_.first[0], learned_.first[1]);
  }
}

void Witness::read_smke(ByteView body) {
  Bytes own = learned_.first_master;
  if (own.empty() && member_key_ != nullptr) {  // variant 1: wherever the ciphertext stands
    const auto size = static_cast<std::size_t>(EVP_PKEY_get_size(member_key_));
    for (std::size_t at = 0; at + 2 + size <= body.size() && own.empty(); ++at) {
      if (u16(&body[at]) != size) continue;
      const Bytes both = oaep(member_key_, body.subspan(at + 2, size));
      if (both.size() != 96) continue;
      learned_.transported.assign(both.begin(), both.begin() + 48);
      own.assign(both.begin() + 48, both.end());
    }
  }
  learned_.channel_master = prf(joined(own, group_master()), "multicast channel", hash(), 48);
  expand(learned_.channel_master, learned_.channel[0], learned_.channel[1]);
}

}  // namespace sealcast::witness
