#include "controlplane/keyserver/connection/connections.h"

#include <algorithm>
#include <utility>

#include "controlplane/keyserver/connection/peer_address.h"

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;

constexpr auto accept_pause = 100ms;  // when the system has no descriptor or memory left
// Of each kind of line that strangers can cause (H13): at most about 8,700 a day, some 2 MB.
constexpr std::uint32_t log_lines_at_once = 20;
constexpr auto log_line_every = 10s;

}  // namespace

struct Connections::Listener {
  config::Carriage carriage;
  std::unique_ptr<Door> door;
  std::unique_ptr<Timer> pause;
};

Connections::Connections(Loop& loop, MakeDoor make_door, const config::KeyserverConfig& config,
                         SessionSettings settings, SessionHost& host)
    : loop_(loop),
      make_door_(std::move(make_door)),
      config_(config),
      settings_(std::move(settings)),
      host_(host),
      turns_(std::make_shared<HandshakeTurns>(loop)),
      strangers_lines_(log_lines_at_once, log_line_every) {}

Connections::~Connections() = default;

// ---------------------------------------------------------------- ports

Result<void> Connections::listen() {
  if (!config_.listen && !config_.listen_isakmp)
    return fail("expected keyserver.listen, keyserver.listen_isakmp or both, got neither");
  SEALCAST_TRY_ASSIGN(fit_, connections_that_fit());
  note_limit();
  if (config_.listen) SEALCAST_TRY(listen(config::Carriage::tls, *config_.listen));
  if (config_.listen_isakmp) {
    if (auto done = listen(config::Carriage::isakmp, *config_.listen_isakmp); !done) {
      listeners_.clear();
      return done;
    }
  }
  return {};
}

Result<void> Connections::listen(config::Carriage carriage, const config::ListenAddress& at) {
  auto listener = std::make_unique<Listener>(Listener{carriage, make_door_(), loop_.timer()});
  SEALCAST_TRY(listener->door->open(at));
  listeners_.push_back(std::move(listener));
  return {};
}

void Connections::note_limit() const {
  if (fit_ >= config_.max_connections) return;
  audit_warning(Event("connections_limited", {{"max_connections", config_.max_connections},
                                              {"allowed", fit_},
                                              {"why", "the limit of open files (LimitNOFILE=, ulimit -Hn)"}}));
}

std::uint16_t Connections::port(config::Carriage carriage) const {
  for (const auto& listener : listeners_)
    if (listener->carriage == carriage) return listener->door->port();
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
  for (const auto& listener : listeners_) {
    listener->door->close();
    listener->pause->cancel();
  }
  turns_->stop();
  for (auto& [session, open] : sessions_)
    session->detach();
  sessions_.clear();
  limits_.clear();
}

// ---------------------------------------------------------------- connections

void Connections::accept(Listener& listener) {
  listener.door->accept([weak = weak_from_this(), &listener](Result<Door::Came> came) {
    const auto self = weak.lock();
    if (!self || !self->accepting_) return;
    if (came) {
      self->accepted(std::move(*came), listener.carriage);
      if (!self->turns_->crowded()) return self->accept(listener);
      // The others wait in the backlog, and when that is full, where they are (H13).
      return self->turns_->call_when_room([weak, &listener] {
        const auto again = weak.lock();
        if (again && again->accepting_) again->accept(listener);
      });
    }
    // Out of descriptors or memory: members that are here are served first (H13), others wait in the backlog.
    self->log_failure("accept_failed", Event("accept_failed", {{"why", came.error().message}}));
    listener.pause->set(self->loop_.now() + accept_pause, [weak, &listener] {
      const auto again = weak.lock();
      if (again && again->accepting_) again->accept(listener);
    });
  });
}

void Connections::accepted(Door::Came came, config::Carriage carriage) {
  const std::string& host = came.host;
  if (host.empty()) return;  // gone already
  const std::string counted = counted_address(host).text();
  const ConnectionLimits::Most most{std::min<std::size_t>(config_.max_connections, fit_),
                                    config_.max_connections_per_address, config_.max_handshakes_per_address};
  if (const char* const full = host_.serving() ? limits_.take(counted, most) : "cut_off") {
    ++counters_.refused[full];
    log_failure(full, Event("connection_refused", {{"address", Word{host}}, {"why", Word{full}}}));
    return;  // the socket closes
  }
  auto transport = came.take();
  if (!transport) return limits_.over(counted, false);
  const std::string address = (came.address.family == 6 ? "[" + host + "]" : host) + ":" + std::to_string(came.port);
  auto session = std::make_shared<Session>(
      std::move(transport), Peer{{came.address, came.port}, host, address, carriage}, settings_, *turns_, host_);
  sessions_.emplace(session.get(), Open{session});
  session->start(config_.handshake_timeout);
}

void Connections::joined(Session& session) {
  const auto found = sessions_.find(&session);
  if (found == sessions_.end() || std::exchange(found->second.joined, true)) return;
  limits_.joined(counted_address(session.peer().host).text());
}

void Connections::over(Session& session) {
  const auto found = sessions_.find(&session);
  if (found == sessions_.end()) return;
  limits_.over(counted_address(session.peer().host).text(), found->second.joined);
  sessions_.erase(found);
}

// A user with the right password may come as often as it likes; there are no more users than the file has.
void Connections::password_accepted(const std::string& user, const std::string& address) {
  Event event("password_accepted", {{"user", user}, {"address", Word{address}}});
  if (may_log("password_accepted " + user, event)) audit(event);
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
  if (!strangers_lines_.pass(kind, loop_.now(), &held_back)) return false;
  if (held_back) event.add({"not_logged_before", held_back});
  return true;
}

void Connections::log_failure(std::string_view kind, Event event) {
  if (may_log(kind, event)) audit_warning(event);
}

}  // namespace sealcast::keyserver
