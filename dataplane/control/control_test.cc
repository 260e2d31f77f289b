// The control side: it fails closed, activates without a gap, refuses bad epochs, and reports events.
#include "dataplane/control/control.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

using namespace std::chrono_literals;

class Control : public ::testing::Test {
 protected:
  const std::vector<Selector> tv_ = {selector("239.1.1.0/24")};
  Harness path_;

  std::string reason() { return std::string(name(path_.red(udp_frame(20)).reason)); }
  GroupEpoch sending(std::uint64_t number, std::uint32_t prefix, bool active) {
    GroupEpoch epoch = path_.epoch("tv", number, prefix, tv_, active);
    epoch.outbound.push_back({key_of(prefix)});
    return epoch;
  }
  static Bytes to(const std::string& destination) {
    Ipv4Fields fields;
    fields.destination = destination;
    return udp_frame(20, fields);
  }
  static std::uint32_t spi_of(const Outcome& outcome) { return load_be<std::uint32_t>(&outcome.frame[34]); }
};

TEST_F(Control, H10_FailClosedFromProtectToRetire) {
  EXPECT_EQ(reason(), "no_policy");  // not even configured: dropped all the same
  ASSERT_TRUE(path_.plane().protect("tv", {tv_}));
  EXPECT_EQ(reason(), "no_sa");
  GroupEpoch receiver = path_.epoch("tv", 1, 0x10000000, tv_);
  ASSERT_TRUE(path_.plane().install(std::move(receiver)));
  EXPECT_EQ(reason(), "no_sa");  // no own slots
  ASSERT_TRUE(path_.plane().retire("tv", 1));
  ASSERT_TRUE(path_.plane().install(sending(2, 0x20000000, false)));
  EXPECT_EQ(reason(), "no_sa");  // pending: receives only
  ASSERT_TRUE(path_.plane().activate("tv", 2));
  EXPECT_EQ(reason(), "none");
  ASSERT_TRUE(path_.plane().retire("tv", 2));
  EXPECT_EQ(reason(), "no_sa");
}

TEST_F(Control, H10_ExpiryStopsSealingAndOpeningWithoutTheControlThread) {
  path_.install_tv();
  Sender sender(0x10000008, tv_);
  ASSERT_TRUE(path_.plane().extend_lease("tv", path_.now() + 10h));
  path_.advance(1h - 1ns);
  EXPECT_EQ(reason(), "none");
  EXPECT_EQ(path_.black(sender.seal(udp_frame(1))).verdict, Verdict::forward);
  path_.advance(1ns);
  EXPECT_EQ(reason(), "sa_expired");
  EXPECT_EQ(name(path_.black(sender.seal(udp_frame(1))).reason), "sa_expired");
  // A later lease does not revive an expired epoch.
  ASSERT_TRUE(path_.plane().extend_lease("tv", path_.now() + 10h));
  EXPECT_EQ(reason(), "sa_expired");
}

TEST_F(Control, H11_LeaseStopsSealingOnly) {
  path_.install_tv();
  Sender sender(0x10000008, tv_);
  path_.advance(1min - 1ns);
  EXPECT_EQ(reason(), "none");
  path_.advance(1ns);
  EXPECT_EQ(reason(), "lease_expired");
  EXPECT_EQ(path_.black(sender.seal(udp_frame(1))).verdict, Verdict::forward);
  const std::uint64_t next = path_.sa(0x10000000)->next_number;
  ASSERT_TRUE(path_.plane().extend_lease("tv", path_.now() + 1s));
  EXPECT_EQ(reason(), "none");
  EXPECT_EQ(path_.sa(0x10000000)->next_number, next + 1);  // the same counter continues
  path_.advance(1s);
  EXPECT_EQ(reason(), "lease_expired");
}

