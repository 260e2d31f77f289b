#include "handshake/adversary/wiretap.h"

#include <algorithm>

#include "handshake/messages/client_key_exchange.h"
#include "handshake/messages/server_key_exchange.h"

namespace sealcast::handshake::adversary {
namespace {

// Gives out one stolen piece of randomness again.
class Again : public Random {
 public:
  explicit Again(Bytes bytes) : bytes_(std::move(bytes)) {}
  void fill(ByteSpan out) override {
    std::fill(out.begin(), out.end(), std::uint8_t{0});
    std::copy_n(bytes_.begin(), std::min(bytes_.size(), out.size()), out.begin());
  }

 private:
  Bytes bytes_;
};

}  // namespace

Bytes as_record(const Piece& piece) {
  Bytes record = {piece.type, 3, 3, static_cast<std::uint8_t>(piece.payload.size() >> 8),
                  static_cast<std::uint8_t>(piece.payload.size())};
  record.insert(record.end(), piece.payload.begin(), piece.payload.end());
  return record;
}

View::View(Flow flow, Side self, const RecordedRandom& own, const RecordedRandom& server)
    : flow_(flow), self_(self), own_(own), server_(server), suite_(world_of(flow).authority.flow.suite) {}

void View::handshake(Side from, ByteView payload) {
  MessageJoiner& joiner = joiners_[from == Side::client ? 0 : 1];
  joiner.feed(payload);
  while (const auto message = joiner.message()) {
    const Bytes raw(message->begin(), message->end());
    joiner.take(raw.size());
    Bytes& said = by_[from == Side::client ? 0 : 1];
    said.insert(said.end(), raw.begin(), raw.end());
    absorb(raw);
  }
}

Digest View::transcript() const {
  Hash all(prf_hash(suite_));
  all.add(messages_);
  return all.digest();
}

void View::absorb(ByteView raw) {
  const auto type = message_of(raw[0]);
  const ByteView body = raw.subspan(message_header_size);
  messages_.insert(messages_.end(), raw.begin(), raw.end());
  if (!type) return;
  switch (*type) {
    case Message::client_hello:
    case Message::server_hello:
      if (body.size() >= 34)
        std::copy_n(body.begin() + 2, random_size,
                    (*type == Message::client_hello ? client_random_ : server_random_).begin());
      break;
    case Message::server_key_exchange:
      if (auto message = decode_server_key_exchange(body)) points_[1] = message->point;
      break;
    case Message::client_key_exchange:
      if (auto message = decode_client_key_exchange(body)) points_[0] = message->point;
      derive_first();
      break;
    case Message::server_master_key_exchange:
      derive_channel(body);
      break;
    default:
      break;
  }
}

void View::derive_first() {
  // The end's randomness: its hello's random first, then its share of the key exchange.
  if (own_.given().size() < 2) return;
  Again stolen(own_.given()[1]);
  const auto share = KeyShare::generate(NamedGroup::x25519, stolen);
  if (!share) return;
  const auto premaster = share->agree(points_[self_ == Side::client ? 1 : 0]);
  if (!premaster) return;
  first_ = extended_master_secret(prf_hash(suite_), premaster->view(), transcript());
  first_keys_ = expand_keys(suite_, first_, server_random_, client_random_);
}

void View::derive_channel(ByteView) {
  if (definition(flow_).smke_sealed()) {  // variant 1: the server makes member_secret
    if (server_.given().empty() || server_.given().back().size() != first_.size()) return;
    std::copy(server_.given().back().begin(), server_.given().back().end(), first_.data());
  }
  const GroupMaster group = derive_group_master(suite_, world_of(flow_).authority.keying.premaster);
  const MasterSecret secret = channel_master(prf_hash(suite_), first_, group, transcript());
  channel_keys_ = expand_keys(suite_, secret, server_random_, client_random_);
}

const DirectionKeys* View::keys(Side side, int ccs) const {
  int seen = 0;
  for (const Step& step : definition(flow_).steps) {
    if (step.from != side || step.message != Message::change_cipher_spec || seen++ != ccs) continue;
    const auto& block = step.keys == Keys::channel ? channel_keys_ : first_keys_;
    if (!block) return nullptr;
    return side == Side::client ? &block->client_write : &block->server_write;
  }
  return nullptr;
}

std::optional<Piece> TappedLane::open(ByteView record) {
  if (keys_missing_) return std::nullopt;
  ByteView rest = record;
  const auto opened = reader_.next(rest);
  if (!opened || !*opened) {
    keys_missing_ = true;
    return std::nullopt;
  }
  const Piece piece{static_cast<std::uint8_t>((*opened)->type),
                    Bytes((*opened)->payload.begin(), (*opened)->payload.end())};
  if (piece.type == 22) sender_.handshake(from_, piece.payload);
  if (piece.type == 20) {
    const DirectionKeys* keys = sender_.keys(from_, opened_ccs_++);
    if (keys != nullptr)
      reader_.install(*keys, *MessageJoiner().aligned());
    else
      keys_missing_ = true;
  }
  return piece;
}

void TappedLane::seal(const Piece& piece, Bytes& out) {
  if (piece.type == 22) receiver_.handshake(from_, piece.payload);
  writer_.write(ContentType{piece.type}, piece.payload, out);
  if (piece.type != 20) return;
  if (const DirectionKeys* keys = receiver_.keys(from_, sealed_ccs_++)) writer_.install(*keys);
}

}  // namespace sealcast::handshake::adversary
