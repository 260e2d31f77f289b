#include "controlplane/member/group_member.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <ctime>

namespace sealcast::member {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr milliseconds steady_after{5000};  // a channel that held this long counts as good: back-off begins anew
constexpr milliseconds longest_silence{35000};
constexpr milliseconds longest_silence_of_several{12000};  // where another key server can be asked
constexpr std::size_t max_asked = 16;                      // keepalives whose answer is awaited

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

std::uint64_t random_bits() {
  std::array<std::uint8_t, 8> bytes{};
  handshake::system_random().fill(bytes);
  return load_be<std::uint64_t>(bytes.data());
}

// What to do about it, for the failures an operator can mend.
std::string advice(const handshake::HandshakeError& cause) {
  using handshake::Reason;
  struct Entry {
    Reason what;
    const char* then;
  };
  static constexpr const char* carriage =
      "; does carriage fit the port? keyservers names listen for \"tls\", listen_isakmp for \"isakmp\"";
  static constexpr Entry entries[] = {
      {Reason::flag_missing, "; have variant, flag and auth the same values at both ends?"},
      {Reason::group_suite_not_offered, "; has suite the same value at both ends?"},
      {Reason::wrong_second_ccs, "; has second_ccs the same value at both ends?"},
      {Reason::own_certificate_missing, "; variant 1 needs an RSA certificate: sealcast pki member NAME --rsa"},
      {Reason::own_password_missing, "; nothing was sent"},
      {Reason::key_material_refused, "; was the key server given another member's certificate, or tampered with?"},
      {Reason::certificate_wrong_name, "; is keyserver_name the name in the key server's certificate?"},
      {Reason::certificate_unknown_ca, "; do this gateway and the key server use the same CA (ca)?"},
      {Reason::certificate_expired, "; make new certificates: sealcast pki"},
      {Reason::certificate_not_yet_valid, "; are both clocks right?"},
      {Reason::revocation_unknown, "; sign the revocation list anew: sealcast pki crl"},
      {Reason::standard_server_refused, "; this is not a Sealcast key server"},
      {Reason::wrong_carriage, carriage},
      {Reason::not_tls, "; this is not a Sealcast key server"},
  };
  // What listen_isakmp answers to TLS.
  if (cause.from_peer && cause.alert == handshake::Alert::unexpected_message) return carriage;
  for (const Entry& entry : entries)
    if (cause.reason == entry.what) return entry.then;
  return "";
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
    case MemberState::stopped:
      return "stopped";
    case MemberState::idle:
      return "idle";
  }
  return "?";
}

Result<Credentials> load_credentials(const config::MemberConfig& member, bool with_identity) {
  Result<std::string> chain;
  Result<SecretBytes> key;
  if (with_identity) chain = config::read_pem(member.certificate, "certificate");
  if (!chain) return tl::unexpected(chain.error());
  if (with_identity) key = config::read_private_key(member.private_key);
  if (!key) return tl::unexpected(key.error());
  const auto ca = config::read_pem(member.ca, "ca");
  if (!ca) return tl::unexpected(ca.error());
  Result<std::string> crl;
  if (member.crl) crl = config::read_pem(*member.crl, "crl");
  if (!crl) return tl::unexpected(crl.error());
  Credentials out;
  if (with_identity) {
    auto identity = handshake::Credentials::from_pem(*chain, {reinterpret_cast<const char*>(key->data()), key->size()});
    if (!identity) return fail(member.certificate + ", " + member.private_key + ": " + identity.error().message);
    out.identity = std::move(*identity);
  }
  auto trust = handshake::TrustStore::from_pem(*ca, *crl);
  if (!trust) return fail(member.ca + (member.crl ? ", " + *member.crl : "") + ": " + trust.error().message);
  out.trust = std::move(*trust);
  return out;
}