TEST_F(Control, MakeBeforeBreak) {
  path_.install_tv();
  Sender old_sender(0x10000008, tv_), new_sender(0x20000005, tv_);
  EXPECT_EQ(spi_of(path_.red(udp_frame(5))), 0x10000000U);
  GroupEpoch next = sending(2, 0x20000000, false);
  next.inbound.push_back({key_of(0x20000005), 0});
  ASSERT_TRUE(path_.plane().install(std::move(next)));
  // Both epochs open, the old one seals.
  EXPECT_EQ(path_.black(old_sender.seal(udp_frame(5))).verdict, Verdict::forward);
  EXPECT_EQ(path_.black(new_sender.seal(udp_frame(5))).verdict, Verdict::forward);
  EXPECT_EQ(spi_of(path_.red(udp_frame(5))), 0x10000000U);
  ASSERT_TRUE(path_.plane().activate("tv", 2));
  EXPECT_EQ(spi_of(path_.red(udp_frame(5))), 0x20000000U);
  EXPECT_TRUE(path_.sa(0x20000000)->active);
  EXPECT_FALSE(path_.sa(0x10000000)->active);
  EXPECT_EQ(path_.black(old_sender.seal(udp_frame(5))).verdict, Verdict::forward);
  ASSERT_TRUE(path_.plane().retire("tv", 1));
  EXPECT_EQ(name(path_.black(old_sender.seal(udp_frame(5))).reason), "unknown_spi");
  EXPECT_EQ(path_.black(new_sender.seal(udp_frame(5))).verdict, Verdict::forward);
  EXPECT_EQ(path_.sa(0x10000000), nullptr);
}

TEST_F(Control, H5_ActiveEpochsNeverFall) {
  ASSERT_TRUE(path_.plane().protect("tv", {tv_}));
  ASSERT_TRUE(path_.plane().install(sending(1, 0x10000000, true)));
  ASSERT_TRUE(path_.plane().install(sending(2, 0x20000000, true)));
  EXPECT_TRUE(path_.plane().activate("tv", 2));
  const auto back = path_.plane().activate("tv", 1);
  ASSERT_FALSE(back);
  EXPECT_NE(back.error().message.find("epochs never fall"), std::string::npos);
  EXPECT_FALSE(path_.plane().install(sending(0, 0x30000000, true)));
  EXPECT_EQ(spi_of(path_.red(udp_frame(5))), 0x20000000U);
}

TEST_F(Control, H9_AnOutboundSpiIsNeverUsedTwice) {
  ASSERT_TRUE(path_.plane().protect("tv", {tv_}));
  ASSERT_TRUE(path_.plane().install(sending(1, 0x10000000, true)));
  path_.red(udp_frame(5));
  const auto slots = [](std::uint32_t spi) {
    std::vector<sealcast::OutboundSa> made;
    made.push_back({key_of(spi)});
    return made;
  };
  EXPECT_FALSE(path_.plane().replace_outbound("tv", 1, slots(0x10000000)));
  ASSERT_TRUE(path_.plane().replace_outbound("tv", 1, slots(0x10000003)));
  EXPECT_EQ(spi_of(path_.red(udp_frame(5))), 0x10000003U);
  EXPECT_FALSE(path_.plane().replace_outbound("tv", 1, slots(0x10000000)));
  // Not even after the epoch was retired and installed again.
  ASSERT_TRUE(path_.plane().retire("tv", 1));
  const auto again = path_.plane().install(sending(1, 0x10000000, true));
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find("never used"), std::string::npos);
}

TEST_F(Control, H9_AnOutboundSpiIsNeverUsedTwiceHoweverManyEpochsPassed) {
  ASSERT_TRUE(path_.plane().protect("tv", {tv_}));
  ASSERT_TRUE(path_.plane().install(sending(1, 0x10000000, true)));
  ASSERT_TRUE(path_.plane().retire("tv", 1));
  for (std::uint32_t n = 2; n <= 100; ++n) {
    ASSERT_TRUE(path_.plane().install(sending(n, 0x10000000 + (n << 16), true))) << n;
    ASSERT_TRUE(path_.plane().retire("tv", n));
  }
  for (const std::uint32_t n : {1U, 2U, 50U, 100U})
    EXPECT_FALSE(path_.plane().install(sending(n, 0x10000000 + ((n == 1 ? 0 : n) << 16), false))) << n;
  // Nor by a detour: installed to receive, given slots later.
  ASSERT_TRUE(path_.plane().install(path_.epoch("tv", 1, 0x10000000, tv_, false)));
  std::vector<sealcast::OutboundSa> slots;
  slots.push_back({key_of(0x10000000)});
  EXPECT_FALSE(path_.plane().replace_outbound("tv", 1, std::move(slots)));
}

