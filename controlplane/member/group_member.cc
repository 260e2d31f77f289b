#include "controlplane/member/group_member.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <ctime>

namespace sealcast::member {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr milliseconds steady_after{5000};  // a channel that held this long counts as good

std::string date_of(std::int64_t unix_seconds) {
  const std::time_t time = unix_seconds;
  std::tm parts{};
  return gmtime_r(&time, &parts) ? fmt::format("{:%Y-%m-%d %H:%M} UTC", parts) : std::string("?");
}

// Where dates decided, and the two ends do not agree on today's (H19).
std::string apart(const handshake::HandshakeError& cause, std::int64_t unix_now) {
  using handshake::Alert;
  using handshake::Reason;
  constexpr std::int64_t clocks_agree = 300;  // seconds
  const bool by_dates = cause.from_peer
                            ? cause.alert == Alert::certificate_expired || cause.alert == Alert::certificate_unknown
                            : cause.reason == Reason::certificate_expired ||
                                  cause.reason == Reason::certificate_not_yet_valid ||
                                  cause.reason == Reason::revocation_unknown;
  if (!by_dates || !cause.server_time) return {};
  const std::int64_t ahead = *cause.server_time - unix_now;
  if (ahead >= -clocks_agree && ahead <= clocks_agree) return {};
  return fmt::format(
      "; the clocks differ: the key server's shows {}, this gateway's {}; set the one that is wrong, and look at its "
      "time service (timedatectl)",
      date_of(*cause.server_time), date_of(unix_now));
}

// What to do about it, for the failures an operator can mend.
std::string advice(const handshake::HandshakeError& cause, std::int64_t unix_now) {
  using handshake::Reason;
  struct Entry {
    Reason what;
    const char* then;
  };
  static constexpr const char* carriage =
      "; does carriage fit the port? keyservers names listen for \"tls\", listen_isakmp for \"isakmp\"";
  static constexpr Entry entries[] = {
      {Reason::flag_missing, "; have variant, flag and auth the same values at both ends?"},
      {Reason::flag_unexpected, "; has flag the same value at both ends?"},
      {Reason::group_suite_not_offered, "; has suite the same value at both ends?"},
      {Reason::wrong_second_ccs, "; has second_ccs the same value at both ends?"},
      {Reason::own_certificate_missing, "; variant 1 needs an RSA certificate: sealcast pki member NAME --rsa"},
      {Reason::own_password_missing, "; nothing was sent"},
      {Reason::key_material_refused, "; was the key server given another member's certificate, or tampered with?"},
      {Reason::certificate_wrong_name, "; is keyserver_name the name in the key server's certificate?"},
      {Reason::certificate_unknown_ca, "; do this gateway and the key server use the same CA (ca)?"},
      {Reason::certificate_expired, "; make a new one at the key server: sealcast pki server"},
      {Reason::certificate_not_yet_valid, "; is this machine's clock right?"},
      {Reason::revocation_unknown, "; sign the revocation list anew: sealcast pki crl"},
      {Reason::standard_server_refused, "; this is not a Sealcast key server"},
      {Reason::wrong_carriage, carriage},
      {Reason::not_tls, "; this is not a Sealcast key server"},
  };
  if (const std::string clocks = apart(cause, unix_now); !clocks.empty()) return clocks;
  if (cause.from_peer && cause.alert == handshake::Alert::certificate_expired)
    return "; this member's certificate has ended: make a new one: sealcast pki member";
  if (cause.from_peer && cause.alert == handshake::Alert::certificate_unknown)
    return "; the key server has no current revocation list for this member's certificate: sealcast pki crl";
  if (cause.from_peer && cause.alert == handshake::Alert::internal_error)
    return "; the key server has nothing to give at the moment, or this member joins too often: its log says why";
  // What listen_isakmp answers to TLS.
  if (cause.from_peer && cause.alert == handshake::Alert::unexpected_message) return carriage;
  for (const Entry& entry : entries)
    if (cause.reason == entry.what) return entry.then;
  return "";
}

// What has to be the same for two groups to share a connection: which key server it goes to, how it is keyed, and what
// this member proves itself with. Renewed files are others, so that a connection is opened with them.
std::string alike(const config::MemberGroup& group, const config::HostPort& server,
                  const config::MemberConfig& member) {
  const auto file = [](const std::string& path) {
    struct stat is {};
    if (path.empty() || ::stat(path.c_str(), &is) != 0) return fmt::format("{}|", path);
    return fmt::format("{}|{}|{}|{}.{}|", path, is.st_ino, is.st_size, is.st_mtim.tv_sec, is.st_mtim.tv_nsec);
  };
  const handshake::GroupFlow& flow = group.flows.front();
  std::string out =
      fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|", server.text(), config::name(group.carriage),
                  member.local_address ? member.local_address->text() : "", group.keyserver_name, group.keyserver_id,
                  static_cast<int>(flow.suite), flow.variant, static_cast<int>(flow.second_ccs),
                  static_cast<int>(flow.flag_place), static_cast<int>(flow.authentication), member.multicast_flag);
  // What a key server chooses for one group says nothing about another: each has a connection of its own.
  if (group.flows.size() > 1) out += group.id + "|";
  if (group.uses_certificate()) out += file(member.certificate) + file(member.private_key);
  out += file(member.ca) + file(member.crl.value_or(""));
  if (group.uses_password()) out += fmt::format("{}|{}", group.user, place_of(*group.password));
  return out;
}

}  // namespace

