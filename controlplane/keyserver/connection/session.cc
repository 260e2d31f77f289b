#include "controlplane/keyserver/connection/session.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "controlplane/keyserver/audit/audit.h"
#include "handshake/isakmp/message.h"

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;

constexpr auto linger_for = 1s;                 // for a goodbye or an alert to leave
constexpr int reads_in_a_row = 4;               // then the other connections have their turn
constexpr std::size_t output_per_group = 4096;  // bytes: a GroupUpdate, and what follows it

}  // namespace

Session::Session(std::unique_ptr<Transport> transport, Peer peer, const SessionSettings& settings,
                 HandshakeTurns& turns, SessionHost& host)
    : transport_(std::move(transport)),
      peer_(std::move(peer)),
      settings_(settings),
      turns_(turns),
      host_(&host),
      first_(host, peer_.address),
      groups_(host, *this, peer_.address),
      budget_(settings.control_burst) {}

void Session::start(std::chrono::milliseconds handshake_timeout) {
  endpoint_ = host_->make_endpoint(peer_, first_);
  transport_->set_timer(handshake_timeout, later(&Session::handshake_overdue));
  wait_readable();
}

void Session::detach() {
  host_ = nullptr;
  const bool unread = password_.waiting();
  password_.give_up();
  linger();
  if (unread) wait_readable();
}

bool Session::may_read() const {
  return state_ != State::checking && state_ != State::overflowing && state_ != State::dead;
}

// Keeps the session, and does nothing once it is dead.
std::function<void()> Session::later(Step step) {
  return [self = shared_from_this(), step] {
    if (self->state_ != State::dead) (self.get()->*step)();
  };
}

// ---------------------------------------------------------------- input

void Session::wait_readable() {
  if (may_read()) transport_->when_readable(later(&Session::readable));
}

// A handshake waits for its turn; a member that is joined is served at once.
void Session::readable() {
  if (!is_handshaking()) return read();
  turns_.wait(later(&Session::take_turn), state_ != State::fresh);
}

void Session::take_turn() {
  if (!wait_for_slots(&Session::readable)) read();
}

// Meanwhile what the peer sends waits in its socket.
bool Session::wait_for_slots(Step then) {
  if (!is_handshaking()) return false;
  return first_.wait_for_slots([self = shared_from_this(), then] {
    if (self->is_handshaking()) (self.get()->*then)();
  });
}

void Session::read() {
  std::uint8_t discarded[2048];
  for (int i = 0; i < reads_in_a_row && may_read(); ++i) {
    if (i > 0 && wait_for_slots(&Session::readable)) return;
    const bool ending = is_ending();
    const ByteSpan into = ending ? ByteSpan(discarded) : settings_.scratch;
    const auto n = transport_->read(into);
    if (!n) {
      if (ending) return end();
      return lost(state_ == State::fresh ? "nothing came" : "the peer ended the connection: " + n.error().message);
    }
    if (*n == 0) break;
    if (ending) continue;
    if (state_ == State::fresh) state_ = State::handshaking;
    consume(ByteView(into.data(), *n));
  }
  wait_readable();
}

void Session::consume(ByteView bytes) {
  const auto received = endpoint_->receive(bytes, host_->now().unix_seconds);
  handle_events();  // what was received before an error counts
  if (received || is_ending()) return flush();
  if (!is_handshaking()) {
    audit_warning(Event("connection_failed", {{"address", Word{peer_.address}}, {"why", received.error().message()}}));
    return leave();
  }
  if (peer_.carriage == config::Carriage::tls && isakmp::is_cookie_request(bytes)) {
    failed("wrong_carriage", "an ISAKMP message came to listen, which is for TLS; ISAKMP is for listen_isakmp");
    return linger();
  }
  refused(received.error());
}

void Session::refused(const handshake::HandshakeError& error) {
  failed(std::string(handshake::name(error.reason)), error.message());
  leave();  // the alert is among the output
}

