// Member agents and the real key server in one process: what neither half's own tests can show.
#include "controlplane/member/testing/together.h"

namespace sealcast::member {
namespace {

using namespace std::chrono_literals;
using testing::FakeDataPlane;
using testing::Json;
using testing::Together;

TEST_F(Together, P5_SenderAndReceiversGetTheSameKeys) {
  Member& home = join("home", config::MemberRole::receiver);
  Member& studio = join("studio", config::MemberRole::sender);
  Member& attic = join("attic", config::MemberRole::receiver);
  ASSERT_TRUE(until([&] { return home.epoch() == studio.epoch() && home.epoch() == attic.epoch(); }));
  expect_heard(studio, home, studio.epoch());
  expect_heard(studio, attic, studio.epoch());
  EXPECT_TRUE(home.plane.find(home.epoch())->outbound.empty());
}

TEST_F(Together, H9_FourWorkersGetFourSlots) {
  Member& home = join("home", config::MemberRole::receiver);
  Member& studio = join("studio", config::MemberRole::sender, 4);
  ASSERT_TRUE(until([&] { return studio.plane.find(studio.epoch())->outbound.size() == 4; }));
  expect_heard(studio, home, studio.epoch());
}

TEST_F(Together, RekeysMakeBeforeBreak) {
  Member& home = join("home", config::MemberRole::receiver);
  Member& studio = join("studio", config::MemberRole::sender);
  const std::uint64_t first = studio.epoch();
  ASSERT_TRUE(until([&] { return studio.group()["epoch_state"] == "active"; }));
  ASSERT_TRUE(until([&] { return server_->rekey("tv").has_value(); }));
  ASSERT_TRUE(until([&] { return studio.epoch() > first; })) << admin::to_json(studio.agent->status());
  ASSERT_TRUE(until([&] { return home.epoch() == studio.epoch(); }));
  expect_heard(studio, home, studio.epoch());
  EXPECT_NE(home.plane.find(first), nullptr) << "packets under way must still open";
  ASSERT_TRUE(until([&] { return !home.plane.find(first) && !studio.plane.find(first); }));
  EXPECT_EQ(studio.group()["rekeys"], 1);
  EXPECT_EQ(studio.group()["joins"], 1) << "a rekey must not cost a join";
}

TEST_F(Together, H9_ARestartedKeyServerNeverRepeatsASlotAndBreaksNothing) {
  Member& home = join("home", config::MemberRole::receiver);
  Member& studio = join("studio", config::MemberRole::sender);
  const std::uint64_t first = studio.epoch();
  for (int round = 1; round <= 2; ++round) {
    server_.reset();
    ASSERT_TRUE(until([&] { return studio.group()["state"] == "reconnecting"; }));
    const auto* held = studio.plane.find(studio.epoch());
    ASSERT_NE(held, nullptr) << "it goes on with what it has";
    EXPECT_TRUE(held->active);
    EXPECT_FALSE(held->outbound.empty());
    serve();
    ASSERT_TRUE(until([&] { return studio.group()["joins"] == round + 1 && home.group()["joins"] == round + 1; }))
        << admin::to_json(studio.agent->status()) << admin::to_json(home.agent->status());
  }
  // FakeDataPlane fails the test if an own SPI ever comes back.
  ASSERT_TRUE(until([&] {
    return studio.group()["epoch_state"] == "active" && studio.epoch() > first && home.epoch() == studio.epoch();
  })) << admin::to_json(studio.agent->status());
  expect_heard(studio, home, studio.epoch());
}

TEST_F(Together, H9_ARestartedSenderGetsAnotherSlot) {
  Member& home = join("home", config::MemberRole::receiver);
  Member& studio = join("studio", config::MemberRole::sender);
  const std::uint64_t epoch = studio.epoch();
  const auto before = studio.plane.find(epoch)->outbound;
  studio.agent.reset();  // without its goodbye having left
  Member& again = join("studio", config::MemberRole::sender);
  ASSERT_EQ(again.epoch(), epoch);
  for (const std::uint32_t spi : again.plane.find(epoch)->outbound)
    EXPECT_EQ(before.count(spi), 0u);
  expect_heard(again, home, epoch);
}

TEST_F(Together, H16_OneMemberHoldsSeveralGroupsOfOneKeyServer) {
  server_.reset();
  config::KeyserverGroup radio = server_config_.groups[0];
  radio.id = "radio";
  radio.selectors = {{*Prefix::parse("239.2.2.0/24"), {}, {}, {}}};
  server_config_.groups.push_back(radio);
  serve();
  pki::FolderOptions options;
  options.folder = folder_;
  options.now = std::time(nullptr);
  options.force = true;
  ASSERT_TRUE(pki::make_member(options, "home", {"tv", "radio"}));
  config::MemberGroup second = member_group(config::MemberRole::receiver);
  second.id = "radio";
  second.selectors = radio.selectors;
  Member& home = join("home", config::MemberRole::receiver, 1, {second});
  const auto joined = [&] { return Json::parse(admin::to_json(home.agent->status()))["joined"] == 2; };
  ASSERT_TRUE(until(joined)) << admin::to_json(home.agent->status());
  until([] { return false; }, 300ms);
  EXPECT_TRUE(joined()) << "one connection pushes the other out: " << admin::to_json(home.agent->status());
  const Json status = Json::parse(admin::to_json(home.agent->status()));
  for (const Json& group : status["groups"])
    EXPECT_EQ(group["joins"], 1);
  EXPECT_EQ(home.plane.held.size(), 2u);
}

TEST_F(Together, StatusReportsReachTheKeyServer) {
  Member& studio = join("studio", config::MemberRole::sender);
  SaStatistics sa;
  sa.group_id = "tv";
  sa.epoch = studio.epoch();
  sa.spi = *studio.plane.find(studio.epoch())->outbound.begin();
  sa.outbound = true;
  sa.packets = 4711;
  studio.plane.stats.sas = {sa};
  EXPECT_TRUE(until([&] {
    const Json member = Json::parse(admin::to_json(server_->status()))["groups"][0]["members"][0];
    return member.contains("report") && member["report"].value("sealed", 0) == 4711;
  })) << admin::to_json(server_->status());
}

// ---------------------------------------------------------------- the same in ISAKMP messages (P34)

class TogetherInIsakmp : public Together {
 protected:
  TogetherInIsakmp() { carriage_ = config::Carriage::isakmp; }
};

TEST_F(TogetherInIsakmp, P34_GatewaysJoinAndAreRekeyed) {
  Member& home = join("home", config::MemberRole::receiver);
  Member& studio = join("studio", config::MemberRole::sender);
  const std::uint64_t first = studio.epoch();
  ASSERT_TRUE(until([&] { return studio.group()["epoch_state"] == "active" && home.epoch() == first; }));
  expect_heard(studio, home, first);
  EXPECT_EQ(studio.group()["carriage"], "isakmp");
  const Json server = Json::parse(admin::to_json(server_->status()));
  EXPECT_EQ(server["isakmp"]["cookies_shown"], 2);
  for (const Json& member : server["groups"][0]["members"])
    EXPECT_EQ(member["carriage"], "isakmp");
  ASSERT_TRUE(until([&] { return server_->rekey("tv").has_value(); }));
  ASSERT_TRUE(until([&] { return studio.epoch() > first && home.epoch() == studio.epoch(); }));
  expect_heard(studio, home, studio.epoch());
  EXPECT_EQ(studio.group()["joins"], 1) << "a rekey must not cost a join";
}

TEST_F(TogetherInIsakmp, P34_OverIpv6) {
  server_config_.listen.reset();
  server_config_.listen_isakmp = *config::ListenAddress::parse("[::1]:0");
  server_.reset();
  server_ = std::make_unique<keyserver::KeyServer>(io_, server_config_);
  const auto started = server_->start();
  ASSERT_TRUE(started) << started.error().message;
  host_ = "::1";
  EXPECT_EQ(join("home", config::MemberRole::receiver).group()["carriage"], "isakmp");
  const Json member = Json::parse(admin::to_json(server_->status()))["groups"][0]["members"][0];
  EXPECT_THAT(member["address"].get<std::string>(), ::testing::StartsWith("[::1]:"));
}

TEST_F(TogetherInIsakmp, P34_MembersComeBackToARestartedKeyServer) {
  Member& studio = join("studio", config::MemberRole::sender);
  server_.reset();
  ASSERT_TRUE(until([&] { return studio.group()["state"] == "reconnecting"; }));
  serve();  // its cookies are made with other keys
  EXPECT_TRUE(until([&] { return studio.group()["joins"] == 2; })) << admin::to_json(studio.agent->status());
}

TEST_F(TogetherInIsakmp, P35_WhatSmkeBroughtIsAllThatASecurityAssociationNeeds) {
  Member& home = join("home", config::MemberRole::receiver);
  Member& studio = join("studio", config::MemberRole::sender);
  ASSERT_TRUE(until([&] { return home.epoch() == studio.epoch(); }));
  // RFC 4301 §4.4.2.1: SPI, algorithm and key, mode, replay window, lifetime, selectors. The member had none of them
  // but limits of its own.
  for (const Member* member : {&home, &studio}) {
    const auto* held = member->plane.find(member->epoch());
    ASSERT_NE(held, nullptr);
    EXPECT_EQ(held->value.mode, EspMode::tunnel_preserve);
    EXPECT_EQ(held->value.replay_window, server_config_.groups[0].replay_window);
    ASSERT_EQ(held->value.selectors.size(), 1u);
    EXPECT_GT(held->value.expires, std::chrono::steady_clock::now());
  }
}

TEST_F(TogetherInIsakmp, P36_TheMulticastAddressComesFromTheKeyServer) {
  Member& home = join("home", config::MemberRole::receiver);
  const auto* held = home.plane.find(home.epoch());
  ASSERT_NE(held, nullptr);
  ASSERT_EQ(held->value.selectors.size(), 1u);
  // The member's own configuration allows 239.1.0.0/16; what it got is narrower.
  EXPECT_EQ(held->value.selectors[0].destination, *Prefix::parse("239.1.1.0/24"));
  EXPECT_TRUE(held->value.selectors[0].destination.address.is_multicast());
}

TEST_F(TogetherInIsakmp, P37_TheSpiIsTheKeyServersChoice) {
  server_config_.groups[0].senders = {"studio", "attic"};
  server_.reset();
  serve();
  Member& studio = join("studio", config::MemberRole::sender);
  Member& attic = join("attic", config::MemberRole::sender);
  ASSERT_TRUE(until([&] { return studio.epoch() == attic.epoch() && studio.plane.find(studio.epoch()); }));
  const Json status = Json::parse(admin::to_json(server_->status()));
  std::set<std::uint32_t> given;
  for (const Json& member : status["groups"][0]["members"])
    for (const Json& spi : member["slots"])
      given.insert(static_cast<std::uint32_t>(std::stoul(spi.get<std::string>(), nullptr, 16)));
  std::set<std::uint32_t> used;
  for (const Member* member : {&studio, &attic})
    for (const std::uint32_t spi : member->plane.find(member->epoch())->outbound) {
      EXPECT_TRUE(server_config_.spi_range.contains(spi));
      EXPECT_TRUE(used.insert(spi).second) << "two senders under one SPI";
    }
  EXPECT_EQ(used.size(), 2u);
  EXPECT_TRUE(std::includes(given.begin(), given.end(), used.begin(), used.end())) << status.dump();
}

TEST_F(TogetherInIsakmp, P38_OneSetOfParametersForSendingAndReceiving) {
  server_config_.groups[0].senders = {"studio", "attic"};
  server_.reset();
  serve();
  Member& studio = join("studio", config::MemberRole::both);
  Member& attic = join("attic", config::MemberRole::both);
  ASSERT_TRUE(until([&] { return studio.epoch() == attic.epoch(); }));
  ASSERT_TRUE(until([&] {
    const auto* a = studio.plane.find(studio.epoch());
    const auto* b = attic.plane.find(attic.epoch());
    return a && b && !a->outbound.empty() && !b->outbound.empty();
  }));
  expect_heard(studio, attic, studio.epoch());
  expect_heard(attic, studio, studio.epoch());
  const auto& a = studio.plane.find(studio.epoch())->value;
  const auto& b = attic.plane.find(attic.epoch())->value;
  EXPECT_EQ(a.selectors, b.selectors);
  EXPECT_EQ(a.mode, b.mode);
  EXPECT_EQ(a.replay_window, b.replay_window);
}

TEST_F(TogetherInIsakmp, P34_AWrongPortIsToldInOneClearLine) {
  const auto refused = [&](config::Carriage carriage, config::Carriage port_of) {
    config::MemberGroup group = member_group(config::MemberRole::receiver);
    group.carriage = carriage;
    group.keyservers = {{"127.0.0.1", server_->port(port_of)}};
    auto& member = *members_.emplace_back(std::make_unique<Member>(1));
    MemberSettings settings = settings_of("home");
    settings.member.groups = {group};
    member.agent = std::make_unique<MemberAgent>(io_, settings, member.plane);
    EXPECT_TRUE(member.agent->start());
    EXPECT_TRUE(until([&] { return member.group()["failures"] > 0; }));
    EXPECT_EQ(member.group()["joins"], 0);
    return member.group()["why"].get<std::string>();
  };
  EXPECT_THAT(refused(config::Carriage::isakmp, config::Carriage::tls),
              ::testing::AllOf(::testing::HasSubstr("wrong_carriage"), ::testing::HasSubstr("listen_isakmp")));
  EXPECT_THAT(refused(config::Carriage::tls, config::Carriage::isakmp),
              ::testing::AllOf(::testing::HasSubstr("unexpected_message"), ::testing::HasSubstr("listen_isakmp")));
}

}  // namespace
}  // namespace sealcast::member
