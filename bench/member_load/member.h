// One simulated member: a TCP connection, the handshake library's client end, and what a gateway says on its control
// channel. It takes every epoch and installs none.
#pragma once

#include <array>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>

#include "controlplane/member/backoff.h"
#include "handshake/endpoint.h"

namespace sealcast::load {

using Clock = std::chrono::steady_clock;

class LoadMember;

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void joined(LoadMember& member, Clock::duration took) = 0;
  virtual void lost(LoadMember& member, const std::string& why) = 0;    // was joined
  virtual void failed(LoadMember& member, const std::string& why) = 0;  // was joining
  virtual void acknowledged(LoadMember& member, std::uint64_t epoch) = 0;
  virtual void activated(LoadMember& member, std::uint64_t epoch) = 0;
};

// What all members share.
struct Surroundings {
  asio::io_context& io;
  asio::ip::tcp::endpoint server;
  std::string group;
  std::chrono::milliseconds every;  // keepalives; status reports
  Observer& observer;
  std::mt19937_64 random;
  std::array<std::uint8_t, 16384> scratch;  // for one read at a time
};

class LoadMember : public std::enable_shared_from_this<LoadMember> {
 public:
  LoadMember(Surroundings& around, std::shared_ptr<const handshake::ClientConfig> config);

  void connect();
  void leave();  // says so, and closes
  void crash();  // without a word
  void connect_after(std::chrono::milliseconds wait);
  void connect_with_jitter() { connect_after(backoff_.next(around_.random())); }
  void stop();  // for good
  bool joined() const { return joined_; }
  bool stays = true;  // in a surge: whose rekey is measured
  // Its latest epoch, acknowledged or begun with.
  std::uint64_t epoch() const { return epoch_; }

 private:
  void wait_readable();
  void readable();
  void take_events();
  void handle(handshake::ControlMessage& message);
  void say(const handshake::ControlMessage& message);
  void flush();
  void write();
  void give_up_after(std::chrono::milliseconds wait, const char* why);
  void wait_for_tick();
  void tick();
  void over(const std::string& why);
  void close();

  Surroundings& around_;
  std::shared_ptr<const handshake::ClientConfig> config_;
  asio::ip::tcp::socket socket_;
  asio::steady_timer timer_;
  std::unique_ptr<handshake::Endpoint> endpoint_;
  std::uint64_t round_ = 0;  // of connections: what an earlier one still hears is not meant
  Clock::time_point began_{};
  Bytes out_, in_flight_;
  bool writing_ = false;
  bool joined_ = false;
  bool stopped_ = false;
  std::uint64_t epoch_ = 0, active_ = 0, keepalives_ = 0;
  member::Backoff backoff_{std::chrono::milliseconds(100), std::chrono::milliseconds(10000)};  // as the agent's
};

}  // namespace sealcast::load
