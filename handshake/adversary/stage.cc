#include "handshake/adversary/stage.h"

#include <algorithm>
#include <map>

namespace sealcast::handshake::adversary {
namespace {

using testing::KeyKind;
using testing::test_now;
using testing::World;

std::unique_ptr<World> make_world(Flow flow) {
  auto world = std::make_unique<World>(flow);
  // The authority's signatures have one fixed size, too, so that certificates of every run are equally long.
  static testing::TestPki& pki = *new testing::TestPki(test_now, KeyKind::ed25519);
  if (definition(flow).smke_sealed()) {
    world->server_config.credentials = pki.server("ks.example", KeyKind::rsa2048).credentials;
    world->client_config.credentials = pki.decrypting_member("member-a", {"tv"}).credentials;
  } else {
    world->server_config.credentials = pki.server("ks.example", KeyKind::ed25519).credentials;
    if (world->client_config.credentials)
      world->client_config.credentials = pki.member("member-a", {"tv"}, KeyKind::ed25519).credentials;
  }
  world->server_config.member_trust = world->client_config.server_trust = pki.trust();
  world->passwords = nullptr;  // the stage answers
  return world;
}

bool keyed(Message message) {
  return message == Message::change_cipher_spec || message == Message::finished;
}

}  // namespace

World& world_of(Flow flow) {
  static std::map<Flow, std::unique_ptr<World>> worlds;
  auto& world = worlds[flow];
  if (!world) world = make_world(flow);
  return *world;
}

std::uint64_t SeededRandom::next() {
  std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

void SeededRandom::fill(ByteSpan out) {
  for (std::uint8_t& byte : out)
    byte = static_cast<std::uint8_t>(next());
}

std::vector<Stimulus> stimuli(Flow flow, Side puppet, std::size_t position) {
  const auto steps = definition(flow).steps;
  bool channel = false;  // are there channel keys yet?
  for (std::size_t i = 0; i < position && i < steps.size(); ++i)
    channel |= steps[i].message == Message::server_master_key_exchange;
  std::vector<Stimulus> list;
  const auto step = [&](Message message, Keys keys, std::string text) {
    list.push_back({std::move(text), Stimulus::Kind::step, {puppet, message, keys}, 0, {}});
  };
  for (int type = 0; type < 256; ++type) {
    const auto message = message_of(static_cast<std::uint8_t>(type));
    if (!message) continue;
    if (keyed(*message)) {
      step(*message, Keys::first, std::string(name(*message)) + " (first secret)");
      step(*message, Keys::channel, std::string(name(*message)) + " (channel secret)");
    } else {
      step(*message, Keys::none, std::string(name(*message)));
    }
  }
  for (const int type : {0, 4, 5, 6, 22, 67, 99, 239, 243, 254, 255})
    if (!message_of(static_cast<std::uint8_t>(type)))
      list.push_back({type == 0 ? "HelloRequest" : "type " + std::to_string(type),
                      Stimulus::Kind::handshake,
                      {},
                      static_cast<std::uint8_t>(type),
                      type == 0 ? Bytes() : Bytes(4, 0)});
  step(Message::change_cipher_spec, channel ? Keys::channel : Keys::first, "ChangeCipherSpec");
  const auto record = [&](ContentType type, Bytes payload, std::string text) {
    list.push_back({std::move(text), Stimulus::Kind::record, {}, static_cast<std::uint8_t>(type), std::move(payload)});
  };
  record(ContentType::alert, {1, 90}, "warning alert");
  record(ContentType::alert, {2, 40}, "fatal alert");
  record(ContentType::alert, {1, 0}, "close_notify");
  record(ContentType::alert, {2}, "half an alert");
  record(ContentType::application_data, {11, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1}, "application data");
  record(ContentType::application_data, {}, "empty application data");
  record(ContentType::handshake, {}, "empty handshake record");
  record(ContentType{24}, {1}, "content type 24");
  return list;
}

// ---------------------------------------------------------------- the stage

Stage::Stage(Flow flow, Side real)
    : flow_(flow),
      real_side_(real),
      world_(world_of(flow)),
      puppet_(other(real), world_, definition(flow).multicast),
      real_(real == Side::client ? world_.client() : world_.server()) {
  world_.authority.issued = 0;
  collect();
}

void Stage::collect() {
  puppet_.receive(real_->take_output());
  for (const Event& event : real_->take_events()) {
    seen_.keying_sent += std::holds_alternative<KeyingSent>(event);
    seen_.passwords += std::holds_alternative<PasswordPresented>(event);
    seen_.closed |= std::holds_alternative<PeerClosed>(event);
    seen_.control += std::holds_alternative<ControlReceived>(event) || std::holds_alternative<ApplicationData>(event);
    if (const auto* established = std::get_if<Established>(&event)) {
      ++seen_.established_events;
      seen_.established_flow = established->flow;
    }
    if (std::holds_alternative<PasswordPresented>(event) && password_verdict) {
      (void)real_->password_checked(*password_verdict, test_now);
      collect();
    }
  }
}

void Stage::deliver() {
  const Bytes bytes = puppet_.take_output();
  held_.insert(held_.end(), bytes.begin(), bytes.end());
  if (!holding_) release();
}

void Stage::release() {
  holding_ = false;
  if (!held_.empty() && !real_->failed()) (void)real_->receive(held_, test_now);
  held_.clear();
  collect();
}

void Stage::send(const Step& step) {
  puppet_.send(step);
  deliver();
}

void Stage::send(const Stimulus& stimulus) {
  switch (stimulus.kind) {
    case Stimulus::Kind::step:
      puppet_.send(stimulus.step);
      break;
    case Stimulus::Kind::handshake:
      puppet_.send_handshake(stimulus.type, stimulus.payload);
      break;
    case Stimulus::Kind::record:
      puppet_.send_record(ContentType{stimulus.type}, stimulus.payload);
      break;
  }
  deliver();
}

bool Stage::walk_to(std::size_t position) {
  for (std::size_t i = 0; i < position && i < steps().size() && !real_->failed(); ++i)
    if (steps()[i].from != real_side_) send(steps()[i]);
  return !real_->failed();
}

Verdict Stage::verdict() {
  Verdict verdict = seen_;
  verdict.failed = real_->failed();
  verdict.established = real_->established();
  verdict.issued = world_.authority.issued;
  verdict.alerts = puppet_.alert_records();
  verdict.alert_code = puppet_.alert_code();
  if (const HandshakeError* failure = real_->failure()) {
    verdict.reason = failure->reason;
    verdict.from_peer = failure->from_peer;
    verdict.why = failure->message();
  }
  return verdict;
}

std::string Stage::probe() {
  if (real_->failed()) return "dead";
  if (real_->established()) return "established";
  if (seen_.closed) return "closed";
  puppet_.send_handshake(99, Bytes());
  deliver();
  if (!real_->failed()) return "waiting for the password's check";
  const std::string& place = real_->failure()->place;
  const std::size_t at = place.find("waiting for ");
  return at == std::string::npos ? place : place.substr(at);
}

// ---------------------------------------------------------------- names and places

std::string title(Flow flow, Side real) {
  return std::string(name(flow)) + ", " + (real == Side::client ? "client" : "server");
}

std::string identifier(Flow flow) {
  std::string text;
  bool upper = true;
  for (const char c : name(flow)) {
    if (!std::isalnum(static_cast<unsigned char>(c))) {
      upper = true;
      continue;
    }
    text += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    upper = false;
  }
  return text;
}

std::vector<std::size_t> waiting_positions(Flow flow, Side real) {
  const auto steps = definition(flow).steps;
  std::vector<std::size_t> list;
  for (std::size_t i = 0; i < steps.size(); ++i)
    if (steps[i].from != real) list.push_back(i);
  list.push_back(steps.size());
  return list;
}

std::size_t last_step_of(Flow flow, Side side) {
  const auto steps = definition(flow).steps;
  std::size_t last = 0;
  for (std::size_t i = 0; i < steps.size(); ++i)
    if (steps[i].from == side) last = i;
  return last;
}

std::vector<Play> all_plays() {
  std::vector<Play> plays;
  for (const FlowDefinition& flow : flow_definitions)
    for (const Side real : {Side::server, Side::client})
      plays.push_back({flow.flow, real});
  return plays;
}

std::string play_name(const Play& play) {
  return identifier(play.flow) + (play.real == Side::client ? "_Client" : "_Server");
}

}  // namespace sealcast::handshake::adversary