GroupMember::GroupMember(Surroundings surroundings, const config::MemberGroup& group)
    : around_(std::move(surroundings)),
      group_(group),
      epochs_(group, around_.data_plane),
      datagrams_(group),
      retry_(around_.io),
      backoff_(timing().backoff_first, timing().backoff_max),
      password_penalty_(timing().refused_password, timing().refused_password_max),
      key_penalty_(timing().refused_key, timing().refused_key_max),
      failures_(timing().repeat_log) {}

void GroupMember::start() {
  connect();
}

void GroupMember::stop() {
  if (status_.state == MemberState::stopped) return;
  retry_.cancel();
  if (link_ && status_.state == MemberState::joined) link_->send(handshake::Leave{group_.id});
  status_.state = MemberState::stopped;
  status_.why.clear();
  leave_link();
}

void GroupMember::wait_until_wanted() {
  status_.state = MemberState::idle;
  status_.why = "nobody on red listens";
}

void GroupMember::wanted(bool now_wanted) {
  if (status_.state == MemberState::stopped || now_wanted == (status_.state != MemberState::idle)) return;
  if (now_wanted) {
    spdlog::info("group \"{}\": somebody on red listens; joining", group_.id);
    status_.state = MemberState::joining;
    status_.why.clear();
    connect();
    return;
  }
  spdlog::info("group \"{}\": nobody on red listens any more; leaving", group_.id);
  retry_.cancel();
  if (link_ && status_.state == MemberState::joined) link_->send(handshake::Leave{group_.id});
  leave_link();
  epochs_.retire_all();
  wait_until_wanted();
}

void GroupMember::leave_link() {
  datagrams_.left();
  if (const auto link = std::exchange(link_, nullptr)) link->close();
}

// ---------------------------------------------------------------- connecting

KeyingContext GroupMember::context(KeyingSource source) const {
  return {source, around_.memory.find(group_.keyserver_name, group_.keyserver_id, group_.id), around_.live_epochs()};
}

void GroupMember::connect() {
  if (status_.state == MemberState::stopped || status_.state == MemberState::idle) return;
  password_shown_ = false;
  auto credentials = load_credentials(around_.settings.member, group_.uses_certificate());
  if (!credentials) {
    attempt_failed(credentials.error().message);
    return;
  }
  const auto weak = weak_from_this();
  auto client = std::make_shared<handshake::ClientConfig>();
  client->credentials = std::move(credentials->identity);
  client->server_trust = std::move(credentials->trust);
  client->server_name = group_.keyserver_name;
  client->multicast_flag = around_.settings.member.multicast_flag;
  handshake::MulticastWish wish;
  wish.group_id = group_.id;
  wish.key_server_id = group_.keyserver_id;
  wish.flow = group_.flow;
  client->multicast = std::move(wish);
  client->accept_keying = [weak](const handshake::GroupKeying& keying, const handshake::EpochId& id) -> Result<void> {
    const auto self = weak.lock();
    if (!self) return fail("the agent has ended");
    return check_keying(self->group_, keying, id, self->context(KeyingSource::smke));
  };
  if (group_.uses_password()) {
    client->password = [weak]() -> Result<handshake::PasswordCredential> {
      const auto self = weak.lock();
      if (!self) return fail("the agent has ended");
      self->password_shown_ = true;
      return self->around_.passwords.credential(self->group_);
    };
  }
  Link::Callbacks callbacks;
  callbacks.on_established = [weak](handshake::Established&& established) {
    if (const auto self = weak.lock()) self->on_established(std::move(established));
  };
  callbacks.on_message = [weak](handshake::ControlMessage&& message) {
    if (const auto self = weak.lock()) self->on_message(std::move(message));
  };
  callbacks.on_end = [weak](LinkEnd&& end) {
    if (const auto self = weak.lock()) self->on_end(std::move(end));
  };
  LinkSettings settings;
  settings.server = server();
  settings.carriage = group_.carriage;
  settings.local_address = around_.settings.member.local_address;
  settings.client = std::move(client);
  settings.connect_timeout = timing().connect_timeout;
  settings.handshake_timeout = timing().handshake_timeout;
  link_ = Link::open(around_.io, std::move(settings), std::move(callbacks));
}

