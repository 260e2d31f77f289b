#include "bench/member_load/crowd.h"

#include <unistd.h>

#include <algorithm>
#include <asio/post.hpp>
#include <atomic>
#include <ctime>
#include <fstream>
#include <iterator>

#include "bench/member_load/slurp.h"
#include "controlplane/admin/admin_client.h"
#include "controlplane/pki/certificates.h"

namespace sealcast::load {
namespace {

using namespace std::chrono_literals;

double ms(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

Result<asio::ip::tcp::endpoint> place_of(const std::string& text) {
  const auto colon = text.rfind(':');
  asio::error_code error;
  const auto address = asio::ip::make_address(text.substr(0, colon), error);
  const int port = colon == std::string::npos ? 0 : std::atoi(text.c_str() + colon + 1);
  if (error || port < 1 || port > 65535) return fail("expected --server as IPv4:port, got " + text);
  return asio::ip::tcp::endpoint(address, static_cast<std::uint16_t>(port));
}

}  // namespace

Crowd::Crowd(asio::io_context& io, const Options& options, OwnServer* own)
    : io_(io),
      options_(options),
      own_(own),
      around_{io,
              {},
              std::chrono::milliseconds(static_cast<std::int64_t>(options.every_s * 1000)),
              *this,
              std::mt19937_64(options.seed),
              {}} {
  summary_.members = options.members;
  summary_.senders = options.senders;
  summary_.groups = options.groups;
  summary_.connections = connections_of(options);
}

Crowd::~Crowd() {
  for (const auto& member : members_)
    member->stop();
  if (asking_.joinable()) asking_.join();
  io_.poll();
}

Result<void> Crowd::prepare() {
  const std::string folder = own_ ? own_->folder() + "/pki" : options_.pki;
  const std::string ca = slurp(folder + "/ca.pem"), key = slurp(folder + "/ca.key");
  const auto authority = pki::Authority::load(ca, as_bytes(key));
  if (!authority) return fail("the CA in " + folder + ": " + authority.error().message);
  SEALCAST_TRY_ASSIGN(auto trust, handshake::TrustStore::from_pem(ca, ""));
  if (own_) {
    around_.server = {asio::ip::address_v4::loopback(), own_->port()};
  } else {
    SEALCAST_TRY_ASSIGN(around_.server, place_of(*options_.server));
  }
  // The groups that each connection of a member serves.
  std::vector<std::shared_ptr<const std::vector<std::string>>> shares;
  if (options_.apart)
    for (const std::string& group : group_names(options_))
      shares.push_back(std::make_shared<const std::vector<std::string>>(1, group));
  else
    shares.push_back(std::make_shared<const std::vector<std::string>>(group_names(options_)));
  const std::int64_t now = std::time(nullptr);
  for (std::uint32_t i = 0; i < options_.members; ++i) {
    pki::MemberRequest request;
    request.name = "load-" + std::to_string(i);
    if (options_.groups == 1)
      request.groups = {options_.group};  // else empty, for any group: a list of thousands is no use
    request.validity = {now - 60, now + 24 * 3600};
    SEALCAST_TRY_ASSIGN(const auto identity, authority->issue(request));
    const auto pem = identity.private_key_pem.view();
    const void* text = pem.data();
    SEALCAST_TRY_ASSIGN(auto credentials, handshake::Credentials::from_pem(
                                              identity.certificate_pem, {static_cast<const char*>(text), pem.size()}));
    for (const auto& share : shares) {
      auto config = std::make_shared<handshake::ClientConfig>();
      config->credentials = credentials;
      config->server_trust = trust;
      config->server_name = options_.server_name;
      config->multicast = handshake::MulticastWish{share->front(), options_.server_id};
      config->accept_keying = [](const handshake::GroupKeying&, const handshake::EpochId&) { return Result<void>{}; };
      members_.push_back(std::make_shared<LoadMember>(around_, std::move(config), share));
    }
  }
  return {};
}

ProcessUse Crowd::server_use() const {
  return use_of(own_ ? own_->pid() : options_.pid);
}

bool Crowd::run_until(const std::function<bool()>& done) {
  const auto end = Clock::now() + std::chrono::duration<double>(options_.patience_s);
  while (!done()) {
    if (Clock::now() > end) return false;
    io_.restart();
    io_.run_one_for(100ms);
    io_.poll();
  }
  return true;
}

// ---------------------------------------------------------------- joining

void Crowd::connect_more() {
  while (next_ < members_.size() && under_way_ < options_.concurrent) {
    ++under_way_;
    members_[next_++]->connect();
  }
}

Result<void> Crowd::join_all() {
  const ProcessUse before = server_use(), own_before = use_of(::getpid());
  summary_.resident_before = before.resident_bytes;
  joining_ = &summary_.joining;
  joining_->members = options_.members * options_.groups;
  const auto begin = Clock::now();
  connect_more();
  const bool all = run_until([this] { return complete(); });
  joining_->seconds = ms(Clock::now() - begin) / 1000;
  const ProcessUse after = server_use();
  joining_->server_cpu_s = after.cpu_s - before.cpu_s;
  joining_->handshake = spread_of(std::exchange(handshakes_, {}));
  summary_.members_cpu_s = use_of(::getpid()).cpu_s - own_before.cpu_s;
  summary_.bytes_to_members = around_.received;
  summary_.bytes_from_members = around_.sent;
  summary_.resident_after = after.resident_bytes;
  joining_ = nullptr;
  first_time_ = false;
  if (!all)
    return fail("only " + std::to_string(joined_) + " of " + std::to_string(members_.size()) + " joined in time");
  return {};
}

void Crowd::joined(LoadMember&, Clock::duration took) {
  ++joined_;
  if (joining_) handshakes_.push_back(ms(took));
  if (!first_time_) return;
  --under_way_;
  connect_more();
}

void Crowd::lost(LoadMember& member, const std::string& why) {
  --joined_;
  note("lost: " + why);
  member.connect_with_jitter();
}

void Crowd::failed(LoadMember& member, const std::string& why) {
  note(why);
  if (joining_) ++joining_->failures;
  member.connect_with_jitter();
}

// ---------------------------------------------------------------- rekeys

void Crowd::ask_for_rekey() {
  expected_above_ = 0;
  for (const auto& member : members_)
    if (member->first_group() == options_.group) expected_above_ = std::max(expected_above_, member->epoch());
  rekey_epoch_ = 0;
  staying_ = static_cast<std::size_t>(std::count_if(
      members_.begin(), members_.end(), [this](const auto& member) { return follows(*member) && member->joined(); }));
  acknowledged_.clear();
  activated_.clear();
  answered_ = false;
  if (asking_.joinable()) asking_.join();
  asked_ = Clock::now();
  // A thread of its own: while the key server hands over, this one has members to serve.
  asking_ = std::thread([this, socket = own_ ? own_->admin_socket() : options_.admin_socket] {
    auto answer = admin::ask(socket, R"({"command":"rekey","group":")" + options_.group + "\"}", 30s);
    asio::post(io_, [this, text = answer ? *answer : answer.error().message] {
      answer_ = text;
      answered_ = true;
    });
  });
}

void Crowd::acknowledged(LoadMember& member, std::uint64_t epoch) {
  if (!follows(member) || epoch <= expected_above_) return;
  rekey_epoch_ = epoch;
  acknowledged_.push_back(ms(Clock::now() - asked_));
}

void Crowd::activated(LoadMember& member, std::uint64_t epoch) {
  if (epoch == rekey_epoch_ && epoch != 0 && follows(member)) activated_.push_back(ms(Clock::now() - asked_));
}

Result<void> Crowd::rekey() {
  if (!own_ && options_.admin_socket.empty()) return {};
  const ProcessUse before = server_use();
  ask_for_rekey();
  const bool all = run_until(
      [this] { return activated_.size() >= staying_ || (answered_ && answer_.find("\"ok\"") == std::string::npos); });
  run_until([this] { return answered_; });
  if (answer_.find("\"ok\"") == std::string::npos) return fail("the key server does not rekey: " + answer_);
  const auto settled = Clock::now() + 300ms;  // the last acknowledgements are work for the key server, too
  run_until([&] { return Clock::now() > settled; });
  Rekeying found;
  found.epoch = rekey_epoch_;
  found.server_cpu_ms = (server_use().cpu_s - before.cpu_s) * 1000;
  found.acknowledged = spread_of(acknowledged_);
  found.all_active_ms = spread_of(activated_).max;
  summary_.rekeys.push_back(found);
  const auto retired = Clock::now() + 1500ms;  // the old epoch goes away
  run_until([&] { return Clock::now() > retired; });
  if (!all) return fail("only " + std::to_string(activated_.size()) + " members switched in time");
  return {};
}

// ---------------------------------------------------------------- steady state

void Crowd::churn_one() {
  const auto& member = members_[around_.random() % members_.size()];
  if (!member->joined()) return;
  --joined_;
  if (around_.random() % 2 == 0) {
    ++summary_.holding.left;
    member->leave();
  } else {
    ++summary_.holding.crashed;
    member->crash();
  }
  member->connect_after(std::chrono::milliseconds(around_.random() % 500));
}

void Crowd::hold() {
  if (options_.hold_s <= 0) return;
  const ProcessUse before = server_use();
  const std::uint64_t bytes_before = around_.received + around_.sent;
  const auto begin = Clock::now();
  double due = 0;
  run_until([&] {
    const double passed = ms(Clock::now() - begin) / 1000;
    for (; due < passed * options_.churn; ++due)
      churn_one();
    return passed >= options_.hold_s;
  });
  summary_.holding.seconds = ms(Clock::now() - begin) / 1000;
  summary_.holding.server_cpu_percent = (server_use().cpu_s - before.cpu_s) / summary_.holding.seconds * 100;
  summary_.holding.bytes = around_.received + around_.sent - bytes_before;
  run_until([this] { return complete(); });
}

// ---------------------------------------------------------------- surge and storm

Result<void> Crowd::surge() {
  summary_.surged = true;
  joining_ = &summary_.surge;
  joining_->members = static_cast<std::uint32_t>(members_.size() / 2) * groups_each();
  const ProcessUse before = server_use();
  const auto begin = Clock::now();
  for (std::size_t i = 0; i < members_.size() / 2; ++i) {
    LoadMember& member = *members_[members_.size() - 1 - i];
    if (!member.joined()) continue;
    member.stays = false;
    --joined_;
    member.crash();
    member.connect_with_jitter();
  }
  run_until([&] { return Clock::now() > begin + 500ms; });
  ask_for_rekey();
  bool all = run_until([this] { return complete(); });
  joining_->seconds = ms(Clock::now() - begin) / 1000;
  all = run_until([this] { return activated_.size() >= staying_; }) && all;
  joining_->server_cpu_s = server_use().cpu_s - before.cpu_s;
  joining_->handshake = spread_of(std::exchange(handshakes_, {}));
  summary_.surge_rekey = {rekey_epoch_, spread_of(acknowledged_), spread_of(activated_).max, 0};
  joining_ = nullptr;
  for (const auto& member : members_)
    member->stays = true;
  if (!all)
    return fail("in the surge only " + std::to_string(joined_) + " members were joined, " +
                std::to_string(activated_.size()) + " of " + std::to_string(staying_) + " rekeyed in time");
  // Had the acknowledgements come later, senders would have switched without them.
  if (options_.check && own_ && summary_.surge_rekey.acknowledged.max > ms(OwnServer::activation_delay))
    return fail("in the surge the slowest of the others acknowledged the rekey after activation_delay");
  return {};
}

Result<void> Crowd::storm() {
  if (!own_) return fail("--storm kills only a key server that member_load started itself");
  summary_.stormed = true;
  joining_ = &summary_.storm;
  joining_->members = options_.members * options_.groups;
  const auto down = Clock::now();
  own_->kill();
  // The members notice, and try in vain.
  run_until([&] { return Clock::now() > down + 500ms; });
  Result<void> up;
  std::atomic<bool> is_up = false;
  std::thread starting([&] {
    up = own_->restart();
    is_up = true;
  });
  run_until([&] { return is_up.load(); });
  starting.join();
  SEALCAST_TRY(up);
  const auto begin = Clock::now();
  summary_.down_ms = ms(begin - down);
  const bool all = run_until([this] { return complete(); });
  joining_->seconds = ms(Clock::now() - begin) / 1000;
  summary_.storm.server_cpu_s = server_use().cpu_s;
  joining_->handshake = spread_of(std::exchange(handshakes_, {}));
  joining_ = nullptr;
  if (!all) return fail("only " + std::to_string(joined_) + " members came back in time");
  return {};
}

}  // namespace sealcast::load
