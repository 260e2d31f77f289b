// Which SPIs a new epoch gets: the rule is the same wherever the state lies.
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

// What choose_block() answers where nothing is used.
std::optional<SpiBlock> next_block(const NewEpoch& wish, std::uint64_t last);

// The first free aligned block after `last` (the prefix of the newest epoch's), round and round: a block rests as long
// as the range allows before it is used again. Where none is free, retired blocks go back one by one, in the order of
// `used`, until one of the right size and place is. Of n used blocks, it takes about n log n steps.
std::optional<SpiBlock> choose_block(const NewEpoch& wish, const std::vector<UsedBlock>& used, std::uint64_t last);

}  // namespace sealcast::store
