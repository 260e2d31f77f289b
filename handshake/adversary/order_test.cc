// The attacks on the order of messages, in every flow against both ends, named after docs/testing.md's list: CCS, FIN,
// SEQ, REC. The table and the exploration contain most of them. Here each has its name, and the ones they leave out are
// added: coalesced records, split messages, reflected records, floods.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>

#include "handshake/adversary/stage.h"
#include "handshake/messages/finished.h"

namespace sealcast::handshake::adversary {
namespace {

using testing::Puppet;
using testing::test_now;

class Order : public ::testing::TestWithParam<Play> {
 protected:
  static Flow flow() { return GetParam().flow; }
  static Side real() { return GetParam().real; }
  static Side puppet() { return other(GetParam().real); }
  static std::span<const Step> steps() { return definition(flow()).steps; }
  static std::vector<std::size_t> waiting() {
    auto list = waiting_positions(flow(), real());
    list.pop_back();  // at the end no message is expected
    return list;
  }
  static std::string at(std::size_t position) {
    return title(flow(), real()) + ", at step " + std::to_string(position) +
           (position < steps().size() ? ", " + std::string(name(steps()[position].message)) : "");
  }
  static bool multicast() { return definition(flow()).multicast; }
  // Behind this step the client's proof is complete; before it the group authority is not even asked.
  static std::size_t smke() {
    std::size_t i = 0;
    while (i < steps().size() && steps()[i].message != Message::server_master_key_exchange)
      ++i;
    return i;
  }

