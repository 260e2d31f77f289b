#include "handshake/adversary/pair.h"

#include <malloc.h>

#include <algorithm>
#include <array>
#include <map>

namespace sealcast::handshake::adversary {
namespace {

using testing::test_now;

constexpr std::size_t max_growth = 256 * 1024;  // bytes of heap for one pair, whatever the pipe sends
constexpr int max_rounds = 64;

std::size_t at(Side side) {
  return side == Side::client ? 0 : 1;
}

// The records of an honest handshake, by direction: what an attacker could have recorded earlier.
using Recording = std::array<std::vector<Piece>, 2>;

Piece inserted(SeededRandom& dice) {
  switch (dice.below(16)) {
    case 0:
      return {20, {1}};
    case 1:
      return {20, {0}};
    case 2:
      return {20, {1, 1}};
    case 3:
      return {21, {1, 90}};
    case 4:
      return {21, {2, 40}};
    case 5:
      return {21, {1, 0}};
    case 6:
      return {21, {1}};
    case 7:
      return {23, {11, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1}};
    case 8:
      return {23, {}};
    case 9:
      return {22, {}};
    case 10:
      return {22, {0, 0, 0, 0}};
    case 11:
      return {22, {14, 0, 0, 0}};
    case 12: {
      Piece finished{22, Bytes(16, 0)};
      finished.payload[0] = 20;
      finished.payload[3] = 12;
      return finished;
    }
    case 13: {  // announces 16 MB and sends 16 kB of it
      Piece huge{22, Bytes(max_plaintext, 0)};
      constexpr std::uint8_t handshake_types[] = {1, 2, 11, 12, 13, 15, 16, 240, 241, 242};
      huge.payload[0] = handshake_types[dice.below(std::size(handshake_types))];
      huge.payload[1] = huge.payload[2] = huge.payload[3] = 255;
      return huge;
    }
    case 14: {
      Piece any{22, Bytes(4 + dice.below(64), 0)};
      dice.fill(any.payload);
      any.payload[1] = any.payload[2] = 0;
      any.payload[3] = static_cast<std::uint8_t>(any.payload.size() - 4);
      return any;
    }
    default: {
      Piece noise{static_cast<std::uint8_t>(20 + dice.below(4)), Bytes(dice.below(300), 0)};
      dice.fill(noise.payload);
      return noise;
    }
  }
}

// Changes an honest handshake according to a case.
class Bender {
 public:
  Bender(const Case& one, const Recording* foreign) : case_(one), foreign_(foreign) {}

  // Takes a record of a lane; returns what the far end gets.
  std::vector<Piece> pass(Side lane, Piece piece);
  // Nothing more comes for now: releases what was kept back.
  std::vector<Piece> rest(Side lane) { return std::exchange(kept_[at(lane)], {}); }
  // Bytes of the stream, right before they are delivered.
  void bend_bytes(Side lane, Bytes& bytes);
  const Recording& seen() const { return seen_; }

 private:
  std::vector<Piece> bend(const Mutation& mutation, Piece piece);