std::string_view name(MemberState state) {
  switch (state) {
    case MemberState::joining:
      return "joining";
    case MemberState::joined:
      return "joined";
    case MemberState::reconnecting:
      return "reconnecting";
    case MemberState::revoked:
      return "revoked";
    case MemberState::expired:
      return "expired";
    case MemberState::stopped:
      return "stopped";
    case MemberState::idle:
      return "idle";
  }
  return "?";
}

Result<handshake::Credentials> load_identity(const config::MemberConfig& member) {
  SEALCAST_TRY_ASSIGN(const auto chain, config::read_pem(member.certificate, "certificate"));
  SEALCAST_TRY_ASSIGN(const auto key, config::read_private_key(member.private_key));
  auto identity = handshake::Credentials::from_pem(chain, {reinterpret_cast<const char*>(key.data()), key.size()});
  if (!identity) return fail(member.certificate + ", " + member.private_key + ": " + identity.error().message);
  return identity;
}

GroupMember::GroupMember(Surroundings surroundings, const config::MemberGroup& group)
    : around_(std::move(surroundings)),
      group_(group),
      epochs_(group_, around_.data_plane),
      datagrams_(group_),
      retry_(around_.world.loop.timer()),
      attempts_(group_.keyservers.size(), timing()),
      failures_(timing().repeat_log) {}

void GroupMember::start() {
  connect();
}

void GroupMember::stop() {
  if (status_.state == MemberState::stopped) return;
  retry_->cancel();
  if (link_ && status_.state == MemberState::joined) link_->send(handshake::Leave{group_.id});
  status_.state = MemberState::stopped;
  status_.why.clear();
  leave_link();
}

void GroupMember::wait_until_wanted() {
  status_.state = MemberState::idle;
  status_.why = "no host on red listens";
}

void GroupMember::wanted(bool now_wanted) {
  if (status_.state == MemberState::stopped || now_wanted == (status_.state != MemberState::idle)) return;
  if (now_wanted) {
    spdlog::info("group \"{}\": a host on red listens; joining", group_.id);
    status_.state = MemberState::joining;
    status_.why.clear();
    connect();
    return;
  }
  spdlog::info("group \"{}\": no host on red listens any more; leaving", group_.id);
  retry_->cancel();
  if (link_ && status_.state == MemberState::joined) link_->send(handshake::Leave{group_.id});
  leave_link();
  epochs_.retire_all();
  wait_until_wanted();
}

void GroupMember::leave_link() {
  datagrams_.left();
  if (const auto link = std::exchange(link_, nullptr)) link->close();
}

void GroupMember::abandon_link() {
  datagrams_.left();
  if (const auto link = std::exchange(link_, nullptr)) link->abandon();
}

// ---------------------------------------------------------------- connecting

KeyingContext GroupMember::context(KeyingSource source, const handshake::GroupPolicy& policy) const {
  auto live = epochs_.live();
  // Of the others only those in the way are named: there may be thousands of them. Slot bits out of bounds are refused
  // whatever stands in the way.
  const std::uint32_t slots = policy.spi_slot_bits <= 16 ? 1u << policy.spi_slot_bits : 1u;
  for (LiveEpoch& other : around_.others_within(*this, policy.spi_prefix, policy.spi_prefix | (slots - 1)))
    live.push_back(std::move(other));
  return {source, around_.memory.find(group_.keyserver_name, group_.keyserver_id, group_.id), std::move(live)};
}