void GroupMember::connect_later(milliseconds wait) {
  retry_.expires_after(wait);
  retry_.async_wait([weak = weak_from_this()](const asio::error_code& error) {
    const auto self = weak.lock();
    if (!error && self && !self->link_) self->connect();
  });
}

void GroupMember::log_failure(const std::string& text) {
  if (const auto line = failures_.line(text, now())) spdlog::warn("group \"{}\": {}", group_.id, *line);
}

// An attempt came to nothing: the next server of the list at once, a wait before the list begins anew.
void GroupMember::attempt_failed(std::string reason, const handshake::HandshakeError* cause) {
  ++status_.failures;
  const auto longer = cause ? penalty(*cause) : std::nullopt;
  if (longer && password_shown_)
    reason += fmt::format(
        "; the key server refuses user \"{}\": unknown, a wrong password ({}), tried too often, or no member of the "
        "group; its log says which",
        group_.user, place_of(*group_.password));
  else if (cause)
    reason += advice(*cause);
  log_failure(reason);
  if (longer) reason += fmt::format("; next attempt in {} s", std::chrono::ceil<std::chrono::seconds>(*longer).count());
  status_.why = std::move(reason);
  server_ = (server_ + 1) % group_.keyservers.size();
  if (longer)
    connect_later(*longer);
  else
    connect_later(server_ == 0 ? backoff_.next(random_bits()) : 0ms);
}

// For what must not be repeated soon, at this key server or another: a refused password counts against the user's
// allowance (H7), and refused key material must not be asked for again and again (H6).
std::optional<milliseconds> GroupMember::penalty(const handshake::HandshakeError& cause) {
  if (password_shown_ && cause.from_peer && cause.alert == handshake::Alert::access_denied)
    return password_penalty_.next(random_bits());
  if (cause.reason == handshake::Reason::key_material_refused) return key_penalty_.next(random_bits());
  return std::nullopt;
}

// The channel was there and is no more. What is held stays in use until it expires or the lease ends (H10).
void GroupMember::lost(std::string reason) {
  if (now() - joined_at_ >= steady_after) backoff_.reset();
  const auto lease_left = std::max(0s, std::chrono::duration_cast<std::chrono::seconds>(epochs_.lease_until() - now()));
  log_failure(fmt::format("lost the key server: {}; connecting again", reason));
  if (group_.sends() && epochs_.active())
    spdlog::info("group \"{}\": sending goes on for {} s without a key server (authority lease)", group_.id,
                 lease_left.count());
  status_.state = MemberState::reconnecting;
  status_.why = std::move(reason);
  server_ = (server_ + 1) % group_.keyservers.size();  // this one may be silent for long
  connect_later(backoff_.next(random_bits()));
}

void GroupMember::on_end(LinkEnd&& end) {
  link_.reset();
  datagrams_.left();
  if (status_.state == MemberState::joined)
    lost(std::move(end.text));
  else if (status_.state != MemberState::stopped && status_.state != MemberState::idle)
    attempt_failed(std::move(end.text), end.cause ? &*end.cause : nullptr);
}

// ---------------------------------------------------------------- what the key server says

