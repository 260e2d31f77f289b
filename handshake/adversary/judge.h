// Watches two ends and what passes between them, and says which rule was broken, if any. It knows nothing of how the
// pipe bends things: whatever an attacker does, these hold.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "handshake/adversary/stage.h"

namespace sealcast::handshake::adversary {

// A byte stream of records, boiled down to what the far end must have seen: how clear handshake bytes are divided into
// records does not matter, clear warnings do not, everything else does.
class Stream {
 public:
  void add(ByteView bytes);
  int handshake_records() const { return handshake_records_; }
  int alerts() const { return alerts_; }
  std::size_t size() const { return size_; }
  // Is everything in this stream at the beginning of the other one?
  bool begins(const Stream& longer) const;

 private:
  struct Item {
    std::uint8_t type;
    Bytes bytes;
    friend bool operator==(const Item&, const Item&) = default;
  };
  Bytes pending_;
  std::vector<Item> items_;
  bool protected_ = false;
  bool broken_ = false;
  int handshake_records_ = 0;
  int alerts_ = 0;
  std::size_t size_ = 0;
};

class Judge {
 public:
  explicit Judge(Flow flow) : flow_(flow) {}

  void sent(Side from, ByteView bytes) { sent_[index(from)].add(bytes); }
  void delivered(Side to, ByteView bytes) { delivered_[index(to)].add(bytes); }
  // An attacker who holds the keys seals anew what it carries; then the messages are compared instead of the records:
  // those of `from` as the end `view` has them.
  std::function<const Bytes&(Side view, Side from)> messages;
  // An end that noticed something and failed excuses what it heard.
  std::function<bool(Side)> failed = [](Side) { return false; };

  void told(Side end, const Event& event);
  // The member is about to hand over its password.
  void password_leaves();
  // After the last byte: the ends as they are now. exchange: their keys can be tried out.
  void finish(Endpoint& client, Endpoint& server, bool exchange);

  const std::optional<std::string>& violation() const { return violation_; }
  int established() const { return (told_[0] ? 1 : 0) + (told_[1] ? 1 : 0); }

 private:
  struct Told {
    Flow flow;
    CipherSuite suite;
    PeerIdentity peer;
    std::string group_id;
  };
  static std::size_t index(Side side) { return side == Side::client ? 0 : 1; }
  void broken(std::string rule) {
    if (!violation_) violation_ = std::move(rule);
  }
  void established(Side end, const Established& event);
  void compare();
  std::size_t messages_of(Side side, std::size_t before) const;
  bool heard_everything(Side end) const;
  bool complete(Side from, Side to) const;

  Flow flow_;
  Stream sent_[2], delivered_[2];
  std::optional<Told> told_[2];
  std::optional<std::string> violation_;
};

}  // namespace sealcast::handshake::adversary
