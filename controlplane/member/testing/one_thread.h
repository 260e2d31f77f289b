// Key servers and member agents in one thread, over pipes in memory, on a loop whose time a test moves: hours pass in
// seconds, and nothing waits.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/testing/manual_loop.h"
#include "controlplane/keyserver/connection/door.h"
#include "controlplane/member/link.h"
#include "handshake/endpoint.h"

namespace sealcast::member::testing {

// One end of a connection: what the other end wrote, and whether it has ended.
struct PipeEnd {
  Bytes incoming;
  bool over = false;  // the other end writes nothing more
  std::function<void()> readable;
  std::weak_ptr<PipeEnd> other;

  void wake() {
    if (readable) std::exchange(readable, {})();
  }
};

// The doors that are open, by port, and how long bytes travel.
class PipeNetwork {
 public:
  using Loop = sealcast::testing::ManualLoop;

  explicit PipeNetwork(Loop& loop) : loop_(loop) {}

  Loop& loop() { return loop_; }
  SteadyTime::duration latency = std::chrono::milliseconds(1);
  bool cut = false;  // nothing that is written arrives, and no connection is made

  using Accept = std::function<void(std::shared_ptr<PipeEnd>)>;
  void open(std::uint16_t port, Accept accept) { doors_[port] = std::move(accept); }
  void close(std::uint16_t port) { doors_.erase(port); }
  // nullptr: nothing listens there.
  std::shared_ptr<PipeEnd> connect(std::uint16_t port) {
    const auto found = doors_.find(port);
    if (found == doors_.end() || cut) return nullptr;
    auto near = std::make_shared<PipeEnd>(), far = std::make_shared<PipeEnd>();
    near->other = far;
    far->other = near;
    later([accept = found->second, far] { accept(far); });
    return near;
  }
  void write(const PipeEnd& from, Bytes bytes) {
    if (cut) return;
    later([to = from.other, bytes = std::move(bytes)] {
      const auto end = to.lock();
      if (!end) return;
      end->incoming.insert(end->incoming.end(), bytes.begin(), bytes.end());
      end->wake();
    });
  }
  void end(const PipeEnd& from) {
    if (cut) return;
    later([to = from.other] {
      const auto end = to.lock();
      if (!end) return;
      end->over = true;
      end->wake();
    });
  }

 private:
  // Of equal times the one that was set first: bytes keep their order.
  void later(std::function<void()> then) {
    const auto timer = std::make_shared<std::unique_ptr<Timer>>(loop_.timer());
    (*timer)->set(loop_.now() + latency, [timer, then = std::move(then)] {
      then();
      timer->reset();
    });
  }

  Loop& loop_;
  std::map<std::uint16_t, Accept> doors_;
};

// The key server's end.
class PipeTransport final : public keyserver::Transport {
 public:
  PipeTransport(PipeNetwork& network, std::shared_ptr<PipeEnd> end)
      : network_(network), end_(std::move(end)), timer_(network.loop().timer()) {}

  void when_readable(Then then) override {
    if (end_->incoming.empty() && !end_->over) {
      end_->readable = std::move(then);
      return;
    }
    network_.loop().post([open = std::weak_ptr(open_), then = std::move(then)] {
      if (!open.expired()) then();
    });
  }
  Result<std::size_t> read(ByteSpan into) override {
    Bytes& incoming = end_->incoming;
    if (incoming.empty()) return end_->over ? Result<std::size_t>(fail("End of file")) : 0;
    const std::size_t n = std::min(into.size(), incoming.size());
    std::copy_n(incoming.begin(), n, into.begin());
    incoming.erase(incoming.begin(), incoming.begin() + static_cast<std::ptrdiff_t>(n));
    return n;
  }
  bool peer_is_gone() override { return end_->over && end_->incoming.empty(); }
  void write(ByteView bytes, Written written) override {
    network_.write(*end_, {bytes.begin(), bytes.end()});
    network_.loop().post([written = std::move(written)] { written({}); });
  }
  void end_output() override { network_.end(*end_); }
  void close() override {
    if (!open_) return;
    open_.reset();
    timer_->cancel();
    end_->readable = {};
    network_.end(*end_);
  }
  void set_timer(std::chrono::milliseconds delay, Then then) override {
    timer_->set(network_.loop().now() + delay, std::move(then));
  }
  void post(Then then) override { network_.loop().post(std::move(then)); }

 private:
  PipeNetwork& network_;
  std::shared_ptr<PipeEnd> end_;
  std::unique_ptr<Timer> timer_;
  std::shared_ptr<char> open_ = std::make_shared<char>();
};

class PipeDoor final : public keyserver::Door {
 public:
  explicit PipeDoor(PipeNetwork& network) : network_(network) {}
  ~PipeDoor() override { close(); }