void GroupMember::on_established(handshake::Established&& established) {
  const auto refuse = [this](const std::string& reason) {
    leave_link();
    attempt_failed(server().text() + ": " + reason);
  };
  if (!established.keying || !established.group_master) {  // cannot be: H4
    refuse("the handshake ended without keying");
    return;
  }
  const handshake::GroupKeying& keying = *established.keying;
  const auto id = handshake::derive_epoch_id(keying.policy.cipher_suite, *established.group_master);
  // Checked before the closing Finished; what other groups hold may have changed since.
  if (const auto good = check_keying(group_, keying, id, context(KeyingSource::smke)); !good) {
    refuse(good.error().message);
    return;
  }
  if (const auto kept = remember(keying.epoch, id); !kept) {
    refuse(kept.error().message);
    return;
  }
  const auto time = now();
  // Its Finished covers our random: the key server was there after we drew it, how long ago that ever is.
  proven(link_->greeted());
  const auto own = epochs_.apply(keying, *established.group_master, id, time);
  if (!own) {
    refuse(own.error().message);
    return;
  }
  const bool again = status_.joins > 0;
  status_.state = MemberState::joined;
  status_.why.clear();
  status_.keyserver = server().text();
  status_.member_id = keying.assignment.member_id;
  status_.granted = keying.assignment.roles;
  ++status_.joins;
  joined_at_ = time;
  keepalive_at_ = time;
  keepalives_ = 0;
  datagrams_.joined(std::move(established.peer.leaf_der));
  asked_.clear();
  report_at_ = time + timing().status_report;
  failures_.clear();
  password_penalty_.reset();
  key_penalty_.reset();
  spdlog::info("group \"{}\": {} at {} ({}, carriage {}): epoch {} ({}), id {}, {} s left, {} slot(s) of our own",
               group_.id, again ? "joined again" : "joined", server().text(), keying.key_server_id,
               config::name(group_.carriage), keying.epoch,
               keying.state == handshake::EpochState::active ? "active" : "pending", to_hex(id),
               keying.remaining_ms / 1000, own->slots);
  if (group_.sends() && (keying.assignment.roles & handshake::sender) == 0) {
    status_.why = "the key server does not let this member send (senders)";
    spdlog::warn("group \"{}\": {}; what red sends to it is dropped", group_.id, status_.why);
  }
  ask_for_slots(keying.epoch, *own);
  // A key server that restarted does not know the epoch we go on with; told of it, it waits longer for our receivers.
  if (const auto running = epochs_.active(); running && running->epoch < keying.epoch) report(running->epoch);
}

void GroupMember::ask_for_slots(std::uint64_t epoch, const GroupEpochs::Own& own) {
  if (own.wanted == 0 || !link_) return;
  const auto count = static_cast<std::uint16_t>(std::min<std::uint32_t>(own.wanted, 0xffff));
  link_->send(handshake::SlotRequest{group_.id, epoch, count});
}

Result<void> GroupMember::remember(std::uint64_t epoch, const handshake::EpochId& id) {
  return around_.memory.remember(group_.keyserver_name, group_.keyserver_id, group_.id, {epoch, id});
}

void GroupMember::on_message(handshake::ControlMessage&& message) {
  const auto link = link_;  // a handler may leave it
  const auto done = handle(std::move(message));
  if (done || link_ != link) return;
  leave_link();
  lost(server().text() + ": refused what it said: " + done.error().message);
}

Result<void> GroupMember::handle(handshake::ControlMessage&& message) {
  const auto ours = [this](const std::string& group_id) -> Result<void> {
    if (group_id == group_.id) return {};
    return fail(fmt::format("expected a message for the group \"{}\", got one for \"{}\"", group_.id, group_id));
  };
  if (const auto* update = std::get_if<handshake::GroupUpdate>(&message)) return handle_update(update->keying);
  if (const auto* activate = std::get_if<handshake::Activate>(&message))
    return ours(activate->group_id).and_then([&] { return handle_activate(activate->epoch); });
  if (const auto* retire = std::get_if<handshake::Retire>(&message))
    return ours(retire->group_id).and_then([&] { return epochs_.retire(retire->epoch); });
  if (const auto* grant = std::get_if<handshake::SlotGrant>(&message))
    return ours(grant->group_id).and_then([&] { return handle_grant(*grant); });
  if (const auto* revoked = std::get_if<handshake::Revoked>(&message)) {
    if (const auto good = ours(revoked->group_id); !good) return good;
    handle_revoked(revoked->reason);
    return {};
  }
  if (const auto* keepalive = std::get_if<handshake::Keepalive>(&message)) return handle_keepalive(keepalive->sequence);
  if (auto* path = std::get_if<handshake::KeyPath>(&message))
    return ours(path->group_id).map([&] { datagrams_.set_path(std::move(path->path)); });
  if (const auto* announce = std::get_if<handshake::Announce>(&message))
    return ours(announce->group_id).map([&] { handle_announce(*announce); });
  return fail("a message that only members send");
}

