// What a worker writes per packet lies in cache lines that no other worker touches: the sizes and places behind the
// list in docs/dataplane.md, "What workers write".
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "dataplane/path/parking_lot.h"
#include "dataplane/path/worker.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

template <typename T>
constexpr bool whole_lines = alignof(T) == cache_line && sizeof(T) % cache_line == 0;

static_assert(whole_lines<SealingSa> && whole_lines<OpeningSa>);
static_assert(whole_lines<Worker> && whole_lines<WorkerCounters> && whole_lines<ParkingLot>);
static_assert(whole_lines<SpiRing>);

using Lines = std::set<std::uintptr_t>;

void add_lines(Lines& lines, const void* from, std::size_t bytes) {
  const auto first = reinterpret_cast<std::uintptr_t>(from) / cache_line;
  const auto last = (reinterpret_cast<std::uintptr_t>(from) + bytes - 1) / cache_line;
  for (std::uintptr_t line = first; line <= last; ++line)
    lines.insert(line);
}

TEST(Layout, NoTwoWorkersWriteOneLine) {
  constexpr std::uint32_t workers = 4;
  Harness path(Harness::Options{.workers = workers});
  const std::vector<Selector> tv = {selector("239.1.1.0/24")};
  ASSERT_TRUE(path.plane().protect("tv", {tv}));
  GroupEpoch epoch = path.epoch("tv", 1, 0x10000000, tv);
  for (std::uint32_t w = 0; w < workers; ++w)
    epoch.outbound.push_back({key_of(0x10000000 + w)});
  for (std::uint32_t slot = 100; slot < 164; ++slot)
    epoch.inbound.push_back({key_of(0x10000000 + slot), 0});
  ASSERT_TRUE(path.plane().install(std::move(epoch)));

  const Snapshot& snapshot = path.snapshot();
  std::map<std::uint32_t, Lines> written;  // by worker
  for (std::uint32_t w = 0; w < workers; ++w) {
    add_lines(written[w], &path.plane().worker(w), sizeof(Worker));
    const SealingSa* const sealing = snapshot.outbound[w];
    ASSERT_NE(sealing, nullptr);
    add_lines(written[w], sealing, sizeof(SealingSa));
  }
  for (std::uint32_t slot = 100; slot < 164; ++slot) {
    const SpiTable::Entry* const entry = snapshot.spis.find(0x10000000 + slot);
    ASSERT_NE(entry, nullptr);
    add_lines(written[entry->worker], entry->sa, sizeof(OpeningSa));
    const auto [bits, bytes] = entry->sa->replay.bits();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bits) % cache_line, 0U);
    EXPECT_EQ(bytes % cache_line, 0U);
    add_lines(written[entry->worker], bits, bytes);
  }
  Lines all;
  std::size_t sum = 0;
  for (const auto& [worker, lines] : written) {
    EXPECT_GT(lines.size(), 10U);
    sum += lines.size();
    all.insert(lines.begin(), lines.end());
  }
  EXPECT_EQ(all.size(), sum) << "a line belongs to two workers";

  // What all of them read in every burst is in none of those lines.
  Lines read;
  add_lines(read, &snapshot, sizeof snapshot);
  add_lines(read, snapshot.outbound.data(), snapshot.outbound.size() * sizeof snapshot.outbound[0]);
  for (const std::uintptr_t line : read)
    EXPECT_EQ(all.count(line), 0U);
}

TEST(Layout, TheTwoEndsOfAnEventRingAreApart) {
  // Producer's index and count of losses, consumer's index, the events: each from a line of its own on.
  EXPECT_GE(sizeof(SpiRing), 3 * cache_line);
  EXPECT_EQ(sizeof(SpiRing), 2 * cache_line + 256 * sizeof(std::uint32_t));
}

}  // namespace
}  // namespace sealcast::dataplane::testing
