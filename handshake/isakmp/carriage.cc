#include "handshake/isakmp/carriage.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace sealcast::isakmp {
namespace {

using handshake::ControlMessage;
using handshake::Endpoint;
using handshake::Event;
using handshake::HandshakeError;
using handshake::Reason;
using handshake::refuse;

// A TLS record of version 3.0 to 3.4.
bool begins_like_tls(ByteView bytes) {
  return bytes.size() >= 3 && bytes[0] >= 20 && bytes[0] <= 23 && bytes[1] == 3 && bytes[2] <= 4;
}

class Carriage : public Endpoint {
 public:
  Outcome<void> receive(ByteView bytes, std::int64_t unix_now) override {
    if (failed()) return located(refuse(Reason::connection_closed, "bytes after a fatal failure"));
    while (!bytes.empty()) {
      auto message = reader_.take(bytes, [&](const Header& header) { return judge(header, unix_now); });
      if (!open_ && is_plain_tls(reader_.beginning(), !message)) {
        return give_up(refuse(Reason::wrong_carriage, "expected an ISAKMP message, got a TLS record").value());
      }
      if (!message) return give_up(message.error());
      if (!*message) break;
      SEALCAST_TRY(take(**message, unix_now));
    }
    return {};
  }

  Bytes take_output() override {
    frame_flight();
    return std::exchange(output_, {});
  }
  std::vector<Event> take_events() override {
    collect_events();
    return std::exchange(events_, {});
  }
  bool established() const override { return inner_ != nullptr && inner_->established(); }
  bool failed() const override { return failure() != nullptr; }
  const HandshakeError* failure() const override {
    if (failure_) return &*failure_;
    return inner_ != nullptr ? inner_->failure() : nullptr;
  }
  std::uint64_t ignored_messages() const override {
    return ignored_messages_ + (inner_ != nullptr ? inner_->ignored_messages() : 0);
  }
  Outcome<void> send(const ControlMessage& message) override {
    if (!open_) return located(refuse(Reason::not_established, "a control message before the handshake"));
    return inner_->send(message);
  }
  Outcome<void> send_data(ByteView data) override {
    if (!open_) return located(refuse(Reason::not_established, "data before the handshake"));
    return inner_->send_data(data);
  }
  Outcome<void> password_checked(bool accepted, std::int64_t unix_now) override {
    if (!open_) return located(refuse(Reason::not_established, "no password was asked for"));
    return inner_->password_checked(accepted, unix_now);
  }
  void close() override {
    if (open_) inner_->close();
  }

 protected:
  explicit Carriage(std::unique_ptr<Endpoint> inner) : inner_(std::move(inner)) {}

  // The header of a message before the cookies are exchanged.
  virtual Outcome<void> judge_cookies(const Header& header, std::int64_t unix_now) = 0;
  // The message of an accepted header: the peer is to be answered or taken as new.
  virtual Outcome<void> exchange_cookies(const Message& message, std::int64_t unix_now) = 0;
  // Before the cookies are exchanged: does the peer send plain TLS? refused: the beginning is no valid header.
  virtual bool is_plain_tls(ByteView beginning, bool refused) = 0;
  virtual std::string_view role() const = 0;

  void put(ByteView content, std::uint32_t message_id) {
    const Bytes message = encode(initiator_, responder_, message_id, content);
    output_.insert(output_.end(), message.begin(), message.end());
  }

  std::unique_ptr<Endpoint> inner_;  // a responder has none before the cookies are exchanged
  Cookie initiator_{};
  Cookie responder_{};
  bool open_ = false;  // both cookies are known and inner_ is there

 private:
  Outcome<void> judge(const Header& header, std::int64_t unix_now) {
    // After 2^32 messages the connection must end.
    if (counting_ && next_received_ == 0)
      return refuse(Reason::unexpected_message, "the ISAKMP message ids are used up");
    const std::uint32_t wanted = counting_ ? next_received_ : 0;
    if (header.message_id != wanted) {
      return refuse(Reason::unexpected_message, "expected ISAKMP message id " + std::to_string(wanted) + ", got " +
                                                    std::to_string(header.message_id));
    }
    const std::size_t most = answered_ ? max_handshake_message_bytes : max_first_message_bytes;
    if (!counting_ && header.length > most) {
      return refuse(Reason::handshake_too_large, "expected an ISAKMP message of at most " + std::to_string(most) +
                                                     " bytes before the handshake is over, got " +
                                                     std::to_string(header.length));
    }
    if (!open_) return judge_cookies(header, unix_now);
    if (header.initiator != initiator_ || header.responder != responder_)
      return refuse(Reason::illegal_parameter, "the ISAKMP cookies changed");
    if (!header.has_payload)
      return refuse(Reason::unexpected_message, "expected TLS records, got an ISAKMP message without a payload");
    return {};
  }

  Outcome<void> take(const Message& message, std::int64_t unix_now) {
    if (!open_) {
      if (auto exchanged = exchange_cookies(message, unix_now); !exchanged) return give_up(exchanged.error());
    }
    if (message.content.empty()) return {};
    if (counting_) ++next_received_;
    frame_flight();  // what was queued before is a flight of its own
    auto received = inner_->receive(ByteView(message.content.data(), message.content.size()), unix_now);
    frame_flight();
    // The closing Finished still has Message ID 0, in both directions; the messages after it are counted.
    counting_ = counting_ || established();
    return received;
  }