  Result<void> open(const config::ListenAddress& at) override {
    port_ = at.port;
    network_.open(port_, [this](std::shared_ptr<PipeEnd> end) {
      waiting_.push_back(std::move(end));
      serve();
    });
    return {};
  }
  std::uint16_t port() const override { return port_; }
  void accept(Then then) override {
    then_ = std::move(then);
    network_.loop().post([open = std::weak_ptr(open_), this] {
      if (!open.expired()) serve();
    });
  }
  void close() override {
    open_.reset();
    network_.close(port_);
    then_ = {};
    waiting_.clear();
  }

 private:
  void serve() {
    if (!then_ || waiting_.empty()) return;
    const auto end = std::move(waiting_.front());
    waiting_.pop_front();
    Came came;
    came.address = IpAddress::v4(0x0a090002);
    came.port = next_port_++;
    came.host = "10.9.0.2";
    came.take = [this, end]() -> std::unique_ptr<keyserver::Transport> {
      return std::make_unique<PipeTransport>(network_, end);
    };
    std::exchange(then_, {})(std::move(came));
  }

  PipeNetwork& network_;
  std::uint16_t port_ = 0, next_port_ = 40000;
  Then then_;
  std::deque<std::shared_ptr<PipeEnd>> waiting_;
  std::shared_ptr<char> open_ = std::make_shared<char>();
};

// The member's end.
class PipeLink final : public Link {
 public:
  PipeLink(PipeNetwork& network, LinkSettings settings, Callbacks callbacks)
      : network_(network),
        settings_(std::move(settings)),
        callbacks_(std::move(callbacks)),
        deadline_(network.loop().timer()) {}

  static Open over(PipeNetwork& network) {
    return [&network](LinkSettings settings, Callbacks callbacks) {
      const auto link = std::make_shared<PipeLink>(network, std::move(settings), std::move(callbacks));
      network.loop().post([link] { link->begin(); });
      return std::static_pointer_cast<Link>(link);
    };
  }

  bool send(const handshake::ControlMessage& message) override {
    if (!endpoint_ || !endpoint_->established() || !endpoint_->send(message)) return false;
    flush();
    return true;
  }
  SteadyTime greeted() const override { return greeted_; }
  void close() override {
    callbacks_ = {};
    if (endpoint_ && endpoint_->established()) endpoint_->close();
    finish();
  }

 private:
  std::shared_ptr<PipeLink> self() { return std::static_pointer_cast<PipeLink>(shared_from_this()); }

  void begin() {
    if (over_) return;
    end_ = network_.connect(settings_.server.port);
    if (!end_) return ended("Connection refused");
    deadline_->set(network_.loop().now() + settings_.handshake_timeout, [weak = weak_from_this()] {
      if (const auto link = std::static_pointer_cast<PipeLink>(weak.lock())) link->ended("too slow");
    });
    greeted_ = network_.loop().now();
    endpoint_ = handshake::make_client(settings_.client, handshake::system_random());
    flush();
    wait();
  }
  void wait() {
    end_->readable = [weak = weak_from_this()] {
      if (const auto link = std::static_pointer_cast<PipeLink>(weak.lock())) link->on_readable();
    };
  }
  void on_readable() {
    const auto keep = self();
    const Bytes bytes = std::exchange(end_->incoming, {});
    if (bytes.empty() && end_->over) return ended("the key server closed the connection");
    const auto received = endpoint_->receive(bytes, settings_.unix_now());
    for (handshake::Event& event : endpoint_->take_events()) {
      if (over_) return;
      const Callbacks callbacks = callbacks_;
      if (auto* established = std::get_if<handshake::Established>(&event)) {
        deadline_->cancel();
        flush();
        callbacks.on_joined({std::move(*established->keying), std::move(*established->group_master),
                             std::move(established->peer.leaf_der)});
      } else if (auto* control = std::get_if<handshake::ControlReceived>(&event)) {
        callbacks.on_message(std::move(control->message));
      } else if (std::holds_alternative<handshake::PeerClosed>(event)) {
        return ended("the key server said goodbye");
      }
    }
    if (over_) return;
    if (!received) return ended(received.error().message(), received.error());
    flush();
    wait();
  }
  void flush() {
    Bytes output = endpoint_->take_output();
    if (!output.empty()) network_.write(*end_, std::move(output));
  }
  void ended(const std::string& why, std::optional<handshake::HandshakeError> cause = {}) {
    if (over_) return;
    const Callbacks callbacks = std::exchange(callbacks_, {});
    finish();
    if (callbacks.on_end) callbacks.on_end({why, std::move(cause), false});
  }
  void finish() {
    if (std::exchange(over_, true)) return;
    deadline_->cancel();
    if (endpoint_) flush();
    if (!end_) return;
    end_->readable = {};
    network_.end(*end_);
  }

  PipeNetwork& network_;
  LinkSettings settings_;
  Callbacks callbacks_;
  std::unique_ptr<Timer> deadline_;
  std::shared_ptr<PipeEnd> end_;
  std::unique_ptr<handshake::Endpoint> endpoint_;
  SteadyTime greeted_{};
  bool over_ = false;
};

}  // namespace sealcast::member::testing
