// A stage for attacks: for any flow and either role, a real end that a puppet has brought to a chosen state with sound
// messages, ready for one stimulus, and a verdict on its effect. All code here is generic over flow_definitions.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "handshake/testing/puppet.h"

namespace sealcast::handshake::adversary {

// The world in which both ends run this flow: certificates and configuration, made once per process and shared, so that
// thousands of handshakes cost no key generation. Signatures are Ed25519 where the suite allows it: their size and
// content depend on the transcript alone, so that a case with a seed runs the same way again.
testing::World& world_of(Flow flow);

// Replaces a CSPRNG in tests: the same seed, the same bytes. Not for production.
class SeededRandom : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : state_(seed) {}
  void fill(ByteSpan out) override;
  std::uint64_t next();                                            // splitmix64
  std::size_t below(std::size_t bound) { return next() % bound; }  // bound > 0
  bool chance(std::size_t one_in) { return below(one_in) == 0; }

 private:
  std::uint64_t state_;
};

// One thing to send.
struct Stimulus {
  std::string name;  // "CertificateRequest", "unknown type 99", "warning alert" …
  enum class Kind { step, handshake, record } kind = Kind::step;
  Step step{};            // Kind::step: as sound as the puppet can make it now
  std::uint8_t type = 0;  // Kind::handshake: the type, with four zero bytes; Kind::record: content type
  Bytes payload{};        // Kind::record
};
// Every stimulus possible at this place of the flow: each handshake message, as correct as the puppet can make it,
// unknown types, ChangeCipherSpec, alerts, application data, foreign content types.
std::vector<Stimulus> stimuli(Flow flow, Side puppet, std::size_t position);

struct Verdict {
  bool failed = false;
  bool established = false;              // by the real end's own account
  int established_events = 0;            // Established events
  std::optional<Flow> established_flow;  // … and the flow in the last one
  int keying_sent = 0;                   // KeyingSent events
  int passwords = 0;                     // PasswordPresented events
  int control = 0;                       // ControlReceived and ApplicationData events
  bool closed = false;                   // PeerClosed
  int issued = 0;                        // calls to the group authority for keying
  int alerts = 0;                        // alert records the real end sent
  std::optional<std::uint8_t> alert_code;
  Reason reason{};  // of the failure
  bool from_peer = false;
  std::string why;  // the failure's line
};

class Stage {
 public:
  Stage(Flow flow, Side real);

  // Plays the puppet's sound steps before this position. False: the real end failed on the way.
  bool walk_to(std::size_t position);
  // Sends and delivers; hold() gathers instead until release().
  void send(const Stimulus& stimulus);
  void send(const Step& step);
  void deliver();
  void hold() { holding_ = true; }
  void release();

  Verdict verdict();
  // The message that the real end waits for, found by killing it with a message of unknown type; "established",
  // "closed" or "dead" if it waits for none.
  std::string probe();

  testing::Puppet& puppet() { return puppet_; }
  Endpoint& real() { return *real_; }
  Side side() const { return real_side_; }
  std::span<const Step> steps() const { return definition(flow_).steps; }

  // The key server's answer to a password. Unset: the handshake waits until the test answers.
  std::optional<bool> password_verdict = true;

 private:
  void collect();

  Flow flow_;
  Side real_side_;
  testing::World& world_;
  testing::Puppet puppet_;
  std::unique_ptr<Endpoint> real_;
  Verdict seen_;
  Bytes held_;
  bool holding_ = false;
};

inline Side other(Side side) {
  return side == Side::client ? Side::server : Side::client;
}
// "client, variant 2 (claim 5)" and the like, for messages; and a form of it for test names.
std::string title(Flow flow, Side real);
std::string identifier(Flow flow);

// Where a real end of this side waits for the peer: positions in the flow's list, its end included.
std::vector<std::size_t> waiting_positions(Flow flow, Side real);
// The peer's last own step: from here on nothing more is expected of it.
std::size_t last_step_of(Flow flow, Side side);

// Instantiation: every flow with either end real.
struct Play {
  Flow flow;
  Side real;
};
std::vector<Play> all_plays();
std::string play_name(const Play& play);

}  // namespace sealcast::handshake::adversary