TEST_F(Control, H11_AnEpochThatComesAgainWaitsForItsActivation) {
  ASSERT_TRUE(path_.plane().protect("tv", {tv_}));
  ASSERT_TRUE(path_.plane().install(sending(3, 0x10000000, true)));
  ASSERT_TRUE(path_.plane().retire("tv", 3));
  GroupEpoch again = path_.epoch("tv", 3, 0x10000000, tv_, false);
  again.outbound.push_back({key_of(0x10000001)});
  ASSERT_TRUE(path_.plane().install(std::move(again)));
  EXPECT_EQ(reason(), "no_sa");
  EXPECT_FALSE(path_.sa(0x10000001)->active);
  ASSERT_TRUE(path_.plane().activate("tv", 3));
  EXPECT_EQ(reason(), "none");
  // An epoch that was active once still counts: none below it is accepted.
  ASSERT_TRUE(path_.plane().retire("tv", 3));
  ASSERT_TRUE(path_.plane().install(sending(2, 0x20000000, false)));
  EXPECT_FALSE(path_.plane().activate("tv", 2));
}

TEST_F(Control, ASlotDerivedInAdvanceAndThenGrantedToUsIsOwn) {
  path_.install_tv();
  std::vector<sealcast::OutboundSa> granted;
  granted.push_back({key_of(0x10000008)});
  ASSERT_TRUE(path_.plane().replace_outbound("tv", 1, std::move(granted)));
  const Outcome sealed = path_.red(udp_frame(5));
  EXPECT_EQ(spi_of(sealed), 0x10000008U);
  EXPECT_EQ(name(path_.black(sealed.frame).reason), "own_spi");
}

TEST_F(Control, H9_DropAllOutboundKeepsReceiving) {
  path_.install_tv();
  Sender sender(0x10000008, tv_);
  const Bytes own = path_.red(udp_frame(5)).frame;
  path_.plane().drop_all_outbound();
  EXPECT_EQ(reason(), "no_sa");
  EXPECT_EQ(path_.black(sender.seal(udp_frame(5))).verdict, Verdict::forward);
  EXPECT_EQ(name(path_.black(own).reason), "own_spi");
}

// Sanitizers replace mlock() by a function that does nothing.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool mlock_works = false;
#else
constexpr bool mlock_works = true;
#endif

// The kernel's flags of the mapping that address lies in ("lo" locked, "dd" not dumped, "wf" wiped in children).
std::string mapping_flags(const void* address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long first = 0, last = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &first, &last) == 2) inside = first <= wanted && wanted < last;
    if (inside && line.rfind("VmFlags:", 0) == 0) return line + " ";
  }
  return "";
}

TEST_F(Control, H14_KeysAndSaltsLieInLockedMemoryAndAreWipedOnRetire) {
  path_.install_tv();
  const SealingSa* const sealing = path_.snapshot().outbound[0];
  const OpeningSa* const opening = path_.snapshot().spis.find(0x10000008)->sa;
  // The arenas outlive the epoch, so that the test can search them.
  struct Place {
    const void* at;
    std::size_t bytes;
    bool is_wiped() const {
      const auto* p = static_cast<const std::uint8_t*>(at);
      return std::all_of(p, p + bytes, [](std::uint8_t byte) { return byte == 0; });
    }
  };
  for (const Place& place : {Place{sealing->key.context, 64}, Place{opening->key.context, 64},
                             Place{sealing, sizeof *sealing}, Place{opening, sizeof *opening}}) {
    EXPECT_FALSE(place.is_wiped());
    const std::string flags = mapping_flags(place.at);
    for (const char* flag : {" dd ", " wf ", mlock_works ? " lo " : " dd "})
      EXPECT_NE(flags.find(flag), std::string::npos) << flag << "in " << flags;
  }
  const Place places[] = {
      {sealing->key.context, 64}, {opening->key.context, 64}, {sealing, sizeof *sealing}, {opening, sizeof *opening}};
  ASSERT_TRUE(path_.plane().retire("tv", 1));
  for (const Place& place : places)
    EXPECT_TRUE(place.is_wiped());
}

