// What stands in the admin socket's JSON, and that both ends read it alike.
#include "controlplane/admin/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "controlplane/admin/plane_answers.h"

namespace sealcast::admin {
namespace {

using Json = nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Messages, RendersEveryFieldOfTheDataPlane) {
  DataPlaneStatistics statistics;
  statistics.engine = "ipsec_mb";
  statistics.sealed = 1;
  statistics.opened = 2;
  statistics.bypassed = 3;
  statistics.ports.push_back({"black", "vhost-user:/x", true, 4, 5, 6, 7, 8});
  statistics.taken = SteadyTime(std::chrono::milliseconds(1500));
  statistics.sas.push_back({"tv", 9, 0x10000001, 2, true, true, 10, 11, 12, 13, 14, {{"too_big", 16}}, {}});
  statistics.sas.push_back({"tv", 9, 0x10000002, 0, false, false, 1, 1, 1, 1, 1, {}, SenderEstimate{}});
  statistics.sas[1].sender = SenderEstimate{20, 21, 22, 60, 61, 62, 23, 24, 25, 26, 27, 28, 2.5};
  statistics.groups.push_back({"tv", 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, std::nullopt, {{"no_sa", 11}}});
  statistics.workers.push_back({3, 1, 2, 3, 4, 5, 6, {{"not_ip", 7}}});
  statistics.events_lost.push_back({"slots_wanted", 17});
  statistics.drops.push_back({"no_sa", 15});
  statistics.cut = 30;
  statistics.reassembled = 31;
  statistics.parked = 32;
  statistics.spread_waits = 33;
  statistics.red_segment = {"stands by", {{"north", "hq", "02:00:00:00:00:01", "works", false}}, "10.0.0.1 to red"};
  const Json status = Json::parse(
      to_json(GatewayStatus{.version = "0.1.0", .agent = {.joined = 1}, .dataplane = plane_status(statistics)}));
  EXPECT_EQ(status["daemon"], "gateway");
  EXPECT_EQ(status["agent"]["joined"], 1);
  EXPECT_FALSE(status.contains("keyserver"));
  const Json& plane = status["dataplane"];
  EXPECT_EQ(plane["engine"], "ipsec_mb");
  EXPECT_EQ(plane["ports"][0], Json::parse(R"({"name":"black","device":"vhost-user:/x","link_up":true,"rx_packets":4,
    "rx_bytes":5,"tx_packets":6,"tx_bytes":7,"tx_dropped":8})"));
  EXPECT_EQ(plane["sas"][0], Json::parse(R"({"group":"tv","epoch":9,"spi":"0x10000001","worker":2,"direction":"out",
    "active":true,"packets":10,"bytes":11,"next_number":12,"replays":13,"bad_tags":14,"drops":{"too_big":16}})"));
  EXPECT_EQ(plane["sas"][1]["sender"], Json::parse(R"({"first":20,"last":21,"lost":22,"leaps":60,"leapt_over":61,
    "breaks":62,"missing":23,"reordered":24,
    "reorder_sum":25,"reorder_max":26,"duplicates":27,"late":28,"silent_s":2.5})"));
  EXPECT_EQ(plane["groups"][0], Json::parse(R"({"group":"tv","active_epoch":9,"epochs":1,"senders":2,"sealed":3,
    "sealed_bytes":4,"opened":5,"opened_bytes":6,"lost":7,"reordered":8,"duplicates":9,"late":10,"silent_s":null,
    "drops":{"no_sa":11}})"));
  EXPECT_EQ(plane["workers"][0], Json::parse(R"({"worker":3,"sealed":1,"sealed_bytes":2,"opened":3,"opened_bytes":4,
    "bypassed":5,"bypassed_bytes":6,"drops":{"not_ip":7}})"));
  const Json ports = Json::parse(to_json(PortsAnswer{statistics}));
  for (const Json* answer : std::initializer_list<const Json*>{&plane, &ports}) {
    EXPECT_EQ((*answer)["cut"], 30);
    EXPECT_EQ((*answer)["reassembled"], 31);
    EXPECT_EQ((*answer)["parked"], 32);
    EXPECT_EQ((*answer)["spread_waits"], 33);
  }
  EXPECT_EQ(plane["red_segment"], Json::parse(R"({"state":"stands by","neighbours":[{"name":"north","site":"hq",
    "mac":"02:00:00:00:00:01","state":"works","ignored":false}],"last_moved":"10.0.0.1 to red"})"));
  EXPECT_EQ(plane["events_lost"], Json::parse(R"({"slots_wanted":17})"));
  EXPECT_EQ(plane["taken_s"], 1.5);
  EXPECT_EQ(plane["drops"][0], Json::parse(R"({"reason":"no_sa","packets":15})"));
  GatewayStatus embedding{.dataplane = plane_status(statistics)};
  embedding.keyserver.emplace();
  EXPECT_TRUE(Json::parse(to_json(embedding)).contains("keyserver"));
}

