// Chooses the SPIs of a new epoch: one rule for every kind of store.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "controlplane/store/store.h"

namespace sealcast::store {

struct UsedBlock {
  SpiBlock block;
  bool retired = false;
};

// choose_block()'s answer if none is used.
std::optional<SpiBlock> next_block(const NewEpoch& wish, std::uint64_t last);

// The first free aligned block after `last` (the prefix of the newest epoch's), in a circle: a block rests as long as
// the range allows before it is used again. If none is free, retired blocks are freed one by one, in the order of
// `used`, until there is one of the right size and place. Takes about n log n steps for n used blocks.
std::optional<SpiBlock> choose_block(const NewEpoch& wish, const std::vector<UsedBlock>& used, std::uint64_t last);

}  // namespace sealcast::store
