// The tree against its purpose: every member that stayed gets the next secret; members that left do not, even if all
// that ever left pool all they ever learned (H11); and no newcomer reads what came before it.
#include "handshake/keytree/key_tree.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "handshake/keytree/member_path.h"

namespace sealcast::handshake {
namespace {

constexpr CipherSuite tree_suite = CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256;

class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
  void fill(ByteSpan out) override {
    for (std::uint8_t& byte : out)
      byte = static_cast<std::uint8_t>(engine_());
  }

 private:
  std::mt19937_64 engine_;
};

Secret<48> premaster_of(std::uint64_t number) {
  Secret<48> made;
  SeededRandom(number).fill(made.span());
  return made;
}

// Every seed that a set of members has seen, and all that follows from it by the one-way functions.
class Knowledge {
 public:
  void learn(const TreePath& path) {
    for (const auto& key : path.levels)
      if (key) seeds_.push_back(key->seed.clone());
  }
  // Tries every known key on every wrapped key of the update, until it learns nothing new.
  bool reads(const TreeUpdate& update) {
    for (std::size_t i = 0; i < seeds_.size(); ++i) {
      NodeKey key;
      key.seed = seeds_[i].clone();
      for (int step = 0; step < 4; ++step, keys_.join(key)) {
        Secret<48> premaster;
        if (keys_.unwrap(key.seed, update.premaster, premaster.span())) return true;
        for (const NodeUpdate& node : update.nodes) {
          for (const auto& wrapped : node.for_child) {
            Seed seed;
            if (wrapped && keys_.unwrap(key.seed, wrapped->bytes, seed.span())) add(std::move(seed));
          }
        }
      }
    }
    return false;
  }

 private:
  void add(Seed seed) {
    for (int generation = 0; generation < 4; ++generation) {
      for (const Seed& known : seeds_)
        if (known.equals(seed)) return;
      Seed above = keys_.parent(seed);
      seeds_.push_back(std::move(seed));
      seed = std::move(above);
    }
  }
  TreeKeys keys_{tree_suite};
  std::vector<Seed> seeds_;
};

struct Group {
  explicit Group(std::uint64_t seed) : random(seed), tree(tree_suite, random) {}

  LeafPosition join() {
    const auto position = tree.join();
    EXPECT_TRUE(position) << position.error().message;
    members.insert_or_assign(*position, MemberPath(tree_suite, tree.path(*position)));
    return *position;
  }
  // Takes these out and checks that all others get the new premaster.
  TreeUpdate renew(const std::vector<LeafPosition>& leaving) {
    for (const LeafPosition position : leaving)
      members.erase(position);
    const Secret<48> premaster = premaster_of(++epochs);
    TreeUpdate update = tree.renew(leaving, premaster);
    for (auto& [position, member] : members) {
      const auto got = member.apply(update);
      EXPECT_TRUE(got) << "position " << position << ": " << got.error().message();
      EXPECT_TRUE(got && got->equals(premaster));
    }
    return update;
  }

  SeededRandom random;
  KeyTree tree;
  std::map<LeafPosition, MemberPath> members;
  std::uint64_t epochs = 0;
};

TEST(KeyTree, OneMemberIsItsOwnRoot) {
  Group group(1);
  group.join();
  EXPECT_EQ(group.tree.depth(), 0);
  const TreeUpdate update = group.renew({});
  EXPECT_EQ(update.wrapped_keys(), 1U);
  group.renew({0});
  EXPECT_EQ(group.tree.members(), 0U);
}

TEST(KeyTree, H11_ALeaverCostsOneWrappedKeyForEachLevel) {
  Group group(2);
  for (int i = 0; i < 1024; ++i)
    group.join();
  group.renew({});
  const TreeUpdate update = group.renew({517});
  EXPECT_EQ(group.tree.depth(), 10);
  EXPECT_EQ(update.nodes.size(), 10U);
  EXPECT_EQ(update.wrapped_keys(), 11U) << "the other child at each of ten levels, and the premaster";
}

TEST(KeyTree, H11_ALeaverReadsNothingThatFollows) {
  Group group(3);
  for (int i = 0; i < 13; ++i)
    group.join();
  group.renew({});
  MemberPath leaver(tree_suite, group.tree.path(6));
  ASSERT_TRUE(leaver.apply(group.renew({})));
  const auto refused = leaver.apply(group.renew({6}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, Reason::key_material_refused);
  EXPECT_FALSE(leaver.apply(group.renew({})));
}

// Random joins, leaves one by one and in groups, and renewals; trees that grow, shrink to nothing and grow again.
TEST(KeyTree, H11_AllWhoEverLeftTogetherReadNothingAndNewcomersNothingOfTheirPast) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Group group(seed);
    std::mt19937_64 dice(seed);
    Knowledge outside;
    std::map<LeafPosition, std::vector<TreePath>> seen;  // every path a member now inside has held
    std::vector<TreeUpdate> past;
    const auto watch = [&] {
      for (auto& [position, member] : group.members)
        seen[position].push_back(group.tree.path(position));
    };
    for (int turn = 0; turn < 24; ++turn) {
      const auto what = dice() % 4;
      if (what < 2 || group.members.empty()) {
        for (auto n = dice() % 3 + 1; n-- > 0;) {
          const LeafPosition position = group.join();
          Knowledge newcomer;
          newcomer.learn(group.tree.path(position));
          for (const TreeUpdate& update : past)
            ASSERT_FALSE(newcomer.reads(update)) << "a newcomer reads an update from before it came";
          watch();
        }
        continue;
      }
      std::vector<LeafPosition> leaving;
      for (const auto& [position, member] : group.members)
        if (what == 3 ? dice() % 3 == 0 : leaving.empty() && dice() % 4 == 0) leaving.push_back(position);
      for (const LeafPosition position : leaving) {
        for (const TreePath& path : seen[position])
          outside.learn(path);
        seen.erase(position);
      }
      const TreeUpdate update = group.renew(leaving);
      ASSERT_FALSE(outside.reads(update)) << "members that left read the next secret";
      past.push_back(update);
      if (past.size() > 3) past.erase(past.begin());
      watch();
    }
  }
}

