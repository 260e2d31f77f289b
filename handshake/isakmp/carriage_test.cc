#include "handshake/isakmp/carriage.h"

#include <gtest/gtest.h>

#include "handshake/isakmp/testing/peers.h"
#include "handshake/testing/in_process.h"

namespace sealcast::isakmp {
namespace {

using handshake::ControlMessage;
using handshake::Endpoint;
using handshake::Event;
using handshake::Keepalive;
using handshake::Reason;
using handshake::testing::find_event;
using handshake::testing::pump;
using handshake::testing::test_now;
using handshake::testing::World;

// Stands in for a TLS endpoint: records its input, and sends what the test puts in.
struct Fake : Endpoint {
  Outcome<void> receive(ByteView bytes, std::int64_t) override {
    received.emplace_back(bytes.begin(), bytes.end());
    if (fail_next) {
      dead = true;
      to_send = Bytes{0x15};
      why = handshake::refuse(Reason::bad_record_mac, "as the test wants it").value();
      return tl::unexpected(why);
    }
    if (!answers.empty()) {
      to_send = answers.front();
      answers.erase(answers.begin());
    }
    if (establish_on == received.size()) is_established = true;
    return {};
  }
  Bytes take_output() override { return std::exchange(to_send, {}); }
  std::vector<Event> take_events() override { return std::exchange(events, {}); }
  bool established() const override { return is_established && !dead; }
  bool failed() const override { return dead; }
  const handshake::HandshakeError* failure() const override { return dead ? &why : nullptr; }
  std::uint64_t ignored_messages() const override { return 5; }
  Outcome<void> send(const ControlMessage&) override {
    to_send.push_back(0x17);
    return {};
  }
  Outcome<void> send_data(ByteView data) override {
    to_send.insert(to_send.end(), data.begin(), data.end());
    return {};
  }
  Outcome<void> password_checked(bool accepted, std::int64_t) override {
    to_send.push_back(accepted ? 1 : 0);
    return {};
  }
  void close() override { to_send.push_back(0x15); }

  std::vector<Bytes> received;
  std::vector<Bytes> answers;
  std::vector<Event> events;
  Bytes to_send;
  handshake::HandshakeError why;
  std::size_t establish_on = 0;  // the receive() that completes the handshake
  bool is_established = false, dead = false, fail_next = false;
};

struct CountingRandom : handshake::Random {
  void fill(ByteSpan out) override {
    for (std::uint8_t& byte : out)
      byte = ++last;
  }
  std::uint8_t last = 0;
};

CookieKeys keys_for_tests() {
  Secret<32> key;
  key.data()[0] = 1;
  return CookieKeys(std::move(key));
}

// The messages in bytes; fails unless all are whole.
std::vector<Message> messages(const Bytes& bytes) {
  std::vector<Message> out;
  MessageReader reader;
  ByteView rest = bytes;
  while (!rest.empty()) {
    auto message = reader.take(rest, [](const Header&) { return Outcome<void>(); });
    EXPECT_TRUE(message && *message);
    if (!message || !*message) break;
    out.push_back(std::move(**message));
  }
  return out;
}
Bytes content(const Message& message) {
  return Bytes(message.content.begin(), message.content.end());
}

struct ResponderCase : testing::Test {
  ResponderCase() {
    responder = make_responder(
        [this]() -> std::unique_ptr<Endpoint> {
          ++made;
          auto endpoint = std::make_unique<Fake>(std::move(prepared));
          fake = endpoint.get();
          return endpoint;
        },
        keys, peer_address);
  }
  // Up to and with the message that carries the first records.
  void exchange(const Bytes& first_records = {0x16}) {
    ASSERT_TRUE(responder->receive(encode(initiator_cookie, no_cookie, 0, {}), test_now).has_value());
    cookie = messages(responder->take_output()).at(0).header.responder;
    ASSERT_TRUE(responder->receive(encode(initiator_cookie, cookie, 0, first_records), test_now).has_value());
  }
  Reason refusal(const Bytes& bytes, std::int64_t now = test_now) {
    const auto received = responder->receive(bytes, now);
    return received ? Reason::internal_error : received.error().reason;
  }
  void expect_dead() {
    ASSERT_NE(responder->failure(), nullptr);
    EXPECT_EQ(responder->failure()->place, "ISAKMP carriage, responder");
    EXPECT_TRUE(responder->failed());
    EXPECT_FALSE(responder->established());
    EXPECT_TRUE(responder->take_output().empty());
    EXPECT_EQ(responder->ignored_messages(), made == 0 ? 0u : 5u) << "a count outlives what it counted";
    EXPECT_EQ(refusal(encode(initiator_cookie, cookie, 0, Bytes{1})), Reason::connection_closed);
  }

