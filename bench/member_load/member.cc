#include "bench/member_load/member.h"

#include <asio/buffer.hpp>
#include <asio/write.hpp>
#include <ctime>

namespace sealcast::load {

using asio::error_code;
using asio::ip::tcp;
using namespace std::chrono_literals;

namespace {

// As a gateway's (controlplane/member/member_settings.h).
constexpr auto connect_timeout = 5000ms;
constexpr auto handshake_timeout = 10000ms;
constexpr std::size_t most_asking = 16;  // GroupJoins without an answer so far

}  // namespace

LoadMember::LoadMember(Surroundings& around, std::shared_ptr<const handshake::ClientConfig> config,
                       std::shared_ptr<const std::vector<std::string>> groups)
    : around_(around), config_(std::move(config)), groups_(std::move(groups)), socket_(around.io), timer_(around.io) {}

void LoadMember::connect() {
  if (stopped_) return;
  close();
  began_ = Clock::now();
  error_code error;
  socket_.open(around_.server.protocol(), error);
  if (error) return over("no socket: " + error.message());
  give_up_after(connect_timeout, "connecting: no answer in time");
  socket_.async_connect(around_.server, [self = shared_from_this(), round = round_](const error_code& failed) {
    if (round != self->round_) return;
    if (failed) return self->over("connecting: " + failed.message());
    error_code ignored;
    self->socket_.set_option(tcp::no_delay(true), ignored);
    self->socket_.non_blocking(true, ignored);
    self->give_up_after(handshake_timeout, "the handshake was not complete in time");
    self->endpoint_ = handshake::make_client(self->config_, handshake::system_random());
    self->flush();
    self->wait_readable();
  });
}

void LoadMember::connect_after(std::chrono::milliseconds wait) {
  if (stopped_) return;
  timer_.expires_after(wait);
  timer_.async_wait([self = shared_from_this(), round = round_](const error_code& error) {
    if (!error && round == self->round_) self->connect();
  });
}

void LoadMember::close() {
  ++round_;
  joined_ = false;
  timer_.cancel();
  error_code ignored;
  socket_.close(ignored);
  endpoint_.reset();
  out_ = Bytes();
  active_.clear();
  asked_ = 0;
  keepalives_ = 0;
}

void LoadMember::leave() {
  if (!endpoint_) return;
  for (const auto& [group, epoch] : active_)
    send(handshake::Leave{group});
  endpoint_->close();
  const Bytes last = endpoint_->take_output();
  error_code ignored;
  if (!writing_) socket_.write_some(asio::buffer(last), ignored);
  close();
}

void LoadMember::crash() {
  error_code ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  close();
}

void LoadMember::stop() {
  stopped_ = true;
  crash();
}

void LoadMember::over(const std::string& why) {
  const bool was_joined = joined_;
  close();
  if (stopped_) return;
  if (was_joined)
    around_.observer.lost(*this, why);
  else
    around_.observer.failed(*this, why);
}

void LoadMember::wait_readable() {
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this(), round = round_](const error_code& error) {
    if (round != self->round_) return;
    if (error) return self->over(error.message());
    self->readable();
  });
}

void LoadMember::readable() {
  error_code error;
  const std::size_t n = socket_.read_some(asio::buffer(around_.scratch), error);
  if (error == asio::error::would_block || error == asio::error::try_again) return wait_readable();
  if (error) return over("the key server ended the connection: " + error.message());
  around_.received += n;
  const std::uint64_t round = round_;
  const auto taken = endpoint_->receive(ByteView(around_.scratch.data(), n), std::time(nullptr));
  take_events();
  if (round != round_) return;
  if (!taken) return over(taken.error().message());
  flush();
  wait_readable();
}

void LoadMember::take_events() {
  const std::uint64_t round = round_;
  for (handshake::Event& event : endpoint_->take_events()) {
    if (auto* done = std::get_if<handshake::Established>(&event)) {
      take(*done->keying);
      asked_ = 1;
      wait_for_tick();
      flush();  // the closing Finished, if it is ours
      ask_more();
    } else if (auto* control = std::get_if<handshake::ControlReceived>(&event)) {
      handle(control->message);
    } else if (std::holds_alternative<handshake::PeerClosed>(event)) {
      over("the key server said goodbye");
    }
    if (round != round_) return;
  }
}