  // Frames all that the wrapped endpoint has to send: one message, or several if one would be longer than a peer takes.
  void frame_flight() {
    if (!open_) return;
    const Bytes records = inner_->take_output();
    ByteView rest = records;
    answered_ = answered_ || !rest.empty();
    while (!rest.empty()) {
      if (counting_ && next_sent_ == 0) {
        (void)give_up(refuse(Reason::unexpected_message, "the ISAKMP message ids are used up").value());
        return;
      }
      const ByteView part = rest.first(std::min(rest.size(), max_content_bytes));
      rest = rest.subspan(part.size());
      put(part, counting_ ? next_sent_++ : 0);
    }
  }

  void collect_events() {
    if (inner_ == nullptr) return;
    for (Event& event : inner_->take_events())
      events_.push_back(std::move(event));
  }
  tl::unexpected<HandshakeError> located(tl::unexpected<HandshakeError> problem) const {
    problem.value().place = "ISAKMP carriage, " + std::string(role());
    return problem;
  }
  virtual Bytes output_on_failure(Reason) const { return {}; }
  tl::unexpected<HandshakeError> give_up(HandshakeError error) {
    collect_events();  // a KeyingSent stays true, whatever failed after it
    ignored_messages_ = ignored_messages();
    open_ = false;
    inner_.reset();  // and with it every key
    output_ = output_on_failure(error.reason);
    failure_ = located(tl::unexpected(std::move(error))).value();
    return tl::unexpected(*failure_);
  }

  MessageReader reader_;
  Bytes output_;
  std::vector<Event> events_;
  std::optional<HandshakeError> failure_;  // the carriage's own failure
  std::uint64_t ignored_messages_ = 0;     // of an inner_ that was destroyed
  bool answered_ = false;                  // the wrapped endpoint had something to say
  bool counting_ = false;                  // the closing Finished has passed
  std::uint32_t next_sent_ = 1;            // 0 after 2^32 - 1
  std::uint32_t next_received_ = 1;        // likewise
};

class Initiator final : public Carriage {
 public:
  Initiator(std::unique_ptr<Endpoint> inner, handshake::Random& random) : Carriage(std::move(inner)) {
    random.fill(initiator_);
    if (initiator_ == no_cookie) initiator_.back() = 1;
    if (!failed()) put({}, 0);
  }

 private:
  std::string_view role() const override { return "initiator"; }

  // The answer begins with our own cookie, whatever bytes that has.
  bool is_plain_tls(ByteView beginning, bool) override {
    return begins_like_tls(beginning) && !std::equal(beginning.begin(), beginning.begin() + 3, initiator_.begin());
  }

  Outcome<void> judge_cookies(const Header& header, std::int64_t) override {
    if (header.initiator != initiator_)
      return refuse(Reason::illegal_parameter, "the initiator cookie came back changed");
    if (header.responder == no_cookie) return refuse(Reason::illegal_parameter, "expected a responder cookie, got 0");
    if (header.has_payload)
      return refuse(Reason::unexpected_message, "expected both cookies without a payload, got one");
    return {};
  }
  Outcome<void> exchange_cookies(const Message& message, std::int64_t) override {
    responder_ = message.header.responder;
    open_ = true;
    return {};
  }
};

class Responder final : public Carriage {
 public:
  Responder(std::function<std::unique_ptr<Endpoint>()> make_inner, const CookieKeys& keys, const PeerAddress& peer)
      : Carriage(nullptr), make_inner_(std::move(make_inner)), keys_(&keys), peer_(peer) {}

 private:
  std::string_view role() const override { return "responder"; }

  // A cookie may look like TLS: only an invalid header decides.
  bool is_plain_tls(ByteView beginning, bool refused) override {
    return refused && !asked_ && begins_like_tls(beginning);
  }
  // Only this failure is answered: a TLS client understands a TLS alert.
  Bytes output_on_failure(Reason reason) const override {
    if (reason != Reason::wrong_carriage) return {};
    return {21, 3, 3, 0, 2, 2, static_cast<std::uint8_t>(handshake::alert_for(reason))};
  }

  Outcome<void> judge_cookies(const Header& header, std::int64_t unix_now) override {
    if (!asked_) {
      if (header.responder != no_cookie || header.has_payload)
        return refuse(Reason::unexpected_message, "expected a request for a cookie: responder cookie 0, no payload");
      return {};
    }
    if (!header.has_payload)
      return refuse(Reason::unexpected_message, "expected the first TLS records with both cookies, got no payload");
    SEALCAST_TRY_ASSIGN(const auto good, keys_->check(peer_, header.initiator, header.responder, unix_now));
    if (!good || header.initiator != initiator_)
      return refuse(Reason::illegal_parameter, "the ISAKMP cookies are not those of the answer, or too old");
    return {};
  }
  Outcome<void> exchange_cookies(const Message& message, std::int64_t unix_now) override {
    initiator_ = message.header.initiator;
    if (asked_) {
      responder_ = message.header.responder;
      inner_ = make_inner_();
      if (inner_ == nullptr) return refuse(Reason::internal_error, "no TLS endpoint to hand the records to");
      open_ = true;
      return {};
    }
    SEALCAST_TRY_ASSIGN(const auto cookie, keys_->make(peer_, initiator_, unix_now));
    asked_ = true;
    responder_ = cookie;
    put({}, 0);
    return {};
  }

  std::function<std::unique_ptr<Endpoint>()> make_inner_;
  const CookieKeys* keys_;
  PeerAddress peer_;
  bool asked_ = false;
};

}  // namespace

std::unique_ptr<Endpoint> make_initiator(std::unique_ptr<Endpoint> inner, handshake::Random& random) {
  return std::make_unique<Initiator>(std::move(inner), random);
}

std::unique_ptr<Endpoint> make_responder(std::function<std::unique_ptr<Endpoint>()> make_inner, const CookieKeys& keys,
                                         const PeerAddress& peer) {
  return std::make_unique<Responder>(std::move(make_inner), keys, peer);
}

}  // namespace sealcast::isakmp
