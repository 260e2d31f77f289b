#include "controlplane/keyserver/connection/session.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <asio/write.hpp>
#include <cerrno>

#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/connection/peer_address.h"
#include "handshake/isakmp/message.h"

namespace sealcast::keyserver {
namespace {

using asio::error_code;
using namespace std::chrono_literals;

constexpr auto linger_for = 1s;                    // for a goodbye or an alert to leave
constexpr int reads_in_a_row = 4;                  // then the other connections have their turn
constexpr int kernel_send_buffer = 64 * 1024;      // bytes a member may leave untaken in the kernel (H13)
constexpr unsigned peer_silent_after_ms = 30'000;  // unacknowledged output: the peer's machine is gone

// The kernel finds out by itself that a peer has vanished: unacknowledged keepalives end the connection.
void set_up(asio::ip::tcp::socket& socket) {
  error_code ignored;  // none of these is needed for correctness
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  socket.set_option(asio::socket_base::send_buffer_size(kernel_send_buffer), ignored);
  setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &peer_silent_after_ms, sizeof peer_silent_after_ms);
}

}  // namespace

Session::Session(asio::ip::tcp::socket socket, std::string address, std::string peer_host, SessionHost& host)
    : socket_(std::move(socket)),
      timer_(socket_.get_executor()),
      address_(std::move(address)),
      peer_host_(std::move(peer_host)),
      host_(&host) {}

Session::~Session() = default;

void Session::start(config::Carriage carriage) {
  carriage_ = carriage;
  error_code error;
  const auto peer = socket_.remote_endpoint(error);
  if (!error) socket_.non_blocking(true, error);
  if (error) return end();
  set_up(socket_);
  const auto make_tls = [this]() -> std::unique_ptr<handshake::Endpoint> {
    return host_ ? handshake::make_server(host_->server_config(carriage_), *this, host_->random()) : nullptr;
  };
  endpoint_ = carriage_ == config::Carriage::isakmp ? host_->cookies().responder(peer, make_tls) : make_tls();
  wait_for(host_->handshake_timeout(), &Session::handshake_overdue);
  wait_readable();
}

void Session::detach() {
  groups_.clear();
  asked_further_.clear();
  host_ = nullptr;
  const bool unread = std::exchange(checking_, nullptr) != nullptr;
  if (phase_ == State::handshaking || phase_ == State::joined) linger();
  if (unread && phase_ != State::dead) wait_readable();
}

// ---------------------------------------------------------------- input

void Session::wait_readable() {
  socket_.async_wait(asio::ip::tcp::socket::wait_read, [self = shared_from_this()](const error_code& error) {
    if (error || self->phase_ == State::dead) return;
    self->readable();
  });
}

// A handshake waits for its turn; whoever is joined is served at once.
void Session::readable() {
  if (phase_ != State::handshaking) return read();
  const auto turn = [self = shared_from_this()] {
    if (self->phase_ == State::dead) return;
    if (!self->wait_for_slots([self] { self->readable(); })) self->read();
  };
  host_->turns().wait(turn, heard_);
}

// Of several key servers one may have given out all slots that it has claimed so far. Who comes then is not turned
// down: what it sends next waits in its socket until there are more, for a moment.
bool Session::wait_for_slots(std::function<void()> then) {
  if (phase_ != State::handshaking || !host_ || asked_for_.empty()) return false;
  const SteadyTime now = host_->now().steady;
  if (slots_by_ != SteadyTime{} && now >= slots_by_) return false;
  const auto again = [self = shared_from_this(), then = std::move(then)] {
    if (self->phase_ == State::handshaking && self->host_) then();
  };
  if (!host_->wait_for_slots(asked_for_, again)) return false;
  if (slots_by_ == SteadyTime{}) slots_by_ = now + longest_wait_for_slots;
  return true;
}