  static void fatal(Stage& stage, const std::string& what, std::optional<Reason> reason = std::nullopt) {
    const Verdict verdict = stage.verdict();
    EXPECT_TRUE(verdict.failed) << what;
    EXPECT_FALSE(verdict.established) << what;
    EXPECT_EQ(verdict.alerts, 1) << what << ": " << verdict.why;
    EXPECT_EQ(verdict.reason, reason.value_or(verdict.reason)) << what << ": " << verdict.why;
  }
  static void never_established(Stage& stage, const std::string& what) {
    EXPECT_EQ(stage.verdict().established_events, 0) << what;
  }
};

void ccs(Stage& stage, const Bytes& body = {1}) {
  stage.puppet().send_record(ContentType::change_cipher_spec, body);
  stage.deliver();
}

// The puppet plays its steps in [from, to).
void walk(Stage& stage, std::size_t from, std::size_t to) {
  for (std::size_t i = from; i < to && i < stage.steps().size() && !stage.real().failed(); ++i)
    if (stage.steps()[i].from != stage.side()) stage.send(stage.steps()[i]);
}

// ---------------------------------------------------------------- CCS

TEST_P(Order, CCS1_InsertedAloneDoubledAndCoalescedWithItsNeighbours) {
  for (const std::size_t position : waiting())
    for (const int copies : {1, 2})
      for (const int coalesced : {0, 1, 2}) {  // alone; in one piece with the message before; with the one after
        if (steps()[position].message == Message::change_cipher_spec && copies == 1) continue;  // its own place
        Stage stage(flow(), real());
        std::size_t begin = position;
        while (coalesced == 1 && begin > 0 && steps()[begin - 1].from != real())
          --begin;
        ASSERT_TRUE(stage.walk_to(begin));
        if (coalesced > 0) stage.hold();
        walk(stage, begin, position);
        for (int n = 0; n < copies; ++n)
          ccs(stage);
        if (coalesced == 2) walk(stage, position, position + 1);
        stage.release();
        walk(stage, position, steps().size());
        fatal(stage, at(position));
        never_established(stage, at(position));
        EXPECT_TRUE(position > smke() || stage.verdict().issued == 0) << at(position);
      }
}

TEST_P(Order, CCS2_AsTheFirstRecordBeforeASuiteIsChosen) {
  Stage stage(flow(), real());
  ccs(stage);
  fatal(stage, "first record", Reason::unexpected_message);
}

TEST_P(Order, CCS3_FinishedInClearOrDataWithoutChangeCipherSpec) {
  for (const std::size_t position : waiting()) {
    if (steps()[position].message != Message::change_cipher_spec) continue;
    for (const bool data : {false, true}) {
      Stage stage(flow(), real());
      ASSERT_TRUE(stage.walk_to(position));
      if (data)
        stage.puppet().send_record(ContentType::application_data, Bytes{11, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1});
      else
        stage.puppet().send({puppet(), Message::finished, steps()[position].keys});
      stage.deliver();
      fatal(stage, at(position));
      never_established(stage, at(position));
    }
  }
}

TEST_P(Order, CCS4_OfAnotherLengthOrValueOrInTwoPiecesOrTwice) {
  for (const std::size_t position : waiting()) {
    if (steps()[position].message != Message::change_cipher_spec) continue;
    for (const Bytes& body : {Bytes{}, Bytes{0}, Bytes{2}, Bytes{255}, Bytes{1, 1}, Bytes{1, 0}, Bytes(1000, 1)}) {
      Stage stage(flow(), real());
      ASSERT_TRUE(stage.walk_to(position));
      ccs(stage, body);
      fatal(stage, at(position));
    }
    Stage pieces(flow(), real());
    ASSERT_TRUE(pieces.walk_to(position));
    ccs(pieces, {});
    ccs(pieces);
    fatal(pieces, at(position) + " in two pieces");
    Stage twice(flow(), real());  // the second one under the keys of the first
    ASSERT_TRUE(twice.walk_to(position + 1));
    const bool another = position + 1 < steps().size() && steps()[position + 1].from == puppet() &&
                         steps()[position + 1].message == Message::change_cipher_spec;
    ASSERT_FALSE(another);
    ccs(twice);
    fatal(twice, at(position) + " twice");
  }
}

TEST_P(Order, CCS5_AMessageSplitAroundAChangeCipherSpec) {
  for (const std::size_t position : waiting()) {
    if (steps()[position].message != Message::change_cipher_spec) continue;
    for (std::uint8_t size = 1; size <= 4; ++size) {
      Stage stage(flow(), real());
      ASSERT_TRUE(stage.walk_to(position));
      const Bytes finished = {20, 0, 0, 12};
      stage.puppet().send_record(ContentType::handshake, ByteView(finished).first(size));
      stage.deliver();
      ccs(stage);
      fatal(stage, at(position));
    }
  }
}

TEST_P(Order, CCS5_TrailingBytesWhereTheTurnOrTheKeysChange) {
  for (const std::size_t position : waiting()) {
    const bool message = steps()[position].message != Message::change_cipher_spec;
    const bool turn = position + 1 == steps().size() || steps()[position + 1].from == real() ||
                      steps()[position + 1].message == Message::change_cipher_spec;
    if (!message || !turn) continue;
    Stage stage(flow(), real());
    ASSERT_TRUE(stage.walk_to(position));
    // One record holds the message and the first byte of another.
    SensitiveBytes body;
    stage.puppet().bend = [&](const Step&, SensitiveBytes& bent) { body = bent; };
    Puppet& sender = stage.puppet();
    sender.send(steps()[position]);
    (void)sender.take_output();
    Bytes record = {static_cast<std::uint8_t>(type_of(steps()[position].message)),
                    static_cast<std::uint8_t>(body.size() >> 16), static_cast<std::uint8_t>(body.size() >> 8),
                    static_cast<std::uint8_t>(body.size())};
    record.insert(record.end(), body.begin(), body.end());
    record.push_back(20);
    sender.send_record(ContentType::handshake, record);
    stage.deliver();
    if (!stage.real().failed()) walk(stage, position + 1, steps().size());
    fatal(stage, at(position));
    if (position + 1 == steps().size()) never_established(stage, at(position));
  }
}

TEST_P(Order, CCS6_AnAlertSplitAroundAChangeCipherSpec) {
  for (const std::size_t position : waiting()) {
    if (steps()[position].message != Message::change_cipher_spec) continue;
    Stage stage(flow(), real());
    ASSERT_TRUE(stage.walk_to(position));
    stage.puppet().send_record(ContentType::alert, Bytes{1});
    stage.deliver();
    ccs(stage);
    fatal(stage, at(position), Reason::malformed_alert);
  }
}

// ---------------------------------------------------------------- FIN

TEST_P(Order, FIN1_FinishedAtEveryEarlierPoint) {
  for (const std::size_t position : waiting()) {
    if (steps()[position].message == Message::finished) continue;
    for (const Keys keys : {Keys::first, Keys::channel}) {
      Stage stage(flow(), real());
      ASSERT_TRUE(stage.walk_to(position));
      stage.send(Step{puppet(), Message::finished, keys});
      fatal(stage, at(position));
      never_established(stage, at(position));
      EXPECT_TRUE(position > smke() || stage.verdict().issued == 0) << at(position);
    }
  }
}

TEST_P(Order, FIN2_EveryBitEveryLengthTheOtherLabelTheOtherSecret) {
  for (const std::size_t position : waiting()) {
    if (steps()[position].message != Message::finished) continue;
    const auto bent = [&](const std::function<void(SensitiveBytes&)>& change, Reason reason) {
      Stage stage(flow(), real());
      ASSERT_TRUE(stage.walk_to(position));
      stage.puppet().bend = [&](const Step&, SensitiveBytes& body) { change(body); };
      stage.send(steps()[position]);
      fatal(stage, at(position), reason);
      never_established(stage, at(position));
    };
    for (std::size_t bit = 0; bit < 96; ++bit)
      bent(
          [bit](SensitiveBytes& body) { body[bit / 8] = static_cast<std::uint8_t>(body[bit / 8] ^ (1u << (bit % 8))); },
          Reason::finished_invalid);
    for (const std::size_t size : {0u, 1u, 11u, 13u, 24u, 36u})
      bent([size](SensitiveBytes& body) { body.resize(size); }, Reason::decode_error);
    Stage label(flow(), real());
    ASSERT_TRUE(label.walk_to(position));
    label.puppet().finished_label = real();
    label.send(steps()[position]);
    fatal(label, at(position), Reason::finished_invalid);
    Stage secret(flow(), real());
    ASSERT_TRUE(secret.walk_to(position));
    secret.send(Step{puppet(), Message::finished, steps()[position].keys == Keys::first ? Keys::channel : Keys::first});
    fatal(secret, at(position), Reason::finished_invalid);
  }
}

// The puppet hashes one message more than it sends. (The mutations' "drop" with the keys covers one less.)
TEST_P(Order, FIN2_ATranscriptThatIsLongByOneMessage) {
  for (const std::size_t position : waiting()) {
    if (steps()[position].message != Message::change_cipher_spec) continue;
    Stage stage(flow(), real());
    ASSERT_TRUE(stage.walk_to(position));
    stage.puppet().send_handshake(0, {});
    (void)stage.puppet().take_output();  // before the keys change: no record number is missed
    // An SMKE between them has its own proof over the transcript, which fails first.
    walk(stage, position, steps().size());
    fatal(stage, at(position));
    never_established(stage, at(position));
    const Reason reason = stage.verdict().reason;
    EXPECT_TRUE(reason == Reason::finished_invalid || reason == Reason::server_verify_data_invalid ||
                reason == Reason::bad_record_mac)
        << stage.verdict().why;
  }
}

// As variant 1's "the peer stops after the server's Finished", in every flow.
TEST_P(Order, FIN3_WithoutTheClosingFinishedNothingIsReleased) {
  const std::size_t last = last_step_of(flow(), puppet());
  Stage stage(flow(), real());
  ASSERT_TRUE(stage.walk_to(last));
  const Verdict verdict = stage.verdict();
  EXPECT_FALSE(verdict.failed) << verdict.why;
  if (real() == Side::client && last + 1 < steps().size()) {
    // The client sends last: without the server's Finished it does not.
    EXPECT_FALSE(verdict.established);
  }
  EXPECT_EQ(verdict.established_events, 0);
  EXPECT_FALSE(stage.real().send(Keepalive{1}));
  EXPECT_FALSE(stage.real().send_data(Bytes{1}));
}

TEST_P(Order, FIN4_ItsOwnFinishedAndChangeCipherSpecReflected) {
  for (const std::size_t position : waiting()) {
    if (steps()[position].message != Message::finished && steps()[position].message != Message::change_cipher_spec)
      continue;
    // The real end's own last record, in place of the expected message.
    Stage recorded(flow(), real());
    Bytes own;
    const auto real_end = real() == Side::client ? world_of(flow()).client() : world_of(flow()).server();
    Puppet sender(puppet(), world_of(flow()), multicast());
    const auto take = [&] {
      const Bytes bytes = real_end->take_output();
      own.insert(own.end(), bytes.begin(), bytes.end());
      sender.receive(bytes);
      for (const Event& event : real_end->take_events())
        if (std::holds_alternative<PasswordPresented>(event)) {
          (void)real_end->password_checked(true, test_now);
          const Bytes more = real_end->take_output();
          own.insert(own.end(), more.begin(), more.end());
          sender.receive(more);
        }
    };
    take();
    for (std::size_t i = 0; i < position; ++i) {
      if (steps()[i].from == real()) continue;
      sender.send(steps()[i]);
      ASSERT_TRUE(real_end->receive(sender.take_output(), test_now)) << at(i);
      take();
    }
    std::vector<Bytes> records;
    for (ByteView left = own; !left.empty();) {
      const std::size_t size = record_header_size + load_be<std::uint16_t>(left.data() + 3);
      records.emplace_back(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(size));
      left = left.subspan(size);
    }
    ASSERT_FALSE(records.empty());
    const Bytes last = records.back();
    const bool clear_ccs = last[0] == 20 && steps()[position].message == Message::change_cipher_spec;
    const auto done = real_end->receive(last, test_now);
    // A clear ChangeCipherSpec is one byte and the same from both sides: after it no own message of the real end fits.
    if (clear_ccs && done) {
      const auto next = real_end->receive(last, test_now);
      EXPECT_FALSE(next) << at(position);
    } else {
      EXPECT_FALSE(done) << at(position);
    }
    EXPECT_FALSE(real_end->established()) << at(position);
  }
}

// ---------------------------------------------------------------- SEQ

TEST_P(Order, SEQ1_SEQ2_SEQ3_EveryMessageDeleted) {
  for (const std::size_t position : waiting()) {
    // A standard mutual handshake without CertificateRequest is the other standard flow, and is reported as that.
    if (flow() == Flow::standard_mutual && steps()[position].message == Message::certificate_request) continue;
    Stage stage(flow(), real());
    ASSERT_TRUE(stage.walk_to(position));
    walk(stage, position + 1, steps().size());
    never_established(stage, at(position) + " deleted");
    if (position != last_step_of(flow(), puppet())) fatal(stage, at(position) + " deleted");
    EXPECT_TRUE(position > smke() || stage.verdict().issued == 0) << at(position);
  }
}

TEST_P(Order, SEQ1_EveryMessageDoubledOrSwappedWithTheNext) {
  for (const std::size_t position : waiting())
    for (const bool coalesced : {false, true}) {
      Stage doubled(flow(), real());
      ASSERT_TRUE(doubled.walk_to(position));
      if (coalesced) doubled.hold();
      doubled.send(steps()[position]);
      doubled.send(steps()[position]);
      doubled.release();
      fatal(doubled, at(position) + " doubled");
      if (position + 1 >= steps().size() || steps()[position + 1].from == real()) continue;
      Stage swapped(flow(), real());
      ASSERT_TRUE(swapped.walk_to(position));
      if (coalesced) swapped.hold();
      swapped.send(steps()[position + 1]);
      swapped.send(steps()[position]);
      swapped.release();
      fatal(swapped, at(position) + " swapped with the next");
      never_established(swapped, at(position));
    }
}

TEST_P(Order, SEQ4_HelloRequestAndASecondClientHelloNeverRenegotiate) {
  std::vector<std::size_t> places = waiting();
  places.push_back(steps().size());
  for (const std::size_t position : places)
    for (const std::uint8_t type : {0, 1}) {
      if (position < steps().size() && steps()[position].message == Message::client_hello && type == 1) continue;
      Stage stage(flow(), real());
      ASSERT_TRUE(stage.walk_to(position));
      const Verdict before = stage.verdict();
      if (type == 0)
        stage.puppet().send_handshake(0, {});
      else
        stage.puppet().send({puppet(), Message::client_hello, Keys::none});
      stage.deliver();
      const Reason reason = before.established ? Reason::renegotiation_refused : Reason::unexpected_message;
      fatal(stage, at(position), reason);
      EXPECT_EQ(stage.verdict().established_events, before.established_events);
    }
}

// ---------------------------------------------------------------- REC

TEST_P(Order, REC1_FloodsOfWarningsAndEmptyRecordsAreCutOff) {
  for (const std::size_t position : waiting())
    for (const bool warnings : {true, false}) {
      Stage stage(flow(), real());
      ASSERT_TRUE(stage.walk_to(position));
      int sent = 0;
      while (!stage.real().failed() && sent < 100) {
        if (warnings)
          stage.puppet().send_record(ContentType::alert, Bytes{1, 90});
        else
          stage.puppet().send_record(ContentType::application_data, {});
        stage.deliver();
        ++sent;
      }
      EXPECT_LT(sent, 20) << at(position);
      fatal(stage, at(position));
    }
}

// The limit bounds the memory that a peer can make us use, however the message is divided and wherever it comes (H13).
TEST_P(Order, REC1_H13_AMessageThatNeverEndsCostsBoundedMemory) {
  for (const std::size_t position : waiting()) {
    if (steps()[position].message == Message::change_cipher_spec) continue;
    Stage stage(flow(), real());
    ASSERT_TRUE(stage.walk_to(position));
    const std::size_t before = mallinfo2().uordblks;
    const std::uint8_t type = static_cast<std::uint8_t>(type_of(steps()[position].message));
    // Announces 60 kB, which is allowed, and sends more and more of it.
    stage.puppet().send_record(ContentType::handshake, Bytes{type, 0, 0xea, 0x60});
    stage.deliver();
    int records = 0;
    std::size_t most = before;
    while (!stage.real().failed() && records < 1000) {
      stage.puppet().send_record(ContentType::handshake, Bytes(1000, 0));
      stage.deliver();
      most = std::max(most, mallinfo2().uordblks);
      ++records;
    }
    EXPECT_LT(records, 70) << at(position);
    EXPECT_LT(most - before, 512u * 1024) << at(position);  // the puppet's own buffers included
    fatal(stage, at(position));
  }
}

INSTANTIATE_TEST_SUITE_P(EveryFlow, Order, ::testing::ValuesIn(all_plays()),
                         [](const auto& play) { return play_name(play.param); });

}  // namespace
}  // namespace sealcast::handshake::adversary
