// What a member accepts of what a key server sends, SMKE and GroupUpdate alike (H5, H12): a pure function of the
// configuration, what is remembered and what is live.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "controlplane/config/config.h"
#include "controlplane/member/epoch_memory.h"
#include "handshake/group_keying.h"

namespace sealcast::member {

// The SPIs of an epoch this member still holds, of any group.
struct LiveEpoch {
  std::string group_id;
  std::uint64_t epoch = 0;
  handshake::EpochId epoch_id{};
  bool active = false;
  std::uint32_t first_spi = 0;
  std::uint32_t last_spi = 0;  // inclusive
};

enum class KeyingSource : std::uint8_t { smke, group_update };

struct KeyingContext {
  KeyingSource source = KeyingSource::smke;
  std::optional<RememberedEpoch> remembered;
  std::vector<LiveEpoch> live;  // every group's
};

// An error says which rule, what was expected and what came.
Result<void> check_keying(const config::MemberGroup& group, const handshake::GroupKeying& keying,
                          const handshake::EpochId& epoch_id, const KeyingContext& context);

}  // namespace sealcast::member
