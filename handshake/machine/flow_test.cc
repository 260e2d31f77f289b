// The flows from end to end, in one process: variant 2 in the order of claim 5, and standard TLS 1.2.
#include <gtest/gtest.h>
#include <malloc.h>

#include "handshake/record/record_layer.h"
#include "handshake/testing/ends.h"
#include "handshake/testing/puppet.h"

namespace sealcast::handshake {
namespace {

using namespace testing;  // NOLINT: the fixtures

TEST(Variant2, P21_P27_MemberGetsTheGroupsKeyingOverTheSecuredChannel) {
  World world;
  Ends ends(world);
  ASSERT_TRUE(ends.client->established()) << why(*ends.client) << " / " << why(*ends.server);
  ASSERT_TRUE(ends.server->established());
  auto member = find_event<Established>(ends.client_events);
  auto server = find_event<Established>(ends.server_events);
  auto sent = find_event<KeyingSent>(ends.server_events);
  ASSERT_TRUE(member && server && sent);
  EXPECT_EQ(member->flow, Flow::variant2_claim5);
  EXPECT_EQ(member->group_id, "tv");
  EXPECT_EQ(member->peer.name, "ks.example");
  EXPECT_EQ(server->peer.name, "member-a");
  EXPECT_EQ(server->group_id, "tv");
  ASSERT_TRUE(member->keying && member->group_master);
  EXPECT_EQ(member->keying->epoch, world.authority.keying.epoch);
  EXPECT_EQ(member->keying->policy.selectors, world.authority.keying.policy.selectors);
  EXPECT_TRUE(member->keying->premaster.equals(world.authority.keying.premaster));
  EXPECT_FALSE(server->keying || server->group_master);
  EXPECT_EQ(sent->member_id, "member-a");
}

struct SuiteCase {
  CipherSuite suite;
  KeyKind server_key;
};
class EverySuite : public ::testing::TestWithParam<SuiteCase> {};

TEST_P(EverySuite, P31_P33_Variant2RunsUnderTheGroupsSuite) {
  World world(GetParam().server_key, KeyKind::p256, GetParam().suite);
  Ends ends(world);
  ASSERT_TRUE(ends.client->established()) << why(*ends.client) << " / " << why(*ends.server);
  EXPECT_EQ(find_event<Established>(ends.client_events)->suite, GetParam().suite);
}

TEST_P(EverySuite, P1_StandardHandshakeExchangesData) {
  for (const bool mutual : {false, true}) {
    World world(GetParam().server_key, KeyKind::rsa2048, GetParam().suite);
    world.make_standard(mutual);
    world.client_config.standard_suites = {GetParam().suite};
    Ends ends(world);
    ASSERT_TRUE(ends.client->established() && ends.server->established())
        << why(*ends.client) << " / " << why(*ends.server);
    EXPECT_EQ(find_event<Established>(ends.client_events)->flow, mutual ? Flow::standard_mutual : Flow::standard);
    EXPECT_EQ(find_event<Established>(ends.server_events)->peer.name, mutual ? "member-a" : "");
    const Bytes hello = {'h', 'i'};
    ASSERT_TRUE(ends.client->send_data(hello));
    pump(*ends.client, *ends.server);
    auto events = ends.server->take_events();
    auto data = find_event<ApplicationData>(events);
    ASSERT_TRUE(data);
    EXPECT_EQ(data->data, hello);
  }
}

INSTANTIATE_TEST_SUITE_P(Suites, EverySuite,
                         ::testing::Values(SuiteCase{CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256, KeyKind::p256},
                                           SuiteCase{CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384, KeyKind::p384},
                                           SuiteCase{CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384, KeyKind::ed25519},
                                           SuiteCase{CipherSuite::ecdhe_rsa_aes_128_gcm_sha256, KeyKind::rsa2048},
                                           SuiteCase{CipherSuite::ecdhe_rsa_aes_256_gcm_sha384, KeyKind::rsa2048}));

TEST(Delivery, REC1_AnySplitOfTheByteStreamIsTheSame) {
  for (const std::size_t chunk : {1u, 2u, 3u, 5u, 7u, 64u, 1000u}) {
    World world;
    Ends ends(world, chunk);
    EXPECT_TRUE(ends.client->established() && ends.server->established()) << chunk << ": " << why(*ends.client);
  }
}

// The payloads of a flight in clear, in records of this many bytes each.
Bytes rerecord(const Bytes& flight, std::size_t size) {
  Bytes payload, out;
  for (std::size_t at = 0; at < flight.size();) {
    const std::size_t length = load_be<std::uint16_t>(flight.data() + at + 3);
    const auto begin = flight.begin() + static_cast<std::ptrdiff_t>(at + record_header_size);
    payload.insert(payload.end(), begin, begin + static_cast<std::ptrdiff_t>(length));
    at += record_header_size + length;
  }
  RecordWriter writer;
  for (ByteView rest = payload; !rest.empty(); rest = rest.subspan(std::min(size, rest.size())))
    writer.write(ContentType::handshake, rest.first(std::min(size, rest.size())), out);
  return out;
}

TEST(Delivery, REC1_AnyDivisionOfMessagesIntoRecordsIsTheSame) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{3}, std::size_t{100}, max_plaintext}) {
    World world;
    const auto server = world.server();
    const auto client = world.client();
    ASSERT_TRUE(server->receive(rerecord(client->take_output(), size), test_now));
    ASSERT_TRUE(client->receive(rerecord(server->take_output(), size), test_now)) << size << ": " << why(*client);
    pump(*client, *server);
    EXPECT_TRUE(client->established() && server->established()) << size;
  }
}

