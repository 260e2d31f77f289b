#include "handshake/isakmp/message.h"

#include <gtest/gtest.h>

#include <random>

#include "handshake/isakmp/testing/peers.h"

namespace sealcast::isakmp {
namespace {

using handshake::Reason;

constexpr Cookie responder_cookie{11, 12, 13, 14, 15, 16, 17, 18};

Bytes content_of(std::size_t size) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i)
    out[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
  return out;
}

Outcome<std::optional<Message>> read_message(ByteView bytes) {
  MessageReader reader;
  auto message = reader.take(bytes, [](const Header&) { return Outcome<void>(); });
  EXPECT_TRUE(!message || !*message || bytes.empty());
  return message;
}

// The reason of the refusal; internal_error stands for "not refused".
Reason refusal(const Bytes& bytes) {
  const auto message = read_message(bytes);
  return message ? Reason::internal_error : message.error().reason;
}
constexpr Reason accepted = Reason::internal_error;

TEST(IsakmpMessage, P34_TheBytesAreRfc2408s) {
  EXPECT_EQ(to_hex(encode(initiator_cookie, responder_cookie, 0x01020304, Bytes{0x16, 0x03, 0x03})),
            "0102030405060708"
            "0b0c0d0e0f101112"
            "8010f000"
            "01020304"
            "00000023"
            "00000007"
            "160303");
  EXPECT_EQ(to_hex(encode(initiator_cookie, no_cookie, 0, {})),
            "0102030405060708"
            "0000000000000000"
            "0010f000"
            "00000000"
            "0000001c");
}

TEST(IsakmpMessage, P34_FlightsOfEverySizeArriveAsTheyWere) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{16384}, max_payload_body - 1,
                                 max_payload_body, max_payload_body + 1, max_content_bytes}) {
    const Bytes content = content_of(size);
    const Bytes bytes = encode(initiator_cookie, responder_cookie, 9, content);
    ASSERT_LE(bytes.size(), max_message_bytes);
    const auto message = read_message(bytes);
    ASSERT_TRUE(message && *message) << size;
    const Message& got = **message;
    EXPECT_EQ(Bytes(got.content.begin(), got.content.end()), content) << size;
    EXPECT_EQ(got.header.initiator, initiator_cookie);
    EXPECT_EQ(got.header.responder, responder_cookie);
    EXPECT_EQ(got.header.message_id, 9u);
    EXPECT_EQ(got.header.length, bytes.size());
  }
}

TEST(IsakmpMessage, P34_AFlightBeyondOnePayloadTakesSeveral) {
  const Bytes bytes = encode(initiator_cookie, responder_cookie, 0, content_of(max_payload_body + 1));
  EXPECT_EQ(bytes.size(), isakmp_header_bytes + 2 * payload_header_bytes + max_payload_body + 1);
  EXPECT_EQ(to_hex(ByteView(bytes).subspan(isakmp_header_bytes, 4)), "8000ffff");
  EXPECT_EQ(to_hex(ByteView(bytes).last(5)).substr(0, 8), "00000005");
}

TEST(IsakmpMessage, REC_1_BytesInAnyPortionsGiveTheSameMessages) {
  Bytes stream;
  for (const std::size_t size : {0, 5, 300, 0, 1})
    for (const std::uint8_t byte :
         encode(initiator_cookie, responder_cookie, static_cast<std::uint32_t>(size), content_of(size)))
      stream.push_back(byte);
  for (const std::size_t portion : {1, 2, 3, 27, 28, 29, 1000}) {
    MessageReader reader;
    std::vector<std::size_t> sizes;
    for (std::size_t at = 0; at < stream.size(); at += portion) {
      ByteView bytes = ByteView(stream).subspan(at, std::min(portion, stream.size() - at));
      while (!bytes.empty()) {
        auto message = reader.take(bytes, [](const Header&) { return Outcome<void>(); });
        ASSERT_TRUE(message.has_value());
        if (*message) sizes.push_back((*message)->content.size());
      }
    }
    EXPECT_EQ(sizes, (std::vector<std::size_t>{0, 5, 300, 0, 1})) << portion;
  }
}