void Session::read() {
  std::uint8_t discarded[2048];
  for (int i = 0; i < reads_in_a_row; ++i) {
    const bool listening = phase_ == State::handshaking || phase_ == State::joined;
    const ByteSpan into = listening ? host_->scratch() : ByteSpan(discarded);
    if (i > 0 && wait_for_slots([self = shared_from_this()] { self->readable(); })) return;
    error_code error;
    const std::size_t n = socket_.read_some(asio::buffer(into.data(), into.size()), error);
    if (error == asio::error::would_block || error == asio::error::try_again) break;
    if (error) {
      if (listening) return lost(heard_ ? "the peer ended the connection: " + error.message() : "nothing came");
      return end();
    }
    heard_ = true;
    if (listening) consume(ByteView(into.data(), n));
    if (phase_ == State::dead || doomed_ || checking_) return;
  }
  wait_readable();
}

void Session::consume(ByteView bytes) {
  const auto received = endpoint_->receive(bytes, host_->now().unix_seconds);
  handle_events();  // what was received before an error counts
  if (!received && (phase_ == State::handshaking || phase_ == State::joined)) {
    if (phase_ == State::joined) {
      audit_warning(Event("connection_failed", {{"address", Word{address_}}, {"why", received.error().message()}}));
      leave_groups();
      return linger();
    }
    if (carriage_ == config::Carriage::tls && isakmp::is_cookie_request(bytes)) {
      failed("wrong_carriage", "an ISAKMP message came to listen, which is for TLS; ISAKMP is for listen_isakmp");
      return linger();
    }
    return refused(received.error());
  }
  flush();
}

void Session::refused(const handshake::HandshakeError& error) {
  failed(std::string(handshake::name(error.reason)), error.message());
  leave_groups();
  linger();  // the alert is among the output
}

void Session::handle_events() {
  for (handshake::Event& event : endpoint_->take_events()) {
    if ((phase_ != State::handshaking && !listening()) || doomed_) return;
    if (auto* sent = std::get_if<handshake::KeyingSent>(&event)) {
      audit(Event("key_sent", {{"group", sent->group_id},
                               {"member", sent->member_id},
                               {"epoch", sent->epoch},
                               {"address", Word{address_}}}));
    } else if (auto* done = std::get_if<handshake::Established>(&event)) {
      established(*done);
    } else if (auto* presented = std::get_if<handshake::PasswordPresented>(&event)) {
      if (!endpoint_->failed()) check_password(*presented);
    } else if (auto* control = std::get_if<handshake::ControlReceived>(&event)) {
      if (!within_budget()) return;
      if (const auto* keepalive = std::get_if<handshake::Keepalive>(&control->message)) {
        keepalive_heard_ = std::max(keepalive_heard_, keepalive->sequence);
        answer_due_ = true;
        continue;  // that it came is all there is to it
      }
      host_->notice_resume();
      take_control(control->message);
    } else if (std::holds_alternative<handshake::PeerClosed>(event)) {
      if (phase_ == State::handshaking) failed("disconnected", "close_notify came first");
      leave_groups();
      linger();
    }
    // Application data of a standard client is nothing we wait for.
  }
  answer();
}

void Session::established(handshake::Established& event) {
  host_->handshake_completed(event.flow);
  if (event.flow == handshake::Flow::standard || event.flow == handshake::Flow::standard_mutual) {
    const auto sent = endpoint_->send_data(as_bytes(host_->standard_answer()));
    host_->standard_client_answered(address_, sent ? "" : sent.error().message());
    return linger();
  }
  GroupState* group = host_->find_group_state(group_id_);
  if (!group || event.group_id != group_id_) return lost("established without a group");  // can't be; deny by default
  phase_ = State::joined;
  groups_.insert(group_id_);
  wait_for_keepalive();
  group->join(*this, stamped(event.peer, stamp_), address_, given_, host_->now());
  host_->group_changed(*group);
}

// ---------------------------------------------------------------- passwords (variant 3)

