#include "controlplane/store/spi_blocks.h"

#include <algorithm>

namespace sealcast::store {
namespace {

bool free_of(const std::vector<UsedBlock>& used, const SpiBlock& candidate) {
  return std::none_of(used.begin(), used.end(), [&](const UsedBlock& other) {
    return candidate.prefix < other.block.end() && other.block.prefix < candidate.end();
  });
}

std::optional<SpiBlock> first_free(const NewEpoch& wish, const std::vector<UsedBlock>& used, std::uint64_t last) {
  const std::uint64_t size = std::uint64_t{1} << wish.slot_bits;
  const std::uint64_t first = (wish.spi_first + size - 1) / size;
  const std::uint64_t end = (std::uint64_t{wish.spi_last} + 1) / size;
  if (end <= first) return std::nullopt;
  const std::uint64_t blocks = end - first;
  const std::uint64_t start = last / size + 1 > first && last / size + 1 < end ? last / size + 1 - first : 0;
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const SpiBlock candidate{static_cast<std::uint32_t>((first + (start + i) % blocks) * size), wish.slot_bits};
    if (free_of(used, candidate)) return candidate;
  }
  return std::nullopt;
}

}  // namespace

std::optional<SpiBlock> next_block(const NewEpoch& wish, std::uint64_t last) {
  return first_free(wish, {}, last);
}

std::optional<SpiBlock> choose_block(const NewEpoch& wish, std::vector<UsedBlock> used, std::uint64_t last) {
  auto block = first_free(wish, used, last);
  for (auto entry = used.begin(); entry != used.end() && !block;) {
    if (!entry->retired) {
      ++entry;
      continue;
    }
    entry = used.erase(entry);
    block = first_free(wish, used, last);
  }
  return block;
}

}  // namespace sealcast::store
