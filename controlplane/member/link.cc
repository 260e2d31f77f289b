#include "controlplane/member/link.h"

#include <fmt/format.h>

#include <array>
#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>
#include <ctime>
#include <vector>

#include "base/asio_loop.h"
#include "handshake/isakmp/carriage.h"

namespace sealcast::member {
namespace {

using asio::ip::tcp;

constexpr std::chrono::milliseconds farewell{1000};  // for what is queued when the link is closed

std::string connect_advice(const asio::error_code& error) {
  if (error == asio::error::connection_refused)
    return ": no program listens there; is the key server running, and are address and port right?";
  if (error == asio::error::host_unreachable || error == asio::error::network_unreachable)
    return ": no way there; check the address, this machine's routes and the link";
  if (error.value() == EADDRNOTAVAIL) return ": local_address is not an address of this machine";
  if (error == asio::error::access_denied || error.value() == EPERM) return ": this machine's firewall forbids it";
  return "";
}

asio::ip::address to_asio(const IpAddress& address) {
  if (address.family == 4) {
    asio::ip::address_v4::bytes_type bytes{};
    std::copy_n(address.bytes.begin(), bytes.size(), bytes.begin());
    return asio::ip::address_v4(bytes);
  }
  asio::ip::address_v6::bytes_type bytes{};
  std::copy_n(address.bytes.begin(), bytes.size(), bytes.begin());
  return asio::ip::address_v6(bytes);
}

// The addresses of a name, tried one after the other, and why the last one failed.
class Targets {
 public:
  void add(tcp::endpoint address) { addresses_.push_back(std::move(address)); }
  // nullptr: all were tried.
  const tcp::endpoint* next() { return tried_ < addresses_.size() ? &addresses_[tried_++] : nullptr; }
  std::size_t tried() const { return tried_; }
  void failed(const std::string& name, const std::string& what) {
    const tcp::endpoint& target = addresses_[tried_ - 1];
    const std::string address = target.address().to_string() + ":" + std::to_string(target.port());
    last_failure_ = (name == address ? name : name + " (" + address + ")") + ": " + what;
  }
  const std::string& last_failure() const { return last_failure_; }

 private:
  std::vector<tcp::endpoint> addresses_;
  std::size_t tried_ = 0;
  std::string last_failure_;
};

class TcpLink final : public Link {
 public:
  TcpLink(asio::io_context& io, LinkSettings settings, Callbacks callbacks)
      : settings_(std::move(settings)),
        callbacks_(std::make_shared<Callbacks>(std::move(callbacks))),
        resolver_(io),
        socket_(io),
        deadline_(io.get_executor()) {}

  void begin() {
    arm(settings_.connect_timeout, [](TcpLink& self) {
      self.end(fmt::format("{}: the name was not resolved within {} ms; check the name and DNS",
                           self.settings_.server.text(), self.settings_.connect_timeout.count()));
    });
    // A numeric address needs no resolver, hence no thread and no wait.
    asio::error_code error;
    const auto address = asio::ip::make_address(settings_.server.host, error);
    if (!error) {
      targets_.add({address, settings_.server.port});
      asio::post(socket_.get_executor(), [self = this_link()] {
        if (!self->ended_) self->connect_next();
      });
      return;
    }
    resolver_.async_resolve(
        settings_.server.host, std::to_string(settings_.server.port),
        [self = this_link()](const asio::error_code& failed, const tcp::resolver::results_type& found) {
          if (self->ended_) return;
          if (failed || found.empty()) {
            self->end(fmt::format("{}: cannot resolve the name: {}; check the name and DNS",
                                  self->settings_.server.text(), failed.message()));
            return;
          }
          for (const auto& entry : found)
            self->targets_.add(entry.endpoint());
          self->connect_next();
        });
  }

  bool send(const handshake::ControlMessage& message) override {
    if (ended_ || !endpoint_ || !endpoint_->established()) return false;
    if (const auto sent = endpoint_->send(message); !sent) {
      end("cannot send: " + sent.error().message());
      return false;
    }
    flush();
    return !ended_;
  }

  std::chrono::steady_clock::time_point greeted() const override { return greeted_; }

  void close() override {
    if (ended_) return;
    callbacks_.reset();
    if (endpoint_ && endpoint_->established()) endpoint_->close();
    finish();
  }

 private:
  std::shared_ptr<TcpLink> this_link() { return std::static_pointer_cast<TcpLink>(shared_from_this()); }

  void arm(std::chrono::milliseconds wait, void (*late)(TcpLink&)) {
    deadline_.set(std::chrono::steady_clock::now() + wait, [self = this_link(), late] { late(*self); });
  }

  void connect_next() {
    const tcp::endpoint* const next = targets_.next();
    if (next == nullptr) {
      end(targets_.last_failure());
      return;
    }
    const tcp::endpoint target = *next;
    asio::error_code error;
    socket_.close(error);
    socket_.open(target.protocol(), error);
    if (!error && settings_.local_address) {
      const auto local = to_asio(*settings_.local_address);
      if (local.is_v4() != target.address().is_v4()) {
        note_failure("local_address " + settings_.local_address->text() + " is of the other IP version");
        connect_next();
        return;
      }
      socket_.bind(tcp::endpoint(local, 0), error);
    }
    if (error) {
      note_failure(error.message() + connect_advice(error));
      connect_next();
      return;
    }
    arm(settings_.connect_timeout, [](TcpLink& self) {
      self.note_failure(fmt::format("no answer within {} ms: check the address, routes and firewalls",
                                    self.settings_.connect_timeout.count()));
      self.connect_next();
    });
    socket_.async_connect(target, [self = this_link(), attempt = targets_.tried()](const asio::error_code& failed) {
      if (self->ended_ || attempt != self->targets_.tried() || failed == asio::error::operation_aborted) return;
      if (failed) {
        self->note_failure(failed.message() + connect_advice(failed));
        self->connect_next();
        return;
      }
      self->connected();
    });
  }