// The endpoint stands still until the answer, and so does this connection: nothing is read, the deadline still holds.
void Session::check_password(handshake::PasswordPresented& presented) {
  user_ = presented.user;
  PasswordGate* gate = host_->passwords();
  const auto done = [this](const PasswordGate::Answer& answer) { password_checked(answer); };
  const auto& names = presented.certificate_names;
  foreign_user_ = !names.empty() && std::find(names.begin(), names.end(), user_) == names.end();
  if (gate && foreign_user_)
    checking_ = gate->refuse(done);  // nobody uses up another's attempts, or tries another's password
  else if (gate)
    checking_ = gate->check(std::move(presented.user), std::move(presented.secret), counted_address(peer_host_), done);
  if (checking_) return;
  failed("password_unchecked", gate ? "too many passwords wait to be checked" : "there is no password file");
  end();
}

void Session::password_checked(const PasswordGate::Answer& answer) {
  const auto self = shared_from_this();
  checking_.reset();
  if (phase_ != State::handshaking || !host_) return;
  if (wait_for_slots([this, answer] { password_checked(answer); })) return;
  // Who is gone holds no epoch: none is given to a dead connection.
  if (peer_is_gone()) return lost("the peer ended the connection while its password was checked");
  using Verdict = PasswordGate::Verdict;
  const bool right = answer.verdict == Verdict::right;
  if (right) {
    stamp_ = answer.stamp;
    audit(Event("password_accepted", {{"user", user_}, {"address", Word{address_}}}));
  } else {
    const std::string user = "user " + escaped(user_) + ": ";
    refusal_ = user + (foreign_user_                        ? "not a name of the member's certificate"
                       : answer.verdict == Verdict::limited ? "too many attempts"
                       : answer.verdict == Verdict::failed  ? "the password could not be hashed: no memory?"
                                                            : "unknown, or the password is wrong");
  }
  const auto checked = endpoint_->password_checked(right, host_->now().unix_seconds);
  handle_events();
  if (!checked && phase_ == State::handshaking)
    refused(checked.error());
  else
    flush();
  if (phase_ != State::dead && !doomed_ && !checking_) wait_readable();
}

bool Session::peer_is_gone() {
  std::uint8_t byte = 0;
  const ssize_t n = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

std::optional<handshake::GroupFlow> Session::find_group(const std::string& group_id) {
  const GroupState* group = host_ ? host_->find_group_state(group_id) : nullptr;
  if (!group) return std::nullopt;
  asked_for_ = group_id;
  flow_ = group->config().flow;
  return flow_;
}

Result<handshake::GroupKeying> Session::issue(const std::string& group_id, const handshake::PeerIdentity& member) {
  if (host_) host_->notice_resume();
  GroupState* group = host_ ? host_->find_group_state(group_id) : nullptr;
  if (!group) return fail("no such group");
  const handshake::PeerIdentity who = stamped(member, stamp_);
  auto keying = group->issue(who, address_, host_->now());
  host_->group_changed(*group);
  if (!keying) {
    refusal_ = keying.error().message;
    come_again_ = group->may_join(who, host_->now()).has_value();
    return keying;
  }
  group_id_ = group_id;
  const auto& assignment = keying->assignment;
  given_ = {
      keying->epoch, keying->state, assignment.roles, {keying->epoch, assignment.first_slot, assignment.slot_count}};
  return keying;
}

// ---------------------------------------------------------------- output

void Session::deliver(const handshake::ControlMessage& message) {
  if (phase_ != State::joined || doomed_ || endpoint_->failed()) return;  // consume() says why it failed
  if (const auto sent = endpoint_->send(message); !sent) {
    audit_error(Event("send_failed", {{"address", Word{address_}}, {"why", sent.error().message()}}));
    return doom();
  }
  flush();
}

void Session::dismiss(const std::string& why) {
  if (!listening()) return;
  audit(Event("connection_closed", {{"address", Word{address_}}, {"why", why}}));
  if (groups_.size() <= 1) {
    linger();
    return groups_.clear();
  }
  // Called from inside a group, which has forgotten it: the others are left in a turn of their own (H11). Whoever is
  // revoked in several at once is told so by each of them before, since it wipes the keys of those alone.
  dismissed_ = true;
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->leave_groups();
    self->linger();
  });
}

void Session::flush() {
  const Bytes fresh = endpoint_->take_output();
  out_.insert(out_.end(), fresh.begin(), fresh.end());
  if (host_ && phase_ != State::closing && out_.size() > most_output()) return doom();
  write();
}

