// SMKE-4: every forged or stale value of a keying is refused, each with its own reason.
#include "controlplane/member/keying_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "handshake/testing/in_process.h"

namespace sealcast::member {
namespace {

using handshake::GroupKeying;
using ::testing::HasSubstr;

class KeyingCheck : public ::testing::Test {
 protected:
  KeyingCheck() {
    group_.id = "tv";
    group_.keyserver_id = "ks.example";
    group_.selectors = keying_.policy.selectors;
    group_.max_lifetime = std::chrono::hours(48);
  }
  std::string refusal(const std::function<void(GroupKeying&)>& bend) {
    GroupKeying bent = handshake::testing::clone(keying_);
    bend(bent);
    const auto result = check_keying(group_, bent, id_, context_);
    return result ? "accepted" : result.error().message;
  }
  static handshake::EpochId other_id() {
    handshake::EpochId id{};
    id.fill(9);
    return id;
  }

  GroupKeying keying_ = handshake::testing::sample_keying();
  handshake::EpochId id_{};
  config::MemberGroup group_;
  KeyingContext context_;
};

TEST_F(KeyingCheck, AcceptsWhatIsConfigured) {
  EXPECT_EQ(refusal([](GroupKeying&) {}), "accepted");
  // Narrower than what is configured is fine, too.
  EXPECT_EQ(refusal([](GroupKeying& k) {
              k.policy.selectors[0].destination = *Prefix::parse("239.1.1.7");
              k.policy.selectors[0].ports = PortRange{5001, 5002};
              k.policy.selectors[0].source = *Prefix::parse("10.0.0.0/8");
            }),
            "accepted");
}

TEST_F(KeyingCheck, H5_EpochsNeverFallAndNeverChangeTheirName) {
  context_.remembered = RememberedEpoch{keying_.epoch, id_};
  EXPECT_EQ(refusal([](GroupKeying&) {}), "accepted") << "joining again in the same epoch";
  EXPECT_THAT(refusal([](GroupKeying& k) { --k.epoch; }), HasSubstr("a replay"));
  EXPECT_EQ(refusal([](GroupKeying& k) { ++k.epoch; }), "accepted");
  context_.remembered->epoch_id = other_id();
  EXPECT_THAT(refusal([](GroupKeying&) {}), HasSubstr("one number must not name two epochs"));
  context_.remembered.reset();
  EXPECT_THAT(refusal([](GroupKeying& k) { k.epoch = 0; }), HasSubstr("epoch 0"));
  context_.live = {{"tv", keying_.epoch, other_id(), true, 0x10000000, 0x1000ffff}};
  EXPECT_THAT(refusal([](GroupKeying&) {}), HasSubstr("it is held with"));
}

TEST_F(KeyingCheck, H5_AGroupUpdateMustExceedTheActiveEpoch) {
  context_.source = KeyingSource::group_update;
  context_.live = {{"tv", keying_.epoch, id_, true, 0x10000000, 0x1000ffff}};
  EXPECT_THAT(refusal([](GroupKeying&) {}), HasSubstr("expected an epoch above the active"));
  EXPECT_EQ(refusal([](GroupKeying& k) {
              ++k.epoch;
              k.policy.spi_prefix = 0x10010000;
            }),
            "accepted");
  context_.live[0].active = false;
  EXPECT_EQ(refusal([](GroupKeying&) {}), "accepted") << "the pending one again, after joining again";
  context_.source = KeyingSource::smke;
  context_.live[0].active = true;
  EXPECT_EQ(refusal([](GroupKeying&) {}), "accepted") << "SMKE may carry the active one again";
}

TEST_F(KeyingCheck, H12_RefusesWhatIsNotConfigured) {
  struct Case {
    const char* says;
    std::function<void(GroupKeying&)> bend;
  };
  const Case cases[] = {
      {"expected the key server \"ks.example\"", [](GroupKeying& k) { k.key_server_id = "evil"; }},
      {"expected the group \"tv\"", [](GroupKeying& k) { k.group_id = "radio"; }},
      {"expected the suite",
       [](GroupKeying& k) { k.policy.cipher_suite = handshake::CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256; }},
      {"expected the mode tunnel-preserve, got transport",
       [](GroupKeying& k) { k.policy.esp_mode = EspMode::transport; }},
      {"expected timed numbers, got foreign ones", [](GroupKeying& k) { k.policy.numbers = Numbers::foreign; }},
      {"expected at least one selector", [](GroupKeying& k) { k.policy.selectors.clear(); }},
      {"is not within the configured ones",
       [](GroupKeying& k) { k.policy.selectors[0].destination = *Prefix::parse("239.1.0.0/16"); }},
      {"is not within the configured ones",
       [](GroupKeying& k) {
         k.policy.selectors.push_back({*Prefix::parse("239.9.9.9"), {}, {}, {}});
       }},
      {"is not within the configured ones", [](GroupKeying& k) { k.policy.selectors[0].ports.reset(); }},
      {"(H12)", [](GroupKeying& k) { k.policy.selectors[0].destination = *Prefix::parse("10.0.0.1"); }},
      {"(H12)", [](GroupKeying& k) { k.policy.selectors[0].destination = *Prefix::parse("224.0.0.5"); }},
      {"no life left", [](GroupKeying& k) { k.remaining_ms = 0; }},
      {"max_lifetime", [](GroupKeying& k) { k.remaining_ms = 48ull * 3600 * 1000 + 1; }},
      {"max_lifetime", [](GroupKeying& k) { k.remaining_ms = ~0ull; }},
      {"authority lease", [](GroupKeying& k) { k.policy.authority_lease_s = 0; }},
      {"authority lease", [](GroupKeying& k) { k.policy.authority_lease_s = 0xffffffff; }},
      {"delays of at most", [](GroupKeying& k) { k.policy.deactivation_delay_ms = 0xffffffff; }},
      {"delays of at most", [](GroupKeying& k) { k.policy.activation_delay_ms = 3600 * 1000 + 1; }},
      {"replay window", [](GroupKeying& k) { k.policy.replay_window = 512; }},
      {"replay window", [](GroupKeying& k) { k.policy.replay_window = 1500; }},
      {"replay window", [](GroupKeying& k) { k.policy.replay_window = 1u << 31; }},
      {"slot bits", [](GroupKeying& k) { k.policy.spi_slot_bits = 0; }},
      {"slot bits", [](GroupKeying& k) { k.policy.spi_slot_bits = 17; }},
      {"reaches into its", [](GroupKeying& k) { k.policy.spi_prefix |= 1; }},
      {"reaches 0-255",
       [](GroupKeying& k) {
         k.policy.spi_prefix = 0;
         k.policy.spi_slot_bits = 8;
       }},
      {"reaches 0-255", [](GroupKeying& k) { k.policy.spi_prefix = 0; }},
      {"is not within the configured 0x10000000", [](GroupKeying& k) { k.policy.spi_prefix = 0x20000000; }},
      {"is not within the configured 0x10000000", [](GroupKeying& k) { k.policy.spi_prefix = 0x0fff0000; }},
      {"do not fit into",
       [](GroupKeying& k) {
         k.assignment.first_slot = 0xffff;
         k.assignment.slot_count = 2;
       }},
      {"do not fit into",
       [](GroupKeying& k) {
         k.policy.spi_slot_bits = 4;
         k.policy.slots_used = 17;
         k.assignment.first_slot = 0;
       }},
  };
  for (const Case& c : cases)
    EXPECT_THAT(refusal(c.bend), HasSubstr(c.says));
}

TEST_F(KeyingCheck, H12_SpiRangesOfLiveEpochsNeverOverlap) {
  context_.live = {{"radio", 5, id_, true, 0x1000ff00, 0x1001ffff}};
  EXPECT_THAT(refusal([](GroupKeying&) {}), HasSubstr("overlaps that of epoch 5 of group \"radio\""));
  EXPECT_EQ(refusal([](GroupKeying& k) { k.policy.spi_prefix = 0x10020000; }), "accepted");
  // Its own earlier epoch counts like any other; the same epoch must stay where it is.
  context_.live = {{"tv", keying_.epoch - 1, id_, true, 0x10000000, 0x1000ffff}};
  EXPECT_THAT(refusal([](GroupKeying&) {}), HasSubstr("overlaps that of epoch"));
  context_.live = {{"tv", keying_.epoch, id_, true, 0x10000000, 0x1000ffff}};
  EXPECT_THAT(refusal([](GroupKeying& k) { k.policy.spi_prefix = 0x10010000; }), HasSubstr("moved its SPI range"));
}

}  // namespace
}  // namespace sealcast::member