  CookieKeys keys = keys_for_tests();
  std::unique_ptr<Endpoint> responder;
  Fake prepared;
  Fake* fake = nullptr;  // owned by responder
  int made = 0;
  Cookie cookie{};
};

TEST_F(ResponderCase, H13_NoTlsEndpointBeforeThePeerShowedItsCookie) {
  ASSERT_TRUE(responder->receive(encode(initiator_cookie, no_cookie, 0, {}), test_now).has_value());
  EXPECT_EQ(made, 0);
  const auto answer = messages(responder->take_output());
  ASSERT_EQ(answer.size(), 1u);
  EXPECT_EQ(answer[0].header.initiator, initiator_cookie);
  EXPECT_NE(answer[0].header.responder, no_cookie);
  EXPECT_FALSE(answer[0].header.has_payload);
  const Bytes first = encode(initiator_cookie, answer[0].header.responder, 0, Bytes{0x16, 0x03});
  ASSERT_TRUE(responder->receive(ByteView(first).first(first.size() - 1), test_now).has_value());
  EXPECT_EQ(made, 0);
  ASSERT_TRUE(responder->receive(ByteView(first).last(1), test_now).has_value());
  EXPECT_EQ(made, 1);
  EXPECT_EQ(fake->received, (std::vector<Bytes>{{0x16, 0x03}}));
}

TEST_F(ResponderCase, P34_TheFirstMessageIsARequestForACookieAndNothingElse) {
  for (const Bytes& first :
       {encode(initiator_cookie, no_cookie, 0, Bytes{0x16}), encode(initiator_cookie, Cookie{1}, 0, {}),
        encode(initiator_cookie, Cookie{1}, 0, Bytes{0x16})}) {
    auto fresh = make_responder([]() -> std::unique_ptr<Endpoint> { return nullptr; }, keys, peer_address);
    // The header alone decides; the payload need not come.
    const auto received = fresh->receive(ByteView(first).first(isakmp_header_bytes), test_now);
    ASSERT_FALSE(received.has_value());
    EXPECT_EQ(received.error().reason, Reason::unexpected_message);
    EXPECT_TRUE(fresh->failed());
    EXPECT_TRUE(fresh->take_output().empty());
  }
  EXPECT_EQ(refusal(encode(initiator_cookie, no_cookie, 1, {})), Reason::unexpected_message) << "message id";
}

TEST_F(ResponderCase, H13_AWrongOrOldCookieIsFatal) {
  const auto answer_to = [&](Endpoint& endpoint) {
    EXPECT_TRUE(endpoint.receive(encode(initiator_cookie, no_cookie, 0, {}), test_now).has_value());
    return messages(endpoint.take_output()).at(0).header.responder;
  };
  struct Try {
    const char* what;
    Cookie initiator, responder;
    std::int64_t now;
    bool taken;
  };
  const Cookie good = answer_to(*responder);
  Cookie wrong = good;
  wrong[0] ^= 1;
  const Cookie other_i{9};
  const Cookie others = keys.make(peer_address, other_i, test_now).value();
  const Cookie elsewhere = keys.make({peer_address.address, 4001}, initiator_cookie, test_now).value();
  for (const Try& t : {Try{"right", initiator_cookie, good, test_now, true},
                       Try{"in time", initiator_cookie, good, test_now + 9, true},
                       Try{"late", initiator_cookie, good, test_now + 10, false},
                       Try{"changed", initiator_cookie, wrong, test_now, false},
                       Try{"none", initiator_cookie, no_cookie, test_now, false},
                       Try{"another run's", other_i, others, test_now, false},
                       Try{"another port's", initiator_cookie, elsewhere, test_now, false}}) {
    int endpoints = 0;
    auto fresh = make_responder(
        [&]() -> std::unique_ptr<Endpoint> {
          ++endpoints;
          return std::make_unique<Fake>();
        },
        keys, peer_address);
    ASSERT_EQ(answer_to(*fresh), good);
    EXPECT_EQ(fresh->receive(encode(t.initiator, t.responder, 0, Bytes{0x16}), t.now).has_value(), t.taken) << t.what;
    EXPECT_EQ(endpoints, t.taken ? 1 : 0) << t.what;
    EXPECT_EQ(fresh->failed(), !t.taken) << t.what;
  }
}

TEST_F(ResponderCase, P34_CookiesThatChangeLaterAreFatal) {
  for (const bool initiators : {true, false}) {
    auto fresh =
        make_responder([]() -> std::unique_ptr<Endpoint> { return std::make_unique<Fake>(); }, keys, peer_address);
    ASSERT_TRUE(fresh->receive(encode(initiator_cookie, no_cookie, 0, {}), test_now).has_value());
    const Cookie good = messages(fresh->take_output()).at(0).header.responder;
    ASSERT_TRUE(fresh->receive(encode(initiator_cookie, good, 0, Bytes{1}), test_now).has_value());
    // After the exchange a cookie no longer expires.
    ASSERT_TRUE(fresh->receive(encode(initiator_cookie, good, 0, Bytes{2}), test_now + 100'000).has_value());
    Cookie i = initiator_cookie, r = good;
    (initiators ? i : r)[7] ^= 0x80;
    const auto received = fresh->receive(encode(i, r, 0, Bytes{3}), test_now);
    ASSERT_FALSE(received.has_value());
    EXPECT_EQ(received.error().reason, Reason::illegal_parameter);
    EXPECT_TRUE(fresh->failed());
  }
}

TEST_F(ResponderCase, P34_OneMessagePerFlight) {
  prepared.answers = {Bytes(3000, 0x16), {}, Bytes(10, 0x14)};
  exchange();
  auto sent = messages(responder->take_output());
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(content(sent[0]), Bytes(3000, 0x16));
  ASSERT_TRUE(responder->receive(encode(initiator_cookie, cookie, 0, Bytes{1}), test_now).has_value());
  EXPECT_TRUE(responder->take_output().empty());
  ASSERT_TRUE(responder->receive(encode(initiator_cookie, cookie, 0, Bytes{1}), test_now).has_value());
  EXPECT_EQ(messages(responder->take_output()).size(), 1u);
}

TEST_F(ResponderCase, P34_MessageIdsAreZeroUpToTheClosingFinishedThenCount) {
  prepared.establish_on = 2;
  prepared.answers = {{0x16}, {0x14}};  // the second answer: the server's own closing Finished
  exchange();
  ASSERT_TRUE(responder->receive(encode(initiator_cookie, cookie, 0, Bytes{1}), test_now).has_value());
  ASSERT_TRUE(responder->established());
  // A control message at once, in the same turn: a flight of its own, with a Message ID of its own.
  ASSERT_TRUE(responder->send(Keepalive{1}).has_value());
  auto sent = messages(responder->take_output());
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(content(sent[1]), Bytes{0x14});
  for (const std::uint32_t i : {0u, 1u, 2u})
    EXPECT_EQ(sent[i].header.message_id, i == 2 ? 1u : 0u) << i;
  ASSERT_TRUE(responder->send(Keepalive{2}).has_value());
  EXPECT_EQ(messages(responder->take_output()).at(0).header.message_id, 2u);
  EXPECT_TRUE(responder->take_output().empty()) << "nothing to say takes no number";

  // Inbound likewise: a repeated, skipped or zero one is fatal.
  ASSERT_TRUE(responder->receive(encode(initiator_cookie, cookie, 1, Bytes{1}), test_now).has_value());
  ASSERT_TRUE(responder->receive(encode(initiator_cookie, cookie, 2, Bytes{1}), test_now).has_value());
  EXPECT_EQ(refusal(encode(initiator_cookie, cookie, 2, Bytes{1})), Reason::unexpected_message);
  expect_dead();
}

TEST_F(ResponderCase, P34_WhatWaitsAndWhatIsAnsweredAreTwoFlights) {
  prepared.establish_on = 1;
  prepared.answers = {{}, {0x18}};
  exchange();
  ASSERT_TRUE(responder->send(Keepalive{1}).has_value());
  ASSERT_TRUE(responder->receive(encode(initiator_cookie, cookie, 1, Bytes{1}), test_now).has_value());
  const auto sent = messages(responder->take_output());
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(content(sent[0]), Bytes{0x17});
  EXPECT_EQ(content(sent[1]), Bytes{0x18});
  EXPECT_EQ(sent[1].header.message_id, 2u);
}

TEST_F(ResponderCase, P34_ACountedMessageBeforeTheClosingFinishedIsFatal) {
  exchange();
  EXPECT_EQ(refusal(encode(initiator_cookie, cookie, 1, Bytes{1})), Reason::unexpected_message);
  expect_dead();
}

TEST_F(ResponderCase, P34_AMessageWithoutPayloadAfterTheCookiesIsFatal) {
  exchange();
  EXPECT_EQ(refusal(encode(initiator_cookie, cookie, 0, {})), Reason::unexpected_message);
  expect_dead();
}

TEST_F(ResponderCase, P34_AFlightThatIsTooLargeForOneMessageTakesSeveral) {
  prepared.establish_on = 1;
  exchange();
  (void)responder->take_output();
  const Bytes much(max_content_bytes + 5, 0x17);
  ASSERT_TRUE(responder->send_data(much).has_value());
  const auto sent = messages(responder->take_output());
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].header.message_id, 1u);
  EXPECT_EQ(sent[1].header.message_id, 2u);
  EXPECT_EQ(content(sent[0]).size() + content(sent[1]).size(), much.size());
}

TEST_F(ResponderCase, P34_AFailureInsideIsAnsweredByItsAlertInAMessage) {
  prepared.fail_next = true;
  ASSERT_TRUE(responder->receive(encode(initiator_cookie, no_cookie, 0, {}), test_now).has_value());
  cookie = messages(responder->take_output()).at(0).header.responder;
  EXPECT_EQ(refusal(encode(initiator_cookie, cookie, 0, Bytes{1})), Reason::bad_record_mac);
  EXPECT_TRUE(responder->failed());
  const auto sent = messages(responder->take_output());
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(content(sent[0]), Bytes{0x15});
}

TEST_F(ResponderCase, H3_WhoGotTheKeysIsKnownEvenIfTheCarriageBreaksAtOnce) {
  prepared.events.emplace_back(handshake::KeyingSent{"tv", 1, "member-a"});
  exchange();
  EXPECT_EQ(refusal(Bytes(isakmp_header_bytes, 0xff)), Reason::decode_error);
  auto events = responder->take_events();
  EXPECT_TRUE(find_event<handshake::KeyingSent>(events).has_value());
}

TEST_F(ResponderCase, H13_GarbageIsRefusedFromTheFirstHeaderOn) {
  EXPECT_EQ(refusal(Bytes(isakmp_header_bytes, 0x16)), Reason::decode_error);
  EXPECT_EQ(made, 0);
  expect_dead();
}

// ---------------------------------------------------------------- the other carriage

const Bytes client_hello_bytes = {0x16, 0x03, 0x01, 0x00, 0xc8, 0x01, 0x00, 0x00, 0xc4, 0x03, 0x03, 0x55, 0x55, 0x55,
                                  0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55};

TEST_F(ResponderCase, P34_PlainTlsIsToldSoInPlainTls) {
  EXPECT_EQ(refusal(client_hello_bytes), Reason::wrong_carriage);
  EXPECT_EQ(responder->take_output(), (Bytes{21, 3, 3, 0, 2, 2, 10}));
  EXPECT_EQ(made, 0);
  expect_dead();
}

TEST_F(ResponderCase, P34_ACookieMayLookLikeTls) {
  const Cookie like_tls{0x16, 3, 3, 0, 1, 2, 3, 4};
  ASSERT_TRUE(responder->receive(encode(like_tls, no_cookie, 0, {}), test_now).has_value());
  EXPECT_EQ(messages(responder->take_output()).at(0).header.initiator, like_tls);
}

TEST_F(ResponderCase, P34_TlsLaterThanTheFirstMessageIsJustWrong) {
  ASSERT_TRUE(responder->receive(encode(initiator_cookie, no_cookie, 0, {}), test_now).has_value());
  (void)responder->take_output();
  EXPECT_EQ(refusal(client_hello_bytes), Reason::decode_error);
  expect_dead();
}

TEST_F(ResponderCase, H13_ALargeMessageBeforeTheClosingFinishedIsRefusedByItsHeader) {
  exchange();
  Bytes large = encode(initiator_cookie, cookie, 0, Bytes(max_handshake_message_bytes));
  large.resize(isakmp_header_bytes);
  EXPECT_EQ(refusal(large), Reason::handshake_too_large);
  expect_dead();
}

TEST_F(ResponderCase, P34_ALargeMessageAfterTheClosingFinishedIsTaken) {
  prepared.establish_on = 1;
  exchange();
  ASSERT_TRUE(responder->receive(encode(initiator_cookie, cookie, 1, Bytes(max_content_bytes)), test_now).has_value());
  EXPECT_EQ(fake->received.back().size(), max_content_bytes);
}

TEST_F(ResponderCase, P28_TheAnswerToAPasswordIsAFlight) {
  EXPECT_FALSE(responder->password_checked(true, test_now).has_value()) << "before there is a TLS endpoint";
  exchange();
  (void)responder->take_output();
  ASSERT_TRUE(responder->password_checked(true, test_now).has_value());
  const auto sent = messages(responder->take_output());
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].header.message_id, 0u);
}

