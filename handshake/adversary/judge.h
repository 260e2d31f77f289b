// Watches two ends and what passes between them, and names the rule that was broken, if any. It knows nothing of the
// pipe's changes: the rules hold whatever an attacker does.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "handshake/adversary/stage.h"

namespace sealcast::handshake::adversary {

// A byte stream of records, reduced to what the far end must have seen: the division of clear handshake bytes into
// records does not matter, nor do clear warnings; everything else does.
class Stream {
 public:
  void add(ByteView bytes);
  int handshake_records() const { return handshake_records_; }
  int alerts() const { return alerts_; }
  std::size_t size() const { return size_; }
  // Is this whole stream the beginning of the other one?
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
  // An attacker with the keys seals records anew. Then the messages are compared instead of the records: those of
  // `from` as the end `view` has them.
  std::function<const Bytes&(Side view, Side from)> messages;
  // A failed end noticed something, so it may have received anything.
  std::function<bool(Side)> failed = [](Side) { return false; };

  void observe(Side end, const Event& event);
  // The member is about to send its password.
  void password_leaves();
  // After the last byte: the ends as they are now. exchange: whether to try out their keys.
  void finish(Endpoint& client, Endpoint& server, bool exchange);

  const std::optional<std::string>& violation() const { return violation_; }
  int established() const { return (reported_[0] ? 1 : 0) + (reported_[1] ? 1 : 0); }

 private:
  struct Reported {
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
  bool received_everything(Side end) const;
  bool complete(Side from, Side to) const;

  Flow flow_;
  Stream sent_[2], delivered_[2];
  std::optional<Reported> reported_[2];
  std::optional<std::string> violation_;
};

}  // namespace sealcast::handshake::adversary
