// A data plane with one worker and a clock that the test advances; and an epoch with keys as members have it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/control/control.h"
#include "dataplane/testing/packets.h"

namespace sealcast::dataplane::testing {

// One thread runs both sides: there is no worker to wait for.
class ImmediatePublisher : public Publisher {
 public:
  void publish(const Snapshot* next) override { current = next; }
  const Snapshot* current = nullptr;
};

// The result for one frame.
struct Outcome {
  Verdict verdict = Verdict::drop;
  DropReason reason = DropReason::none;
  std::uint32_t target = 0;
  Bytes frame;  // as it would be sent
};

// A frame in a buffer of its own, with room on both sides, for parts of the path that are tested by themselves.
class BufferedFrame {
 public:
  explicit BufferedFrame(const Bytes& bytes, std::size_t room = 128);
  BufferedFrame(const BufferedFrame&) = delete;
  BufferedFrame& operator=(const BufferedFrame&) = delete;

  // As it is now.
  Bytes bytes() const { return {frame.data, frame.data + frame.length}; }

  Frame frame;

 private:
  Bytes buffer_;
};

// The key of an SPI, the same at every member: a fixed function replaces the derivation from the group master.
SaKey key_of(std::uint32_t spi, std::uint8_t key_size = 16);

Selector selector(const std::string& destination, std::optional<PortRange> ports = std::nullopt,
                  const std::string& source = "");

// The AEAD engines that this CPU runs, best first.
std::vector<std::string> runnable_engines();

// The selectors of group "tv" in Harness::install_tv(): 239.1.1.0/24.
std::vector<Selector> tv_selectors();

// A rule of this kind under its name ("rule" for the general kinds, which have none); all else by default.
BypassRule bypass_rule(BypassProtocol protocol, BypassDirection direction = BypassDirection::both);

// The default rules, each with this rate.
std::vector<BypassRule> bypass_at(std::uint32_t rate);

class Harness {
 public:
  struct Options {
    std::string engine = "auto";
    std::uint32_t workers = 1;
    PathSettings path = {};
    std::size_t headroom = 128;
    std::size_t tailroom = 128;
    std::optional<NeighbourSettings> beacon = std::nullopt;
  };
  static constexpr std::uint64_t tsc_hz = 1'000'000'000;

  Harness() : Harness(Options{}) {}
  explicit Harness(Options options);

  // An epoch of group over selectors: lives an hour, lease a minute.
  GroupEpoch epoch(const std::string& group, std::uint64_t number, std::uint32_t spi_prefix,
                   const std::vector<Selector>& selectors, bool active = true) const;

  // protect() and install(): group "tv" = 239.1.1.0/24, prefix 0x10000000, epoch 1, active; sealing under slot
  // 0 (a worker), opening slots 8 and 9.
  void install_tv();
  // The same with selectors, mode and outer header of the caller's choice.
  void install(const GroupProtection& protection);

  std::vector<Outcome> red(const std::vector<Bytes>& frames, std::uint32_t worker = 0);
  std::vector<Outcome> black(const std::vector<Bytes>& frames, std::uint32_t worker = 0);
  Outcome red(const Bytes& frame) { return red(std::vector<Bytes>{frame})[0]; }
  Outcome black(const Bytes& frame) { return black(std::vector<Bytes>{frame})[0]; }

  // The results for parked frames that need not wait any more, in sending order.
  std::vector<Outcome> unpark(std::uint32_t worker = 0);
  // Frames a worker holds now: parked ones.
  std::size_t held() const { return held_.size(); }

  void advance(std::chrono::nanoseconds time) { clock_ += static_cast<std::uint64_t>(time.count()); }
  SteadyTime now() const { return SteadyTime(std::chrono::nanoseconds(clock_)); }
  std::uint64_t now_tsc() const { return clock_; }

  std::uint64_t dropped(DropReason reason) const;
  DataPlaneStatistics statistics() const { return plane_->statistics(); }
  const SaStatistics* sa(std::uint32_t spi);

  DataPlane& plane() { return *plane_; }
  const Snapshot& snapshot() const { return *publisher_.current; }

 private:
  std::vector<Outcome> run(const std::vector<Bytes>& frames, bool red, std::uint32_t worker);
  Outcome outcome_of(const Frame& frame);

  Options options_;
  std::uint64_t clock_ = 1'000'000'000'000;
  ImmediatePublisher publisher_;
  std::unique_ptr<DataPlane> plane_;
  DataPlaneStatistics last_;
  std::map<const void*, std::unique_ptr<Bytes>> held_;  // buffers of frames, by Frame::buffer
};

// Another member that seals under slot of the same epoch, so that Harness opens it.
class Sender {
 public:
  explicit Sender(std::uint32_t spi, std::vector<Selector> selectors, const std::string& engine = "auto");
  Sender(std::uint32_t spi, const GroupProtection& protection, const std::string& engine = "auto");
  Bytes seal(const Bytes& frame);
  Harness& harness() { return harness_; }

 private:
  Harness harness_;
};

// An ESP frame made by hand, possibly invalid: all fields as given, only the ICV is right.
struct EspFields {
  std::uint32_t spi = 0x10000008;
  std::uint64_t number = 1;
  std::optional<std::uint32_t> sequence;  // else the number's low half
  std::uint8_t next_header = 4;
  std::optional<Bytes> trailer;  // padding, pad length and next header, in place of the right ones
  Ipv4Fields outer = {};
  std::optional<Ipv6Fields> outer6 = std::nullopt;  // instead of outer
  std::uint8_t key_size = 16;
};
Bytes esp_frame(const EspFields& fields, const Bytes& inner);

}  // namespace sealcast::dataplane::testing
