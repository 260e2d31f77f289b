// The product's Loop and Timer: an Asio loop and the system's clocks.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <utility>

#include "base/loop.h"

namespace sealcast {

// A Timer on an executor of Asio's.
class AsioTimer final : public Timer {
 public:
  explicit AsioTimer(asio::any_io_executor executor) : state_(std::make_shared<State>(std::move(executor))) {}
  ~AsioTimer() override { cancel(); }
  AsioTimer(const AsioTimer&) = delete;
  AsioTimer& operator=(const AsioTimer&) = delete;

  void set(SteadyTime at, Then then) override {
    state_->timer.expires_at(at);
    // A wait that ended just before it was replaced is still in the queue: its round tells.
    state_->timer.async_wait(
        [weak = std::weak_ptr(state_), round = ++state_->round, then = std::move(then)](const asio::error_code& error) {
          const auto state = weak.lock();
          if (!error && state && state->round == round) then();
        });
  }
  void cancel() override {
    ++state_->round;
    state_->timer.cancel();
  }

 private:
  struct State {
    explicit State(asio::any_io_executor executor) : timer(std::move(executor)) {}
    asio::steady_timer timer;
    std::uint64_t round = 0;
  };
  std::shared_ptr<State> state_;
};

class AsioLoop final : public Loop {
 public:
  explicit AsioLoop(asio::io_context& io) : io_(io) {}

  SteadyTime now() const override { return std::chrono::steady_clock::now(); }
  std::chrono::milliseconds unix_time() const override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  }
  void post(Then then) override { asio::post(io_, std::move(then)); }
  std::unique_ptr<Timer> timer() override { return std::make_unique<AsioTimer>(io_.get_executor()); }

 private:
  asio::io_context& io_;
};

}  // namespace sealcast
