#include "controlplane/keyserver/key_server.h"

#include <unistd.h>

#include <asio/steady_timer.hpp>
#include <ctime>

#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/key_server_impl.h"

namespace sealcast::keyserver {
namespace {

using asio::error_code;
using namespace std::chrono_literals;

constexpr auto alive_every = 10s;
constexpr auto clock_jump = 2s;  // as for members: a larger one means a resumed snapshot

std::chrono::nanoseconds read_clock(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

// ---------------------------------------------------------------- start and stop

Result<void> KeyServer::Impl::start() {
  if (config_.crl) crl_file_.changed(*config_.crl);
  auto credentials = load_credentials(config_);
  if (!credentials) return tl::unexpected(credentials.error());
  auto passwords = load_passwords(config_);
  if (!passwords) return tl::unexpected(passwords.error());
  users_digest_ = *passwords ? (*passwords)->digest() : "";
  trust_ = credentials->trust + users_digest_;
  use(std::move(credentials->server));
  if (auto opened = open_state(); !opened) return opened;
  const auto give_up = [this](Error error) {
    seat_.reset();
    store_.reset();
    return tl::unexpected(std::move(error));
  };
  const auto slot_bits = config::spi_slot_bits(config_.spi_range, config_.groups.size());
  if (!slot_bits)
    return give_up({"keyserver.spi_range is too small for " + std::to_string(config_.groups.size()) + " groups"});
  if (auto listening = connections_->listen(); !listening) return give_up(listening.error());

  if (config_.listen_isakmp)
    cookies_ =
        std::make_shared<CookieJar>(io_, random(), options_.cookie_rotation.value_or(CookieJar::rotation_period));
  context_.key_server_id = config_.id;
  context_.spi_range = config_.spi_range;
  context_.slot_bits = *slot_bits;
  context_.random = &random();
  context_.vault = &vault_;
  context_.sign = [this](const handshake::RekeyDatagram& datagram) { return sign_datagram(*server_config_, datagram); };
  context_.recheck = [this](const handshake::PeerIdentity& member, const std::string& group_id,
                            std::int64_t unix_now) -> Result<void> {
    return certificates_.check(member.leaf_der, server_config_->member_trust, group_id, unix_now);
  };
  context_.password_stands = [this](const std::string& user, const std::string& stamp) {
    return gate_ && gate_->stands(user, stamp);
  };
  context_.revoked = [this](const std::vector<std::string>& names, const std::string& group_id) {
    return std::any_of(revocations_.begin(), revocations_.end(), [&](const store::Revocation& revocation) {
      return (revocation.group_id.empty() || revocation.group_id == group_id) &&
             std::find(names.begin(), names.end(), revocation.member_id) != names.end();
    });
  };
  if (auto read = read_revocations(); !read) return read;
  if (*passwords) gate_->use(std::move(**passwords));
  for (const auto& group : config_.groups)
    add_group(group);
  started_ = now().steady;
  if (context_.store->previous_start() != 0) context_.started = started_;
  // What the last process was still waiting for when it ended is not known: senders that it did not see switch may go
  // on for a lease (H11). In a cluster likewise, when etcd has been read (act_on_revocations).
  for (auto& [id, group] : groups_) {
    if (!seat_ && context_.started && anybody_revoked_in(id)) group->state.shut_out(now());
    group->state.resume(now());
    group_changed(group->state);
  }
  clocks_ = clock_difference();
  running_ = true;
  Event started("started", {{"id", config_.id}});
  for (const auto carriage : {config::Carriage::tls, config::Carriage::isakmp}) {
    if (const auto at = connections_->listening(carriage))
      started.add({carriage == config::Carriage::tls ? "listen" : "listen_isakmp", Word{at->text()}});
  }
  audit(started.add({"groups", groups_.size()}).add({"slot_bits", *slot_bits}));
  if (cookies_) cookies_->start();
  connections_->accept();
  if (seat_) seat_->start();
  look_around();
  return {};
}

// A revocation list that was put there, and certificates that end while their members are connected (H8): no operator
// has to tell the key server of either.
void KeyServer::Impl::look_around() {
  if (!running_) return;
  if (now().steady >= alive_again_) note_alive();
  bool again = certificates_.any_ended(now().unix_seconds);
  bool list_read = false;
  bool trust_changed = false;
  if (config_.crl && crl_file_.changed(*config_.crl)) {
    if (auto credentials = load_credentials(config_)) {
      const std::string before = std::exchange(trust_, credentials->trust + users_digest_);
      trust_changed = trust_ != before;
      use(std::move(credentials->server));
      audit(Event("crl_read", {{"file", *config_.crl}}));
      again = list_read = true;
    } else {
      audit_error(Event("crl_refused", {{"why", credentials.error().message}}));
    }
  }
  for (auto& [id, group] : groups_) {
    // Of several key servers none knows all holders, and this one may have been restarted since it had some.
    const bool doubt = (list_read && group->state.in_doubt()) || (seat_ && trust_changed);
    if (trust_changed) group->standing = standing_of(trust_, group->state.config());
    if (!again || !(doubt || group->state.any_holder_invalid(now()))) continue;
    group->state.shut_out(now());
    group_changed(group->state);
  }
  note_standing();
  look_timer_->expires_after(options_.look_every);
  look_timer_->async_wait([weak = weak_from_this()](const error_code& error) {
    if (const auto self = weak.lock(); self && !error) self->look_around();
  });
}

// Where the numbers are kept: in a file, or in etcd for all key servers of a cluster.
Result<void> KeyServer::Impl::open_state() {
  if (!config_.cluster) {
    auto store = store::open_sqlite(config_.state, config_.id, now().unix_seconds);
    if (!store) return tl::unexpected(store.error());
    store_ = std::move(*store);
    context_.store = store_.get();
    return open_keeper();
  }
  SeatCallbacks callbacks;
  callbacks.now = [this] { return now(); };
  callbacks.groups = [this] {
    std::vector<std::string> ids;
    for (const auto& [id, group] : groups_)
      ids.push_back(id);
    return ids;
  };
  callbacks.find_group = [this](const std::string& id) { return find_group_state(id); };
  callbacks.group_changed = [this](GroupState& group) { group_changed(group); };
  callbacks.revocations_changed = [this] { act_on_revocations(); };
  auto seat = ClusterSeat::open(io_, config_, random(), context_, std::move(callbacks));
  if (!seat) return tl::unexpected(seat.error());
  seat_ = std::move(*seat);
  context_.store = &seat_->store();
  context_.maker = seat_.get();
  return {};
}

// Without a wrapping key, or of a group that is no more, nothing may stay in the file.
Result<void> KeyServer::Impl::open_keeper() {
  auto key = config::read_wrapping_key(config_);
  if (!key) return tl::unexpected(key.error());
  std::vector<std::string> groups;
  for (const auto& group : config_.groups)
    if (*key) groups.push_back(group.id);
  if (auto dropped = store_->drop_kept_except(groups); !dropped) return dropped;
  if (!*key) return {};
  auto keeper = EpochKeeper::create(std::move(**key), config_.id, *store_, random());
  if (!keeper) return tl::unexpected(keeper.error());
  keeper_ = std::move(*keeper);
  context_.keeper = keeper_.get();
  return {};
}

// Said often enough for a restart to know that it follows this process, not an old copy of its file.
void KeyServer::Impl::note_alive() {
  if (!keeper_) return;
  alive_again_ = now().steady + alive_every;
  if (auto noted = store_->note_alive(now().unix_seconds); !noted)
    audit_error(Event("state_not_written", {{"why", noted.error().message}}));
}

// The users, where a group needs them; read on this thread, like everything else at start and reload.
Result<std::optional<passwords::PasswordFile>> KeyServer::Impl::load_passwords(const config::KeyserverConfig& config) {
  const bool needed =
      std::any_of(config.groups.begin(), config.groups.end(), [](const auto& group) { return group.uses_passwords(); });
  if (!needed) return std::nullopt;
  if (!config.password_file) return fail("expected keyserver.password_file, since a group uses passwords");
  if (!gate_) gate_ = std::make_unique<PasswordGate>(io_, options_.passwords, random());
  auto file = gate_->load(*config.password_file);
  if (!file) {
    const bool missing = ::access(config.password_file->c_str(), F_OK) != 0;
    return fail(file.error().message + (missing ? "; make it with: sealcast passwd FILE USER" : ""));
  }
  return std::optional(std::move(*file));
}

// What is carried in ISAKMP is multicast or nothing: a standard client has TLS, and the port for it.
void KeyServer::Impl::use(std::shared_ptr<const handshake::ServerConfig> config) {
  server_config_ = std::move(config);
  auto multicast_only = std::make_shared<handshake::ServerConfig>(*server_config_);
  multicast_only->allow_standard = false;
  isakmp_config_ = std::move(multicast_only);
}

std::unique_ptr<handshake::Endpoint> KeyServer::Impl::make_endpoint(const Peer& peer,
                                                                    handshake::GroupAuthority& groups) {
  if (peer.carriage == config::Carriage::tls) return handshake::make_server(server_config_, groups, random());
  return cookies_->responder(peer.endpoint,
                             [this, &groups] { return handshake::make_server(isakmp_config_, groups, random()); });
}

void KeyServer::Impl::stop() {
  if (!running_) return;
  running_ = false;
  look_timer_->cancel();
  if (cookies_) cookies_->stop();
  connections_->stop();
  gate_.reset();  // waits for the hashes under way
  if (seat_) seat_->leave();
  groups_.clear();  // wipes every premaster
  note_alive();
  keeper_.reset();
  store_.reset();
  seat_.reset();
  audit(Event("stopped", {{"id", config_.id}}));
}

void KeyServer::Impl::add_group(const config::KeyserverGroup& config) {
  auto& group = groups_[config.id] = std::make_unique<Group>(config, context_, io_);
  group->standing = standing_of(trust_, config);
}

// ---------------------------------------------------------------- groups

Moment KeyServer::Impl::now() const {
  return {std::chrono::steady_clock::now(), options_.unix_now ? options_.unix_now() : std::int64_t{std::time(nullptr)}};
}

std::chrono::nanoseconds KeyServer::Impl::clock_difference() const {
  if (options_.clock_difference) return options_.clock_difference();
  return read_clock(CLOCK_REALTIME) - read_clock(CLOCK_BOOTTIME);
}

// A machine resumed from a snapshot has forgotten what it handed out since: what it would hand out next may be in use.
void KeyServer::Impl::notice_resume() {
  const auto difference = clock_difference();
  const bool jumped = difference > clocks_ + clock_jump || difference < clocks_ - clock_jump;
  clocks_ = difference;
  if (!jumped) return;
  handshake::reseed_system_random();
  if (cookies_) cookies_->rotate();
  if (seat_) return seat_->resumed();
  for (auto& [id, group] : groups_) {
    group->state.begin_anew("the clocks moved against each other: resumed from a snapshot?", now());
    group_changed(group->state);
  }
}

GroupState* KeyServer::Impl::find_group_state(const std::string& group_id) {
  const auto found = groups_.find(group_id);
  return found == groups_.end() ? nullptr : &found->second->state;
}

void KeyServer::Impl::group_changed(GroupState& state) {
  const auto found = groups_.find(state.config().id);
  const auto next = state.next_deadline();
  if (found == groups_.end()) return;
  Group& group = *found->second;
  if (group.armed == next) return;
  group.armed = next;
  if (!next) {
    group.timer.cancel();
    return;
  }
  group.timer.expires_at(*next);
  group.timer.async_wait([weak = weak_from_this(), id = state.config().id](const error_code& error) {
    const auto self = weak.lock();
    if (!self || !self->running_ || error) return;
    const auto due = self->groups_.find(id);
    if (due == self->groups_.end()) return;
    due->second->armed.reset();
    self->notice_resume();
    due->second->state.on_time(self->now());
    self->group_changed(due->second->state);
  });
}

StatusInput KeyServer::Impl::status_input() const {
  StatusInput input{config_.id,
                    connections_->listening(config::Carriage::tls),
                    connections_->listening(config::Carriage::isakmp),
                    started_,
                    connections_->count(),
                    connections_->counters(),
                    {},
                    cookies_.get(),
                    gate_.get()};
  for (const auto& [id, group] : groups_)
    input.groups.push_back(&group->state);
  if (seat_) input.cluster = &seat_->node();
  return input;
}

// ---------------------------------------------------------------- the public face

KeyServer::KeyServer(asio::io_context& io, config::KeyserverConfig config, KeyServerOptions options)
    : impl_(std::make_shared<Impl>(io, std::move(config), std::move(options))) {}

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

std::string KeyServer::revocations_json() const {
  return impl_->revocations_json();
}

Result<void> KeyServer::reload(const config::KeyserverConfig& config) {
  return impl_->reload(config);
}

std::string KeyServer::status_json() const {
  return impl_->status_json();
}

std::string KeyServer::groups_json() const {
  return impl_->groups_json();
}

}  // namespace sealcast::keyserver
