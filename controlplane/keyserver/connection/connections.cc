#include "controlplane/keyserver/connection/connections.h"

#include <asio/steady_timer.hpp>
#include <cerrno>

#include "controlplane/keyserver/connection/peer_address.h"
#include "controlplane/keyserver/connection/tcp_transport.h"

namespace sealcast::keyserver {
namespace {

using asio::error_code;
using asio::ip::tcp;
using namespace std::chrono_literals;

constexpr auto accept_pause = 100ms;  // when the system has no descriptor or memory left
// Of each kind of line that strangers can cause (H13): at most about 8,700 a day, some 2 MB.
constexpr std::uint32_t log_lines_at_once = 20;
constexpr auto log_line_every = 10s;
constexpr int backlog = 4096;  // as many as the kernel holds by default (net.core.somaxconn)

tcp::endpoint endpoint_of(const config::ListenAddress& listen) {
  const IpAddress& address = listen.address;
  if (address.family == 4) return {asio::ip::address_v4(load_be<std::uint32_t>(address.bytes.data())), listen.port};
  asio::ip::address_v6::bytes_type bytes;
  std::copy(address.bytes.begin(), address.bytes.end(), bytes.begin());
  return {asio::ip::address_v6(bytes), listen.port};
}

}  // namespace

struct Connections::Listener {
  config::Carriage carriage;
  tcp::acceptor acceptor;
  asio::steady_timer timer;
  std::uint16_t port = 0;
  Listener(config::Carriage carried, asio::io_context& io) : carriage(carried), acceptor(io), timer(io) {}
};

Connections::Connections(asio::io_context& io, const config::KeyserverConfig& config, SessionSettings settings,
                         SessionHost& host)
    : io_(io),
      config_(config),
      settings_(std::move(settings)),
      host_(host),
      turns_(std::make_shared<HandshakeTurns>(io)),
      strangers_lines_(log_lines_at_once, log_line_every) {}

Connections::~Connections() = default;

// ---------------------------------------------------------------- ports

Result<void> Connections::listen() {
  if (!config_.listen && !config_.listen_isakmp)
    return fail("expected keyserver.listen, keyserver.listen_isakmp or both, got neither");
  if (config_.listen)
    if (auto done = listen(config::Carriage::tls, *config_.listen); !done) return done;
  if (config_.listen_isakmp) {
    if (auto done = listen(config::Carriage::isakmp, *config_.listen_isakmp); !done) {
      listeners_.clear();
      return done;
    }
  }
  return {};
}

Result<void> Connections::listen(config::Carriage carriage, const config::ListenAddress& at) {
  const tcp::endpoint place = endpoint_of(at);
  auto listener = std::make_unique<Listener>(carriage, io_);
  tcp::acceptor& acceptor = listener->acceptor;
  error_code error;
  acceptor.open(place.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(place, error);
  if (!error) acceptor.listen(backlog, error);
  if (!error) acceptor.non_blocking(true, error);
  if (!error) listener->port = acceptor.local_endpoint(error).port();
  if (error) {
    std::string hint;
    if (error == asio::error::address_in_use) hint = ": another program (another key server?) listens there";
    if (error.value() == EADDRNOTAVAIL) hint = ": this machine has no such address";
    if (error == asio::error::access_denied) hint = ": ports below 1024 need the right to bind them";
    return fail("can't listen at " + at.text() + ": " + error.message() + hint);
  }
  listeners_.push_back(std::move(listener));
  return {};
}

std::uint16_t Connections::port(config::Carriage carriage) const {
  for (const auto& listener : listeners_)
    if (listener->carriage == carriage) return listener->port;
  return 0;
}

std::optional<config::ListenAddress> Connections::listening(config::Carriage carriage) const {
  auto place = carriage == config::Carriage::tls ? config_.listen : config_.listen_isakmp;
  if (place) place->port = port(carriage);
  return place;
}

void Connections::accept() {
  accepting_ = true;
  for (const auto& listener : listeners_)
    accept(*listener);
}

void Connections::stop() {
  accepting_ = false;
  error_code ignored;
  for (const auto& listener : listeners_) {
    listener->acceptor.close(ignored);
    listener->timer.cancel();
  }
  turns_->stop();
  for (auto& [session, owner] : sessions_)
    session->detach();
  sessions_.clear();
  per_address_.clear();
}

// ---------------------------------------------------------------- connections

void Connections::accept(Listener& listener) {
  listener.acceptor.async_accept([weak = weak_from_this(), &listener](const error_code& error, tcp::socket socket) {
    const auto self = weak.lock();
    if (!self || !self->accepting_ || error == asio::error::operation_aborted) return;
    if (!error) {
      self->accepted(std::move(socket), listener.carriage);
      if (!self->turns_->crowded()) return self->accept(listener);
      // The others wait in the backlog, and when that is full, where they are (H13).
      return self->turns_->call_when_room([weak, &listener] {
        const auto again = weak.lock();
        if (again && again->accepting_) again->accept(listener);
      });
    }
    // Out of descriptors or memory: members that are here are served first (H13), others wait in the backlog.
    self->log_failure("accept_failed", Event("accept_failed", {{"why", error.message()}}));
    listener.timer.expires_after(accept_pause);
    listener.timer.async_wait([weak, &listener](const error_code& cancelled) {
      const auto again = weak.lock();
      if (again && again->accepting_ && !cancelled) again->accept(listener);
    });
  });
}

void Connections::accepted(tcp::socket socket, config::Carriage carriage) {
  error_code error;
  const tcp::endpoint peer = socket.remote_endpoint(error);
  if (error) return;  // gone already
  const std::string host = peer.address().to_string();
  const char* full = host_.serving() ? nullptr : "cut_off";
  if (!full && sessions_.size() >= config_.max_connections) full = "max_connections";
  const std::string counted = counted_address(host).text();
  std::uint32_t& from_here = per_address_[counted];
  if (!full && from_here >= config_.max_connections_per_address) full = "max_connections_per_address";
  if (full) {
    if (from_here == 0) per_address_.erase(counted);
    ++counters_.refused[full];
    log_failure(full, Event("connection_refused", {{"address", Word{host}}, {"why", Word{full}}}));
    return;  // the socket closes
  }
  auto transport = TcpTransport::open(std::move(socket));
  if (!transport) {
    if (from_here == 0) per_address_.erase(counted);
    return;
  }
  ++from_here;
  const std::string address = (peer.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(peer.port());
  auto session =
      std::make_shared<Session>(std::move(transport), Peer{peer, host, address, carriage}, settings_, *turns_, host_);
  sessions_.emplace(session.get(), session);
  session->start(config_.handshake_timeout);
}

void Connections::over(Session& session) {
  const auto found = sessions_.find(&session);
  if (found == sessions_.end()) return;
  const auto counted = per_address_.find(counted_address(session.peer().host).text());
  if (counted != per_address_.end() && --counted->second == 0) per_address_.erase(counted);
  sessions_.erase(found);
}

void Connections::handshake_completed(handshake::Flow flow) {
  if (flow == handshake::Flow::standard || flow == handshake::Flow::standard_mutual)
    ++counters_.standard_clients;
  else
    ++counters_.handshakes_completed;
}

void Connections::handshake_failed(const std::string& reason, const std::string& address, const std::string& detail) {
  ++counters_.failed[reason];
  log_failure(reason,
              Event("handshake_failed", {{"address", Word{address}}, {"reason", Word{reason}}, {"why", detail}}));
}

void Connections::standard_client_answered(const std::string& address, const std::string& why) {
  Event event("standard_client", {{"address", Word{address}}});
  if (!why.empty()) event.add({"why", why});
  if (may_log("standard_client", event)) audit(event);
}

// True: it may be logged, with a field that tells how many of its kind were not.
bool Connections::may_log(std::string_view kind, Event& event) {
  std::uint64_t held_back = 0;
  if (!strangers_lines_.pass(kind, std::chrono::steady_clock::now(), &held_back)) return false;
  if (held_back) event.add({"not_logged_before", held_back});
  return true;
}

void Connections::log_failure(std::string_view kind, Event event) {
  if (may_log(kind, event)) audit_warning(event);
}

}  // namespace sealcast::keyserver
