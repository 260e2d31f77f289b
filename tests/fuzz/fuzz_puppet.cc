// One real end against a peer that owns real keys and certificates and sends what it likes. The input is the peer's
// next step: most often the flow's next message, now and then with its body changed before it is hashed, signed and
// sealed, or another message, or a record of any content. So the end is reached in every state, also after it is
// established, through checks that all really hold.
#include "handshake/testing/puppet.h"
#include "tests/fuzz/worlds.h"

namespace {

using namespace sealcast;             // NOLINT: a fuzzer of it
using namespace sealcast::handshake;  // NOLINT
using handshake::testing::Puppet;
using sealcast::fuzz::Input;
using sealcast::fuzz::require;

class Play {
 public:
  Play(testing::World& world, std::size_t way, Side peer)
      : world_(world),
        peer_(peer),
        steps_(definition(flow_of(way)).steps),
        puppet_(peer, world, handshake::fuzz::all_ways[way].multicast),
        end_(peer == Side::client ? world.server() : world.client()) {
    world.authority.issued = 0;
    puppet_.receive(end_->take_output());
  }

  void run(Input& input) {
    for (int count = 0; count < 40 && !input.empty() && !end_->failed(); ++count) {
      act(input);
      exchange(input);
    }
    require(world_.authority.issued <= 1);
    if (end_->failed()) require(!end_->established() && end_->failure() != nullptr);
    // A peer that keeps to the flow gets through: otherwise the other results would mean nothing.
    const bool all_said = std::none_of(steps_.begin() + static_cast<std::ptrdiff_t>(next_), steps_.end(),
                                       [&](const Step& step) { return step.from == peer_; });
    if (plain_ && all_said) require(end_->established());
  }

 private:
  static Flow flow_of(std::size_t way) {
    const auto& chosen = handshake::fuzz::all_ways[way];
    if (chosen.multicast) return *flow_for(chosen.flow);
    return chosen.mutual ? Flow::standard_mutual : Flow::standard;
  }

  void act(Input& input) {
    const std::uint8_t choice = input.u8();
    puppet_.bend = nullptr;
    plain_ = plain_ && choice % 8 > 3;
    switch (choice % 8) {
      case 0: {  // a message of the flow, of either side and at any time
        Step step = steps_[input.u8() % steps_.size()];
        step.from = peer_;
        if ((choice & 8) != 0) step.keys = Keys{static_cast<std::uint8_t>(choice / 16 % 3)};
        send(step);
        break;
      }
      case 1: {
        const std::uint8_t type = static_cast<std::uint8_t>(20 + choice / 8 % 4);
        raw_ = raw_ || type == 20 || type == 22;
        puppet_.send_record(ContentType{type}, input.short_block());
        break;
      }
      case 2: {
        const std::uint8_t type = input.u8();
        if (const auto known = message_of(type)) said_.push_back(*known);
        puppet_.send_handshake(type, input.short_block());
        break;
      }
      case 3: {  // the next message, changed
        const std::uint16_t place = input.u16();
        const ByteView bytes = input.short_block();
        puppet_.bend = [=](const Step&, SensitiveBytes& body) { change(body, choice / 8, place, bytes); };
        send_next();
        break;
      }
      default:
        send_next();
    }
  }

  static void change(SensitiveBytes& body, int how, std::size_t place, ByteView bytes) {
    place = body.empty() ? 0 : place % body.size();
    const auto at = body.begin() + static_cast<std::ptrdiff_t>(place);
    if (how % 3 == 0)
      for (std::size_t i = 0; i < bytes.size() && place + i < body.size(); ++i)
        body[place + i] = static_cast<std::uint8_t>(body[place + i] ^ bytes[i]);
    if (how % 3 == 1) body.insert(at, bytes.begin(), bytes.end());
    if (how % 3 == 2) body.erase(at, at + static_cast<std::ptrdiff_t>(std::min(bytes.size(), body.size() - place)));
  }

  void send(const Step& step) {
    said_.push_back(step.message);
    puppet_.send(step);
  }

  void send_next() {
    while (next_ < steps_.size() && steps_[next_].from != peer_)
      ++next_;
    if (next_ < steps_.size()) send(steps_[next_++]);
  }

  void exchange(Input& input) {
    const Bytes bytes = puppet_.take_output();
    if (!bytes.empty()) {
      const auto taken = end_->receive(bytes, testing::test_now);
      require(taken.has_value() != end_->failed());
    }
    for (auto events = end_->take_events(); !events.empty(); events = end_->take_events())
      for (const Event& event : events) {
        if (std::get_if<PasswordPresented>(&event) != nullptr) {
          const bool accepted = !input.flag();
          plain_ = plain_ && accepted;
          (void)end_->password_checked(accepted, testing::test_now);
        }
        if (const auto* established = std::get_if<Established>(&event)) on_established(*established);
      }
    puppet_.receive(end_->take_output());
  }

  // Only the flow's own messages in its order lead here (H3, SEQ-1).
  void on_established(const Established& established) {
    std::vector<Message> wanted;
    for (const Step& step : steps_)
      if (step.from == peer_) wanted.push_back(step.message);
    require(raw_ || said_ == wanted);
    if (established.keying)
      require(established.group_id == "tv" && established.keying->group_id == "tv" &&
              check_keying(*established.keying).has_value());
  }

  testing::World& world_;
  Side peer_;
  std::span<const Step> steps_;
  Puppet puppet_;
  std::unique_ptr<Endpoint> end_;
  std::size_t next_ = 0;
  std::vector<Message> said_;
  bool plain_ = true;  // nothing but the flow's messages, unchanged
  bool raw_ = false;   // handshake or ChangeCipherSpec records were sent raw
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const std::uint8_t first = input.u8();
  const std::size_t way = first / 2 % handshake::fuzz::all_ways.size();
  testing::World* world = handshake::fuzz::world_of(way);
  if (world == nullptr) return 0;
  Play((*world), way, (first & 1) != 0 ? Side::client : Side::server).run(input);
  return 0;
}