TEST(Memory, H13_AnEstablishedConnectionIsSmall) {
  World world;
  const auto config = std::make_shared<ServerConfig>(world.server_config);
  constexpr std::size_t member_count = 200;
  std::vector<std::unique_ptr<Endpoint>> members(member_count);
  std::size_t before = 0;
  for (std::size_t i = 0; i < member_count; ++i) {
    if (i == 20) before = mallinfo2().uordblks;  // what is allocated once has been by now
    const auto client = world.client();
    members[i] = make_server(config, world.authority, system_random());
    pump(*client, *members[i]);
    (void)members[i]->take_events();
    ASSERT_TRUE(members[i]->established());
  }
  if (before == 0) GTEST_SKIP() << "this build's allocator does not tell how much is in use";
  const std::size_t each = (mallinfo2().uordblks - before) / (member_count - 20);
  EXPECT_LT(each, 8u * 1024) << "bytes of heap per established connection";
}

TEST(Keys, KEY1_SaKeysAreEqualAndChannelKeysDiffer) {
  World world;
  std::vector<Bytes> first_records;
  std::vector<Bytes> sa_keys;
  for (int i = 0; i < 20; ++i) {
    Ends ends(world);
    ASSERT_TRUE(ends.client->established());
    const auto member = find_event<Established>(ends.client_events);
    const SaKey sa = derive_sa_key(member->suite, *member->group_master, "tv", member->keying->epoch, 0x10000002);
    sa_keys.emplace_back(sa.key.data(), sa.key.data() + sa.key_size);
    sa_keys.back().insert(sa_keys.back().end(), sa.salt.begin(), sa.salt.end());
    // The same message, the same sequence number, hence the same nonce's counter: only the keys can differ.
    ASSERT_TRUE(ends.client->send(Keepalive{7}));
    first_records.push_back(ends.client->take_output());
  }
  for (std::size_t a = 0; a < first_records.size(); ++a) {
    EXPECT_EQ(sa_keys[a], sa_keys[0]);
    for (std::size_t b = a + 1; b < first_records.size(); ++b) {
      EXPECT_EQ(first_records[a].size(), first_records[b].size());
      EXPECT_NE(first_records[a], first_records[b]);
    }
  }
}