TEST(KeyTree, H11_KnowledgeWouldNoticeALeak) {
  Group group(4);
  for (int i = 0; i < 8; ++i)
    group.join();
  Knowledge inside;
  inside.learn(group.tree.path(3));
  EXPECT_TRUE(inside.reads(group.renew({5}))) << "a member that stayed reads the update";
}

TEST(KeyTree, AMemberThatMissedAnUpdateIsToldSoAndComesBackByItsPath) {
  Group group(5);
  for (int i = 0; i < 16; ++i)
    group.join();
  group.renew({});
  MemberPath sleeper(tree_suite, group.tree.path(9));
  group.renew({8});
  const TreeUpdate missed_one = group.renew({11});
  ASSERT_FALSE(sleeper.apply(missed_one));
  MemberPath back(tree_suite, group.tree.path(9));
  EXPECT_TRUE(back.apply(group.renew({1})));
}

TEST(KeyTree, AFailedUpdateChangesNothing) {
  Group group(6);
  for (int i = 0; i < 9; ++i)
    group.join();
  MemberPath member(tree_suite, group.tree.path(2));
  TreeUpdate update = group.renew({3});
  TreeUpdate bent = update;
  bent.premaster[20] ^= 1;
  ASSERT_FALSE(member.apply(bent));
  EXPECT_TRUE(member.apply(update));
}

TEST(KeyTree, StepsBeyondTheLimitAreRefusedNotComputed) {
  Group group(7);
  group.join();
  group.join();
  MemberPath member(tree_suite, group.tree.path(0));
  TreeUpdate update = group.renew({});
  update.root_step = 0xffffffff;
  EXPECT_FALSE(member.apply(update));
}

TEST(KeyTree, LeavingTwiceOrNotBeingThereChangesNothing) {
  Group group(8);
  for (int i = 0; i < 5; ++i)
    group.join();
  group.renew({1});
  group.renew({1, 1, 77});
  EXPECT_EQ(group.tree.members(), 4U);
  EXPECT_EQ(group.join(), 1U) << "the freed leaf is used again";
}

TEST(KeyTree, ASparseTreeAsksToBeMadeAnewAndAFreshOneDoesNot) {
  Group group(9);
  for (int i = 0; i < 64; ++i) {
    group.join();
    EXPECT_FALSE(group.tree.wants_new_tree()) << i;
  }
  std::vector<LeafPosition> leaving;
  for (LeafPosition p = 0; p < 39; ++p)
    leaving.push_back(p);
  group.renew(leaving);
  EXPECT_FALSE(group.tree.wants_new_tree());
  group.renew({40});
  EXPECT_TRUE(group.tree.wants_new_tree());
}

// RFC 2627 would cost 2 log2 N + 2; this tree stays below that, even under churn.
TEST(KeyTree, WrappedKeysStayWithinTwoLogTwoOfTheMembersUnderChurn) {
  SeededRandom random(10);
  KeyTree tree(tree_suite, random);
  std::mt19937_64 dice(10);
  std::vector<LeafPosition> in;
  for (int i = 0; i < 3000; ++i)
    in.push_back(*tree.join());
  tree.renew({}, premaster_of(1));
  for (int turn = 0; turn < 2500; ++turn) {
    if (tree.wants_new_tree()) break;
    if (dice() % 8 == 0) {
      in.push_back(*tree.join());
      continue;
    }
    std::swap(in[dice() % in.size()], in.back());
    const LeafPosition leaver = in.back();
    in.pop_back();
    const TreeUpdate update = tree.renew(std::vector{leaver}, premaster_of(2));
    ASSERT_LE(static_cast<double>(update.wrapped_keys()), 2 * std::log2(in.size() + 1.0) + 2);
    ASSERT_LE(update.wrapped_keys(), tree.depth() + 2U);
  }
}

TEST(KeyTree, PathsFromTheWireMustHaveTheRightForm) {
  Group group(11);
  for (int i = 0; i < 5; ++i)
    group.join();
  EXPECT_TRUE(valid_path(group.tree.path(4)));
  TreePath path = group.tree.path(4);
  path.position = 8;
  EXPECT_FALSE(valid_path(path)) << "beyond the tree";
  path = group.tree.path(4);
  path.levels[0].reset();
  EXPECT_FALSE(valid_path(path)) << "no leaf";
  path.levels.clear();
  EXPECT_FALSE(valid_path(path));
  path = TreePath{0, std::vector<std::optional<NodeKey>>(26)};
  path.levels[0].emplace();
  EXPECT_FALSE(valid_path(path)) << "too deep";
}

}  // namespace
}  // namespace sealcast::handshake