void Session::handle_events() {
  bool asked_for_keepalive = false;
  for (handshake::Event& event : endpoint_->take_events()) {
    if (!is_handshaking() && state_ != State::joined) return;
    if (auto* sent = std::get_if<handshake::KeyingSent>(&event)) {
      audit(Event("key_sent", {{"group", sent->group_id},
                               {"member", sent->member_id},
                               {"epoch", sent->epoch},
                               {"address", Word{peer_.address}}}));
    } else if (auto* done = std::get_if<handshake::Established>(&event)) {
      established(*done);
    } else if (auto* presented = std::get_if<handshake::PasswordPresented>(&event)) {
      if (!endpoint_->failed()) check_password(*presented);
    } else if (auto* control = std::get_if<handshake::ControlReceived>(&event)) {
      if (!budget_.spend(groups_.further(), host_->now().steady)) return give_up("too many control messages");
      if (const auto* keepalive = std::get_if<handshake::Keepalive>(&control->message)) {
        keepalive_heard_ = std::max(keepalive_heard_, keepalive->sequence);
        asked_for_keepalive = true;
        continue;  // that it came is all there is to it
      }
      host_->notice_resume();
      take_control(control->message);
    } else if (std::holds_alternative<handshake::PeerClosed>(event)) {
      if (is_handshaking()) failed("disconnected", "close_notify came first");
      leave();
    }
    // Application data of a standard client is nothing we wait for.
  }
  // At once, because the member's lease runs from the moment it asked (LEASE-1), and once for all that came together.
  if (asked_for_keepalive && state_ == State::joined && host_->serving())
    deliver(handshake::Keepalive{keepalive_heard_, host_->clock()});
}

void Session::established(handshake::Established& event) {
  host_->handshake_completed(event.flow);
  if (event.flow == handshake::Flow::standard || event.flow == handshake::Flow::standard_mutual) {
    const auto sent = endpoint_->send_data(as_bytes(settings_.standard_answer));
    host_->standard_client_answered(peer_.address, sent ? "" : sent.error().message());
    return linger();
  }
  GroupState* group = host_->find_group_state(event.group_id);
  const auto given = first_.take(event.group_id);
  if (!group || !given) return lost("established without a group");  // can't be; deny by default
  state_ = State::joined;
  host_->session_joined(*this);
  groups_.join(*group, first_.proved(std::move(event.peer)), *given);
  if (state_ == State::joined) wait_for_keepalive();
}

// ---------------------------------------------------------------- passwords (variant 3)

// The endpoint stands still until the answer, and so does this connection: the deadline still holds.
void Session::check_password(handshake::PasswordPresented& presented) {
  PasswordGate* gate = host_->passwords();
  if (gate && password_.begin(*gate, presented, peer_.host, [this] { password_checked(); })) {
    state_ = State::checking;
    return;
  }
  failed("password_unchecked", gate ? "too many passwords wait to be checked" : "there is no password file");
  end();
}

void Session::password_checked() {
  const auto self = shared_from_this();
  if (state_ != State::checking) return;
  if (wait_for_slots(&Session::password_checked)) return;
  // A dead connection is given no epoch.
  if (transport_->peer_is_gone()) return lost("the peer ended the connection while its password was checked");
  if (password_.accepted()) {
    first_.password_accepted(password_.stamp());
    host_->password_accepted(password_.user(), peer_.address);
  } else {
    first_.password_refused(password_.refusal());
  }
  state_ = State::handshaking;
  const auto checked = endpoint_->password_checked(password_.accepted(), host_->now().unix_seconds);
  handle_events();
  if (!checked && is_handshaking())
    refused(checked.error());
  else
    flush();
  wait_readable();
}

// ---------------------------------------------------------------- groups

void Session::take_control(const handshake::ControlMessage& message) {
  if (state_ != State::joined) return;
  if (const auto* join = std::get_if<handshake::GroupJoin>(&message)) return ask(join->group_id);
  if (const auto* leave = std::get_if<handshake::Leave>(&message); leave && joins_.withdraw(leave->group_id)) return;
  if (!groups_.receive(message, joins_.used())) leave();
}

void Session::ask(const std::string& group_id) {
  using Asked = JoinQueue::Asked;
  const Asked asked = groups_.contains(group_id) ? Asked::twice : joins_.ask(group_id);
  if (asked == Asked::twice) return give_up("GroupJoin for " + group_id + ", which it is in or has asked for already");
  if (asked == Asked::too_many) return deliver(handshake::GroupRefused{group_id, handshake::Refusal::come_again});
  go_on_joining();
}

// Connections that are only served come first (H13).
void Session::go_on_joining() {
  if (state_ == State::joined && joins_.begin_turn()) turns_.wait_further(later(&Session::join_next));
}