TEST(Messages, PartsAloneForScreensThatAreDrawnAgain) {
  DataPlaneStatistics statistics;
  statistics.groups.push_back({});
  statistics.groups[0].group_id = "tv";
  statistics.sas.resize(2);
  statistics.sas[0].group_id = "tv";
  statistics.sas[1].group_id = "radio";
  const auto part = [&](const char* request) {
    const auto asked = read_request<SasRequest>(request);
    return Json::parse(asked ? to_json(sas_answer(statistics, *asked)) : error_json(asked.error()));
  };
  statistics.sas[0].outbound = true;
  statistics.sas[1].packets = 1;
  EXPECT_EQ(part(R"({"command":"sas"})")["sas"].size(), 2U);
  EXPECT_EQ(part(R"({"command":"sas","group":"tv"})")["sas"].size(), 1U);
  // Dozens of slots are derived ahead for each epoch; with a thousand groups the answer would be huge.
  statistics.sas.resize(66);
  for (std::size_t i = 2; i < 66; ++i)
    statistics.sas[i].group_id = "tv";
  EXPECT_EQ(part(R"({"command":"sas"})")["sas"].size(), 2U);
  EXPECT_EQ(part(R"({"command":"sas"})")["sas_unheard"], 64);
  EXPECT_EQ(part(R"({"command":"sas","group":"tv"})")["sas"].size(), 1U);
  EXPECT_EQ(part(R"({"command":"sas","all":true})")["sas"].size(), 66U);
  EXPECT_EQ(part(R"({"command":"sas","group":"tv","all":true})")["sas"].size(), 65U);
  const Json plane = Json::parse(to_json(GatewayStatus{.dataplane = plane_status(statistics)}))["dataplane"];
  EXPECT_EQ(plane["sas"].size(), 2U);
  EXPECT_EQ(plane["sas_unheard"], 64);
  EXPECT_EQ(Json::parse(to_json(GatewayStatus{.dataplane = plane_status(statistics, true)}))["dataplane"]["sas"].size(),
            66U);
  statistics.sas[7].bad_tags = 1;
  EXPECT_EQ(part(R"({"command":"sas"})")["sas"].size(), 3U) << "a bad tag shows a sender";
  EXPECT_TRUE(part(R"({"command":"sas","group":"x"})").contains("error"));
  EXPECT_TRUE(part(R"({"command":"sas","group":7})").contains("error"));
  EXPECT_TRUE(part("nonsense").contains("error"));
  EXPECT_TRUE(Json::parse(to_json(PortsAnswer{statistics})).contains("ports"));
  const Json groups = Json::parse(to_json(PlaneGroups{statistics}));
  EXPECT_TRUE(groups.contains("groups"));
  EXPECT_FALSE(groups.contains("sas"));
  EXPECT_TRUE(Json::parse(to_json(TopAnswer{statistics})).contains("groups"));
}

// Read and written again, nothing is lost or changed.
template <typename Request, typename Answer>
void expect_same(const Answer& answer) {
  const std::string json = to_json(answer);
  const auto read = read_answer<Request>(json);
  ASSERT_TRUE(read) << read.error().message << json;
  EXPECT_THAT(read->untold, ElementsAre()) << json;
  if constexpr (requires { std::variant_size<typename Request::Answer>::value; })
    EXPECT_EQ(to_json(std::get<Answer>(read->value)), json);
  else
    EXPECT_EQ(to_json(read->value), json);
}

DataPlaneStatistics some_statistics() {
  DataPlaneStatistics all;
  all.taken = SteadyTime(std::chrono::milliseconds(1500));
  all.engine = "burst";
  all.sealed = 1;
  all.cut = 2;
  all.ports = {{"red", "null", true, 4, 5, 6, 7, 8}};
  all.sas = {{"tv", 9, 0x10000002, 3, false, false, 1, 2, 3, 4, 5, {{"replay", 4}}, SenderEstimate{}}};
  all.sas[0].sender = SenderEstimate{20, 21, 22, 60, 61, 62, 23, 24, 25, 26, 27, 28, 2.5};
  all.groups = {{"tv", 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 3.5, {{"no_sa", 11}}}};
  all.workers = {{3, 1, 2, 3, 4, 5, 6, {{"not_ip", 7}}}};
  all.bypass = {{"ospf", "red-to-black", 1, 2, 3, 4, "02:00:00:00:00:01 on black"}};
  all.drops = {{"no_sa", 15}, {"replay", 0}};
  all.events_lost = {{"slots_wanted", 0}};
  return all;
}

