// One group's membership: which key server is tried when, what is done with what it says, what it is told.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/member/attempts.h"
#include "controlplane/member/current_trust.h"
#include "controlplane/member/failure_log.h"
#include "controlplane/member/group_epochs.h"
#include "controlplane/member/keepalives.h"
#include "controlplane/member/link_pool.h"
#include "controlplane/member/member_passwords.h"
#include "controlplane/member/member_settings.h"
#include "controlplane/member/rekey_datagrams.h"
#include "controlplane/member/world.h"

namespace sealcast::member {

// The configured certificate with its private key.
Result<handshake::Credentials> load_identity(const config::MemberConfig& member);

// idle: joined on demand, and no host on red listens. expired: no new keys are given; those that are held stay in use.
enum class MemberState : std::uint8_t { joining, joined, reconnecting, revoked, expired, stopped, idle };
std::string_view name(MemberState state);

class GroupMember : public std::enable_shared_from_this<GroupMember> {
 public:
  struct Surroundings {
    const World& world;
    const MemberSettings& settings;
    DataPlaneControl& data_plane;
    EpochMemory& memory;
    const MemberPasswords& passwords;
    CurrentTrust& trust;
    LinkPool& links;
    // What the other groups of this agent hold with an SPI in first_spi .. last_spi.
    std::function<std::vector<LiveEpoch>(const GroupMember& but, std::uint32_t first_spi, std::uint32_t last_spi)>
        others_within;
  };
  GroupMember(Surroundings surroundings, const config::MemberGroup& group);

  void start();
  void stop();
  // On demand: nothing is connected before wanted(true); wanted(false) leaves the group and forgets its keys.
  void wait_until_wanted();
  void wanted(bool now_wanted);
  // Every AgentTiming::poll: deadlines and reports.
  void poll(SteadyTime now);
  void take(const DataPlaneEvents& events, SteadyTime now);
  std::uint32_t look_ahead(SteadyTime now, std::uint32_t budget) { return epochs_.look_ahead(now, budget); }
  // Outbound SAs are gone (H9): fetch new slots.
  void snapshot_resumed();

  struct Status {
    MemberState state = MemberState::joining;
    std::string why, keyserver, member_id;
    handshake::Role granted = handshake::receiver;
    std::uint64_t joins = 0, failures = 0, rekeys = 0;
    std::string alarm;         // why sending is going to stop; empty: it is not
    std::uint64_t alarms = 0;  // times it began
  };
  const Status& status() const { return status_; }
  const GroupEpochs& epochs() const { return epochs_; }
  const RekeyDatagrams& datagrams() const { return datagrams_; }
  const config::MemberGroup& group() const { return group_; }

 private:
  const AgentTiming& timing() const { return around_.settings.timing; }
  const config::HostPort& server() const { return group_.keyservers[attempts_.server()]; }
  KeyingContext context(KeyingSource source, const handshake::GroupPolicy& policy) const;

  void connect();
  Result<std::shared_ptr<const handshake::ClientConfig>> make_client();
  void connect_later(std::chrono::milliseconds wait);
  void attempt_failed(std::string reason, const handshake::HandshakeError* cause = nullptr);
  void lost(std::string reason, bool dismissed = false);
  void leave_link();
  void abandon_link();

  void on_joined(Joined&& joined);
  void on_message(handshake::ControlMessage&& message);
  void on_end(LinkEnd&& end);
  Result<void> handle(handshake::ControlMessage&& message);
  Result<void> handle_update(const handshake::GroupKeying& keying);
  Result<void> handle_activate(std::uint64_t epoch);
  Result<void> handle_grant(const handshake::SlotGrant& grant);
  Result<void> handle_keepalive(const handshake::Keepalive& keepalive);
  void handle_announce(const handshake::Announce& announce);
  void handle_datagram(const GroupDatagram& datagram, SteadyTime time);
  void turned_out(const std::string& words, bool expired);
  void watch_sending(SteadyTime time);
  void ask(SteadyTime time);
  Result<void> remember(std::uint64_t epoch, const handshake::EpochId& id);
  void ask_for_slots(std::uint64_t epoch, const GroupEpochs::Own& own);
  bool goes_on_under(const GroupEpochs::View& epoch) const;
  void report(std::uint64_t epoch);
  void log_failure(const std::string& text);

  Surroundings around_;
  const config::MemberGroup group_;  // its own: the agent's list changes at a reload
  GroupEpochs epochs_;
  RekeyDatagrams datagrams_;
  Status status_;
  std::shared_ptr<Link> link_;
  std::unique_ptr<Timer> retry_;
  Attempts attempts_;
  bool password_shown_ = false;  // in this attempt
  FailureLog failures_;
  Keepalives keepalives_;
  SteadyTime joined_at_{}, report_at_{};
  std::uint64_t judged_with_ = 0;  // CurrentTrust::version() that the key server was judged with last
};

}  // namespace sealcast::member