Result<void> GroupMember::handle_update(const handshake::GroupKeying& keying) {
  const auto master = handshake::derive_group_master(keying.policy.cipher_suite, keying.premaster);
  const auto id = handshake::derive_epoch_id(keying.policy.cipher_suite, master);
  if (const auto good = check_keying(group_, keying, id, context(KeyingSource::group_update)); !good) return good;
  if (keying.state == handshake::EpochState::active) {
    if (const auto kept = remember(keying.epoch, id); !kept) return kept;
  }
  const auto own = epochs_.apply(keying, master, id, now());
  if (!own) return tl::unexpected(own.error());
  spdlog::info("group \"{}\": next epoch {}, id {}, {} slot(s) of our own", group_.id, keying.epoch, to_hex(id),
               own->slots);
  if (link_) link_->send(handshake::GroupUpdateAck{group_.id, keying.epoch});
  ask_for_slots(keying.epoch, *own);
  return {};
}

Result<void> GroupMember::handle_activate(std::uint64_t epoch) {
  // Remembered before it is used: after a crash no older one is accepted (H5).
  const auto live = epochs_.live();
  const auto held =
      std::find_if(live.begin(), live.end(), [&](const LiveEpoch& candidate) { return candidate.epoch == epoch; });
  if (held == live.end()) return fail(fmt::format("Activate: epoch {} is not held", epoch));
  if (const auto kept = remember(epoch, held->epoch_id); !kept) return kept;
  const auto switched = epochs_.activate(epoch, now());
  if (!switched) return tl::unexpected(switched.error());
  if (*switched) {
    ++status_.rekeys;
    spdlog::info("group \"{}\": epoch {} is active", group_.id, epoch);
  }
  if (link_) link_->send(handshake::ActivateAck{group_.id, epoch});
  return {};
}

Result<void> GroupMember::handle_grant(const handshake::SlotGrant& grant) {
  if (!epochs_.holds(grant.epoch)) return {};  // retired while the answer was under way
  if (grant.count < around_.data_plane.workers()) {
    log_failure(fmt::format(
        "the key server grants {} of {} slots (slots_per_member): new ones are used only if every worker gets one",
        grant.count, around_.data_plane.workers()));
  }
  const auto own = epochs_.grant(grant.epoch, grant.first_slot, grant.count, now());
  if (!own) return tl::unexpected(own.error());
  return {};
}

// The lease runs from the moment we asked, not from that at which the answer came: who holds answers back gains nothing
// (LEASE-1).
Result<void> GroupMember::handle_keepalive(std::uint64_t sequence) {
  if (sequence > keepalives_)
    return fail(fmt::format("Keepalive: it answers number {}, sent were {}", sequence, keepalives_));
  while (!asked_.empty() && asked_.front().sequence <= sequence) {
    proven(asked_.front().at);
    asked_.pop_front();
  }
  return {};
}

void GroupMember::proven(SteadyTime asked) {
  proven_at_ = std::max(proven_at_, asked);
  epochs_.proven(proven_at_);
}

// It is lost like any packet where this gateway can't send it: whom it does not reach is told in another way.
void GroupMember::handle_announce(const handshake::Announce& announce) {
  if (!group_.sends()) return;
  if (const auto sent = around_.data_plane.send_sealed(group_.id, announce.packet); !sent)
    log_failure("the key server's rekey datagram was not sent on: " + sent.error().message);
}

void GroupMember::handle_datagram(const GroupDatagram& datagram, SteadyTime time) {
  if (!link_ || status_.state != MemberState::joined) return;
  const auto views = epochs_.views();  // highest first
  const auto policy = views.empty() ? std::nullopt : epochs_.policy(views.front().epoch);
  if (!policy) return;
  const auto keying =
      datagrams_.take(datagram, {views.front().epoch, *policy, status_.member_id}, std::time(nullptr), time);
  if (!keying) return;
  if (const auto done = handle_update(*keying); !done) {
    leave_link();
    lost(server().text() + ": refused its rekey datagram: " + done.error().message);
  }
}