KeyserverGroup some_group() {
  return {.group = "tv",
          .suite = "suite",
          .variant = 2,
          .mode = "transport",
          .handing_over = true,
          .epoch_lifetime = 86400.0,
          .authority_lease = 60,
          .joined = 1,
          .expected = 2,
          .expected_by = "members",
          .missing = {"attic"},
          .missing_count = 1,
          .behind = {"home"},
          .behind_count = 1,
          .selectors = {"239.1.1.0/24"},
          .epochs = {{7, "00ff", "active", 1.0, 2.0, 0x10000000, 3, 4, 5}},
          .active = {{7, 2.0, 3, 4}},
          .last_rekey = {{7, "asked for", 1.5, 2, 1, "studio", 212, 2001, 1}},
          .members = {{{.member = "studio",
                        .address = "10.9.0.2:1",
                        .carriage = "tls",
                        .roles = "both",
                        .joined = 3.0,
                        .slots = {0x10000001, 0x10000002},
                        .behind = false,
                        .acknowledged = 7,
                        .activated = 7,
                        .report = {{7, 1, 2, 3, 0.5}}}}},
          .cluster = {{9, 8, true, {{"ks1", 9, 8}}}}};
}

ClusterStatus some_cluster() {
  return {.name = "ks1",
          .state = "serving",
          .incarnation = "aa",
          .leader = "ks2",
          .leading = false,
          .revision = 77,
          .servers = {{"ks2", "10.0.0.2:1", true, false, 4.0, "bb", 0.5}},
          .gone = {{"ks3", "cc", 5.0, 6.0}},
          .lease_ttl = 10,
          .answered = 0.5,
          .lease_left = 9.5,
          .cut_off = 1.0,
          .alarm = "NOSPACE"};
}