void Session::join_next() {
  if (state_ != State::joined) return;
  if (joins_.wait_for_slots(*host_, later(&Session::join_next))) return;
  if (const auto group_id = joins_.take()) {
    host_->notice_resume();
    if (state_ != State::joined) return;  // that has ended the connection
    const auto every = groups_.join_further(*group_id, first_.flow());
    // Only if its lease is shorter: a member that joins again and again must not put off what the others are told.
    if (state_ == State::joined && every && *every < keepalive_every_) wait_for_keepalive();
  }
  go_on_joining();
}

// ---------------------------------------------------------------- output

void Session::deliver(const handshake::ControlMessage& message) {
  if (state_ != State::joined && state_ != State::dismissed) return;
  if (endpoint_->failed()) return;  // consume() says why
  if (const auto sent = endpoint_->send(message); !sent) {
    audit_error(Event("send_failed", {{"address", Word{peer_.address}}, {"why", sent.error().message()}}));
    return overflow();
  }
  flush();
}

void Session::flush() {
  const std::size_t most = is_ending() ? std::numeric_limits<std::size_t>::max()
                                       : settings_.max_output_bytes + output_per_group * groups_.further();
  if (!outbox_.push(endpoint_->take_output(), most)) return overflow();
  write();
}

void Session::write() {
  if (state_ == State::dead) return;
  const ByteView bytes = outbox_.next();
  if (bytes.empty()) {
    if (state_ == State::closing && outbox_.finish()) transport_->end_output();
    return;
  }
  transport_->write(bytes, [self = shared_from_this()](const Result<void>& written) {
    self->outbox_.written();
    if (self->state_ == State::dead) return;
    if (!written) return self->lost("writing: " + written.error().message);
    self->write();
  });
}

// Called from inside a group, too, so the connection ends in a turn of its own.
void Session::overflow() {
  if (state_ == State::overflowing) return;
  state_ = State::overflowing;
  transport_->post(later(&Session::overflowed));
}

void Session::overflowed() {
  audit_warning(
      Event("connection_closed", {{"address", Word{peer_.address}},
                                  {"why", "it takes no data: " + std::to_string(outbox_.waiting()) + " bytes wait"}}));
  leave_groups();
  end();
}

// ---------------------------------------------------------------- time

void Session::handshake_overdue() {
  if (!is_handshaking()) return;
  failed("handshake_timeout",
         state_ == State::fresh ? "nothing came in time" : "the handshake was not complete in time");
  leave_groups();
  end();
}

void Session::wait_for_keepalive() {
  keepalive_every_ = groups_.keepalive_interval(settings_.longest_keepalive);
  transport_->set_timer(keepalive_every_, later(&Session::keepalive));
}

void Session::keepalive() {
  if (state_ != State::joined) return;
  wait_for_keepalive();
  if (host_->serving()) deliver(handshake::Keepalive{keepalive_heard_});
}

// ---------------------------------------------------------------- endings

void Session::dismiss(const std::string& why) {
  if (state_ != State::joined && state_ != State::overflowing) return;
  audit(Event("connection_closed", {{"address", Word{peer_.address}}, {"why", why}}));
  if (state_ == State::overflowing) return;  // it ends anyway
  if (groups_.count() <= 1) {
    groups_.forget();
    return linger();
  }
  // Called from inside a group, which has forgotten it: the others are left in a turn of their own (H11). A member that
  // is revoked in several at once is told so by each of them before, since it wipes the keys of those alone.
  state_ = State::dismissed;
  transport_->post(later(&Session::leave));
}

// One line a failed handshake: what the endpoint says and, where the group turned the member down, why.
void Session::failed(const std::string& reason, const std::string& detail) {
  host_->handshake_failed(reason, peer_.address, first_.explained(detail));
}

void Session::lost(const std::string& detail) {
  if (is_handshaking()) failed("disconnected", detail);
  leave_groups();
  end();
}

void Session::leave_groups() {
  if (!host_) return;
  joins_.clear();
  first_.give_up();
  groups_.leave();
}

void Session::give_up(const std::string& why) {
  audit_warning(Event("connection_closed", {{"address", Word{peer_.address}}, {"why", why}}));
  leave();
}

void Session::leave() {
  leave_groups();
  linger();
}

void Session::linger() {
  if (is_ending()) return;
  state_ = State::closing;
  if (!endpoint_->failed()) endpoint_->close();
  transport_->set_timer(linger_for, later(&Session::end));
  flush();
}

void Session::end() {
  if (state_ == State::dead) return;
  state_ = State::dead;
  password_.give_up();
  transport_->close();
  const auto self = shared_from_this();
  if (host_) host_->session_over(*this);
}

}  // namespace sealcast::keyserver