TEST(IsakmpInitiator, P34_KnowsATlsAlertInPlaceOfTheAnswer) {
  for (const std::size_t portion : {1u, 7u}) {
    CountingRandom random;
    auto initiator = make_initiator(std::make_unique<Fake>(), random);
    (void)initiator->take_output();
    const Bytes alert = {21, 3, 3, 0, 2, 2, 50};
    Outcome<void> received;
    for (std::size_t at = 0; at < alert.size() && received; at += portion)
      received = initiator->receive(ByteView(alert).subspan(at, portion), test_now);
    ASSERT_FALSE(received.has_value()) << "though no header is whole";
    EXPECT_EQ(received.error().reason, Reason::wrong_carriage);
    EXPECT_TRUE(initiator->take_output().empty());
  }
}

TEST(IsakmpInitiator, P34_ItsOwnCookieMayLookLikeTls) {
  struct LikeTls : handshake::Random {
    void fill(ByteSpan out) override {
      std::fill(out.begin(), out.end(), std::uint8_t{3});
      out[0] = 0x16;
    }
  } random;
  auto initiator = make_initiator(std::make_unique<Fake>(), random);
  const Cookie own = messages(initiator->take_output()).at(0).header.initiator;
  const Bytes answer = encode(own, Cookie{42}, 0, {});
  for (const std::uint8_t byte : answer)
    ASSERT_TRUE(initiator->receive(ByteView(&byte, 1), test_now).has_value());
}

