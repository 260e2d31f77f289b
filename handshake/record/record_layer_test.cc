// REC-1 and the record layer's own rules: limits, protection, sequence numbers, alignment.
#include "handshake/record/record_layer.h"

#include <gtest/gtest.h>

#include "handshake/machine/message_joiner.h"
#include "handshake/messages/alert.h"
#include "handshake/testing/in_process.h"

namespace sealcast::handshake {
namespace {

DirectionKeys keys(std::uint8_t seed, std::size_t size = 32) {
  DirectionKeys made;
  made.key = SecretBytes(size);
  for (std::size_t i = 0; i < size; ++i)
    made.key.data()[i] = static_cast<std::uint8_t>(seed + i);
  made.salt.span()[0] = seed;
  return made;
}

Bytes header(std::uint8_t type, std::uint16_t version, std::size_t length) {
  return {type, static_cast<std::uint8_t>(version >> 8), static_cast<std::uint8_t>(version),
          static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length)};
}

Outcome<std::optional<Record>> read(RecordReader& reader, const Bytes& bytes) {
  ByteView view(bytes);
  return reader.next(view);
}

TEST(Rec1, PlaintextLengthLimits) {
  for (const std::size_t length : {std::size_t{1}, max_plaintext}) {
    RecordReader reader;
    Bytes bytes = header(22, tls12, length);
    bytes.resize(bytes.size() + length);
    const auto record = read(reader, bytes);
    ASSERT_TRUE(record && *record) << length;
    EXPECT_EQ((*record)->payload.size(), length);
  }
  for (const std::size_t length : {max_plaintext + 1, max_plaintext + 256, max_plaintext + 257, std::size_t{0xffff}}) {
    RecordReader reader;
    // refused as soon as the header is there: the body is never collected
    const auto record = read(reader, header(22, tls12, length));
    ASSERT_FALSE(record) << length;
    EXPECT_EQ(record.error().reason, Reason::record_overflow);
  }
}

TEST(Rec1, ProtectedLengthLimits) {
  for (const std::size_t length : {max_protected + 1, max_plaintext + 256, max_plaintext + 257, max_plaintext + 2048}) {
    RecordReader reader;
    reader.install(keys(1), *MessageJoiner().aligned());
    EXPECT_EQ(read(reader, header(22, tls12, length)).error().reason, Reason::record_overflow) << length;
  }
  for (std::size_t length = 0; length < record_overhead; ++length) {
    RecordReader reader;
    reader.install(keys(1), *MessageJoiner().aligned());
    EXPECT_EQ(read(reader, header(22, tls12, length)).error().reason, Reason::bad_record_mac) << length;
  }
}

TEST(Rec1, EmptyRecords) {
  for (const std::uint8_t type : {20, 21, 22}) {
    RecordReader reader;
    EXPECT_EQ(read(reader, header(type, tls12, 0)).error().reason, Reason::empty_record);
  }
  RecordReader reader;
  for (unsigned i = 0; i < max_empty_records; ++i)
    ASSERT_TRUE(read(reader, header(23, tls12, 0)));
  EXPECT_EQ(read(reader, header(23, tls12, 0)).error().reason, Reason::empty_record) << "a flood";
}

TEST(Rec1, NoTlsIsRefusedAtItsFirstBytes) {
  for (const std::uint8_t type : {0, 19, 24, 71, 128, 255}) {
    RecordReader reader;
    EXPECT_EQ(read(reader, header(type, tls12, 5)).error().reason, Reason::not_tls);
  }
  for (const std::uint16_t version : {0x0000, 0x0203, 0xfeff, 0x0403}) {
    RecordReader reader;
    EXPECT_EQ(read(reader, header(22, version, 5)).error().reason, Reason::protocol_version);
  }
  for (const std::uint16_t version : {0x0300, 0x0301, 0x0302, 0x0304, 0x03fe, 0x03ff}) {  // RFC 5246 E.1
    RecordReader first;
    EXPECT_TRUE(read(first, header(22, version, 5))) << "a first ClientHello may come under an old number";
    RecordReader later;
    later.pin_version();
    EXPECT_FALSE(read(later, header(22, version, 5)));
  }
}

TEST(Rec1, ProtectionRoundTripsInEverySize) {
  for (const std::size_t key_size : {16u, 32u}) {
    RecordWriter writer;
    RecordReader reader;
    writer.install(keys(9, key_size));
    reader.install(keys(9, key_size), *MessageJoiner().aligned());
    for (const std::size_t size :
         {std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{17}, std::size_t{1000}, max_plaintext}) {
      Bytes payload(size, static_cast<std::uint8_t>(size));
      Bytes wire;
      writer.write(ContentType::application_data, payload, wire);
      EXPECT_EQ(wire.size(), size + record_header_size + record_overhead);
      const auto record = read(reader, wire);
      ASSERT_TRUE(record && *record);
      EXPECT_TRUE(std::equal((*record)->payload.begin(), (*record)->payload.end(), payload.begin(), payload.end()));
    }
  }
}

TEST(Rec1, LongPayloadsAreFragmented) {
  Bytes wire;
  RecordWriter().write(ContentType::application_data, Bytes(3 * max_plaintext + 5, 7), wire);
  RecordReader reader;
  ByteView view(wire);
  std::size_t total = 0, records = 0;
  while (true) {
    const auto record = reader.next(view);
    ASSERT_TRUE(record);
    if (!*record) break;
    total += (*record)->payload.size();
    ++records;
  }
  EXPECT_EQ(records, 4u);
  EXPECT_EQ(total, 3 * max_plaintext + 5);
}

TEST(Protection, EveryBitOfARecordIsAuthenticated) {
  Bytes wire;
  RecordWriter writer;
  writer.install(keys(3));
  writer.write(ContentType::application_data, Bytes{1, 2, 3}, wire);
  for (std::size_t bit = 0; bit < wire.size() * 8; ++bit) {
    RecordReader reader;
    reader.pin_version();
    reader.install(keys(3), *MessageJoiner().aligned());
    Bytes bent = wire;
    bent[bit / 8] = static_cast<std::uint8_t>(bent[bit / 8] ^ (1u << (bit % 8)));
    const auto record = read(reader, bent);
    EXPECT_TRUE(!record || !*record) << "bit " << bit;  // refused, or waiting for a longer record that never comes
  }
}

TEST(Protection, CHAN2_ReplayReorderAndOmissionAreRefused) {
  RecordWriter writer;
  writer.install(keys(5));
  std::vector<Bytes> wire(3);
  for (Bytes& one : wire)
    writer.write(ContentType::application_data, Bytes{1}, one);
  const auto plays = [&wire](const std::vector<std::size_t>& order) {
    RecordReader reader;
    reader.install(keys(5), *MessageJoiner().aligned());
    for (const std::size_t i : order)
      if (!read(reader, wire[i])) return false;
    return true;
  };
  EXPECT_TRUE(plays({0, 1, 2}));
  EXPECT_FALSE(plays({0, 0}));
  EXPECT_FALSE(plays({1}));
  EXPECT_FALSE(plays({0, 2}));
}

TEST(Protection, ANewKeyStartsANewSequence) {
  RecordWriter writer;
  RecordReader reader;
  for (std::uint8_t generation = 1; generation < 4; ++generation) {
    writer.install(keys(generation));
    reader.install(keys(generation), *MessageJoiner().aligned());
    for (int i = 0; i < 3; ++i) {
      Bytes wire;
      writer.write(ContentType::handshake, Bytes{generation}, wire);
      EXPECT_EQ(load_be<std::uint64_t>(wire.data() + record_header_size), static_cast<std::uint64_t>(i));
      ASSERT_TRUE(read(reader, wire));
    }
  }
}

TEST(Alignment, CCS5_NoProofWhileAMessageIsHalfRead) {
  MessageJoiner joiner;
  EXPECT_TRUE(joiner.aligned());
  joiner.feed(Bytes{14});
  EXPECT_FALSE(joiner.aligned());
  joiner.feed(Bytes{0, 0, 0});
  EXPECT_FALSE(joiner.aligned()) << "complete, but not taken";
  joiner.take(4);
  EXPECT_TRUE(joiner.aligned());
  joiner.feed(Bytes{14, 0, 0, 0, 14});
  joiner.take(4);
  EXPECT_FALSE(joiner.aligned());
}

TEST(Alerts, CCS6_AnAlertIsOneWholeRecord) {
  testing::World world;
  for (const Bytes& bent : std::vector<Bytes>{{2}, {1}, {2, 40, 0}, {2, 40, 2, 40}, {0, 0}, {3, 40}}) {
    const auto server = world.server();
    Bytes wire;
    RecordWriter().write(ContentType::alert, bent, wire);
    const auto done = server->receive(wire, testing::test_now);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().reason, Reason::malformed_alert);
  }
}

TEST(Alerts, REC1_WarningsAreBounded) {
  testing::World world;
  const auto server = world.server();
  Bytes wire;
  RecordWriter().write(ContentType::alert, Bytes{1, 90}, wire);
  for (int i = 0; i < 4; ++i)
    EXPECT_TRUE(server->receive(wire, testing::test_now));
  EXPECT_EQ(server->receive(wire, testing::test_now).error().reason, Reason::warning_flood);
}

TEST(Limits, REC1_H13_AHandshakeHasASizeLimit) {
  testing::World world;
  const auto server = world.server();
  Bytes wire;
  RecordWriter().write(ContentType::handshake, Bytes{1, 0xff, 0xff, 0xff}, wire);
  EXPECT_EQ(server->receive(wire, testing::test_now).error().reason, Reason::handshake_too_large)
      << "refused by its announced length, before a body is collected";
  world.server_config.max_handshake_bytes = 100;
  const auto small = world.server();
  const auto client = world.client();
  EXPECT_EQ(small->receive(client->take_output(), testing::test_now).error().reason, Reason::handshake_too_large);
}

}  // namespace
}  // namespace sealcast::handshake
