#include "controlplane/store/spi_blocks.h"

#include <algorithm>
#include <map>
#include <utility>

namespace sealcast::store {
namespace {

// The candidates for a new epoch: aligned blocks of its size within its range, by number.
struct Candidates {
  explicit Candidates(const NewEpoch& wish)
      : slot_bits(wish.slot_bits),
        size(std::uint64_t{1} << wish.slot_bits),
        first((wish.spi_first + size - 1) / size),
        end((std::uint64_t{wish.spi_last} + 1) / size) {}

  bool none() const { return end <= first; }
  SpiBlock block(std::uint64_t number) const { return {static_cast<std::uint32_t>(number * size), slot_bits}; }
  // The candidate after the block at prefix last; after the end, the first one.
  std::uint64_t after(std::uint64_t last) const {
    const std::uint64_t next = last / size + 1;
    return next > first && next < end ? next : first;
  }

  std::uint8_t slot_bits;
  std::uint64_t size, first, end;
};

// Blocks in use. All are aligned to their size, so that two overlap only if one lies within the other.
class Used {
 public:
  explicit Used(const std::vector<UsedBlock>& used) {
    for (const UsedBlock& one : used)
      ++count_[place_of(one.block)];
  }

  void erase(const SpiBlock& block) {
    const auto found = count_.find(place_of(block));
    if (--found->second == 0) count_.erase(found);
  }

  // The end of a used block that overlaps this one; 0: there is none.
  std::uint64_t met(const SpiBlock& block) const {
    for (std::uint8_t bits = block.slot_bits; bits < 32; ++bits) {
      const SpiBlock around{block.prefix >> bits << bits, bits};
      if (count_.count(place_of(around)) != 0) return around.end();
    }
    const auto within = count_.lower_bound({block.prefix, std::uint8_t{0}});
    return within != count_.end() && within->first.first < block.end() ? block.end() : 0;
  }

  // The first free candidate from one number up to another; each step passes at least one used block.
  std::optional<SpiBlock> first_free(const Candidates& candidates, std::uint64_t from, std::uint64_t to) const {
    while (from < to) {
      const SpiBlock block = candidates.block(from);
      const std::uint64_t end = met(block);
      if (end == 0) return block;
      from = (end + candidates.size - 1) / candidates.size;
    }
    return std::nullopt;
  }

 private:
  using Place = std::pair<std::uint32_t, std::uint8_t>;  // prefix, slot_bits
  static Place place_of(const SpiBlock& block) { return {block.prefix, block.slot_bits}; }

  std::map<Place, std::size_t> count_;  // a retired block may have been given out again
};

bool overlap(const SpiBlock& a, const SpiBlock& b) {
  return a.prefix < b.end() && b.prefix < a.end();
}

}  // namespace

std::optional<SpiBlock> next_block(const NewEpoch& wish, std::uint64_t last) {
  const Candidates candidates(wish);
  if (candidates.none()) return std::nullopt;
  return candidates.block(candidates.after(last));
}

std::optional<SpiBlock> choose_block(const NewEpoch& wish, const std::vector<UsedBlock>& used, std::uint64_t last) {
  const Candidates candidates(wish);
  if (candidates.none()) return std::nullopt;
  const std::uint64_t start = candidates.after(last);
  // Free nearly always: then the others need not be sorted.
  const SpiBlock next = candidates.block(start);
  if (std::none_of(used.begin(), used.end(), [&](const UsedBlock& one) { return overlap(one.block, next); }))
    return next;
  Used left(used);
  if (auto block = left.first_free(candidates, start, candidates.end)) return block;
  if (auto block = left.first_free(candidates, candidates.first, start)) return block;
  for (const UsedBlock& one : used) {
    if (!one.retired) continue;
    left.erase(one.block);
    // A candidate that is free now was not before: it overlaps this one.
    const std::uint64_t from = std::max<std::uint64_t>(one.block.prefix / candidates.size, candidates.first);
    const std::uint64_t to = std::min((one.block.end() + candidates.size - 1) / candidates.size, candidates.end);
    if (auto block = left.first_free(candidates, std::max(from, start), to)) return block;
    if (auto block = left.first_free(candidates, from, std::min(to, start))) return block;
  }
  return std::nullopt;
}

}  // namespace sealcast::store
