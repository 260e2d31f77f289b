// Compiled selectors against a direct interpretation of them, and the table of reasons against the documentation.
#include "dataplane/policy/policy.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <random>

#include "base/testing/places.h"
#include "dataplane/packet/drop_reason.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane {
namespace {

Selector random_selector(std::mt19937& random) {
  const auto prefix = [&](std::uint32_t base, std::uint32_t spread, std::uint8_t shortest) {
    const auto length = static_cast<std::uint8_t>(shortest + random() % (33U - shortest));
    const std::uint32_t mask = ~std::uint32_t{0} << (32 - length);
    return Prefix{IpAddress::v4((base | (random() & spread)) & mask), length};
  };
  Selector made;
  made.destination = prefix(0xef010000, 0x00000f0f, 16);
  if (random() % 2 == 0) made.source = prefix(0x0a000000, 0x00000303, 8);
  if (random() % 2 == 0) {
    made.protocol = random() % 3 == 0 ? 6 : 17;
    if (*made.protocol == 17 && random() % 2 == 0) {
      const auto first = static_cast<std::uint16_t>(random() % 8);
      made.ports = PortRange{first, static_cast<std::uint16_t>(first + random() % 4)};
    }
  }
  return made;
}

// The selector's definition: addresses contained, protocol equal, port in range.
Match match_by_the_rule(const Selector& selector, const PacketKey& key) {
  if (!selector.destination.contains(IpAddress::v4(key.destination))) return Match::none;
  if (selector.source && !selector.source->contains(IpAddress::v4(key.source))) return Match::none;
  if (selector.protocol && *selector.protocol != key.protocol) return Match::none;
  if (!selector.ports) return Match::found;
  if (!key.has_ports) return Match::needs_ports;
  return selector.ports->contains(key.destination_port) ? Match::found : Match::none;
}

PacketKey random_key(std::mt19937& random) {
  PacketKey key;
  key.destination = 0xef010000 | (random() & 0x0f0f);
  key.source = 0x0a000000 | (random() & 0x0303);
  key.protocol = random() % 3 == 0 ? 6 : 17;
  key.has_ports = key.protocol == 17 && random() % 4 != 0;
  if (key.has_ports) key.destination_port = static_cast<std::uint16_t>(random() % 12);
  return key;
}

TEST(Policy, AgreesWithAPlainReadingOfTheSelectors) {
  std::mt19937 random(11);
  std::map<Match, int> seen;
  for (int round = 0; round < 200; ++round) {
    // As on the control side: leaves out selectors that would overlap another group's.
    std::vector<std::pair<Selector, std::uint32_t>> selectors;
    for (std::uint32_t i = 0; i < 40; ++i) {
      const Selector candidate = random_selector(random);
      const std::uint32_t group = random() % 8;
      bool clashes = false;
      for (const auto& [other, other_group] : selectors)
        clashes = clashes || (other_group != group && overlap(candidate, other));
      if (!clashes) selectors.emplace_back(candidate, group);
    }
    std::vector<Rule> rules;
    for (const auto& [one, group] : selectors)
      rules.push_back(compile(one, group));
    const Policy policy(rules);
    for (int n = 0; n < 500; ++n) {
      const PacketKey key = random_key(random);
      Match expected = Match::none;
      std::uint32_t expected_group = 0;
      for (const auto& [one, group] : selectors) {
        const Match match = match_by_the_rule(one, key);
        if (match == Match::found) {
          expected = match;
          expected_group = group;
          break;
        }
        if (match == Match::needs_ports) expected = match;
      }
      std::uint32_t group = 0;
      ASSERT_EQ(policy.find(key, group), expected);
      if (expected == Match::found) {
        ASSERT_EQ(group, expected_group);
      }
      ASSERT_EQ(match_any(rules, key), expected);
      ++seen[expected];
    }
  }
  EXPECT_GT(seen[Match::none], 1000);
  EXPECT_GT(seen[Match::found], 1000);
  EXPECT_GT(seen[Match::needs_ports], 100);
}

TEST(Policy, OverlapIsWhatSomePacketMatchesTwice) {
  std::mt19937 random(12);
  int overlapping = 0;
  for (int round = 0; round < 3000; ++round) {
    const Selector a = random_selector(random), b = random_selector(random);
    EXPECT_EQ(overlap(a, b), overlap(b, a));
    EXPECT_TRUE(overlap(a, a));
    overlapping += overlap(a, b) ? 1 : 0;
    if (overlap(a, b)) continue;
    for (int n = 0; n < 200; ++n) {
      const PacketKey key = random_key(random);
      ASSERT_FALSE(match_by_the_rule(a, key) == Match::found && match_by_the_rule(b, key) == Match::found)
          << a.text() << " | " << b.text();
    }
  }
  EXPECT_GT(overlapping, 20);
}

TEST(Policy, EmptyMatchesNothing) {
  const Policy policy{};
  std::uint32_t group = 0;
  EXPECT_EQ(policy.find(PacketKey{0xef010101, 1, 17, true, 5000}, group), Match::none);
}

TEST(Policy, TenThousandGroupsAreFoundEach) {
  std::vector<Rule> rules;
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    Selector one;
    one.destination = Prefix{IpAddress::v4(0xef000000 + i * 3), 32};
    rules.push_back(compile(one, i));
  }
  const Policy policy(rules);
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    std::uint32_t group = 0;
    ASSERT_EQ(policy.find(PacketKey{0xef000000 + i * 3, 1, 17, true, 1}, group), Match::found);
    ASSERT_EQ(group, i);
    ASSERT_EQ(policy.find(PacketKey{0xef000000 + i * 3 + 1, 1, 17, true, 1}, group), Match::none);
  }
}

TEST(DropReasons, TableIsInOrderAndNamesAreUnique) {
  std::map<std::string_view, int> names;
  for (std::size_t i = 0; i < drop_reason_count; ++i) {
    EXPECT_EQ(static_cast<std::size_t>(drop_reasons[i].reason), i);
    EXPECT_EQ(++names[drop_reasons[i].name], 1) << drop_reasons[i].name;
    EXPECT_FALSE(drop_reasons[i].text.empty());
  }
}

// docs/dataplane.md lists every reason, in this order, with the same words: | `name` | text |
TEST(DropReasons, DocumentationSaysTheSame) {
  std::ifstream in(places::source_folder() + "/docs/dataplane.md");
  ASSERT_TRUE(in) << "docs/dataplane.md is missing";
  std::vector<std::string> rows;
  bool inside = false;
  for (std::string line; std::getline(in, line);) {
    if (line == "<!-- drop reasons -->") inside = true;
    if (line == "<!-- end of drop reasons -->") inside = false;
    if (inside && line.rfind("| `", 0) == 0) rows.push_back(line);
  }
  std::vector<std::string> expected;
  for (std::size_t i = 1; i < drop_reason_count; ++i)
    expected.push_back("| `" + std::string(drop_reasons[i].name) + "` | " + std::string(drop_reasons[i].text) + " |");
  EXPECT_EQ(rows, expected);
}

}  // namespace
}  // namespace sealcast::dataplane