TEST(IsakmpInitiator, P34_AsksForACookieAndOnlyThenSaysHello) {
  CountingRandom random;
  auto inner = std::make_unique<Fake>();
  inner->to_send = Bytes{0x16, 0x01};
  auto initiator = make_initiator(std::move(inner), random);
  const auto first = messages(initiator->take_output());
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].header.initiator, initiator_cookie);
  EXPECT_EQ(first[0].header.responder, no_cookie);
  EXPECT_FALSE(first[0].header.has_payload);
  EXPECT_TRUE(initiator->take_output().empty());
  const Cookie r{42};
  ASSERT_TRUE(initiator->receive(encode(initiator_cookie, r, 0, {}), test_now).has_value());
  const auto hello = messages(initiator->take_output());
  ASSERT_EQ(hello.size(), 1u);
  EXPECT_EQ(hello[0].header.responder, r);
  EXPECT_EQ(hello[0].header.message_id, 0u);
  EXPECT_EQ(content(hello[0]), (Bytes{0x16, 0x01}));
}

TEST(IsakmpInitiator, P34_AnyOtherAnswerIsFatal) {
  const Cookie r{42};
  for (const Bytes& answer : {encode(Cookie{9}, r, 0, {}), encode(initiator_cookie, no_cookie, 0, {}),
                              encode(initiator_cookie, r, 1, {}), encode(initiator_cookie, r, 0, Bytes{0x16})}) {
    CountingRandom random;
    auto inner = std::make_unique<Fake>();
    inner->to_send = Bytes{0x16};
    auto initiator = make_initiator(std::move(inner), random);
    (void)initiator->take_output();
    const auto received = initiator->receive(answer, test_now);
    ASSERT_FALSE(received.has_value());
    EXPECT_NE(received.error().place.find("initiator"), std::string::npos);
    EXPECT_TRUE(initiator->failed());
    EXPECT_TRUE(initiator->take_output().empty()) << "no ClientHello";
  }
}