void GroupMember::handle_revoked(const std::string& words) {
  std::string reason = words.empty() ? "no reason given" : words;
  std::replace_if(  // it goes into the log
      reason.begin(), reason.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  spdlog::error("group \"{}\": this member was revoked by {}: {}; its keys are wiped", group_.id, server().text(),
                reason);
  epochs_.retire_all();
  leave_link();
  status_.state = MemberState::revoked;
  status_.why = "revoked: " + reason;
  connect_later(timing().backoff_max);  // it may be admitted again one day
}

// ---------------------------------------------------------------- time

void GroupMember::poll(SteadyTime time) {
  if (status_.state == MemberState::stopped) return;
  if (epochs_.expire(time)) {
    log_failure("the epoch expired before the key server made a new one; nothing is sent or received until it does");
    if (status_.state == MemberState::joined) {
      leave_link();
      lost("the epoch expired without a successor");
    }
  }
  if (status_.state != MemberState::joined) return;
  const auto lease = std::chrono::duration_cast<milliseconds>(epochs_.lease());
  // A handshake may take longer than a short lease; whoever has just joined is first asked.
  const auto silent = time - std::max(proven_at_, joined_at_);
  const auto patience = group_.keyservers.size() > 1 ? longest_silence_of_several : longest_silence;
  if (silent > std::min(lease * 3 / 4, patience)) {
    leave_link();
    lost(fmt::format("{}: no answer to anything asked in the last {} ms", server().text(),
                     std::chrono::duration_cast<milliseconds>(silent).count()));
    return;
  }
  if (time >= keepalive_at_) {
    keepalive_at_ = time + std::min(timing().keepalive, lease / 3);
    ask(time);
  }
  if (status_.state == MemberState::joined && time >= report_at_) {
    report_at_ = time + timing().status_report;
    if (const auto active = epochs_.active()) report(active->epoch);
  }
}

void GroupMember::ask(SteadyTime time) {
  if (!link_) return;
  // What is dropped is older than what is kept; its answer proves less.
  if (asked_.size() == max_asked) asked_.pop_front();
  asked_.push_back({++keepalives_, time});
  link_->send(handshake::Keepalive{keepalives_});
}

void GroupMember::report(std::uint64_t epoch) {
  if (!link_) return;
  handshake::StatusReport out;
  out.group_id = group_.id;
  out.epoch = epoch;
  for (const SaStatistics& sa : around_.data_plane.statistics_of_group(group_.id)) {
    if (sa.epoch != epoch) continue;
    if (sa.outbound) {
      out.sealed += sa.packets;
      out.own_slots.push_back({sa.spi, sa.next_number});
    } else {
      out.opened += sa.packets;
      out.dropped += sa.replays + sa.bad_tags;
    }
  }
  link_->send(out);
}

void GroupMember::take(const DataPlaneEvents& events, SteadyTime time) {
  epochs_.slots_wanted(events.slots_wanted, time);
  for (const GroupDatagram& datagram : events.datagrams)
    if (datagram.group_id == group_.id) handle_datagram(datagram, time);
  for (const CounterLimit& limit : events.counter_limits) {
    if (limit.group_id != group_.id) continue;
    spdlog::warn("group \"{}\": SPI 0x{:08x} of epoch {} is near its volume limit; asking for a rekey", group_.id,
                 limit.spi, limit.epoch);
    if (status_.state == MemberState::joined) report(limit.epoch);
  }
}

void GroupMember::snapshot_resumed() {
  epochs_.forget_own_slots();
  if (!group_.sends() || !link_) return;
  // A handshake under way may hold slots that a twin of this machine holds, too.
  leave_link();
  lost("this machine was resumed: new slots are needed");
}

}  // namespace sealcast::member