TEST(Messages, EveryAnswerIsReadAsItWasWritten) {
  AgentGroup group{.group = "tv", .state = "joined", .keyserver = "10.9.0.1:7400", .joins = 1, .failures = 2};
  group.held = {7, "00ff", "active", 1.0, 2.0, 3, {0x10000002}};
  group.datagrams = {1, 2, 3, 4};
  group.epochs = {{7, "00ff", "active", 1.0, 5}};
  KeyserverStatus keyserver{.daemon = "keyserver",
                            .version = "1",
                            .id = "ks",
                            .uptime = 1.0,
                            .connections = 2,
                            .members = 1,
                            .handshakes = {3, 4, {{"timeout", 5}}},
                            .refused = {{"rate", 6}},
                            .groups = {some_group()},
                            .listen = "10.9.0.1:7400",
                            .listen_isakmp = "10.9.0.1:7500",
                            .passwords = {{7, 8}},
                            .isakmp = {{9, 10}},
                            .cluster = some_cluster()};
  expect_same<StatusRequest>(keyserver);
  GatewayStatus gateway{.version = "1",
                        .agent = {.groups = {group}, .joined = 1, .connections = 1, .snapshot_resumes = 0},
                        .dataplane = {some_statistics(), 64}};
  gateway.keyserver = keyserver;
  expect_same<StatusRequest>(gateway);
  expect_same<PortsRequest>(PortsAnswer{some_statistics()});
  expect_same<TopRequest>(TopAnswer{some_statistics()});
  expect_same<SasRequest>(SasAnswer{some_statistics(), 3});
  KeyserverGroups groups{.daemon = "keyserver", .version = "1", .id = "ks", .groups = {some_group()}};
  groups.cluster = some_cluster();
  expect_same<GroupsRequest>(groups);
  expect_same<GroupsRequest>(PlaneGroups{some_statistics(), groups});
  expect_same<RekeyRequest>(Done());
  expect_same<RevokeRequest>(Revoked{.ok = true});
  expect_same<RevokeRequest>(Revoked{.ok = false, .unknown = true, .similar = {"home"}});
  Revocations revocations{{{"anna", 1'700'000'000, "tv"}, {"ben", 1, ""}},
                          {{"tv", true, 5.0, {"studio"}, {"home"}, {"b"}, 2.1, 3.0, 7}}};
  expect_same<RevocationsRequest>(revocations);
  expect_same<AuditRequest>(
      AuditAnswer{{{"2026-01-31T12:00:00.123Z", "info", "started", {{"z", "1"}, {"a", "\"2\""}}}}, true});
  WhatIfAnswer what_if{"drop", "no_sa", "no key", false, "tv", "239.1.1.0/24", 0x10000001,
                       7,      8,       0,        100,   0,    {{"a", "b"}}};
  expect_same<WhatIfRequest>(what_if);
  expect_same<DropsRequest>(DropsAnswer{{{Side::black, "no_sa", 100, "IPv4", "00ff"}}});
}

template <typename Request>
void expect_same_request(const Request& request) {
  const std::string json = request_json(request);
  EXPECT_EQ(Json::parse(json)["command"], Request::command);
  const auto read = read_request<Request>(json);
  ASSERT_TRUE(read) << read.error().message << json;
  EXPECT_EQ(request_json(*read), json);
}

TEST(Messages, EveryRequestIsReadAsItWasWritten) {
  expect_same_request(StatusRequest());
  expect_same_request(StatusRequest{true});
  expect_same_request(GroupsRequest());
  expect_same_request(PortsRequest());
  expect_same_request(TopRequest());
  expect_same_request(RevocationsRequest());
  expect_same_request(SasRequest{"tv", true});
  expect_same_request(RekeyRequest{"tv"});
  expect_same_request(RevokeRequest{"anna", "tv", true});
  expect_same_request(ReinstateRequest{"anna", std::nullopt});
  expect_same_request(UnlockRequest{"anna"});
  expect_same_request(AuditRequest{5, "tv", "anna", "started", 7, 10});
  expect_same_request(WhatIfRequest{Side::black, {0, 255}, 3, 0x10000001, 7});
  expect_same_request(DropsRequest{32});
}

TEST(Messages, ARequestOfAnotherKindIsRefusedWithWhatWasExpected) {
  const auto why = [](const auto& read) { return read ? std::string() : read.error().message; };
  EXPECT_EQ(why(read_request<RekeyRequest>("{}")), "expected \"group\", got none");
  EXPECT_EQ(why(read_request<RekeyRequest>(R"({"group":7})")), "expected \"group\" to be a text, got 7");
  EXPECT_EQ(why(read_request<RevokeRequest>(R"({"member":"a","group":null})")),
            "expected \"group\" to be a text, got null");
  EXPECT_EQ(why(read_request<RevokeRequest>(R"({"member":"a","group":[]})")),
            "expected \"group\" to be a text, got a list");
  EXPECT_EQ(why(read_request<AuditRequest>(R"({"count":-1})")), "expected \"count\" to be a whole number, got -1");
  EXPECT_EQ(why(read_request<AuditRequest>(R"({"count":1.5})")), "expected \"count\" to be a whole number, got 1.5");
  EXPECT_EQ(why(read_request<SasRequest>(R"({"all":1})")), "expected \"all\" to be true or false, got 1");
  EXPECT_EQ(why(read_request<WhatIfRequest>(R"({"side":"blue","frame":""})")),
            "expected \"side\" to be \"red\" or \"black\", got \"blue\"");
  EXPECT_EQ(why(read_request<StatusRequest>("[]")), "expected a JSON object");
}

TEST(Messages, AnAnswerOfAnotherVersionIsReadAsFarAsItGoes) {
  const auto odd = read_answer<PortsRequest>(
      R"({"ports":[3,{"name":7,"rx_packets":"x","tx_packets":5}],"workers":{"a":1},"taken_s":"x","cut":1})");
  ASSERT_TRUE(odd) << odd.error().message;
  ASSERT_EQ(odd->value.statistics.ports.size(), 1u);
  EXPECT_EQ(odd->value.statistics.ports[0].name, "");
  EXPECT_EQ(odd->value.statistics.ports[0].tx_packets, 5u);
  EXPECT_EQ(odd->value.statistics.cut, 1u);
  EXPECT_THAT(odd->untold,
              ElementsAre("parked", "reassembled", "rx_bytes", "rx_packets", "spread_waits", "tx_bytes", "tx_dropped"));
  std::string many = R"({"drops":[],"workers":[{"drops":{)";
  for (int i = 0; i < 300'000; ++i)
    many += "\"k" + std::to_string(i) + "\":1,";
  const auto bounded = read_answer<PortsRequest>(many + R"("last":1}}]})");
  ASSERT_TRUE(bounded) << bounded.error().message;
  ASSERT_EQ(bounded->value.statistics.workers.size(), 1u);
  EXPECT_EQ(bounded->value.statistics.workers[0].drops.size(), 10'000u) << "and no hours of searching";
  const std::string deep = R"({"error":)" + std::string(1'000'000, '[') + std::string(1'000'000, ']') + "}";
  EXPECT_FALSE(read_answer<PortsRequest>(deep));
  for (const char* none : {"", "7", "[]", "no JSON"})
    EXPECT_EQ(read_answer<PortsRequest>(none).error().message, "expected a JSON object as answer");
  EXPECT_EQ(read_answer<PortsRequest>(R"({"error":"no"})").error().message, "no");
  EXPECT_EQ(read_answer<StatusRequest>(R"({"daemon":"toaster"})").error().message,
            "expected the answer of a gateway or a key server, got \"toaster\"");
}

}  // namespace
}  // namespace sealcast::admin
