// PARSE-1 at the real ends: for every message of every flow, in its place: each length field one off and at its
// extremes, one byte short, trailing bytes, and the length of the whole. A small grammar finds the fields.
#include <gtest/gtest.h>

#include <algorithm>

#include "handshake/adversary/stage.h"

namespace sealcast::handshake::adversary {
namespace {

struct Field {
  std::size_t offset;
  std::size_t size;  // bytes of the length
};

// Walks a body by its shape: a number skips so many bytes, "v1" "v2" "v3" is a vector with a length of so many bytes,
// "l1(…)" and so on one with a content that repeats the shape in parentheses up to its end, "?" ends where the body
// does.
class Walk {
 public:
  explicit Walk(ByteView body) : body_(body) {}
  std::vector<Field> fields;
  bool sound = true;
  std::size_t at = 0;

  void skip(std::size_t count) { move(count); }
  std::size_t vector(std::size_t size) {  // an empty one: moves past it
    const std::size_t length = enter(size);
    move(length);
    return length;
  }
  std::size_t enter(std::size_t size) {
    fields.push_back({at, size});
    std::size_t length = 0;
    for (std::size_t i = 0; i < size && at + i < body_.size(); ++i)
      length = (length << 8) | body_[at + i];
    move(size);
    return length;
  }
  template <typename Each>
  void list(std::size_t size, Each each) {
    const std::size_t length = enter(size);
    const std::size_t end = at + length;
    while (sound && at < end)
      each();
    sound = sound && at == end;
  }
  std::uint8_t byte() const { return at < body_.size() ? body_[at] : 0; }
  std::uint16_t number() const { return at + 2 <= body_.size() ? load_be<std::uint16_t>(body_.data() + at) : 0; }
  bool whole() const { return sound && at == body_.size(); }

