// A hundred thousand handshakes between two real ends, changed on the way under a seed; the judge's rules must hold
// whatever an attacker does.
//
//   SEALCAST_CASES=N   so many cases in all (default 100000; CTest sets its own)
//   SEALCAST_SEED=S    begin with this seed in every flow; with SEALCAST_CASES=1 exactly the case that was printed
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "handshake/adversary/pair.h"

namespace sealcast::handshake::adversary {
namespace {

constexpr std::size_t default_cases = 100'000;
constexpr std::uint64_t first_seed = 0x5ea1ca57;

std::uint64_t number(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

constexpr std::size_t shard_count = 3;  // parts of a flow's cases: tests of their own, which run side by side

struct Share {
  Flow flow;
  bool keyed;
  std::size_t shard = 0;
};

// RSA makes variant 1 several times as slow as the others, so that it gets a smaller share of the cases.
std::size_t weight(Flow flow) {
  return flow == Flow::variant1 ? 1 : 4;
}
std::size_t cases_of(Flow flow) {
  std::size_t all = 0;
  for (const FlowDefinition& one : flow_definitions)
    all += 2 * shard_count * weight(one.flow);
  return (number("SEALCAST_CASES", default_cases) * weight(flow) + all - 1) /
         all;  // rounded up: never fewer than promised
}

class ManyMutations : public ::testing::TestWithParam<Share> {};
class Mutations : public ::testing::TestWithParam<Share> {};

TEST_P(ManyMutations, SEQ1_H3_NoBendMakesTwoEndsBelieveDifferentThings) {
  const auto [flow, keyed, shard] = GetParam();
  const std::size_t cases = cases_of(flow);
  const std::uint64_t first = number("SEALCAST_SEED", first_seed + 1'000'000'000 * shard);
  std::map<std::string_view, std::size_t> reasons;
  std::size_t by_established[3] = {0, 0, 0};
  for (std::size_t i = 0; i < cases; ++i) {
    const Case one = make_case(flow, keyed, first + i);
    const Ending ending = run(one);
    ASSERT_FALSE(ending.violation) << *ending.violation << "\n  " << one.text() << "\n  client: " << ending.client_why
                                   << "\n  server: " << ending.server_why
                                   << "\nrun it alone with SEALCAST_SEED=" << one.seed
                                   << " SEALCAST_CASES=1 and the same --gtest_filter";
    ++by_established[ending.established];
    if (ending.client_failed) ++reasons[name(ending.client_reason)];
    if (ending.server_failed) ++reasons[name(ending.server_reason)];
  }
  std::cout << "  " << cases << " cases: both established " << by_established[2] << ", one " << by_established[1]
            << ", none " << by_established[0] << ";";
  for (const auto& [reason, count] : reasons)
    std::cout << " " << reason << " " << count;
  std::cout << "\n";
  if (cases < 300) return;
  // A pipe that breaks all handshakes, or none, would prove nothing.
  EXPECT_GT(by_established[2], cases / 20);
  EXPECT_GT(by_established[0], cases / 4);
  for (const Reason reason : {Reason::unexpected_message, Reason::decode_error, Reason::bad_record_mac})
    EXPECT_GT(reasons[name(reason)], 0u) << name(reason);
  EXPECT_TRUE(!keyed || reasons[name(Reason::finished_invalid)] > 0);
}

TEST_P(Mutations, TheUnbentPairIsEstablished) {
  const auto [flow, keyed, shard] = GetParam();
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const Ending ending = run(Case{flow, seed, keyed, {}});
    EXPECT_EQ(ending.established, 2) << ending.client_why << " / " << ending.server_why;
    EXPECT_FALSE(ending.violation) << *ending.violation;
  }
}

TEST_P(Mutations, ACaseRunsTheSameWayAgain) {
  const auto [flow, keyed, shard] = GetParam();
  for (std::uint64_t seed = 1000; seed < 1040; ++seed) {
    const Case one = make_case(flow, keyed, seed);
    const Ending first = run(one);
    const Ending second = run(one);
    EXPECT_EQ(first.established, second.established) << one.text();
    EXPECT_EQ(first.client_why, second.client_why) << one.text();
    EXPECT_EQ(first.server_why, second.server_why) << one.text();
  }
}

// Where an attacker can divide messages (in clear, and with the keys everywhere) fragments count as whole ones. A
// protected record in two halves is two broken records.
TEST_P(Mutations, REC1_AnyDivisionIntoRecordsIsTheSame) {
  const auto [flow, keyed, shard] = GetParam();
  for (const Side lane : {Side::client, Side::server}) {
    bool clear = true;
    std::size_t record = 0;
    for (const Step& step : definition(flow).steps) {
      if (step.from != lane) continue;
      const Case one{flow, 7, keyed, {{lane, record++, Bend::split, record}}};
      const Ending ending = run(one);
      EXPECT_FALSE(ending.violation) << *ending.violation;
      if (clear || keyed)
        EXPECT_EQ(ending.established, 2) << one.text() << ending.client_why << " / " << ending.server_why;
      else
        EXPECT_TRUE(ending.client_failed && ending.server_failed) << one.text();
      if (step.message == Message::change_cipher_spec) clear = false;
    }
  }
}

std::vector<Share> shares(std::size_t shards) {
  std::vector<Share> list;
  for (const FlowDefinition& flow : flow_definitions)
    for (const bool keyed : {false, true})
      for (std::size_t shard = 0; shard < shards; ++shard)
        list.push_back({flow.flow, keyed, shard});
  return list;
}
std::string share_name(const Share& share) {
  return identifier(share.flow) + (share.keyed ? "_WithTheKeys" : "_FromOutside") +
         (share.shard > 0 ? "_" + std::to_string(share.shard + 1) : "");
}

INSTANTIATE_TEST_SUITE_P(EveryFlow, Mutations, ::testing::ValuesIn(shares(1)),
                         [](const auto& share) { return share_name(share.param); });
INSTANTIATE_TEST_SUITE_P(EveryFlow, ManyMutations, ::testing::ValuesIn(shares(shard_count)),
                         [](const auto& share) { return share_name(share.param); });

}  // namespace
}  // namespace sealcast::handshake::adversary