TEST(Keys, CHAN1_H2_ARecordOfOneMembersChannelIsNothingOnAnothers) {
  World world;
  Ends a(world);
  Ends b(world);
  ASSERT_TRUE(a.client->established() && b.client->established());
  ASSERT_TRUE(a.client->send(Leave{"tv"}));
  const auto crossed = b.server->receive(a.client->take_output(), test_now);
  ASSERT_FALSE(crossed);
  EXPECT_EQ(crossed.error().reason, Reason::bad_record_mac);
}

TEST(Keys, CHAN2_AReplayedControlRecordIsFatal) {
  World world;
  Ends ends(world);
  ASSERT_TRUE(ends.client->send(Keepalive{1}));
  const Bytes record = ends.client->take_output();
  ASSERT_TRUE(ends.server->receive(record, test_now));
  const auto replayed = ends.server->receive(record, test_now);
  ASSERT_FALSE(replayed);
  EXPECT_EQ(replayed.error().reason, Reason::bad_record_mac);
  EXPECT_FALSE(ends.server->send(Activate{"tv", 1})) << "a dead endpoint sends nothing";
}

TEST(Control, EveryMessageArrivesAsItWasSent) {
  World world;
  Ends ends(world);
  GroupUpdate update;
  update.keying = clone(world.authority.keying);
  update.keying.epoch += 1;
  update.keying.state = EpochState::pending;
  const ControlMessage message(std::move(update));
  ASSERT_TRUE(ends.server->send(message));
  ASSERT_TRUE(ends.server->send(Activate{"tv", 5}));
  ASSERT_TRUE(ends.server->send(Retire{"tv", 4}));
  ASSERT_TRUE(ends.server->send(SlotGrant{"tv", 5, 10, 2, 12}));
  ASSERT_TRUE(ends.server->send(Revoked{"tv", "certificate revoked"}));
  ASSERT_TRUE(ends.server->send(Keepalive{9}));
  ASSERT_TRUE(ends.client->send(GroupUpdateAck{"tv", 5}));
  ASSERT_TRUE(ends.client->send(ActivateAck{"tv", 5}));
  ASSERT_TRUE(ends.client->send(SlotRequest{"tv", 5, 2}));
  StatusReport report{"tv", 5, 1, 2, 3, {{0x10000002, 99}}};
  report.own_slots.resize(2000, {0x10000003, 7, 8});  // 40 kB: several records
  ASSERT_TRUE(ends.client->send(report));
  ASSERT_TRUE(ends.client->send(Leave{"tv"}));
  pump(*ends.client, *ends.server, 1000);
  const auto to_client = ends.client->take_events();
  const auto to_server = ends.server->take_events();
  ASSERT_EQ(to_client.size(), 6u) << why(*ends.client);
  ASSERT_EQ(to_server.size(), 5u) << why(*ends.server);
  const auto& got = std::get<GroupUpdate>(std::get<ControlReceived>(to_client[0]).message);
  const auto& sent = std::get<GroupUpdate>(message);
  EXPECT_EQ(got.keying.epoch, sent.keying.epoch);
  EXPECT_EQ(got.keying.state, EpochState::pending);
  EXPECT_TRUE(got.keying.premaster.equals(sent.keying.premaster));
  const auto& grant = std::get<SlotGrant>(std::get<ControlReceived>(to_client[3]).message);
  EXPECT_EQ(grant.first_slot, 10);
  EXPECT_EQ(grant.slots_used, 12);
  EXPECT_EQ(std::get<Revoked>(std::get<ControlReceived>(to_client[4]).message).reason, "certificate revoked");
  const auto& status = std::get<StatusReport>(std::get<ControlReceived>(to_server[3]).message);
  ASSERT_EQ(status.own_slots.size(), 2000u);
  EXPECT_EQ(status.own_slots[0].packets, 99u);
}

