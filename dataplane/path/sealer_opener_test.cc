// The two sides of the path without a worker around them. What they decide of all kinds of packets is tested through
// the worker: red_test.cc, black_test.cc, modes_test.cc, ipv6_test.cc, property_test.cc.
#include <gtest/gtest.h>

#include <memory>

#include "dataplane/path/opener.h"
#include "dataplane/path/sealer.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

// The parts of one worker, each standing alone; the SAs are those of a plane that never runs a worker.
class Sides : public ::testing::Test {
 protected:
  static constexpr std::uint32_t spi = 0x10000000;

  static std::unique_ptr<aead::Engine> engine() { return aead::create_engine("auto").value(); }
  static void install(Harness& plane, bool sealing) {
    const std::vector<Selector> selectors = tv_selectors();
    ASSERT_TRUE(plane.plane().protect("tv", {selectors}));
    GroupEpoch epoch = plane.epoch("tv", 1, spi, selectors);
    if (sealing) {
      epoch.outbound.push_back({key_of(spi)});
    } else {
      epoch.inbound.push_back({key_of(spi), 0});
    }
    ASSERT_TRUE(plane.plane().install(std::move(epoch)));
  }

  void SetUp() override {
    settings_.tsc_hz = Harness::tsc_hz;
    install(red_plane_, true);
    install(black_plane_, false);
  }

  void seal(std::span<Frame> frames) { sealer_->burst(frames, red_plane_.now_tsc(), red_plane_.snapshot()); }
  void open(std::span<Frame> frames) { opener_->burst(frames, black_plane_.now_tsc(), black_plane_.snapshot()); }

  PathSettings settings_;
  Harness red_plane_, black_plane_;
  std::unique_ptr<aead::Engine> engine_ = engine();
  Tally red_tally_{0}, black_tally_{0};
  ClearPath red_clear_{settings_, red_tally_}, black_clear_{settings_, black_tally_};
  std::unique_ptr<MissingKeys> missing_ = std::make_unique<MissingKeys>(0, settings_, black_tally_);
  Sources red_sources_{1, 0}, black_sources_{1, 0};
  SourceGuard red_guard_{0, settings_, red_sources_, red_tally_},
      black_guard_{0, settings_, black_sources_, black_tally_};
  std::unique_ptr<Sealer> sealer_ =
      std::make_unique<Sealer>(0, settings_, *engine_, red_tally_, red_clear_, red_guard_);
  std::unique_ptr<Opener> opener_ =
      std::make_unique<Opener>(0, settings_, *engine_, black_tally_, black_clear_, *missing_, black_guard_);
};

TEST_F(Sides, WhatASealerSealsAnOpenerOpens) {
  const Bytes plain = udp_frame(100);
  for (const Bytes& bytes : {plain, ethernet(packet_of(plain), {7})}) {  // the lean way and the general one
    BufferedFrame buffered(bytes);
    seal({&buffered.frame, 1});
    ASSERT_EQ(buffered.frame.verdict, Verdict::forward);
    ASSERT_NE(buffered.bytes(), bytes);
    open({&buffered.frame, 1});
    ASSERT_EQ(buffered.frame.verdict, Verdict::forward);
    EXPECT_EQ(buffered.bytes(), bytes);
  }
  EXPECT_EQ(red_tally_.counters().sealed.get(), 2U);
  EXPECT_EQ(black_tally_.counters().opened.get(), 2U);
}

TEST_F(Sides, BothWaysTakeTheirNumbersFromTheSameSa) {
  const SealingSa& sa = *red_plane_.snapshot().outbound[0];
  std::vector<std::unique_ptr<BufferedFrame>> buffers;
  std::vector<Frame> burst;
  for (int i = 0; i < 100; ++i) {
    const Bytes plain = udp_frame(20);
    buffers.push_back(std::make_unique<BufferedFrame>(i % 3 == 0 ? ethernet(packet_of(plain), {7}) : plain));
    burst.push_back(buffers.back()->frame);
  }
  seal(burst);
  EXPECT_EQ(sa.next_number.get(), 101U);
  EXPECT_EQ(sa.blocks.get(), 100U * blocks_of(esp_padded_bytes(48)));
  EXPECT_EQ(sa.bytes.get(), 100U * 48);
  open(burst);
  for (const Frame& frame : burst)
    EXPECT_EQ(frame.verdict, Verdict::forward);
}

TEST_F(Sides, ALimitIsReportedOnceToTheControlThread) {
  settings_.soft_block_limit = 1;
  for (int i = 0; i < 3; ++i) {
    BufferedFrame buffered(udp_frame(100));
    seal({&buffered.frame, 1});
  }
  std::uint32_t reported = 0;
  ASSERT_TRUE(sealer_->counter_limits().pop(reported));
  EXPECT_EQ(reported, spi);
  EXPECT_FALSE(sealer_->counter_limits().pop(reported));
}

TEST_F(Sides, WhatHasNoKeyYetIsParkedByThePartForIt) {
  EspFields fields;
  fields.spi = spi + 5;
  BufferedFrame buffered(esp_frame(fields, ipv4({}, udp(1, 5000, {}))));
  open({&buffered.frame, 1});
  EXPECT_EQ(buffered.frame.verdict, Verdict::park);
  EXPECT_FALSE(missing_->empty());
}

TEST_F(Sides, WhatIsRefusedIsWiped) {
  EspFields fields;
  fields.spi = spi;
  fields.next_header = 6;
  const Bytes inner = ipv4({}, udp(1, 5000, pattern(40)));
  BufferedFrame buffered(esp_frame(fields, inner));
  open({&buffered.frame, 1});
  EXPECT_EQ(buffered.frame.reason, DropReason::bad_next_header);
  const Bytes left = buffered.bytes();
  const auto text = left.begin() + ethernet_bytes + min_ipv4_bytes + esp_front_bytes;
  EXPECT_EQ(std::count(text, text + static_cast<std::ptrdiff_t>(inner.size()), 0), std::ssize(inner));
}

}  // namespace
}  // namespace sealcast::dataplane::testing
