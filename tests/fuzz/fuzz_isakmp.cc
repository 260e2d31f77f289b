// The ISAKMP carriage (P34). The first byte chooses what the rest is:
//   0  a byte stream in pieces, for the reader of messages
//   1  the same, for a responder to an unknown peer
//   2  steps for a responder, 3 for an initiator: its peer knows the cookies and breaks the rules at one place or
//      another; a model says which messages must be taken
//   4  edits of the bytes between a real member and a real key server, as in fuzz_pair
#include "handshake/isakmp/carriage.h"
#include "handshake/isakmp/message.h"
#include "tests/fuzz/fuzz_endpoint.h"
#include "tests/fuzz/input.h"

namespace {

using namespace sealcast;          // NOLINT: a fuzzer of it
using namespace sealcast::isakmp;  // NOLINT
using handshake::ControlMessage;
using handshake::Endpoint;
using handshake::testing::test_now;
using sealcast::fuzz::Input;
using sealcast::fuzz::require;

// Stands in for the TLS endpoint: counts its input, and is established when the step says so.
struct Inner : Endpoint {
  struct Seen {
    std::uint64_t messages = 0, bytes = 0;
    bool establish = false;
  };
  explicit Inner(Seen& noted) : seen(noted) {}
  Outcome<void> receive(ByteView bytes, std::int64_t) override {
    ++seen.messages;
    seen.bytes += bytes.size();
    is_established = is_established || seen.establish;
    to_send.assign(bytes.begin(),
                   bytes.begin() + std::min<std::ptrdiff_t>(3, static_cast<std::ptrdiff_t>(bytes.size())));
    return {};
  }
  Bytes take_output() override { return std::exchange(to_send, {}); }
  std::vector<handshake::Event> take_events() override { return {}; }
  bool established() const override { return is_established; }
  bool failed() const override { return false; }
  const handshake::HandshakeError* failure() const override { return nullptr; }
  std::uint64_t ignored_messages() const override { return 0; }
  Outcome<void> send(const ControlMessage&) override { return {}; }
  Outcome<void> send_data(ByteView) override { return {}; }
  Outcome<void> password_checked(bool, std::int64_t) override { return {}; }
  void close() override {}
  Seen& seen;
  Bytes to_send;
  bool is_established = false;
};

struct FixedRandom : handshake::Random {
  void fill(ByteSpan out) override { std::fill(out.begin(), out.end(), std::uint8_t{0x21}); }
};

const PeerAddress peer_address{IpAddress::v4(0x0a000001), 4000};

const CookieKeys& keys() {
  static const CookieKeys all = [] {
    Secret<32> key;
    key.data()[3] = 9;
    return CookieKeys(std::move(key));
  }();
  return all;
}

// Whole messages only.
std::vector<Message> messages(const Bytes& bytes) {
  std::vector<Message> out;
  MessageReader reader;
  ByteView rest = bytes;
  while (!rest.empty()) {
    auto message = reader.take(rest, [](const Header&) { return Outcome<void>(); });
    require(message && *message);
    out.push_back(std::move(**message));
  }
  return out;
}

void read_stream(Input input) {
  MessageReader reader;
  std::size_t came = 0;
  while (!input.empty()) {
    ByteView piece = input.bytes(1 + input.u8() * 16u);
    came += piece.size();
    while (!piece.empty()) {
      auto message = reader.take(piece, [](const Header& header) -> Outcome<void> {
        require(header.length >= isakmp_header_bytes && header.length <= max_message_bytes);
        return {};
      });
      if (!message) return;
      if (!*message) break;
      const Message& got = **message;
      require(got.header.length <= came && got.content.size() <= max_content_bytes);
      require(got.content.empty() == !got.header.has_payload);
      const Bytes again = encode(got.header.initiator, got.header.responder, got.header.message_id,
                                 ByteView(got.content.data(), got.content.size()));
      const auto back = messages(again);
      require(back.size() == 1 && back[0].content == got.content);
    }
    require(reader.beginning().size() <= isakmp_header_bytes);
  }
}

void stranger(Input input) {
  int made = 0;
  const auto responder = make_responder(
      [&]() -> std::unique_ptr<Endpoint> {
        ++made;
        return nullptr;
      },
      keys(), peer_address);
  std::size_t said = 0;
  while (!input.empty() && !responder->failed()) {
    const auto done = responder->receive(input.bytes(1 + input.u8()), test_now);
    require(done.has_value() != responder->failed());
    said += responder->take_output().size();
  }
  // One answer, or one alert to a peer that sends TLS; no input can guess 64 bits.
  require(made == 0 && !responder->established() && said <= isakmp_header_bytes + 7);
}

void rule_breaker(Input input, bool to_responder) {
  Inner::Seen seen;
  FixedRandom random;
  Cookie initiator{};
  initiator.fill(0x21);
  Cookie responder{};
  std::unique_ptr<Endpoint> endpoint;
  if (to_responder) {
    endpoint = make_responder([&] { return std::make_unique<Inner>(seen); }, keys(), peer_address);
    require(endpoint->receive(encode(initiator, no_cookie, 0, {}), test_now).has_value());
    responder = messages(endpoint->take_output()).at(0).header.responder;
  } else {
    endpoint = make_initiator(std::make_unique<Inner>(seen), random);
    require(messages(endpoint->take_output()).at(0).header.initiator == initiator);
    responder.fill(0x42);
    require(endpoint->receive(encode(initiator, responder, 0, {}), test_now).has_value());
    require(messages(endpoint->take_output()).empty());
  }
  bool counting = false;  // the message that established the inner endpoint has passed
  std::uint32_t next_in = 1, next_out = 1;
  while (!input.empty()) {
    const std::uint8_t how = input.u8();
    seen.establish = (how & 0x80) != 0;
    const Bytes content = fuzz::copy((how & 0x40) != 0 ? input.block() : input.short_block());
    const std::uint32_t wanted = counting ? next_in : 0;
    Bytes bytes = encode(initiator, responder, wanted, content);
    bool good = !content.empty();
    if (const std::size_t change = how & 0x0f; change == 1) {  // one byte of the headers
      const std::size_t at = input.u8() % std::min(bytes.size(), isakmp_header_bytes + payload_header_bytes);
      const std::uint8_t by = input.u8();
      // With two payloads the content may look like another, shorter chain.
      if (at >= isakmp_header_bytes + 2 && content.size() > max_payload_body) return;
      bytes[at] ^= by;
      good = good && by == 0;
    } else if (change == 2) {
      const std::uint32_t id = input.u32();
      store_be<std::uint32_t>(bytes.data() + 20, id);
      good = good && id == wanted;
    }
    const std::uint64_t before = seen.messages;
    bool taken = true;
    const std::size_t portion = (how & 0x20) != 0 ? 1 + input.u8() : bytes.size();
    for (std::size_t at = 0; at < bytes.size() && taken; at += portion)
      taken =
          endpoint->receive(ByteView(bytes).subspan(at, std::min(portion, bytes.size() - at)), test_now).has_value();
    require(seen.messages - before == (good ? 1u : 0u));
    if (!good) {
      // Refused, or a length that waits for more: never passed on.
      require(!taken == endpoint->failed());
      return;
    }
    require(taken);
    for (const Message& message : messages(endpoint->take_output())) {
      require(message.header.initiator == initiator && message.header.responder == responder);
      require(message.header.message_id == (counting ? next_out++ : 0));
    }
    if (counting) ++next_in;
    counting = counting || endpoint->established();
  }
}

void edited_pair(Input input) {
  auto& world = handshake::fuzz::world(false);
  FixedRandom random;
  const auto client = make_initiator(world.client(), random);
  const auto server = make_responder([&] { return world.server(); }, keys(), peer_address);
  const Bytes edits = fuzz::copy(input.rest());  // { where u16, what: flip | drop | double, how }
  std::uint32_t position = 0;
  bool changed = false;
  const auto carry = [&](Endpoint& from, Endpoint& to) {
    const Bytes bytes = from.take_output();
    Bytes arrives;
    for (const std::uint8_t byte : bytes) {
      std::uint8_t now = byte;
      std::size_t copies = 1;
      for (std::size_t i = 0; i + 4 <= edits.size(); i += 4) {
        if (load_be<std::uint16_t>(edits.data() + i) != position) continue;
        if (edits[i + 2] % 3 == 0) now = static_cast<std::uint8_t>(now ^ edits[i + 3]);
        if (edits[i + 2] % 3 == 1) copies = 0;
        if (edits[i + 2] % 3 == 2) copies = 2;
      }
      changed = changed || now != byte || copies != 1;
      arrives.insert(arrives.end(), copies, now);
      ++position;
    }
    if (!to.failed()) (void)to.receive(arrives, test_now);
    return !bytes.empty();
  };
  for (bool moved = true; moved;) {
    const bool up = carry(*client, *server);
    const bool down = carry(*server, *client);
    moved = up || down;
  }
  if (!changed) require(client->established() && server->established());
  if (client->established()) {
    auto events = client->take_events();
    const auto established = handshake::testing::find_event<handshake::Established>(events);
    require(established && established->group_id == "tv" && established->peer.name == "ks.example" &&
            established->keying->premaster.equals(world.authority.keying.premaster));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  switch (input.u8() % 5) {
    case 0:
      read_stream(input);
      break;
    case 1:
      stranger(input);
      break;
    case 2:
      rule_breaker(input, true);
      break;
    case 3:
      rule_breaker(input, false);
      break;
    default:
      edited_pair(input);
  }
  return 0;
}