void LoadMember::handle(handshake::ControlMessage& message) {
  if (const auto* update = std::get_if<handshake::GroupUpdate>(&message)) {
    // A member's work before it acknowledges, except for the data plane.
    const auto& keying = update->keying;
    const auto master = handshake::derive_group_master(keying.policy.cipher_suite, keying.premaster);
    static_cast<void>(handshake::derive_epoch_id(keying.policy.cipher_suite, master));
    const bool further = !take(keying);
    send(handshake::GroupUpdateAck{keying.group_id, keying.epoch});
    if (further) return ask_more();
    if (keying.group_id == first_group()) around_.observer.acknowledged(*this, keying.epoch);
  } else if (const auto* activate = std::get_if<handshake::Activate>(&message)) {
    active_[activate->group_id] = activate->epoch;
    send(handshake::ActivateAck{activate->group_id, activate->epoch});
    if (activate->group_id == first_group()) around_.observer.activated(*this, activate->epoch);
  } else if (const auto* revoked = std::get_if<handshake::Revoked>(&message)) {
    over("revoked: " + revoked->reason);
  } else if (const auto* refused = std::get_if<handshake::GroupRefused>(&message)) {
    over("group refused: " + refused->group_id);
  }
}

bool LoadMember::take(const handshake::GroupKeying& keying) {
  const auto& group = keying.group_id;
  const auto [place, fresh] = active_.emplace(group, 0);
  if (fresh && keying.state == handshake::EpochState::active) place->second = keying.epoch;
  if (group == first_group()) first_epoch_ = keying.epoch;
  return !fresh;
}

void LoadMember::ask_more() {
  for (; asked_ < groups_->size() && asked_ - active_.size() < most_asking; ++asked_)
    send(handshake::GroupJoin{(*groups_)[asked_]});
  if (joined_ || active_.size() < groups_->size()) return;
  joined_ = true;
  backoff_.reset();
  around_.observer.joined(*this, Clock::now() - began_);
}

void LoadMember::give_up_after(std::chrono::milliseconds wait, const char* why) {
  timer_.expires_after(wait);
  timer_.async_wait([self = shared_from_this(), round = round_, why](const error_code& error) {
    if (!error && round == self->round_ && !self->joined_) self->over(why);
  });
}

void LoadMember::wait_for_tick() {
  // Members that joined in the same instant must not send in the same instant for ever.
  const auto jitter = std::chrono::milliseconds(around_.random() % 200) * around_.every.count() / 1000;
  timer_.expires_after(around_.every * 9 / 10 + jitter);
  timer_.async_wait([self = shared_from_this(), round = round_](const error_code& error) {
    if (!error && round == self->round_) self->tick();
  });
}

void LoadMember::tick() {
  wait_for_tick();
  send(handshake::Keepalive{++keepalives_});
  for (const auto& [group, epoch] : active_)
    if (epoch != 0) send(handshake::StatusReport{group, epoch, 0, keepalives_, 0, {}});
}

void LoadMember::send(const handshake::ControlMessage& message) {
  if (endpoint_ && endpoint_->send(message)) flush();
}

void LoadMember::flush() {
  const Bytes fresh = endpoint_->take_output();
  out_.insert(out_.end(), fresh.begin(), fresh.end());
  write();
}

void LoadMember::write() {
  if (writing_ || out_.empty()) return;
  error_code error;
  const std::size_t n = socket_.write_some(asio::buffer(out_), error);  // nearly always all of it
  if (!error) around_.sent += n;
  if (!error) out_.erase(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(n));
  if (out_.empty() || (error && error != asio::error::would_block)) return;  // reading reports a lost connection
  in_flight_ = std::exchange(out_, {});
  writing_ = true;
  asio::async_write(socket_, asio::buffer(in_flight_),
                    [self = shared_from_this(), round = round_](const error_code& failed, std::size_t written) {
                      self->writing_ = false;
                      self->around_.sent += written;
                      if (round == self->round_ && !failed) self->write();
                    });
}

}  // namespace sealcast::load