 private:
  void move(std::size_t count) {
    if (count > body_.size() - std::min(at, body_.size())) sound = false;
    at = std::min(body_.size(), at + count);
  }
  ByteView body_;
};

void walk_extension(Walk& walk) {
  const std::uint16_t type = walk.number();
  walk.skip(2);
  const std::size_t length = walk.enter(2);
  const std::size_t end = walk.at + length;
  if (type == extension::server_name)
    walk.list(2, [&] {
      walk.skip(1);
      walk.vector(2);
    });
  else if (type == extension::supported_groups || type == extension::signature_algorithms)
    walk.vector(2);
  else if (type == extension::ec_point_formats || type == extension::renegotiation_info)
    walk.vector(1);
  else if (type == extension::multicast_group) {
    walk.skip(1);
    walk.vector(1);
  }
  walk.sound = walk.sound && walk.at == end;
}

void walk_smke(Walk& walk) {
  walk.skip(3);
  walk.vector(1);
  walk.vector(1);
  walk.skip(17 + 36);
  walk.vector(2);
  walk.skip(1 + 1 + 2 + 4 * 4 + 4 + 1 + 2);
  walk.vector(1);
  walk.skip(5);
  walk.vector(2);
  walk.vector(2);
  walk.vector(1);
  walk.vector(2);
}

Walk walked(Message message, ByteView body) {
  Walk walk(body);
  switch (message) {
    case Message::client_hello:
      walk.skip(34);
      walk.vector(1);
      walk.vector(2);
      walk.vector(1);
      walk.list(2, [&] { walk_extension(walk); });
      break;
    case Message::server_hello:
      walk.skip(34);
      walk.vector(1);
      walk.skip(3);
      walk.list(2, [&] { walk_extension(walk); });
      break;
    case Message::certificate:
      walk.list(3, [&] { walk.vector(3); });
      break;
    case Message::server_key_exchange:
      walk.skip(3);
      walk.vector(1);
      walk.skip(2);
      walk.vector(2);
      break;
    case Message::certificate_request:
      walk.vector(1);
      walk.vector(2);
      walk.vector(2);
      break;
    case Message::client_key_exchange:
      walk.vector(1);
      break;
    case Message::certificate_verify:
      walk.skip(2);
      walk.vector(2);
      break;
    case Message::server_master_key_exchange:
      walk_smke(walk);
      break;
    case Message::client_auth_request:
      walk.skip(1);
      walk.vector(1);
      walk.vector(1);
      walk.vector(1);
      walk.vector(1);
      walk.skip(12);
      break;
    case Message::client_auth_response:
      walk.skip(1);
      walk.vector(1);
      walk.vector(1);
      walk.skip(body.size() - std::min(body.size(), walk.at));
      break;
    case Message::finished:
      walk.skip(12);
      break;
    case Message::server_hello_done:
    case Message::change_cipher_spec:
      break;
  }
  return walk;
}

class Parse : public ::testing::TestWithParam<Play> {
 protected:
  // Sends this place's message with a change to its body; returns the real end's reaction.
  static Verdict bent(std::size_t position, const std::function<void(SensitiveBytes&)>& bend) {
    Stage stage(GetParam().flow, GetParam().real);
    EXPECT_TRUE(stage.walk_to(position)) << stage.verdict().why;
    // ClientAuthResponse is padded: another length may make it another user's, which the stage refuses.
    stage.password_verdict = false;
    stage.puppet().bend = [&](const Step&, SensitiveBytes& body) { bend(body); };
    stage.send(stage.steps()[position]);
    return stage.verdict();
  }
  static void fatal(const Verdict& verdict, const std::string& what, std::optional<Reason> reason) {
    EXPECT_TRUE(verdict.failed) << what;
    EXPECT_FALSE(verdict.established) << what;
    EXPECT_EQ(verdict.alerts, 1) << what << ": " << verdict.why;
    EXPECT_EQ(verdict.reason, reason.value_or(verdict.reason)) << what << ": " << verdict.why;
  }
  static std::vector<std::size_t> messages() {
    std::vector<std::size_t> list;
    const auto steps = definition(GetParam().flow).steps;
    for (std::size_t i = 0; i < steps.size(); ++i)
      if (steps[i].from != GetParam().real && steps[i].message != Message::change_cipher_spec) list.push_back(i);
    return list;
  }
  static Message message(std::size_t position) { return definition(GetParam().flow).steps[position].message; }
  static std::string at(std::size_t position) {
    return title(GetParam().flow, GetParam().real) + ", " + std::string(name(message(position)));
  }
};

TEST_P(Parse, PARSE1_EveryLengthFieldOneOffAndAtItsExtremes) {
  for (const std::size_t position : messages()) {
    std::vector<Field> fields;
    (void)bent(position, [&](SensitiveBytes& body) {
      const Walk walk = walked(message(position), body);
      EXPECT_TRUE(walk.whole()) << at(position) << ": the grammar here does not fit the message";
      fields = walk.fields;
    });
    for (const Field& field : fields)
      for (const int kind : {-1, 1, 0, 2}) {  // one less, one more, zero, all ones
        bool changed = false;
        const Verdict verdict = bent(position, [&](SensitiveBytes& body) {
          std::size_t value = 0;
          for (std::size_t i = 0; i < field.size; ++i)
            value = (value << 8) | body[field.offset + i];
          const std::size_t top = (std::size_t{1} << (8 * field.size)) - 1;
          const std::size_t wanted = kind == 0 ? 0 : kind == 2 ? top : value + static_cast<std::size_t>(kind);
          changed = wanted != value && wanted <= top;
          for (std::size_t i = 0; changed && i < field.size; ++i)
            body[field.offset + i] = static_cast<std::uint8_t>(wanted >> (8 * (field.size - 1 - i)));
        });
        if (!changed) continue;
        const std::string what = at(position) + ", length at " + std::to_string(field.offset) +
                                 (kind < 0    ? " - 1"
                                  : kind == 1 ? " + 1"
                                  : kind == 0 ? " = 0"
                                              : " = all ones");
        const bool proof_first = message(position) == Message::server_master_key_exchange ||
                                 message(position) == Message::client_auth_request ||
                                 message(position) == Message::client_auth_response;
        // A proof that is checked first may fail before; an extension's name cut short is another extension's body.
        fatal(verdict, what,
              proof_first || message(position) == Message::client_hello || message(position) == Message::server_hello
                  ? std::nullopt
                  : std::optional(Reason::decode_error));
        EXPECT_EQ(verdict.issued, 0) << what;
      }
  }
}

TEST_P(Parse, PARSE1_OneByteShortAndTrailingBytes) {
  for (const std::size_t position : messages())
    for (const int change : {-1, 1, 2, 100}) {
      if (change < 0 && message(position) == Message::server_hello_done) continue;  // empty already
      const Verdict verdict = bent(position, [&](SensitiveBytes& body) {
        body.resize(change < 0 ? body.size() - 1 : body.size() + static_cast<std::size_t>(change));
      });
      const bool proof_first =
          message(position) == Message::server_master_key_exchange || message(position) == Message::client_auth_request;
      fatal(verdict, at(position) + ", " + std::to_string(change) + " bytes",
            proof_first ? std::nullopt : std::optional(Reason::decode_error));
    }
}

TEST_P(Parse, PARSE1_EveryTruncation) {
  for (const std::size_t position : messages()) {
    std::size_t size = 0;
    (void)bent(position, [&](SensitiveBytes& body) { size = body.size(); });
    // Every length up to 64 and every seventh beyond: the ends of all vectors are hit somewhere.
    for (std::size_t cut = 0; cut < size; cut += cut < 64 ? 1 : 7) {
      const bool bare_hello = message(position) == Message::client_hello || message(position) == Message::server_hello;
      const Verdict verdict = bent(position, [cut](SensitiveBytes& body) { body.resize(cut); });
      fatal(verdict, at(position) + " cut to " + std::to_string(cut), std::nullopt);
      // A hello without extensions is well-formed; it is refused because they are missing.
      if (!bare_hello && message(position) != Message::server_master_key_exchange &&
          message(position) != Message::client_auth_request) {
        EXPECT_EQ(verdict.reason, Reason::decode_error) << at(position) << " cut to " << cut << ": " << verdict.why;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryFlow, Parse, ::testing::ValuesIn(all_plays()),
                         [](const auto& play) { return play_name(play.param); });

}  // namespace
}  // namespace sealcast::handshake::adversary