void GroupMember::connect() {
  if (status_.state == MemberState::stopped || status_.state == MemberState::idle) return;
  password_shown_ = false;
  const auto weak = weak_from_this();
  Link::Callbacks callbacks;
  callbacks.on_joined = [weak](Joined&& joined) {
    if (const auto self = weak.lock()) self->on_joined(std::move(joined));
  };
  callbacks.on_message = [weak](handshake::ControlMessage&& message) {
    if (const auto self = weak.lock()) self->on_message(std::move(message));
  };
  callbacks.on_end = [weak](LinkEnd&& end) {
    if (const auto self = weak.lock()) self->on_end(std::move(end));
  };
  LinkWish wish;
  wish.group_id = group_.id;
  wish.alike = alike(group_, server(), around_.settings.member);
  wish.settings.server = server();
  wish.settings.carriage = group_.carriage;
  wish.settings.local_address = around_.settings.member.local_address;
  wish.settings.connect_timeout = timing().connect_timeout;
  wish.settings.handshake_timeout = timing().handshake_timeout;
  wish.settings.unix_now = around_.world.unix_now;
  wish.client = [weak]() -> Result<std::shared_ptr<const handshake::ClientConfig>> {
    const auto self = weak.lock();
    if (!self) return fail("the agent has ended");
    return self->make_client();
  };
  wish.password_shown = [weak] {
    const auto self = weak.lock();
    return self && self->password_shown_;
  };
  link_ = around_.links.open(std::move(wish), std::move(callbacks));
}

Result<std::shared_ptr<const handshake::ClientConfig>> GroupMember::make_client() {
  const config::MemberConfig& member = around_.settings.member;
  const auto weak = weak_from_this();
  auto client = std::make_shared<handshake::ClientConfig>();
  if (group_.uses_certificate()) {
    SEALCAST_TRY_ASSIGN(client->credentials, load_identity(member));
  }
  SEALCAST_TRY_ASSIGN(client->server_trust, around_.trust.of(member));
  client->server_name = group_.keyserver_name;
  client->grace = [weak](const handshake::PeerIdentity& server) {
    const auto self = weak.lock();
    return self ? self->around_.trust.grace(self->group_.keyserver_name, server.leaf_der) : handshake::Grace{};
  };
  client->multicast_flag = member.multicast_flag;
  handshake::MulticastWish wish;
  wish.group_id = group_.id;
  wish.key_server_id = group_.keyserver_id;
  wish.flows = group_.flows;
  client->multicast = std::move(wish);
  client->accept_keying = [weak](const handshake::GroupKeying& keying, const handshake::EpochId& id) -> Result<void> {
    const auto self = weak.lock();
    if (!self) return fail("the agent has ended");
    return check_keying(self->group_, keying, id, self->context(KeyingSource::smke, keying.policy));
  };
  if (group_.uses_password()) {
    client->password = [weak]() -> Result<handshake::PasswordCredential> {
      const auto self = weak.lock();
      if (!self) return fail("the agent has ended");
      self->password_shown_ = true;
      return self->around_.passwords.credential(self->group_);
    };
  }
  return std::shared_ptr<const handshake::ClientConfig>(std::move(client));
}

void GroupMember::connect_later(milliseconds wait) {
  retry_->set(around_.world.now() + wait, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self && !self->link_) self->connect();
  });
}

void GroupMember::log_failure(const std::string& text) {
  if (const auto line = failures_.line(text, around_.world.now())) spdlog::warn("group \"{}\": {}", group_.id, *line);
}

void GroupMember::attempt_failed(std::string reason, const handshake::HandshakeError* cause) {
  ++status_.failures;
  const Attempts::Next next = attempts_.failed(password_shown_, cause, around_.world.random_bits());
  if (next.penalty && password_shown_)
    reason += fmt::format(
        "; the key server refuses user \"{}\": unknown, a wrong password ({}), tried too often, or no member of the "
        "group; its log says which",
        group_.user, place_of(*group_.password));
  else if (cause)
    reason += advice(*cause, around_.world.unix_now());
  log_failure(reason);
  if (next.penalty)
    reason += fmt::format("; next attempt in {} s", std::chrono::ceil<std::chrono::seconds>(next.wait).count());
  status_.why = std::move(reason);
  connect_later(next.wait);
}

// The channel was there and is no more. What is held stays in use until it expires or the lease ends (H10).
void GroupMember::lost(std::string reason, bool dismissed) {
  const auto lease_left =
      std::max(0s, std::chrono::duration_cast<std::chrono::seconds>(epochs_.lease_until() - around_.world.now()));
  log_failure(fmt::format("lost the key server: {}; connecting again", reason));
  if (group_.sends() && epochs_.active())
    spdlog::info("group \"{}\": sending goes on for {} s without a key server (authority lease)", group_.id,
                 lease_left.count());
  status_.state = MemberState::reconnecting;
  status_.why = std::move(reason);
  const bool held_long = around_.world.now() - joined_at_ >= steady_after;
  connect_later(attempts_.lost(dismissed, held_long, around_.world.random_bits()));
}

void GroupMember::on_end(LinkEnd&& end) {
  link_.reset();
  datagrams_.left();
  password_shown_ = end.password_shown;
  if (status_.state == MemberState::joined)
    lost(std::move(end.text), end.dismissed);
  else if (status_.state != MemberState::stopped && status_.state != MemberState::idle)
    attempt_failed(std::move(end.text), end.cause ? &*end.cause : nullptr);
}

}  // namespace sealcast::member