TEST(IsakmpMessage, PARSE_1_EveryFieldOfTheHeaderHasOneValue) {
  const Bytes good = encode(initiator_cookie, responder_cookie, 0, content_of(3));
  ASSERT_EQ(refusal(good), accepted);
  for (const std::size_t at : {16, 17, 18, 19}) {  // next payload, version, exchange type, flags
    for (int value = 0; value < 256; ++value) {
      Bytes bytes = good;
      bytes[at] = static_cast<std::uint8_t>(value);
      EXPECT_EQ(refusal(bytes), bytes == good ? accepted : Reason::decode_error) << at << " " << value;
    }
  }
  Bytes zero = good;
  std::fill_n(zero.begin(), 8, std::uint8_t{0});
  EXPECT_EQ(refusal(zero), Reason::decode_error) << "initiator cookie 0";
}

TEST(IsakmpMessage, PARSE_1_EveryFieldOfAPayloadHasItsBounds) {
  const Bytes good = encode(initiator_cookie, responder_cookie, 0, content_of(3));
  for (int value = 1; value < 256; ++value) {
    for (const std::size_t at : {28, 29}) {  // next payload, reserved
      Bytes bytes = good;
      bytes[at] = static_cast<std::uint8_t>(value);
      EXPECT_EQ(refusal(bytes), Reason::decode_error) << at << " " << value;
    }
  }
  for (int length = 0; length < 65536; ++length) {
    Bytes bytes = good;
    store_be<std::uint16_t>(bytes.data() + 30, static_cast<std::uint16_t>(length));
    EXPECT_EQ(refusal(bytes), length == 7 ? accepted : Reason::decode_error) << length;
  }
}

TEST(IsakmpMessage, PARSE_1_EveryLengthOfTheMessageButTheTrueOneIsRefusedOrAwaited) {
  const Bytes good = encode(initiator_cookie, responder_cookie, 0, content_of(3));
  for (std::uint32_t length = 0; length < 200; ++length) {
    Bytes bytes = good;
    store_be<std::uint32_t>(bytes.data() + 24, length);
    bytes.resize(200);  // enough for any of them
    MessageReader reader;
    ByteView view = bytes;
    const auto message = reader.take(view, [](const Header&) { return Outcome<void>(); });
    EXPECT_EQ(message.has_value(), length == good.size()) << length;
  }
  for (const std::uint32_t length : {static_cast<std::uint32_t>(max_message_bytes) + 1, 0x7fffffffu, 0xffffffffu}) {
    Bytes bytes = good;
    store_be<std::uint32_t>(bytes.data() + 24, length);
    EXPECT_EQ(refusal(bytes), Reason::handshake_too_large) << length;
  }
  // The bare header: its length is 28 and nothing else.
  Bytes bare = encode(initiator_cookie, no_cookie, 0, {});
  for (const std::uint32_t length : {0u, 27u, 29u, 33u, 1000u}) {
    store_be<std::uint32_t>(bare.data() + 24, length);
    EXPECT_EQ(refusal(bare), Reason::decode_error) << length;
  }
}

Bytes chain(const std::vector<std::size_t>& bodies) {
  Bytes out = encode(initiator_cookie, responder_cookie, 0, content_of(1));
  out.resize(isakmp_header_bytes);
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    const auto length = static_cast<std::uint16_t>(bodies[i] + payload_header_bytes);
    out.push_back(i + 1 == bodies.size() ? no_payload : records_payload);
    out.push_back(0);
    out.push_back(static_cast<std::uint8_t>(length >> 8));
    out.push_back(static_cast<std::uint8_t>(length));
    out.resize(out.size() + bodies[i], 0x17);
  }
  store_be<std::uint32_t>(out.data() + 24, static_cast<std::uint32_t>(out.size()));
  return out;
}

