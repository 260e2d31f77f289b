// Drop counters and samples by themselves. count_test.cc tests them in a worker.
#include "dataplane/sa/counters.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "dataplane/path/drop_sample.h"
#include "dataplane/testing/packets.h"

namespace sealcast::dataplane {
namespace {

TEST(DropCounters, OwnersThatDropNothingTakeNoBlock) {
  static_assert(sizeof(DropSlot) == 8);
  DropStock stock;
  stock.refill();
  std::vector<std::unique_ptr<DropSlot>> owners;
  for (int i = 0; i < 100'000; ++i)
    owners.push_back(std::make_unique<DropSlot>());
  owners[7]->add(DropReason::replay, stock);
  owners[7]->add(DropReason::replay, stock);
  owners[8]->add(DropReason::too_big, stock);
  EXPECT_EQ(owners[7]->get(DropReason::replay), 2U);
  EXPECT_EQ(owners[7]->get(DropReason::too_big), 0U);
  EXPECT_EQ(owners[8]->get(DropReason::too_big), 1U);
  EXPECT_EQ(owners[9]->get(DropReason::too_big), 0U);
  EXPECT_EQ(stock.unattributed(), 0U);
  DropTotals totals{};
  for (const auto& owner : owners)
    owner->add_to(totals);
  EXPECT_EQ(totals[static_cast<std::size_t>(DropReason::replay)], 2U);
  EXPECT_EQ(totals[static_cast<std::size_t>(DropReason::too_big)], 1U);
}

TEST(DropCounters, AnEmptyStockIsSaidAndFilledAgain) {
  DropStock stock;
  stock.refill();
  std::vector<std::unique_ptr<DropSlot>> owners;
  for (std::size_t i = 0; i < DropStock::capacity + 3; ++i) {
    owners.push_back(std::make_unique<DropSlot>());
    owners.back()->add(DropReason::no_sa, stock);
  }
  EXPECT_EQ(stock.unattributed(), 3U);
  EXPECT_EQ(owners.back()->get(DropReason::no_sa), 0U);
  stock.refill();
  owners.back()->add(DropReason::no_sa, stock);
  EXPECT_EQ(owners.back()->get(DropReason::no_sa), 1U);
  EXPECT_EQ(stock.unattributed(), 3U);
}

Frame frame_of(Bytes& bytes) {
  Frame frame;
  frame.data = bytes.data();
  frame.length = static_cast<std::uint32_t>(bytes.size());
  return frame;
}

TEST(DropSampler, NothingIsTakenUnlessGrantedAndNeverMore) {
  auto sampler = std::make_unique<DropSampler>();
  Bytes bytes = testing::udp_frame(500);
  const Frame frame = frame_of(bytes);
  DropSample sample;
  sampler->drop(Side::red, DropReason::no_sa, frame);
  EXPECT_FALSE(sampler->pop(sample));
  sampler->grant(3);
  for (int i = 0; i < 10; ++i)
    sampler->drop(Side::red, DropReason::no_sa, frame);
  int taken = 0;
  while (sampler->pop(sample))
    ++taken;
  EXPECT_EQ(taken, 3);
  sampler->grant(5);
  sampler->grant(0);
  sampler->drop(Side::red, DropReason::no_sa, frame);
  EXPECT_FALSE(sampler->pop(sample));
  EXPECT_EQ(sampler->lost(), 0U);
}

TEST(DropSampler, KeepsHeadersAndNoPayload) {
  auto sampler = std::make_unique<DropSampler>();
  sampler->grant(100);
  const auto kept = [&](Bytes bytes) {
    DropSample sample;
    sampler->drop(Side::black, DropReason::replay, frame_of(bytes));
    EXPECT_TRUE(sampler->pop(sample));
    EXPECT_EQ(sample.length, bytes.size());
    EXPECT_TRUE(std::equal(sample.header.begin(), sample.header.begin() + sample.kept, bytes.begin()));
    return static_cast<std::size_t>(sample.kept);
  };
  using testing::ethernet;
  using testing::ipv4;
  EXPECT_EQ(kept(testing::udp_frame(500)), 14U + 20 + 8);
  testing::Ipv4Fields esp;
  esp.protocol = 50;
  EXPECT_EQ(kept(ethernet(ipv4(esp, testing::pattern(100)), {5, 6})), 22U + 20 + 16);
  testing::Ipv4Fields options;
  options.options = Bytes(40, 1);
  EXPECT_EQ(kept(ethernet(ipv4(options, testing::pattern(100)))), 14U + 60 + 8);
  EXPECT_EQ(kept(ethernet(testing::pattern(200), {}, 0x0806)), 14U + 28);
  EXPECT_EQ(kept(ethernet(testing::pattern(200), {}, 0x86dd)), 14U + 40 + 8);
  for (std::size_t length = 0; length < 60; ++length) {  // exactly sized: a sanitizer sees every byte beyond
    Bytes cut = ethernet(ipv4(esp, testing::pattern(100)), {5, 6});
    cut.resize(length);
    cut.shrink_to_fit();
    EXPECT_EQ(kept(std::move(cut)), std::min<std::size_t>(length, 58));
  }
}

}  // namespace
}  // namespace sealcast::dataplane