TEST(Control, CHAN2_SeveralInOneRecordUnknownOnesIgnoredOrFatal) {
  World world;
  const auto server = world.server();
  Puppet puppet(Side::client, world, true);
  for (const Step& step : flow_list::variant2_claim5) {
    if (step.from != Side::client) continue;
    puppet.send(step);
    ASSERT_TRUE(server->receive(puppet.take_output(), test_now));
    puppet.receive(server->take_output());
  }
  ASSERT_TRUE(server->established());
  (void)server->take_events();
  const Bytes keepalive = {11, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5};
  const Bytes optional = {0xc0, 0, 0, 2, 1, 2};
  Bytes record = keepalive;
  record.insert(record.end(), optional.begin(), optional.end());
  record.insert(record.end(), keepalive.begin(), keepalive.end() - 4);  // the rest comes in the next record
  puppet.send_record(ContentType::application_data, record);
  ASSERT_TRUE(server->receive(puppet.take_output(), test_now));
  EXPECT_EQ(server->take_events().size(), 1u);
  EXPECT_EQ(server->ignored_messages(), 1u);
  puppet.send_record(ContentType::application_data, Bytes{0, 0, 0, 6});
  ASSERT_TRUE(server->receive(puppet.take_output(), test_now));
  const auto events = server->take_events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(std::get<Keepalive>(std::get<ControlReceived>(events[0]).message).sequence, 6u);
  puppet.send_record(ContentType::application_data, Bytes{0x40, 0, 0, 0});
  EXPECT_EQ(server->receive(puppet.take_output(), test_now).error().reason, Reason::control_unknown_type);
}

TEST(Control, CHAN2_TooLongOrNotThePeersToSend) {
  for (const auto& [reason, bytes] : std::vector<std::pair<Reason, Bytes>>{
           {Reason::control_too_large, {11, 2, 0, 1}},
           {Reason::control_wrong_direction, {3, 0, 0, 11, 2, 't', 'v', 0, 0, 0, 0, 0, 0, 0, 1}},
           {Reason::decode_error, {3, 0, 0, 1, 9}},
       }) {
    World world;
    const auto server = world.server();
    Puppet puppet(Side::client, world, true);
    for (const Step& step : flow_list::variant2_claim5) {
      if (step.from != Side::client) continue;
      puppet.send(step);
      (void)server->receive(puppet.take_output(), test_now);
      puppet.receive(server->take_output());
    }
    puppet.send_record(ContentType::application_data, bytes);
    const auto done = server->receive(puppet.take_output(), test_now);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().reason, reason) << done.error().message();
  }
}

TEST(Control, CHAN2_OnlyTheRightEndMaySend) {
  World world;
  Ends ends(world);
  EXPECT_EQ(ends.client->send(Activate{"tv", 1}).error().reason, Reason::control_wrong_direction);
  EXPECT_EQ(ends.server->send(Leave{"tv"}).error().reason, Reason::control_wrong_direction);
  EXPECT_TRUE(ends.client->established() && ends.server->established()) << "a caller's mistake breaks nothing";
}

TEST(Control, FLAG3_GroupUpdateForAnotherGroupServerOrSuiteIsFatal) {
  const std::vector<std::pair<Reason, std::function<void(GroupKeying&)>>> cases = {
      {Reason::wrong_group, [](GroupKeying& k) { k.group_id = "radio"; }},
      {Reason::wrong_key_server, [](GroupKeying& k) { k.key_server_id = "other"; }},
      {Reason::wrong_suite,
       [](GroupKeying& k) { k.policy.cipher_suite = CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256; }},
  };
  for (const auto& [reason, bend] : cases) {
    World world;
    Ends ends(world);
    GroupUpdate update{clone(world.authority.keying)};
    bend(update.keying);
    const ControlMessage message(std::move(update));
    ASSERT_TRUE(ends.server->send(message));
    pump(*ends.client, *ends.server);
    ASSERT_TRUE(ends.client->failed());
    EXPECT_EQ(ends.client->failure()->reason, reason);
  }
}

