// What a key server sends a member about one epoch of one group: the content of ServerMasterKeyExchange and of
// GroupUpdate (P7, P35–P37), and the policy under which a member accepts it (H12).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/dataplane_control.h"
#include "base/limits.h"
#include "base/secret.h"

namespace sealcast::handshake {

enum class SecondCcs : std::uint8_t { not_applicable = 0, claim5 = 1, description = 2 };
enum class EpochState : std::uint8_t { active = 1, pending = 2 };

// IANA cipher suite numbers; the group's suite also names the data plane's AES key size (P31).
enum class CipherSuite : std::uint16_t {
  rsa_aes_128_gcm_sha256 = 0x009c,
  rsa_aes_256_gcm_sha384 = 0x009d,
  ecdhe_ecdsa_aes_128_gcm_sha256 = 0xc02b,
  ecdhe_ecdsa_aes_256_gcm_sha384 = 0xc02c,
  ecdhe_rsa_aes_128_gcm_sha256 = 0xc02f,
  ecdhe_rsa_aes_256_gcm_sha384 = 0xc030,
};
std::string_view name(CipherSuite suite);  // "ECDHE_ECDSA_AES_256_GCM_SHA384"
std::optional<CipherSuite> cipher_suite(std::string_view configuration_name);
std::size_t aes_key_size(CipherSuite suite);  // 16 or 32

enum Role : std::uint8_t { receiver = 1, sender = 2, sender_and_receiver = 3 };

struct GroupPolicy {
  std::vector<Selector> selectors;  // 1..max_selectors
  EspMode esp_mode = EspMode::tunnel_preserve;
  Numbers numbers = Numbers::timed;
  CipherSuite cipher_suite = CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384;
  std::uint32_t replay_window = replay_window_limits.standard;
  std::uint32_t activation_delay_ms = activation_delay_limits.standard.count();
  std::uint32_t deactivation_delay_ms = deactivation_delay_limits.standard.count();
  std::uint32_t authority_lease_s = authority_lease_limits.standard.count();
  std::uint32_t spi_prefix = 0;
  std::uint8_t spi_slot_bits = 16;
  std::uint16_t slots_used = 0;  // high-water mark over all members: slots 0 .. slots_used-1 have been granted
};

struct Assignment {
  std::string member_id;  // 1..64 bytes, from the certificate
  Role roles = receiver;
  std::uint16_t first_slot = 0;
  std::uint16_t slot_count = 0;  // 0 for a pure receiver
};

// A key server's clock at one moment (docs/protocol.md, "The group clock").
struct ClockReading {
  std::uint64_t clock_id = 0;  // 0: it has none
  std::uint64_t now_ms = 0;
  std::uint32_t error_ms = 0;  // the group's clock was at most so far away
  bool operator==(const ClockReading&) const = default;
};
// Where an epoch's times begin.
struct EpochZero {
  std::uint64_t clock_id = 0;  // 0: the epoch's numbers carry no times
  std::uint64_t at_ms = 0;     // on that clock
  bool operator==(const EpochZero&) const = default;
};

// One epoch for one member. premaster is the group's secret (P4, P42): every member gets the same.
struct GroupKeying {
  std::string key_server_id;  // 1..64 bytes
  std::string group_id;       // 1..64 bytes
  std::uint64_t epoch = 0;
  EpochState state = EpochState::active;
  std::uint64_t remaining_ms = 0;  // from receipt, monotonic clock
  EpochZero zero;
  ClockReading clock;  // when the keying was made: sets a clock only where it answers a question
  GroupPolicy policy;
  Assignment assignment;
  Secret<48> premaster;
};

using GroupMaster = Secret<48>;
using EpochId = std::array<std::uint8_t, 16>;

// protocol.md "Keys"; both sides, no randoms (P41, P42).
GroupMaster derive_group_master(CipherSuite suite, const Secret<48>& premaster);
EpochId derive_epoch_id(CipherSuite suite, const GroupMaster& master);
SaKey derive_sa_key(CipherSuite suite, const GroupMaster& master, std::string_view group_id, std::uint64_t epoch,
                    std::uint32_t spi);

}  // namespace sealcast::handshake
