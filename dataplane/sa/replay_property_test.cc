// Anti-replay against a reference that stores every number in a std::set: first the window alone, in all its sizes and
// behind a network that loses, repeats and reorders; then the worker with sealed packets, duplicates within and across
// bursts, forgeries between them.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "dataplane/sa/replay_window.h"
#include "dataplane/testing/harness.h"
#include "dataplane/testing/seen_numbers.h"

namespace sealcast::dataplane::testing {
namespace {

struct Impairment {
  const char* name;
  double lost, repeated, moved;
  std::uint64_t distance;  // farthest a packet is moved or repeated, in packets
};

// The order in which the numbers first .. first + count - 1 reach a receiver.
std::vector<std::uint64_t> through_network(std::uint64_t first, std::size_t count, const Impairment& with,
                                           std::mt19937_64& random) {
  std::uniform_real_distribution<double> chance(0, 1);
  std::multimap<std::uint64_t, std::uint64_t> arrivals;  // by time
  for (std::uint64_t i = 0; i < count; ++i) {
    if (chance(random) < with.lost) continue;
    const bool moved = chance(random) < with.moved;
    arrivals.emplace(i + (moved ? random() % (with.distance + 1) : 0), first + i);
    if (chance(random) < with.repeated) arrivals.emplace(i + random() % (with.distance + 1), first + i);
  }
  std::vector<std::uint64_t> order;
  for (const auto& [time, number] : arrivals)
    order.push_back(number);
  return order;
}

class ReplaySizes : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(ReplaySizes, AgreesWithASetOfAllNumbers) {
  const std::uint32_t size = GetParam();
  const std::size_t count = std::max<std::size_t>(20'000, 5UL * size / 4);
  std::mt19937_64 random(size);
  const Impairment networks[] = {
      {"orderly", 0, 0.2, 0, 0},
      {"near", 0.02, 0.1, 0.3, 50},
      {"to the window's edge", 0.01, 0.1, 0.2, size + 2},
      {"beyond the window", 0.1, 0.3, 0.3, 2UL * size},
      {"hardly anything", 0.97, 0.5, 0.5, 3UL * size},
  };
  struct Start {
    const char* name;
    std::uint64_t first, floor;
  };
  const Start starts[] = {
      {"from the first packet", 1, 0},
      {"late join", 123'456'789, 0},
      {"late join above 2^32", (std::uint64_t{7} << 32) + 99, 0},
      {"the low half wraps", (std::uint64_t{1} << 32) - count / 2, 0},
      {"a floor amid the stream", 5'000'000, 5'000'000 + count / 3},
      {"a floor at a wrap", (std::uint64_t{2} << 32) - count / 16, std::uint64_t{2} << 32},
      {"the last numbers there are", ~std::uint64_t{0} - count + 1, 0},
  };
  for (const Start& start : starts) {
    for (std::size_t n = 0; n < std::size(networks); ++n) {
      // With a large window the set takes its time: a join at a wrap, up to the window's edge and beyond it.
      if (size > 65'536 && ((n != 2 && (n != 3 || size > 300'000)) || start.floor != std::uint64_t{2} << 32)) continue;
      SCOPED_TRACE(std::string(start.name) + ", " + networks[n].name);
      ReplayWindow window(size, start.floor);
      SeenNumbers reference(size, start.floor);
      std::uint64_t highest = 0;
      for (const std::uint64_t number : through_network(start.first, count, networks[n], random)) {
        const bool expected = reference.accepts(number);
        ASSERT_EQ(window.check(number), expected) << number;
        if (random() % 16 == 0) continue;  // the tag was wrong: nothing was committed, so that nothing may have changed
        ASSERT_EQ(window.commit(number), expected) << number;
        if (!expected) continue;
        reference.accept(number);
        highest = std::max(highest, number);
        ASSERT_EQ(window.highest(), highest);
        ASSERT_FALSE(window.check(number));
      }
      EXPECT_GT(reference.accepted(), 100U);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Windows, ReplaySizes, ::testing::Values(1024, 2048, 4096, 32'768, 262'144, 1'048'576),
                         [](const auto& instance) { return std::to_string(instance.param); });

// One sealed frame for each number, so that a duplicate is a duplicate to the byte.
class ReplayBursts : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(ReplayBursts, OfAllCopiesWithinAndAcrossBurstsOnePasses) {
  constexpr std::uint32_t spi = 0x10000008, second_spi = 0x10000009;
  constexpr std::size_t count = 4000;
  const std::uint64_t first = GetParam();
  std::mt19937_64 random(first);
  Harness path;
  path.install_tv();
  const auto inner = [&](std::uint64_t number, std::uint32_t which) {
    return ipv4({}, udp(static_cast<std::uint16_t>(which), static_cast<std::uint16_t>(number - first), {}));
  };
  std::map<std::pair<std::uint32_t, std::uint64_t>, Bytes> sealed;
  const auto frame = [&](std::uint32_t which, std::uint64_t number) -> const Bytes& {
    Bytes& bytes = sealed[{which, number}];
    if (bytes.empty()) {
      EspFields fields;
      fields.spi = which;
      fields.number = number;
      bytes = esp_frame(fields, inner(number, which));
    }
    return bytes;
  };
  std::map<std::uint32_t, SeenNumbers> references;
  for (const std::uint32_t which : {spi, second_spi})
    references.emplace(which, SeenNumbers(1024, 0));