TEST_F(Control, H10_AGroupThatIsRemovedIsDroppedBothWaysAndTheOthersGoOn) {
  const std::vector<Selector> radio = {selector("239.2.1.0/24")};
  path_.install_tv();
  Sender sender(0x10000008, tv_);
  ASSERT_TRUE(path_.plane().protect("radio", {radio}));
  GroupEpoch epoch = path_.epoch("radio", 1, 0x20000000, radio, true);
  epoch.outbound.push_back({key_of(0x20000000)});
  ASSERT_TRUE(path_.plane().install(std::move(epoch)));
  EXPECT_EQ(reason(), "none");
  ASSERT_TRUE(path_.plane().unprotect("tv"));
  EXPECT_EQ(reason(), "no_policy") << "as if it had never been configured";
  EXPECT_EQ(path_.black(sender.seal(udp_frame(1))).verdict, Verdict::drop);
  EXPECT_EQ(name(path_.black(udp_frame(1)).reason), "no_policy") << "nor in clear";
  EXPECT_EQ(path_.statistics().groups.size(), 1U);
  const Outcome other = path_.red(to("239.2.1.7"));
  EXPECT_EQ(other.reason, DropReason::none);
  EXPECT_EQ(spi_of(other), 0x20000000U);
  EXPECT_FALSE(path_.plane().unprotect("tv"));
  EXPECT_FALSE(path_.plane().retire("tv", 1)) << "its epochs went with it";
}

TEST_F(Control, H9_H14_WhatARemovedGroupSealedWithIsWipedAndNotUsedAgain) {
  ASSERT_TRUE(path_.plane().protect("tv", {tv_}));
  ASSERT_TRUE(path_.plane().install(sending(1, 0x10000000, true)));
  const SealingSa* const sealing = path_.snapshot().outbound[0];
  const auto* const key = static_cast<const std::uint8_t*>(sealing->key.context);
  EXPECT_TRUE(std::any_of(key, key + 64, [](std::uint8_t byte) { return byte != 0; }));
  EXPECT_EQ(reason(), "none");
  ASSERT_TRUE(path_.plane().unprotect("tv"));
  EXPECT_TRUE(std::all_of(key, key + 64, [](std::uint8_t byte) { return byte == 0; }));
  ASSERT_TRUE(path_.plane().protect("tv", {tv_}));
  EXPECT_EQ(reason(), "no_sa");
  EXPECT_FALSE(path_.plane().install(sending(1, 0x10000000, true))) << "the SPI has sealed";
  ASSERT_TRUE(path_.plane().install(sending(2, 0x30000000, true)));
  EXPECT_EQ(reason(), "none");
}

TEST_F(Control, H10_ManyGroupsComeAndGoAllOrNone) {
  ASSERT_TRUE(path_.plane().protect("tv", {tv_}));
  std::vector<DataPlaneControl::NamedProtection> many;
  for (int i = 0; i < 20; ++i)
    many.push_back({"g" + std::to_string(i), {{selector("239.3." + std::to_string(i) + ".0/24")}}});
  auto bad = many;
  bad.push_back({"meets", {{selector("239.3.7.5/32")}}});
  const auto refused = path_.plane().protect_all(bad);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("239.3.7.0/24"), std::string::npos) << refused.error().message;
  EXPECT_EQ(path_.statistics().groups.size(), 1U);
  EXPECT_EQ(name(path_.red(to("239.3.5.1")).reason), "no_policy");
  EXPECT_EQ(name(path_.red(to("239.1.1.1")).reason), "no_sa") << "tv is as it was";

  ASSERT_TRUE(path_.plane().protect_all(many));
  EXPECT_EQ(name(path_.red(to("239.3.5.1")).reason), "no_sa");
  EXPECT_FALSE(path_.plane().unprotect_all({"g1", "g2", "unknown"}));
  EXPECT_FALSE(path_.plane().unprotect_all({"g1", "g2", "g1"})) << "named twice";
  EXPECT_EQ(path_.statistics().groups.size(), 21U);
  EXPECT_EQ(name(path_.red(to("239.3.1.1")).reason), "no_sa");
  std::vector<std::string> ids;
  for (int i = 0; i < 19; ++i)
    ids.push_back("g" + std::to_string(i));
  ASSERT_TRUE(path_.plane().unprotect_all(ids));
  EXPECT_EQ(path_.statistics().groups.size(), 2U);
  EXPECT_EQ(name(path_.red(to("239.3.18.1")).reason), "no_policy");
  EXPECT_EQ(name(path_.red(to("239.3.19.1")).reason), "no_sa");
  ASSERT_TRUE(path_.plane().protect_all({{"again", {{selector("239.3.0.0/20")}}}}));
  EXPECT_EQ(name(path_.red(to("239.3.5.1")).reason), "no_sa") << "refused and removed groups do not block others";
  EXPECT_TRUE(path_.plane().unprotect_all({}));
}

