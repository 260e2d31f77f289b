// The view of an attacker who has stolen an end's randomness: every key of the connection. With it the pipe opens
// protected records, changes their content and seals them anew, so that record protection hides no change that Finished
// and its like must catch.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "handshake/adversary/stage.h"

namespace sealcast::handshake::adversary {

// Records what it gives out.
class RecordedRandom : public Random {
 public:
  explicit RecordedRandom(std::uint64_t seed) : inner_(seed) {}
  void fill(ByteSpan out) override {
    inner_.fill(out);
    given_.emplace_back(out.begin(), out.end());
  }
  const std::vector<Bytes>& given() const { return given_; }

 private:
  SeededRandom inner_;
  std::vector<Bytes> given_;
};

// The handshake as one end sees it: what it sent and what reached it.
class View {
 public:
  View(Flow flow, Side self, const RecordedRandom& own, const RecordedRandom& server);

  void handshake(Side from, ByteView payload);
  // The keys a side changes to at its ccs-th ChangeCipherSpec (from 0); null: not known.
  const DirectionKeys* keys(Side side, int ccs) const;
  // One side's handshake messages, as this end has them.
  const Bytes& messages(Side from) const { return by_[from == Side::client ? 0 : 1]; }

 private:
  void absorb(ByteView raw);
  void derive_first();
  void derive_channel(ByteView smke);
  Digest transcript() const;

  Flow flow_;
  Side self_;
  const RecordedRandom& own_;
  const RecordedRandom& server_;
  CipherSuite suite_;
  Bytes messages_;  // the transcript
  Bytes by_[2];
  MessageJoiner joiners_[2];
  HelloRandom client_random_{}, server_random_{};
  Bytes points_[2];
  MasterSecret first_;
  std::optional<KeyBlock> first_keys_, channel_keys_;
};

struct Piece {  // of a record stream: a record's type and its body, protected or opened
  std::uint8_t type = 22;
  Bytes payload;
  friend bool operator==(const Piece&, const Piece&) = default;
};
Bytes as_record(const Piece& piece);

// One direction, from one end to the other.
class TappedLane {
 public:
  TappedLane(Side from, View& sender, View& receiver) : from_(from), sender_(sender), receiver_(receiver) {}
  // A record as it was sent, opened. nullopt: the keys are not known, so that it can only be passed on.
  std::optional<Piece> open(ByteView record);
  // Seals a piece for the far end and appends the record to out.
  void seal(const Piece& piece, Bytes& out);
  bool keys_missing() const { return keys_missing_; }

 private:
  Side from_;
  View& sender_;
  View& receiver_;
  RecordReader reader_;
  RecordWriter writer_;
  int opened_ccs_ = 0, sealed_ccs_ = 0;
  bool keys_missing_ = false;
};

}  // namespace sealcast::handshake::adversary
