#include "handshake/keys/key_schedule.h"

#include <algorithm>

#include "handshake/crypto/prf.h"
#include "handshake/wire/writer.h"

namespace sealcast::handshake {

MasterSecret extended_master_secret(HashKind hash, ByteView premaster, const Digest& session_hash) {
  MasterSecret master;
  prf(hash, premaster, "extended master secret", session_hash.view(), master.span());
  return master;
}

MasterSecret channel_master(HashKind hash, const MasterSecret& first, const GroupMaster& group,
                            const Digest& with_smke) {
  Secret<96> both;
  std::copy_n(first.data(), 48, both.data());
  std::copy_n(group.data(), 48, both.data() + 48);
  MasterSecret master;
  prf(hash, both.view(), "multicast channel", with_smke.view(), master.span());
  return master;
}

KeyBlock expand_keys(CipherSuite suite, const MasterSecret& master, const HelloRandom& server_random,
                     const HelloRandom& client_random) {
  const std::size_t key_size = aes_key_size(suite);
  std::array<std::uint8_t, 2 * random_size> seed{};
  std::copy(server_random.begin(), server_random.end(), seed.begin());
  std::copy(client_random.begin(), client_random.end(), seed.begin() + random_size);
  SecretBytes block(2 * key_size + 8);
  prf(prf_hash(suite), master.view(), "key expansion", seed, block.span());
  KeyBlock keys{{SecretBytes(key_size), {}}, {SecretBytes(key_size), {}}};
  const std::uint8_t* next = block.data();
  const auto take = [&next](std::uint8_t* to, std::size_t size) {
    std::copy_n(next, size, to);
    next += size;
  };
  take(keys.client_write.key.data(), key_size);
  take(keys.server_write.key.data(), key_size);
  take(keys.client_write.salt.data(), 4);
  take(keys.server_write.salt.data(), 4);
  return keys;
}

VerifyData finished_data(HashKind hash, const MasterSecret& master, Side sender, const Digest& transcript) {
  VerifyData data{};
  prf(hash, master.view(), sender == Side::client ? "client finished" : "server finished", transcript.view(), data);
  return data;
}

VerifyData server_verify_data(HashKind hash, const MasterSecret& first, const Digest& before_smke) {
  VerifyData data{};
  prf(hash, first.view(), "multicast server verify", before_smke.view(), data);
  return data;
}

GroupMaster derive_group_master(CipherSuite suite, const Secret<48>& premaster) {
  GroupMaster master;
  prf(prf_hash(suite), premaster.view(), "multicast master secret", {}, master.span());
  return master;
}

EpochId derive_epoch_id(CipherSuite suite, const GroupMaster& master) {
  EpochId id{};
  prf(prf_hash(suite), master.view(), "multicast epoch id", {}, id);
  return id;
}

SaKey derive_sa_key(CipherSuite suite, const GroupMaster& master, std::string_view group_id, std::uint64_t epoch,
                    std::uint32_t spi) {
  Writer seed;
  seed.string8(group_id);
  seed.u64(epoch);
  seed.u32(spi);
  SaKey sa;
  sa.spi = spi;
  sa.key_size = static_cast<std::uint8_t>(aes_key_size(suite));
  SecretBytes material(sa.key_size + sa.salt.size());
  prf(prf_hash(suite), master.view(), "multicast sa key", seed.view(), material.span());
  std::copy_n(material.data(), sa.key_size, sa.key.data());
  std::copy_n(material.data() + sa.key_size, sa.salt.size(), sa.salt.begin());
  return sa;
}

}  // namespace sealcast::handshake