TEST_F(Control, GroupsComeAndGoUnderTraffic) {
  path_.install_tv();
  for (std::uint32_t i = 0; i < 200; ++i) {
    const std::string id = "g" + std::to_string(i % 7);
    const std::vector<Selector> own = {selector("239.3." + std::to_string(i % 50) + ".0/24")};
    ASSERT_TRUE(path_.plane().protect(id, {own})) << i;
    GroupEpoch epoch = path_.epoch(id, i + 1, 0x20000000 + (i << 16), own, true);
    epoch.outbound.push_back({key_of(0x20000000 + (i << 16))});
    ASSERT_TRUE(path_.plane().install(std::move(epoch)));
    const Outcome own_packet = path_.red(to("239.3." + std::to_string(i % 50) + ".9"));
    EXPECT_EQ(spi_of(own_packet), 0x20000000 + (i << 16)) << "its own key, not one of a group before";
    EXPECT_EQ(reason(), "none");
    ASSERT_TRUE(path_.plane().unprotect(id));
    EXPECT_EQ(name(path_.red(to("239.3." + std::to_string(i % 50) + ".9")).reason), "no_policy");
  }
  EXPECT_EQ(path_.statistics().groups.size(), 1U);
  EXPECT_EQ(path_.snapshot().ranges.size(), 1U) << "tv's";
}