TEST(Control, FLAG3_AFurtherGroupIsTakenOnlyIfItWasAskedForAndOfTheSameServerAndSuite) {
  const std::vector<std::pair<std::optional<Reason>, std::function<void(GroupKeying&)>>> cases = {
      {std::nullopt, [](GroupKeying& k) { k.group_id = "radio"; }},
      {Reason::wrong_group, [](GroupKeying& k) { k.group_id = "data"; }},
      {Reason::wrong_key_server, [](GroupKeying& k) { k.group_id = "radio", k.key_server_id = "other"; }},
      {Reason::wrong_suite,
       [](GroupKeying& k) {
         k.group_id = "radio", k.policy.cipher_suite = CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256;
       }},
  };
  for (const auto& [reason, bend] : cases) {
    World world;
    Ends ends(world);
    ASSERT_TRUE(ends.client->send(GroupJoin{"radio"}));
    GroupUpdate update{clone(world.authority.keying)};
    bend(update.keying);
    ASSERT_TRUE(ends.server->send(ControlMessage(std::move(update))));
    pump(*ends.client, *ends.server);
    ASSERT_EQ(ends.client->failed(), reason.has_value());
    if (reason) {
      EXPECT_EQ(ends.client->failure()->reason, *reason);
    }
  }
}

TEST(Control, ControlMessagesNeedAMulticastConnectionAndDataAStandardOne) {
  World world;
  auto early = world.client();
  EXPECT_EQ(early->send(Keepalive{1}).error().reason, Reason::not_established);
  Ends ends(world);
  EXPECT_EQ(ends.client->send_data(Bytes{1}).error().reason, Reason::not_established);
  World plain;
  plain.make_standard(false);
  Ends standard(plain);
  EXPECT_EQ(standard.server->send(Keepalive{1}).error().reason, Reason::not_established);
}

TEST(Closing, CloseNotifyReachesThePeer) {
  World world;
  Ends ends(world);
  ends.client->close();
  pump(*ends.client, *ends.server);
  auto events = ends.server->take_events();
  EXPECT_TRUE(find_event<PeerClosed>(events));
  EXPECT_FALSE(ends.server->failed());
  EXPECT_FALSE(ends.client->send(Keepalive{1}));
}

TEST(Refusal, H4_StandardClientIsRefusedByDefault) {
  World world;
  world.client_config.multicast.reset();
  Ends ends(world);
  ASSERT_TRUE(ends.server->failed() && ends.client->failed());
  EXPECT_EQ(ends.server->failure()->reason, Reason::standard_client_refused);
  EXPECT_TRUE(ends.client->failure()->from_peer);
  EXPECT_EQ(world.authority.issued, 0);
}

TEST(Refusal, P32_GroupSuiteNotOffered) {
  World world;
  world.client_config.multicast->flows[0].suite = CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256;
  Ends ends(world);
  EXPECT_EQ(ends.server->failure()->reason, Reason::group_suite_not_offered);
  EXPECT_EQ(ends.server->failure()->alert, Alert::handshake_failure);
}

TEST(Refusal, H13_WhoCanBeGivenNothingJustNowIsNotToldThatItIsRefused) {
  World busy;
  busy.authority.refusal = "the disk is full";
  busy.authority.only_for_now = true;
  Ends ends(busy);
  EXPECT_EQ(ends.server->failure()->reason, Reason::group_unavailable);
  EXPECT_EQ(ends.client->failure()->alert, Alert::internal_error);
}

TEST(Refusal, UnknownGroupAndForbiddenMemberGetTheSameAnswer) {
  World unknown;
  unknown.client_config.multicast->group_id = "radio";
  Ends a(unknown);
  World forbidden;
  forbidden.authority.refusal = "not on the list";
  Ends b(forbidden);
  EXPECT_EQ(a.server->failure()->reason, Reason::group_refused);
  EXPECT_EQ(b.server->failure()->reason, Reason::group_refused);
  EXPECT_EQ(a.client->failure()->alert, Alert::access_denied);
  EXPECT_EQ(b.client->failure()->alert, Alert::access_denied);
  EXPECT_NE(b.server->failure()->message().find("not on the list"), std::string::npos);
  EXPECT_FALSE(find_event<KeyingSent>(b.server_events));
}

