#include "controlplane/keyserver/key_server.h"

#include "base/asio_loop.h"
#include "base/read_clock.h"
#include "controlplane/admin/validity.h"
#include "controlplane/etcd/client.h"
#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/connection/tcp_door.h"
#include "controlplane/keyserver/key_server_impl.h"

namespace sealcast::keyserver {

// ---------------------------------------------------------------- start and stop

Result<void> KeyServer::Impl::start() {
  auto credentials = credentials_.load(config_);
  if (!credentials) return tl::unexpected(credentials.error());
  credentials_.use(std::move(*credentials));
  if (auto opened = persistence_.open(
          loop_, config_.cluster ? options_.etcd(*config_.cluster) : nullptr, config_, random(), context_, groups_,
          [this] { act_on_revocations(); }, options_.boot_time, clocks_);
      !opened)
    return opened;
  const auto give_up = [this](Error error) {
    clocks_.keep_in(nullptr);
    persistence_.close();
    return tl::unexpected(std::move(error));
  };
  const auto slot_bits = config::spi_slot_bits(config_.spi_range, config_.groups.size());
  if (!slot_bits)
    return give_up({"keyserver.spi_range is too small for " + std::to_string(config_.groups.size()) + " groups"});
  if (auto listening = connections_->listen(); !listening) return give_up(listening.error());
  if (config_.listen_isakmp)
    cookies_ =
        std::make_shared<CookieJar>(loop_, random(), options_.cookie_rotation.value_or(CookieJar::rotation_period));
  fill_context(*slot_bits);
  if (auto read = revocations_.read(*context_.store); !read) return read;
  for (const auto& group : config_.groups)
    add_group(group);
  started_ = now().steady;
  if (context_.store->previous_start() != 0) context_.started = started_;
  // What the last process was still waiting for when it ended is not known: senders that it did not see switch may go
  // on for a lease (H11). In a cluster likewise, when etcd has been read (act_on_revocations).
  for (const auto& [id, group] : groups_.all()) {
    if (!persistence_.seat() && context_.started && revocations_.any_in(id)) group->state.shut_out(now());
    group->state.resume(now());
    groups_.changed(group->state);
  }
  clocks_.jumped();  // from here on
  Event event("started", {{"id", config_.id}});
  for (const auto carriage : {config::Carriage::tls, config::Carriage::isakmp}) {
    if (const auto at = connections_->listening(carriage))
      event.add({carriage == config::Carriage::tls ? "listen" : "listen_isakmp", Word{at->text()}});
  }
  audit(event.add({"groups", groups_.size()}).add({"slot_bits", *slot_bits}));
  if (cookies_) cookies_->start();
  connections_->accept();
  if (persistence_.seat()) persistence_.seat()->start();
  look_around();
  return {};
}

void KeyServer::Impl::fill_context(std::uint8_t slot_bits) {
  context_.key_server_id = config_.id;
  context_.spi_range = config_.spi_range;
  context_.slot_bits = slot_bits;
  context_.random = &random();
  context_.sign = [this](const handshake::RekeyDatagram& datagram) {
    return sign_datagram(*credentials_.server(config::Carriage::tls), datagram);
  };
  context_.recheck = [this](const handshake::PeerIdentity& member, const std::string& group_id, std::int64_t unix_now,
                            handshake::Grace grace) {
    auto verdict = credentials_.check(member, group_id, unix_now, grace, clocks_.agrees());
    if (verdict.good()) clocks_.hold();
    return verdict;
  };
  context_.knows = [this](const handshake::PeerIdentity& member, const std::string& group_id, std::int64_t) {
    return knows(member, group_id);
  };
  context_.clock_agrees = [this] { return clocks_.agrees(); };
  context_.password_stands = [this](const std::string& user, const std::string& stamp) {
    return credentials_.password_stands(user, stamp);
  };
  context_.revoked = [this](const std::vector<std::string>& names, const std::string& group_id) {
    return revocations_.revoked(names, group_id);
  };
}

// A revocation list that was put there, and certificates that end while their members are connected (H8): no operator
// has to tell the key server of either.
void KeyServer::Impl::look_around() {
  if (!started_) return;
  clocks_.look();
  persistence_.note_alive(now());
  credentials_.warn_of_ends(now().unix_seconds);
  const bool ended = credentials_.any_ended(now().unix_seconds);
  const Credentials::Look look = credentials_.look(config_);
  for (const auto& [id, group] : groups_.all()) {
    // Of several key servers none knows all holders, and this one may have been restarted since it had some.
    const bool doubt = (look.list_read && group->state.in_doubt()) || (persistence_.seat() && look.trust_changed);
    if (look.trust_changed) group->standing = credentials_.standing(group->state.config());
    if (!(ended || look.list_read)) continue;
    if (group->state.look_again(now()) || doubt) group->state.shut_out(now());
    groups_.changed(group->state);
  }
  note_standing();
  look_timer_->set(now().steady + options_.look_every, [this] { look_around(); });
}

void KeyServer::Impl::stop() {
  if (!started_) return;
  started_.reset();
  look_timer_->cancel();
  if (cookies_) cookies_->stop();
  connections_->stop();
  credentials_.stop();
  if (persistence_.seat()) persistence_.seat()->leave();
  groups_.clear();
  persistence_.note_alive_now(now());
  clocks_.keep_in(nullptr);
  persistence_.close();
  audit(Event("stopped", {{"id", config_.id}}));
}

// ---------------------------------------------------------------- what sessions ask

Moment KeyServer::Impl::now() const {
  return {loop_.now(), clocks_.unix_now()};
}

bool KeyServer::Impl::knows(const handshake::PeerIdentity& member, const std::string& group_id) const {
  if (credentials_.knows(member, group_id)) return true;
  const auto holds = context_.store->holds(group_id, member.name, member.serial_hex, now().unix_seconds);
  return holds && *holds;
}

// A machine resumed from a snapshot has forgotten what it handed out since: what it would hand out next may be in use.
void KeyServer::Impl::notice_resume() {
  if (!clocks_.jumped()) return;
  handshake::reseed_system_random();
  if (cookies_) cookies_->rotate();
  if (persistence_.seat()) return persistence_.seat()->resumed();
  if (auto renewed = persistence_.renew_clock(); !renewed)
    audit_error(Event("state_not_written", {{"why", renewed.error().message}}));
  for (const auto& [id, group] : groups_.all()) {
    group->state.begin_anew("the clocks moved against each other: resumed from a snapshot?", now());
    groups_.changed(group->state);
  }
}

std::unique_ptr<handshake::Endpoint> KeyServer::Impl::make_endpoint(const Peer& peer,
                                                                    handshake::GroupAuthority& groups) {
  const auto responder = [this, &groups, carriage = peer.carriage] {
    return handshake::make_server(credentials_.server(carriage), groups, random());
  };
  return peer.carriage == config::Carriage::tls ? responder() : cookies_->responder(peer.place, responder);
}

StatusInput KeyServer::Impl::status_input() const {
  StatusInput input{config_.id,
                    connections_->listening(config::Carriage::tls),
                    connections_->listening(config::Carriage::isakmp),
                    started_.value_or(SteadyTime()),
                    connections_->count(),
                    connections_->counters(),
                    groups_.states(),
                    cookies_.get(),
                    credentials_.passwords()};
  input.unix_now = now().unix_seconds;
  input.clock = clocks_.status();
  input.validity = admin::validity_of(credentials_.lives(), now().unix_seconds);
  if (persistence_.seat()) input.cluster = &persistence_.seat()->node();
  return input;
}

// ---------------------------------------------------------------- the public face

namespace {

// What is not replaced is the product's own, on the given Asio loop.
KeyServerOptions on(asio::io_context& io, KeyServerOptions options) {
  if (!options.boot_time && options.loop)
    options.boot_time = [loop = options.loop] { return loop->now().time_since_epoch(); };
  if (!options.loop) options.loop = std::make_shared<AsioLoop>(io);
  if (!options.door) options.door = [&io] { return std::make_unique<TcpDoor>(io); };
  if (!options.etcd)
    options.etcd = [&io](const config::ClusterConfig& cluster) {
      etcd::ClientSettings client;
      client.addresses = cluster.etcd;
      client.ca = cluster.ca;
      client.certificate = cluster.certificate;
      client.private_key = cluster.private_key;
      return std::make_unique<etcd::Client>(io, std::move(client));
    };
  if (!options.boot_time) options.boot_time = [] { return read_clock(CLOCK_BOOTTIME); };
  return options;
}

}  // namespace

KeyServer::KeyServer(asio::io_context& io, config::KeyserverConfig config, KeyServerOptions options)
    : impl_(std::make_shared<Impl>(std::move(config), on(io, std::move(options)))) {}

KeyServer::~KeyServer() {
  stop();
}

Result<void> KeyServer::start() {
  return impl_->start();
}

void KeyServer::stop() {
  impl_->stop();
}

std::uint16_t KeyServer::port(config::Carriage carriage) const {
  return impl_->port(carriage);
}

Result<void> KeyServer::rekey(const std::string& group_id) {
  return impl_->rekey(group_id);
}

Result<void> KeyServer::revoke(const std::string& member, const std::optional<std::string>& group_id) {
  return impl_->revoke(member, group_id);
}

Result<void> KeyServer::reinstate(const std::string& member, const std::optional<std::string>& group_id) {
  return impl_->reinstate(member, group_id);
}

Result<void> KeyServer::unlock(const std::string& user) {
  return impl_->unlock(user);
}

std::set<std::string> KeyServer::known_names(const std::optional<std::string>& group_id) const {
  return impl_->known_names(group_id);
}

admin::Revocations KeyServer::revocations() const {
  return impl_->revocations();
}

Result<void> KeyServer::accept_clock() {
  return impl_->accept_clock();
}

Result<void> KeyServer::reload(const config::KeyserverConfig& config) {
  return impl_->reload(config);
}

admin::KeyserverStatus KeyServer::status() const {
  return impl_->status();
}

admin::KeyserverGroups KeyServer::groups() const {
  return impl_->groups();
}

}  // namespace sealcast::keyserver