void Session::write() {
  if (writing_ || phase_ == State::dead) return;
  if (out_.empty()) {
    if (phase_ == State::closing && !sent_eof_) {
      sent_eof_ = true;
      error_code ignored;
      socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    }
    return;
  }
  in_flight_ = std::exchange(out_, {});
  writing_ = true;
  asio::async_write(socket_, asio::buffer(in_flight_),
                    [self = shared_from_this()](const error_code& error, std::size_t) {
                      self->writing_ = false;
                      self->in_flight_ = Bytes();  // its memory, too
                      if (self->phase_ == State::dead) return;
                      if (error) return self->lost("writing: " + error.message());
                      self->write();
                    });
}

// Called from inside the group, too: the connection ends in a turn of its own, and until then nothing more is read,
// sent or queued.
void Session::doom() {
  if (doomed_) return;
  doomed_ = true;
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    if (self->phase_ != State::dead) self->overflow();
  });
}

// ---------------------------------------------------------------- time

void Session::wait_for(std::chrono::milliseconds delay, void (Session::*then)()) {
  timer_.expires_after(delay);
  const std::uint64_t round = ++timer_round_;
  timer_.async_wait([self = shared_from_this(), round, then](const error_code& error) {
    if (error || round != self->timer_round_ || self->phase_ == State::dead) return;
    (self.get()->*then)();
  });
}

void Session::handshake_overdue() {
  if (phase_ != State::handshaking) return;
  failed("handshake_timeout", heard_ ? "the handshake was not complete in time" : "nothing came in time");
  leave_groups();
  end();
}

void Session::keepalive() {
  if (groups_.empty() || !host_ || !listening()) return;
  wait_for_keepalive();
  if (host_->serving()) deliver(handshake::Keepalive{keepalive_heard_});
}

// At once, because the member's lease runs from the moment it asked (LEASE-1), and once for all that came together.
void Session::answer() {
  if (std::exchange(answer_due_, false) && listening() && host_ && host_->serving())
    deliver(handshake::Keepalive{keepalive_heard_});
}

void Session::overflow() {
  audit_warning(Event(
      "connection_closed",
      {{"address", Word{address_}}, {"why", "it takes no data: " + std::to_string(out_.size()) + " bytes wait"}}));
  leave_groups();
  end();
}

// ---------------------------------------------------------------- endings

// One line a failed handshake: what the endpoint says and, where the group turned the member down, why.
void Session::failed(const std::string& reason, const std::string& detail) {
  const bool told = refusal_.empty() || detail.find(refusal_) != std::string::npos;
  host_->handshake_failed(reason, address_, told ? detail : detail + ": " + refusal_);
}

void Session::lost(const std::string& detail) {
  if (phase_ == State::handshaking && host_) failed("disconnected", detail);
  leave_groups();
  end();
}

void Session::leave_groups() {
  asked_further_.clear();
  // But in variant 1 nobody sends before it has our Finished, which leaves when there is a membership.
  if (phase_ == State::handshaking && host_ && !group_id_.empty() && flow_.variant != 1)
    if (GroupState* group = host_->find_group_state(group_id_)) group->did_not_join(address_);
  for (const std::string& id : std::exchange(groups_, {})) {
    GroupState* group = host_ ? host_->find_group_state(id) : nullptr;
    if (!group) continue;
    group->leave(*this, host_->now());
    host_->group_changed(*group);
  }
}

void Session::linger() {
  if (phase_ == State::closing || phase_ == State::dead) return;
  phase_ = State::closing;
  if (!endpoint_->failed()) endpoint_->close();
  wait_for(linger_for, &Session::end);
  flush();
}

void Session::end() {
  if (phase_ == State::dead) return;
  phase_ = State::dead;
  checking_.reset();
  ++timer_round_;
  timer_.cancel();
  error_code ignored;
  socket_.close(ignored);
  const auto self = shared_from_this();
  if (host_) host_->session_over(*this);
}

}  // namespace sealcast::keyserver