// The real handshake inside.
struct Carried {
  Carried()
      : client(make_initiator(world.client(), handshake::system_random())),
        server(make_responder([this] { return world.server(); }, keys, peer_address)) {}
  World world;
  CookieKeys keys = keys_for_tests();
  std::unique_ptr<Endpoint> client;
  std::unique_ptr<Endpoint> server;
};

TEST(IsakmpCarriage, P34_AMemberJoinsOverIsakmpInAnyPortions) {
  for (const std::size_t portion : {0, 1, 7, 1000}) {
    Carried pair;
    pump(*pair.client, *pair.server, portion);
    ASSERT_TRUE(pair.client->established()) << portion;
    ASSERT_TRUE(pair.server->established()) << portion;
    auto events = pair.client->take_events();
    const auto joined = find_event<handshake::Established>(events);
    ASSERT_TRUE(joined.has_value());
    EXPECT_EQ(joined->group_id, "tv");
    EXPECT_TRUE(joined->group_master.has_value());
    for (std::uint64_t i = 1; i <= 3; ++i) {
      ASSERT_TRUE(pair.client->send(Keepalive{i}).has_value());
      ASSERT_TRUE(pair.server->send(Keepalive{100 + i}).has_value());
      pump(*pair.client, *pair.server, portion);
    }
    auto at_server = pair.server->take_events();
    const auto heard = find_event<handshake::ControlReceived>(at_server);
    ASSERT_TRUE(heard.has_value());
    EXPECT_EQ(std::get<Keepalive>(heard->message).sequence, 3u);
  }
}