  const Case& case_;
  const Recording* foreign_;
  Recording seen_;
  std::vector<Piece> kept_[2];
  bool merging_[2] = {false, false};
  bool silent_[2] = {false, false};
  std::vector<Mutation> byte_bends_[2];
};

std::vector<Piece> Bender::pass(Side lane, Piece piece) {
  const std::size_t index = seen_[at(lane)].size();
  seen_[at(lane)].push_back(piece);
  std::vector<Piece> out = {std::move(piece)};
  std::vector<Piece> kept = std::exchange(kept_[at(lane)], {});
  if (!kept.empty() && merging_[at(lane)]) {
    if (kept[0].type == out[0].type) {
      out[0].payload.insert(out[0].payload.begin(), kept[0].payload.begin(), kept[0].payload.end());
      kept.clear();
    } else {
      std::swap(kept, out);  // too long together for one record: kept apart, in their order
    }
  }
  merging_[at(lane)] = false;
  for (const Mutation& mutation : case_.mutations) {
    if (mutation.lane != lane || mutation.record != index || out.empty()) continue;
    Piece last = std::move(out.back());
    out.pop_back();
    for (Piece& bent : bend(mutation, std::move(last)))
      out.push_back(std::move(bent));
  }
  for (Piece& piece_kept : kept)
    out.push_back(std::move(piece_kept));
  if (silent_[at(lane)]) out.clear();
  return out;
}

std::vector<Piece> Bender::bend(const Mutation& mutation, Piece piece) {
  SeededRandom dice(mutation.salt);
  Bytes& body = piece.payload;
  const std::size_t lane = at(mutation.lane);
  switch (mutation.bend) {
    case Bend::nothing:
      break;
    case Bend::drop:
      return {};
    case Bend::duplicate:
      return {piece, piece};
    case Bend::swap:
      kept_[lane].push_back(std::move(piece));
      return {};
    case Bend::merge:
      kept_[lane].push_back(std::move(piece));
      merging_[lane] = true;
      return {};
    case Bend::insert:
      return {inserted(dice), piece};
    case Bend::flip:
      for (std::size_t n = 1 + dice.below(3); n > 0 && !body.empty(); --n) {
        std::uint8_t& byte = body[dice.below(body.size())];
        byte = static_cast<std::uint8_t>(byte ^ (1u << dice.below(8)));
      }
      break;
    case Bend::split:
      if (body.size() > 1) {
        const auto cut = body.begin() + static_cast<std::ptrdiff_t>(1 + dice.below(body.size() - 1));
        return {{piece.type, Bytes(body.begin(), cut)}, {piece.type, Bytes(cut, body.end())}};
      }
      break;
    case Bend::cut:
      body.resize(body.size() - std::min(body.size(), 1 + dice.below(8)));
      break;
    case Bend::extend: {
      Bytes more(1 + dice.below(8), 0);
      if (dice.chance(2)) dice.fill(more);
      body.insert(body.end(), more.begin(), more.end());
      break;
    }
    case Bend::length:
      if (body.size() > 3) body[3] = static_cast<std::uint8_t>(body[3] + (dice.chance(2) ? 1 : 255));
      break;
    case Bend::replay:
      return {seen_[lane][dice.below(seen_[lane].size())]};
    case Bend::reflect:
      if (!seen_[1 - lane].empty()) return {seen_[1 - lane][dice.below(seen_[1 - lane].size())]};
      break;
    case Bend::foreign:
      if (foreign_ != nullptr && mutation.record < (*foreign_)[lane].size())
        return {(*foreign_)[lane][mutation.record]};
      break;
    case Bend::silence:
      silent_[lane] = true;
      return {};
    case Bend::byte_flip:
    case Bend::byte_drop:
    case Bend::byte_insert:
      byte_bends_[lane].push_back(mutation);
      break;
  }
  return {std::move(piece)};
}

void Bender::bend_bytes(Side lane, Bytes& bytes) {
  for (const Mutation& mutation : std::exchange(byte_bends_[at(lane)], {})) {
    if (bytes.empty()) return;
    SeededRandom dice(mutation.salt);
    // Half the changes hit the first bytes, where the header is.
    const std::size_t where = dice.below(dice.chance(2) ? bytes.size() : std::min<std::size_t>(bytes.size(), 9));
    const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(where);
    if (mutation.bend == Bend::byte_flip)
      *place = static_cast<std::uint8_t>(*place ^ (1 + dice.below(255)));
    else if (mutation.bend == Bend::byte_drop)
      bytes.erase(place);
    else
      bytes.insert(place, static_cast<std::uint8_t>(dice.below(256)));
  }
}

// Configurations as the endpoints want them, made once a flow.
struct Setup {
  std::shared_ptr<const ClientConfig> client;
  std::shared_ptr<const ServerConfig> server;
  Judge* judge = nullptr;  // of the case that runs
};
Setup& setup_of(Flow flow) {
  static std::map<Flow, Setup> setups;
  Setup& setup = setups[flow];
  if (!setup.client) {
    testing::World& world = world_of(flow);
    ClientConfig client = world.client_config;
    if (client.password)
      client.password = [&setup, ask = world.client_config.password] {
        setup.judge->password_leaves();
        return ask();
      };
    setup.client = std::make_shared<const ClientConfig>(std::move(client));
    setup.server = std::make_shared<const ServerConfig>(world.server_config);
  }
  return setup;
}

class Pair {
 public:
  Pair(const Case& one, const Recording* foreign)
      : case_(one),
        judge_(one.flow),
        dice_(one.seed ^ 0x70617274),
        randoms_{RecordedRandom(one.seed * 2 + 1), RecordedRandom(one.seed * 2 + 2)},
        bender_(one, foreign),
        views_{View(one.flow, Side::client, randoms_[0], randoms_[1]),
               View(one.flow, Side::server, randoms_[1], randoms_[1])},
        lanes_{TappedLane(Side::client, views_[0], views_[1]), TappedLane(Side::server, views_[1], views_[0])} {
    Setup& setup = setup_of(one.flow);
    setup.judge = &judge_;
    world_of(one.flow).authority.issued = 0;
    ends_[0] = make_client(setup.client, randoms_[0]);
    ends_[1] = make_server(setup.server, world_of(one.flow).authority, randoms_[1]);
    judge_.failed = [this](Side side) { return ends_[at(side)]->failed(); };
    if (one.keyed)
      judge_.messages = [this](Side view, Side from) -> const Bytes& { return views_[at(view)].messages(from); };
    chunk_ = dice_.chance(3) ? 0 : 1 + dice_.below(400);
    answer_late_ = dice_.chance(4);
  }