TEST_F(Control, H14_WithoutLockedMemoryThereAreNoKeysAndNothingLeaves) {
  if (!mlock_works) GTEST_SKIP() << "a sanitizer's mlock() cannot fail";
  ASSERT_TRUE(path_.plane().protect("tv", {tv_}));
  // No memory at all; enough for the SA, but not for its key.
  for (const rlim_t bytes : {rlim_t{0}, rlim_t{64 * 1024}}) {
    const pid_t child = ::fork();
    if (child == 0) {
      const rlimit limit{bytes, bytes};
      const bool bound = ::setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && (::geteuid() != 0 || ::seteuid(65534) == 0);
      const auto installed = path_.plane().install(sending(1, 0x10000000, true));
      const bool said = !installed && installed.error().message.find("RLIMIT_MEMLOCK") != std::string::npos;
      ::_exit(!bound                                        ? 1
              : !said                                       ? 2
              : reason() != "no_sa"                         ? 3  // H10
              : path_.statistics().groups.at(0).sealed != 0 ? 4
                                                            : 0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0) << bytes << " bytes; 1: cannot set the limit, 2: not refused with the remedy, "
                                      << "3: not dropped, 4: counted";
  }
}

TEST_F(Control, H16_SelectorsOfTwoGroupsMayNotOverlap) {
  ASSERT_TRUE(path_.plane().protect("tv", {tv_}));
  const auto clash = path_.plane().protect("news", {{selector("239.1.0.0/16")}});
  ASSERT_FALSE(clash);
  EXPECT_NE(clash.error().message.find("239.1.1.0/24 of group tv"), std::string::npos) << clash.error().message;
  EXPECT_TRUE(path_.plane().protect("radio", {{selector("239.1.2.0/24")}}));
  EXPECT_FALSE(path_.plane().protect("tv", {{selector("239.7.0.0/16")}}));
  EXPECT_FALSE(path_.plane().protect("empty", {}));
}

TEST_F(Control, H12_InstallRefusesWhatItCannotCarry) {
  ASSERT_TRUE(path_.plane().protect("tv", {tv_}));
  ASSERT_TRUE(path_.plane().install(sending(1, 0x10000000, true)));
  const auto refused = [&](const std::string& part, auto change) {
    GroupEpoch epoch = sending(2, 0x20000000, false);
    change(epoch);
    const auto result = path_.plane().install(std::move(epoch));
    ASSERT_FALSE(result) << part;
    EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
  };
  refused("not protected", [](GroupEpoch& e) { e.group_id = "other"; });
  refused("installed already", [](GroupEpoch& e) { e.epoch = 1; });
  refused("tunnel-preserve", [](GroupEpoch& e) { e.mode = EspMode::transport; });
  refused("tunnel-preserve", [](GroupEpoch& e) { e.mode = EspMode::tunnel_fixed; });
  refused("at least one selector", [](GroupEpoch& e) { e.selectors.clear(); });
  refused("outside what the configuration protects", [](GroupEpoch& e) { e.selectors = {selector("239.1.0.0/16")}; });
  refused("outside what the configuration protects",
          [](GroupEpoch& e) { e.selectors.push_back(selector("239.2.2.2")); });
  refused("outside what the configuration protects", [](GroupEpoch& e) { e.selectors = {selector("ff1e::/64")}; });
  refused("power of two", [](GroupEpoch& e) { e.replay_window = 1000; });
  refused("power of two", [](GroupEpoch& e) { e.replay_window = 512; });
  refused("power of two", [](GroupEpoch& e) { e.replay_window = 1U << 30; });
  refused("slot bits", [](GroupEpoch& e) { e.spi_slot_bits = 32; });
  refused("slot bits", [](GroupEpoch& e) { e.spi_prefix |= 7; });
  refused("0x00000100", [](GroupEpoch& e) { e.spi_prefix = 0; });
  refused("overlap", [](GroupEpoch& e) { e.spi_prefix = 0x10000000; });
  refused("expected an SPI in", [](GroupEpoch& e) { e.outbound[0].key.spi = 0x20010000; });
  refused("expected an SPI in", [](GroupEpoch& e) { e.inbound.push_back({key_of(0x10000001), 0}); });
  refused("16 or 32", [](GroupEpoch& e) { e.outbound[0].key.key_size = 24; });
  refused("one per worker", [](GroupEpoch& e) { e.outbound.push_back({key_of(0x20000001)}); });
  // The refused calls left nothing: the same epoch installs, with the same slot.
  EXPECT_TRUE(path_.plane().install(sending(2, 0x20000000, false)));
  EXPECT_FALSE(path_.plane().activate("tv", 3));
  EXPECT_FALSE(path_.plane().retire("tv", 3));
  EXPECT_FALSE(path_.plane().extend_lease("other", path_.now()));
  EXPECT_FALSE(path_.plane().add_inbound("tv", 3, {}));
  EXPECT_FALSE(path_.plane().replace_outbound("tv", 3, {}));
}

TEST_F(Control, NarrowerEpochSelectorsBindBothWays) {
  ASSERT_TRUE(path_.plane().protect("tv", {tv_}));
  const std::vector<Selector> narrow = {selector("239.1.1.0/25")};
  GroupEpoch epoch = path_.epoch("tv", 1, 0x10000000, narrow);
  epoch.outbound.push_back({key_of(0x10000000)});
  epoch.inbound.push_back({key_of(0x10000008), 0});
  ASSERT_TRUE(path_.plane().install(std::move(epoch)));
  Sender sender(0x10000008, tv_);
  Ipv4Fields upper;
  upper.destination = "239.1.1.200";
  EXPECT_EQ(reason(), "none");
  EXPECT_EQ(name(path_.red(udp_frame(5, upper)).reason), "selector_mismatch");
  EXPECT_EQ(name(path_.black(sender.seal(udp_frame(5, upper))).reason), "selector_mismatch");
  EXPECT_EQ(path_.black(sender.seal(udp_frame(5))).verdict, Verdict::forward);
}

TEST_F(Control, AddInboundLeavesWindowsUntouched) {
  path_.install_tv();
  Sender sender(0x10000008, tv_);
  const Bytes sealed = sender.seal(udp_frame(5));
  ASSERT_EQ(path_.black(sealed).verdict, Verdict::forward);
  std::vector<sealcast::InboundSa> again;
  again.push_back({key_of(0x10000008), 0});
  again.push_back({key_of(0x10000020), 0});
  ASSERT_TRUE(path_.plane().add_inbound("tv", 1, std::move(again)));
  EXPECT_EQ(name(path_.black(sealed).reason), "replay");
  EXPECT_NE(path_.sa(0x10000020), nullptr);
}

TEST_F(Control, StatisticsListEveryReasonOnceAndSumWorkers) {
  Harness path(Harness::Options{.workers = 3});
  path.install_tv();
  for (std::uint32_t w = 0; w < 3; ++w)
    path.red(std::vector<Bytes>{udp_frame(1), udp_frame(2), ethernet({}, {}, 0x0806)}, w);
  path.plane().set_port_statistics([] { return std::vector<PortStatistics>{{.name = "red", .device = "null"}}; });
  const DataPlaneStatistics all = path.statistics();
  EXPECT_EQ(all.sealed, 6U);
  EXPECT_EQ(all.drops.size(), drop_reason_count - 1);
  EXPECT_EQ(path.dropped(DropReason::not_ip), 3U);
  ASSERT_EQ(all.ports.size(), 1U);
  ASSERT_EQ(all.sas.size(), 5U);
  for (std::size_t w = 0; w < 3; ++w) {
    EXPECT_TRUE(all.sas[w].outbound);
    EXPECT_EQ(all.sas[w].packets, 2U);
    EXPECT_EQ(all.sas[w].next_number, 3U);
  }
}

TEST_F(Control, KEY2_NoNonceTwiceOverRekeysReplacementsAndWorkers) {
  Harness path(Harness::Options{.workers = 2});
  ASSERT_TRUE(path.plane().protect("tv", {tv_}));
  std::set<std::pair<std::uint32_t, std::uint64_t>> nonces;
  std::size_t sealed = 0;
  const auto send = [&] {
    for (std::uint32_t w = 0; w < 2; ++w) {
      for (const Outcome& outcome : path.red(std::vector<Bytes>(40, udp_frame(30)), w)) {
        ASSERT_EQ(outcome.verdict, Verdict::forward) << name(outcome.reason);
        ++sealed;
        ASSERT_TRUE(nonces.emplace(spi_of(outcome), load_be<std::uint64_t>(&outcome.frame[42])).second);
      }
    }
  };
  for (std::uint32_t n = 1; n <= 20; ++n) {
    const std::uint32_t prefix = 0x10000000 + (n << 16);
    GroupEpoch epoch = path.epoch("tv", n, prefix, tv_, false);
    epoch.outbound.push_back({key_of(prefix)});
    epoch.outbound.push_back({key_of(prefix + 1)});
    ASSERT_TRUE(path.plane().install(std::move(epoch)));
    if (n > 1) send();  // still the former epoch
    ASSERT_TRUE(path.plane().activate("tv", n));
    send();
    std::vector<sealcast::OutboundSa> fresh;
    fresh.push_back({key_of(prefix + 2)});
    fresh.push_back({key_of(prefix + 3)});
    ASSERT_TRUE(path.plane().replace_outbound("tv", n, std::move(fresh)));
    send();
    if (n > 1) {
      ASSERT_TRUE(path.plane().retire("tv", n - 1));
    }
    send();
  }
  EXPECT_EQ(nonces.size(), sealed);
}

TEST(Create, NeedsWorkersAndAClock) {
  ImmediatePublisher publisher;
  const auto attempt = [&](std::uint32_t workers, std::uint64_t hz) {
    DataPlaneOptions options;
    options.workers = workers;
    options.path.tsc_hz = hz;
    options.now_tsc = [] { return std::uint64_t{1}; };
    return DataPlane::create(std::move(options), std::move(*aead::create_engine("openssl")), publisher);
  };
  EXPECT_FALSE(attempt(0, 1));
  EXPECT_FALSE(attempt(17, 1));
  EXPECT_FALSE(attempt(1, 0));
  EXPECT_TRUE(attempt(16, 1));
}

}  // namespace
}  // namespace sealcast::dataplane::testing