TEST(IsakmpMessage, H13_TheChainOfPayloadsIsBounded) {
  EXPECT_EQ(refusal(chain({1})), accepted);
  EXPECT_EQ(refusal(chain({1, 2, 3, 4})), accepted);
  EXPECT_EQ(refusal(chain({1, 2, 3, 4, 5})), Reason::decode_error);
  EXPECT_EQ(refusal(chain(std::vector<std::size_t>(20'000, 1))), Reason::decode_error);
  EXPECT_EQ(refusal(chain({0})), Reason::decode_error) << "a payload without a body";
  EXPECT_EQ(refusal(chain({5, 0})), Reason::decode_error);
}

TEST(IsakmpMessage, PARSE_1_TheChainEndsWithTheMessage) {
  Bytes early = chain({4, 4});
  early[28] = no_payload;  // the first says it is the last
  EXPECT_EQ(refusal(early), Reason::decode_error);
  Bytes late = chain({4, 4});
  late[28 + 8] = records_payload;  // the last says that another one follows
  EXPECT_EQ(refusal(late), Reason::decode_error);
}

TEST(IsakmpMessage, H13_NothingOfAMessageIsKeptBeforeItsHeaderIsJudged) {
  Bytes bytes = encode(initiator_cookie, responder_cookie, 77, content_of(1000));
  int asked = 0;
  MessageReader reader;
  ByteView head = ByteView(bytes).first(isakmp_header_bytes);
  const auto refused = reader.take(head, [&](const Header& header) -> Outcome<void> {
    ++asked;
    EXPECT_EQ(header.message_id, 77u);
    return handshake::refuse(Reason::illegal_parameter, "no");
  });
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().reason, Reason::illegal_parameter);
  EXPECT_EQ(asked, 1);
}

TEST(IsakmpMessage, H13_TheMemoryOfALargeMessageIsGivenBack) {
  MessageReader reader;
  const Bytes large = encode(initiator_cookie, responder_cookie, 1, content_of(100'000));
  ByteView first = ByteView(large).first(50'000);
  ASSERT_TRUE(reader.take(first, [](const Header&) { return Outcome<void>(); }).has_value());
  EXPECT_GE(reader.held_bytes(), 49'000u);
  EXPECT_LT(reader.held_bytes(), 100'001u) << "not more than came, but for the growth of a vector";
  ByteView rest = ByteView(large).subspan(50'000);
  ASSERT_TRUE(reader.take(rest, [](const Header&) { return Outcome<void>(); }).value().has_value());
  EXPECT_LT(reader.held_bytes(), 100u);
}

TEST(IsakmpMessage, P34_AFirstMessageIsKnownWhereTlsIsExpected) {
  const Bytes request = encode(initiator_cookie, no_cookie, 0, {});
  EXPECT_TRUE(is_cookie_request(request));
  Bytes more = request;
  more.push_back(0);
  EXPECT_TRUE(is_cookie_request(more));
  EXPECT_FALSE(is_cookie_request(ByteView(request).first(isakmp_header_bytes - 1)));
  EXPECT_FALSE(is_cookie_request(encode(initiator_cookie, responder_cookie, 0, {})));
  EXPECT_FALSE(is_cookie_request(encode(initiator_cookie, no_cookie, 1, {})));
  EXPECT_FALSE(is_cookie_request(encode(initiator_cookie, no_cookie, 0, content_of(3))));
  EXPECT_FALSE(is_cookie_request(Bytes(isakmp_header_bytes, 0x16)));
}

TEST(IsakmpMessage, PARSE_1_RandomBytesAndRandomChangesNeverYieldAnImpossibleMessage) {
  std::mt19937 random(1);
  const Bytes good = chain({40, 1, 300});
  int taken = 0;
  for (int round = 0; round < 20'000; ++round) {
    Bytes bytes = good;
    for (std::uint32_t changes = random() % 4; changes > 0; --changes)
      bytes[random() % (round % 2 == 0 ? 40 : bytes.size())] = static_cast<std::uint8_t>(random());
    const auto message = read_message(bytes);
    if (!message || !*message) continue;
    ++taken;
    EXPECT_EQ((*message)->header.length, bytes.size());
    EXPECT_LE((*message)->content.size() + isakmp_header_bytes + payload_header_bytes, bytes.size());
  }
  EXPECT_GT(taken, 1000) << "and the test is not about refusals alone";
}

}  // namespace
}  // namespace sealcast::isakmp