  void note_failure(const std::string& what) { targets_.failed(settings_.server.text(), what); }

  void connected() {
    asio::error_code ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
    arm(settings_.handshake_timeout, [](TcpLink& self) {
      self.end(fmt::format("{}: the handshake was not finished within {} ms; is it a Sealcast key server?",
                           self.settings_.server.text(), self.settings_.handshake_timeout.count()));
    });
    greeted_ = std::chrono::steady_clock::now();
    endpoint_ = handshake::make_client(settings_.client, handshake::system_random());
    if (settings_.carriage == config::Carriage::isakmp)
      endpoint_ = isakmp::make_initiator(std::move(endpoint_), handshake::system_random());
    flush();
    read();
  }

  void read() {
    if (ended_) return;
    socket_.async_read_some(asio::buffer(input_), [self = this_link()](const asio::error_code& error, std::size_t n) {
      if (self->ended_) return;
      if (error) {
        const bool joined = self->endpoint_->established();
        self->end(self->settings_.server.text() + ": " +
                  (error == asio::error::eof ? "the key server closed the connection"
                                             : "connection lost: " + error.message()) +
                  (joined ? "" : " during the handshake"));
        return;
      }
      self->on_bytes({self->input_.data(), n});
    });
  }

  void on_bytes(ByteView bytes) {
    const bool was_established = endpoint_->established();
    const auto received = endpoint_->receive(bytes, settings_.unix_now());
    auto events = endpoint_->take_events();  // what came before a failure still counts
    const auto callbacks = callbacks_;       // one of them may close the link and with it let go of them
    for (handshake::Event& event : events) {
      if (ended_) return;
      if (auto* established = std::get_if<handshake::Established>(&event)) {
        deadline_.cancel();
        flush();
        if (!established->keying || !established->group_master)  // cannot be: H4
          return end(settings_.server.text() + ": the handshake ended without keying");
        callbacks->on_joined({std::move(*established->keying), std::move(*established->group_master),
                              std::move(established->peer.leaf_der)});
      } else if (auto* control = std::get_if<handshake::ControlReceived>(&event)) {
        callbacks->on_message(std::move(control->message));
      } else if (std::holds_alternative<handshake::PeerClosed>(event)) {
        end(settings_.server.text() + ": the key server said goodbye", std::nullopt, true);
      }
    }
    if (ended_) return;
    if (!received) {
      end(settings_.server.text() + ": " + (was_established ? "control channel: " : "handshake: ") +
              received.error().message(),
          received.error(), was_established && received.error().from_peer);
      return;
    }
    flush();
    read();
  }

  void flush() {
    if (!endpoint_) return;
    const Bytes output = endpoint_->take_output();
    pending_.insert(pending_.end(), output.begin(), output.end());
    if (pending_.size() > max_unsent_bytes && !ended_) {
      end(settings_.server.text() + ": the key server does not read what it is sent");
      return;
    }
    write();
  }

  void write() {
    if (writing_ || pending_.empty() || !socket_.is_open()) return;
    writing_ = true;
    in_flight_.swap(pending_);
    pending_.clear();
    asio::async_write(socket_, asio::buffer(in_flight_),
                      [self = this_link()](const asio::error_code& error, std::size_t) {
                        self->writing_ = false;
                        if (error) {
                          // The read side reports a loss, with the peer's last words first.
                          self->pending_.clear();
                          if (self->ended_) self->shut();
                          return;
                        }
                        self->write();
                        if (self->ended_ && !self->writing_) self->shut();
                      });
  }

  void end(std::string text, std::optional<handshake::HandshakeError> cause = std::nullopt, bool dismissed = false) {
    if (ended_) return;
    const auto callbacks = std::move(callbacks_);
    finish();
    callbacks->on_end({.text = std::move(text), .cause = std::move(cause), .dismissed = dismissed});
  }

  // The alert or close_notify leaves, then the socket closes; a peer that doesn't read gets a moment at most.
  void finish() {
    ended_ = true;
    resolver_.cancel();
    deadline_.cancel();
    flush();
    if (!writing_) {
      shut();
      return;
    }
    arm(farewell, [](TcpLink& self) { self.shut(); });
  }

  void shut() {
    asio::error_code ignored;
    deadline_.cancel();
    socket_.shutdown(tcp::socket::shutdown_both, ignored);
    socket_.close(ignored);
    endpoint_.reset();
  }

  LinkSettings settings_;
  std::shared_ptr<const Callbacks> callbacks_;
  tcp::resolver resolver_;
  tcp::socket socket_;
  AsioTimer deadline_;
  Targets targets_;
  std::chrono::steady_clock::time_point greeted_{};
  std::unique_ptr<handshake::Endpoint> endpoint_;
  std::array<std::uint8_t, 16384> input_{};
  Bytes pending_, in_flight_;
  bool writing_ = false;
  bool ended_ = false;
};

}  // namespace

Link::Open Link::over_tcp(asio::io_context& io) {
  return [&io](LinkSettings settings, Callbacks callbacks) {
    auto link = std::make_shared<TcpLink>(io, std::move(settings), std::move(callbacks));
    link->begin();
    return link;
  };
}

}  // namespace sealcast::member