  // Two senders, each through a network of its own, interleaved; forged copies in between.
  struct Arrival {
    std::uint32_t spi;
    std::uint64_t number;
    bool forged;
  };
  std::vector<Arrival> arrivals;
  std::map<std::uint32_t, std::vector<std::uint64_t>> orders;
  for (const std::uint32_t which : {spi, second_spi})
    orders[which] = through_network(first, count, {"", 0.05, 0.4, 0.4, 1500}, random);
  std::map<std::uint32_t, std::size_t> next;
  while (next[spi] < orders[spi].size() || next[second_spi] < orders[second_spi].size()) {
    const std::uint32_t which = random() % 2 == 0 ? spi : second_spi;
    for (std::size_t run = 1 + random() % 8; run > 0 && next[which] < orders[which].size(); --run) {
      const std::uint64_t number = orders[which][next[which]++];
      if (random() % 10 == 0) arrivals.push_back({which, number, true});
      arrivals.push_back({which, number, false});
      if (random() % 5 == 0) arrivals.push_back({which, number, false});  // a copy right behind it
      if (random() % 10 == 0) arrivals.push_back({which, number + 5000, true});
    }
  }
  std::size_t passed = 0, refused = 0, forged = 0;
  for (std::size_t at = 0; at < arrivals.size();) {
    const std::size_t n = std::min<std::size_t>(1 + random() % 100, arrivals.size() - at);
    std::vector<Bytes> burst;
    for (std::size_t i = at; i < at + n; ++i) {
      burst.push_back(frame(arrivals[i].spi, arrivals[i].number));
      if (arrivals[i].forged) burst.back()[burst.back().size() - 1 - random() % 40] ^= 0x10;
    }
    const auto outcomes = path.black(burst);
    for (std::size_t i = 0; i < n; ++i) {
      const Arrival& arrival = arrivals[at + i];
      SeenNumbers& reference = references.at(arrival.spi);
      SCOPED_TRACE(std::to_string(arrival.number));
      if (arrival.forged) {
        ++forged;
        ASSERT_EQ(outcomes[i].verdict, Verdict::drop);
        ASSERT_TRUE(outcomes[i].reason == DropReason::bad_tag || outcomes[i].reason == DropReason::replay);
        continue;
      }
      if (!reference.accepts(arrival.number)) {
        ++refused;
        ASSERT_EQ(outcomes[i].verdict, Verdict::drop);
        ASSERT_EQ(outcomes[i].reason, DropReason::replay);
        continue;
      }
      ++passed;
      reference.accept(arrival.number);
      ASSERT_EQ(outcomes[i].verdict, Verdict::forward) << name(outcomes[i].reason);
      ASSERT_EQ(outcomes[i].frame, ethernet(inner(arrival.number, arrival.spi)));
    }
    at += n;
  }
  EXPECT_GT(passed, count);
  EXPECT_GT(refused, count / 4);
  EXPECT_GT(forged, count / 4);
}

// From the start; a late join; across a wrap of the sequence number's 32 bits.
INSTANTIATE_TEST_SUITE_P(Streams, ReplayBursts, ::testing::Values(1, 77'777, (std::uint64_t{1} << 32) - 2000));

TEST(ReplayBurst, TwoCopiesInOneBurstOnePasses) {
  Harness path;
  path.install_tv();
  Sender sender(0x10000008, {selector("239.1.1.0/24")});
  const Bytes frame = sender.seal(udp_frame(100));
  const auto both = path.black(std::vector<Bytes>{frame, frame});
  EXPECT_EQ(both[0].verdict, Verdict::forward);
  EXPECT_EQ(both[1].reason, DropReason::replay);
}

}  // namespace
}  // namespace sealcast::dataplane::testing
