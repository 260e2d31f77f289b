// What an engine is given of a burst, and in which order.
#include "dataplane/path/aead_batch.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "dataplane/sa/sa.h"

namespace sealcast::dataplane {
namespace {

// Notes the items it is given; every third number fails.
class NotingEngine final : public aead::Engine {
 public:
  explicit NotingEngine(bool keys_together) : keys_together_(keys_together) {}
  std::string_view name() const override { return "noting"; }
  std::size_t context_bytes() const override { return 64; }
  Result<aead::Key> expand_key(std::span<const std::uint8_t>, aead::Direction, void*) const override { return {}; }
  void release_key(aead::Key&) const override {}
  bool wants_keys_together() const noexcept override { return keys_together_; }
  void seal(std::span<aead::SealItem> items) const override {
    ++calls;
    given.assign(items.begin(), items.end());
    where = items.data();
    for (aead::SealItem& item : items)
      item.ok = item.length % 3 != 0;
  }
  void open(std::span<aead::OpenItem>) const override { ++opens; }

  mutable int calls = 0, opens = 0;
  mutable std::vector<aead::SealItem> given;
  mutable const aead::SealItem* where = nullptr;

 private:
  const bool keys_together_;
};

using Batch = AeadBatch<aead::SealItem, SealingSa>;

void expect_own_verdicts(Batch& batch) {
  for (std::uint32_t i = 0; i < batch.size(); ++i)
    ASSERT_EQ(batch.item(i).ok, batch.item(i).length % 3 != 0) << i;
}

TEST(AeadBatch, ItemsOfOneKeyStandTogetherInTheirOrderAndKeepTheirVerdicts) {
  std::mt19937 random(1);
  const NotingEngine engine(true);
  Batch batch(engine);
  for (const std::size_t keys : {1, 2, 7, 64})
    for (int round = 0; round < 200; ++round) {
      std::vector<SealingSa> sas(keys);
      batch.clear();
      const std::size_t items = 1 + random() % max_burst;
      for (std::uint32_t i = 0; i < items; ++i) {
        batch.push(sas[random() % keys]).length = i;
        batch.set_frame(i, max_burst - 1 - i);
      }
      batch.run();
      ASSERT_EQ(engine.given.size(), items);
      std::vector<const aead::Key*> seen;
      for (std::size_t i = 0; i < items; ++i) {
        const aead::Key* const key = engine.given[i].key;
        if (i != 0 && engine.given[i - 1].key == key) {
          ASSERT_LT(engine.given[i - 1].length, engine.given[i].length);
          continue;
        }
        ASSERT_EQ(std::count(seen.begin(), seen.end(), key), 0) << "a key came back";
        seen.push_back(key);
      }
      expect_own_verdicts(batch);
      for (std::uint32_t i = 0; i < items; ++i) {
        ASSERT_EQ(batch.frame(i), max_burst - 1 - i);
        ASSERT_EQ(&batch.sa(i).key, batch.item(i).key);
      }
    }
  EXPECT_EQ(engine.opens, 0);
}

TEST(AeadBatch, WithoutNeedNothingIsCopied) {
  std::vector<SealingSa> sas(2);
  const NotingEngine together(true), apart(false);
  Batch one_key(together), any_order(apart);
  for (std::uint32_t i = 0; i < 6; ++i) {
    one_key.push(sas[0]).length = i;
    any_order.push(sas[i % 2]).length = i;
  }
  one_key.run();
  EXPECT_EQ(together.where, one_key.items().data());
  any_order.run();
  EXPECT_EQ(apart.where, any_order.items().data());
  expect_own_verdicts(one_key);
  expect_own_verdicts(any_order);
}

TEST(AeadBatch, ABurstIsOneCallAndTheNextOneBeginsEmpty) {
  std::vector<SealingSa> sas(2);
  const NotingEngine engine(true);
  Batch batch(engine);
  batch.push(sas[0]);
  batch.push(sas[1]);
  batch.run();
  batch.clear();
  EXPECT_EQ(batch.size(), 0U);
  batch.push(sas[1]);
  batch.run();
  EXPECT_EQ(engine.calls, 2);
  EXPECT_EQ(engine.given.size(), 1U);
  EXPECT_EQ(engine.where, batch.items().data()) << "the keys of the burst before are forgotten";
}

TEST(AeadBatch, LongBurstsAreCutInOrder) {
  std::vector<Frame> frames(3 * max_burst);
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, max_burst, max_burst + 1, frames.size()}) {
    const Frame* next = frames.data();
    in_chunks(std::span(frames).first(n), [&](std::span<Frame> chunk) {
      EXPECT_EQ(chunk.data(), next);
      EXPECT_LE(chunk.size(), max_burst);
      next += chunk.size();
    });
    EXPECT_EQ(next, frames.data() + n);
  }
}

}  // namespace
}  // namespace sealcast::dataplane