TEST(Refusal, SMKE4_TheMembersOwnPolicyDecides) {
  World world;
  std::uint64_t seen = 0;
  world.client_config.accept_keying = [&seen](const GroupKeying& keying, const EpochId&) -> Result<void> {
    seen = keying.epoch;
    return fail("epoch below the remembered one");
  };
  Ends ends(world);
  EXPECT_EQ(seen, world.authority.keying.epoch);
  ASSERT_TRUE(ends.client->failed());
  EXPECT_EQ(ends.client->failure()->reason, Reason::keying_refused);
  EXPECT_FALSE(find_event<Established>(ends.client_events));
  EXPECT_FALSE(find_event<Established>(ends.server_events)) << "H3: no membership without the closing Finished";
  EXPECT_TRUE(find_event<KeyingSent>(ends.server_events)) << "H3: the member holds the epoch nevertheless";
}

TEST(Refusal, SMKE4_FLAG3_KeyingForSomethingElseIsFatal) {
  const std::vector<std::pair<Reason, std::function<void(World&)>>> cases = {
      {Reason::wrong_key_server, [](World& w) { w.client_config.multicast->key_server_id = "another"; }},
      {Reason::flag_missing, [](World& w) { w.client_config.multicast_flag = 31; }},
      {Reason::wrong_key_server, [](World& w) { w.authority.tamper = [](GroupKeying& k) { k.key_server_id = "x"; }; }},
  };
  for (const auto& [reason, bend] : cases) {
    World world;
    bend(world);
    Ends ends(world);
    ASSERT_TRUE(ends.client->failed());
    EXPECT_EQ(ends.client->failure()->reason, reason) << ends.client->failure()->message();
    EXPECT_FALSE(find_event<Established>(ends.client_events));
  }
}

TEST(Refusal, SMKE4_AServerNeverSendsAKeyingNoMemberAccepts) {
  const std::vector<std::function<void(GroupKeying&)>> cases = {
      [](GroupKeying& k) { k.policy.spi_prefix = 0; },
      [](GroupKeying& k) { k.policy.spi_prefix = 0x10000001; },
      [](GroupKeying& k) { k.policy.spi_slot_bits = 17; },
      [](GroupKeying& k) { k.policy.selectors.clear(); },
      [](GroupKeying& k) { k.policy.selectors[0].destination.address = IpAddress::v4(0x0a000000); },
      [](GroupKeying& k) { k.policy.replay_window = 1000; },
      [](GroupKeying& k) { k.premaster = Secret<48>(); },
      [](GroupKeying& k) { k.group_id = "radio"; },
      [](GroupKeying& k) { k.policy.cipher_suite = CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256; },
  };
  for (const auto& bend : cases) {
    World world;
    world.authority.tamper = bend;
    Ends ends(world);
    ASSERT_TRUE(ends.server->failed());
    EXPECT_EQ(ends.server->failure()->alert, Alert::internal_error);
    EXPECT_FALSE(find_event<KeyingSent>(ends.server_events));
    EXPECT_FALSE(ends.client->established());
  }
}

TEST(Refusal, AClientThatCannotWorkSaysSoAtOnce) {
  World world;
  world.client_config.credentials = Credentials();
  auto client = world.client();
  ASSERT_TRUE(client->failed());
  EXPECT_EQ(client->failure()->reason, Reason::own_certificate_missing);
  World unsound;
  unsound.client_config.multicast->flows[0].variant = 3;  // with a certificate alone: that would be variant 2
  EXPECT_EQ(unsound.client()->failure()->reason, Reason::flow_unsupported);
  World locked_out(Flow::variant3_password_claim5);
  locked_out.client_config.password = nullptr;
  EXPECT_EQ(locked_out.client()->failure()->reason, Reason::own_password_missing);
  World elliptic(Flow::variant1);
  elliptic.client_config.credentials = elliptic.pki.member("member-a").credentials;
  EXPECT_EQ(elliptic.client()->failure()->reason, Reason::own_certificate_missing);
}

}  // namespace
}  // namespace sealcast::handshake