TEST(IsakmpCarriage, P34_TheFlightsOfTheJoinAreTheMessages) {
  Carried pair;
  std::vector<std::string> seen;
  Endpoint* from = pair.client.get();
  Endpoint* to = pair.server.get();
  for (int quiet = 0; quiet < 2;) {
    const Bytes bytes = from->take_output();
    quiet = bytes.empty() ? quiet + 1 : 0;
    for (const Message& message : messages(bytes))
      seen.push_back((from == pair.client.get() ? "C " : "S ") + std::to_string(message.header.message_id) +
                     (message.content.empty() ? " cookies" : " records"));
    ASSERT_TRUE(to->receive(bytes, test_now).has_value());
    std::swap(from, to);
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"C 0 cookies", "S 0 cookies", "C 0 records", "S 0 records", "C 0 records",
                                            "S 0 records", "C 0 records", "S 0 records"}));
  EXPECT_TRUE(pair.client->established() && pair.server->established());
}

TEST(IsakmpCarriage, H13_EveryByteOfTheCookieExchangeMattersAndNoChangeReachesTheServersTls) {
  for (std::size_t at = 0; at < 2 * isakmp_header_bytes; ++at) {
    Carried pair;
    Bytes request = pair.client->take_output();
    ASSERT_EQ(request.size(), isakmp_header_bytes);
    if (at < isakmp_header_bytes) request[at] ^= 1;
    Bytes answer = pair.server->receive(request, test_now) ? pair.server->take_output() : Bytes{};
    if (at >= isakmp_header_bytes) answer.at(at - isakmp_header_bytes) ^= 1;
    const bool received = pair.client->receive(answer, test_now).has_value();
    if (received) (void)pair.server->receive(pair.client->take_output(), test_now);
    EXPECT_FALSE(pair.server->take_output().size() > 2 * isakmp_header_bytes) << "a server's first flight, byte " << at;
    EXPECT_FALSE(pair.client->established() || pair.server->established()) << at;
  }
}

}  // namespace
}  // namespace sealcast::isakmp
