// One simulated member: a TCP connection, the handshake library's client end, and a gateway's messages on its control
// channel, for all groups of that connection. It takes every epoch and installs none.
#pragma once

#include <array>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "controlplane/member/backoff.h"
#include "handshake/endpoint.h"

namespace sealcast::load {

using Clock = std::chrono::steady_clock;

class LoadMember;

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void joined(LoadMember& member, Clock::duration took) = 0;    // all its groups
  virtual void lost(LoadMember& member, const std::string& why) = 0;    // was joined
  virtual void failed(LoadMember& member, const std::string& why) = 0;  // was joining
  // For its first group:
  virtual void acknowledged(LoadMember& member, std::uint64_t epoch) = 0;
  virtual void activated(LoadMember& member, std::uint64_t epoch) = 0;
};

// What all members share.
struct Surroundings {
  asio::io_context& io;
  asio::ip::tcp::endpoint server;
  std::chrono::milliseconds every;  // keepalives; status reports
  Observer& observer;
  std::mt19937_64 random;
  std::array<std::uint8_t, 16384> scratch;  // shared: one read is under way at a time
  std::uint64_t received = 0, sent = 0;     // bytes of all TCP streams
};

class LoadMember : public std::enable_shared_from_this<LoadMember> {
 public:
  // groups: of this connection; the first is joined by the handshake, the others by GroupJoin.
  LoadMember(Surroundings& around, std::shared_ptr<const handshake::ClientConfig> config,
             std::shared_ptr<const std::vector<std::string>> groups);

  void connect();
  void leave();  // sends a goodbye, and closes
  void crash();  // closes without a goodbye
  void connect_after(std::chrono::milliseconds wait);
  void connect_with_jitter() { connect_after(backoff_.next(around_.random())); }
  void stop();  // for good
  bool joined() const { return joined_; }
  const std::string& first_group() const { return groups_->front(); }
  bool stays = true;  // in a surge: it stays connected, and its rekey is measured
  // The latest epoch of its first group: acknowledged, or received when it joined.
  std::uint64_t epoch() const { return first_epoch_; }

 private:
  void wait_readable();
  void readable();
  void take_events();
  void handle(handshake::ControlMessage& message);
  // Takes an epoch of a group; false: the member was not in that group yet.
  bool take(const handshake::GroupKeying& keying);
  void ask_more();
  void send(const handshake::ControlMessage& message);
  void flush();
  void write();
  void give_up_after(std::chrono::milliseconds wait, const char* why);
  void wait_for_tick();
  void tick();
  void over(const std::string& why);
  void close();

  Surroundings& around_;
  std::shared_ptr<const handshake::ClientConfig> config_;
  std::shared_ptr<const std::vector<std::string>> groups_;
  asio::ip::tcp::socket socket_;
  asio::steady_timer timer_;
  std::unique_ptr<handshake::Endpoint> endpoint_;
  std::uint64_t round_ = 0;  // of connections: results of an earlier connection are ignored
  Clock::time_point began_{};
  Bytes out_, in_flight_;
  bool writing_ = false;
  bool joined_ = false;
  bool stopped_ = false;
  std::map<std::string, std::uint64_t> active_;  // by joined group: the epoch to use; 0: none yet
  std::size_t asked_ = 0;                        // how many of groups_
  std::uint64_t first_epoch_ = 0, keepalives_ = 0;
  member::Backoff backoff_{std::chrono::milliseconds(100), std::chrono::milliseconds(10000)};  // as the agent's
};

}  // namespace sealcast::load