  Ending play();
  const Recording& recording() const { return bender_.seen(); }

 private:
  bool carry(Side from, bool rest);
  void push(Side from, const Piece& piece, bool opened, Bytes& out);
  void deliver(Side to, ByteView bytes);
  void events(Side end);

  const Case& case_;
  Judge judge_;
  SeededRandom dice_;
  RecordedRandom randoms_[2];
  Bender bender_;
  View views_[2];
  TappedLane lanes_[2];
  std::unique_ptr<Endpoint> ends_[2];
  std::size_t chunk_ = 0;
  bool answer_late_ = false;
  bool password_waits_ = false;
};

void Pair::events(Side end) {
  for (const Event& event : ends_[at(end)]->take_events()) {
    judge_.observe(end, event);
    password_waits_ |= std::holds_alternative<PasswordPresented>(event);
  }
  if (password_waits_ && !answer_late_) {
    password_waits_ = false;
    (void)ends_[1]->password_checked(true, test_now);
    events(Side::server);
  }
}

void Pair::deliver(Side to, ByteView bytes) {
  Endpoint& end = *ends_[at(to)];
  while (!bytes.empty() && !end.failed()) {
    const ByteView part = bytes.first(chunk_ == 0 ? bytes.size() : std::min(chunk_, bytes.size()));
    bytes = bytes.subspan(part.size());
    judge_.delivered(to, part);
    (void)end.receive(part, test_now);
    events(to);
  }
}

void Pair::push(Side from, const Piece& piece, bool opened, Bytes& out) {
  if (opened) return lanes_[at(from)].seal(piece, out);
  const Bytes record = as_record(piece);
  out.insert(out.end(), record.begin(), record.end());
}

// rest: nothing else moves, so release what was kept back. False: nothing moved.
bool Pair::carry(Side from, bool rest) {
  const Bytes sent = ends_[at(from)]->take_output();
  judge_.sent(from, sent);
  Bytes out;
  bool opened = case_.keyed && !lanes_[at(from)].keys_missing();
  for (ByteView left = sent; !left.empty();) {
    const std::size_t size = record_header_size + load_be<std::uint16_t>(left.data() + 3);
    const ByteView record = left.first(size);
    left = left.subspan(size);
    Piece piece{record[0], Bytes(record.begin() + record_header_size, record.end())};
    if (opened) {
      if (auto inside = lanes_[at(from)].open(record))
        piece = std::move(*inside);
      else
        opened = false;
    }
    for (const Piece& bent : bender_.pass(from, std::move(piece)))
      push(from, bent, opened, out);
  }
  if (rest)
    for (const Piece& kept : bender_.rest(from))
      push(from, kept, opened, out);
  bender_.bend_bytes(from, out);
  deliver(other(from), out);
  return !sent.empty() || !out.empty();
}

Ending Pair::play() {
  std::size_t most = 0;
  const std::size_t before = mallinfo2().uordblks;  // 0 if the allocator does not report it
  int round = 0;
  for (bool rest = false; round < max_rounds; ++round) {
    bool moved = carry(Side::client, rest);
    moved = carry(Side::server, rest) || moved;
    most = std::max(most, mallinfo2().uordblks);
    if (!moved && password_waits_ && !ends_[1]->failed()) {
      password_waits_ = false;
      (void)ends_[1]->password_checked(true, test_now);
      events(Side::server);
      moved = true;
    }
    if (!moved && rest) break;
    rest = !moved;
  }
  judge_.finish(*ends_[0], *ends_[1], !case_.keyed);
  Ending ending;
  ending.violation = judge_.violation();
  if (!ending.violation && round == max_rounds) ending.violation = "the ends never come to rest";
  if (!ending.violation && most > before + max_growth)
    ending.violation = std::to_string(most - before) + " bytes of heap for one pair";
  ending.established = judge_.established();
  ending.client_failed = ends_[0]->failed();
  ending.server_failed = ends_[1]->failed();
  if (ends_[0]->failed()) ending.client_why = ends_[0]->failure()->message();
  if (ends_[1]->failed()) ending.server_why = ends_[1]->failure()->message();
  if (ends_[0]->failed()) ending.client_reason = ends_[0]->failure()->reason;
  if (ends_[1]->failed()) ending.server_reason = ends_[1]->failure()->reason;
  return ending;
}

const Recording& recording_of(Flow flow, bool keyed) {
  static std::map<std::pair<Flow, bool>, Recording> recordings;
  const auto key = std::pair(flow, keyed);
  const auto found = recordings.find(key);
  if (found != recordings.end()) return found->second;
  const Case honest{flow, 424242, keyed, {}};
  Pair pair(honest, nullptr);
  (void)pair.play();
  return recordings[key] = pair.recording();
}

}  // namespace

std::string_view name(Bend bend) {
  constexpr std::string_view bend_names[] = {
      "nothing", "drop",   "duplicate", "swap",    "insert",  "flip",    "split",     "merge",     "cut",
      "extend",  "length", "replay",    "reflect", "foreign", "silence", "byte flip", "byte drop", "byte insert"};
  static_assert(std::size(bend_names) == bend_kinds);
  return bend_names[static_cast<std::size_t>(bend)];
}

std::string Case::text() const {
  std::string line =
      std::string(handshake::name(flow)) + (keyed ? ", with the keys" : "") + ", seed " + std::to_string(seed) + ":";
  for (const Mutation& mutation : mutations)
    line += " " + std::string(name(mutation.bend)) + " at " + (mutation.lane == Side::client ? "client" : "server") +
            "'s record " + std::to_string(mutation.record) + ";";
  return line;
}

Case make_case(Flow flow, bool keyed, std::uint64_t seed) {
  SeededRandom dice(seed);
  Case one{flow, seed, keyed, {}};
  const std::size_t count = dice.chance(2) ? 1 : 1 + dice.below(3);
  for (std::size_t n = 0; n < count; ++n) {
    const Side lane = dice.chance(2) ? Side::client : Side::server;
    std::size_t records = 0;
    for (const Step& step : definition(flow).steps)
      records += step.from == lane;
    const std::size_t record = dice.below(records);
    const auto bend = static_cast<Bend>(dice.below(bend_kinds));
    one.mutations.push_back({lane, record, bend, dice.next()});
  }
  return one;
}

Ending run(const Case& one) {
  const Recording& foreign = recording_of(one.flow, one.keyed);
  return Pair(one, &foreign).play();
}

}  // namespace sealcast::handshake::adversary
