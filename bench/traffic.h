// What the gateway benchmarks move: groups with keys of their own, frames that hit them at random, and the two data
// planes that seal and open them.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "dataplane/control/control.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/dpdk/rcu_publisher.h"

namespace sealcast::bench {

// Frame bytes that stand for a mix: of every twelve frames seven of 64, four of 594 and one of 1514 bytes (the "simple
// IMIX" 7:4:1, without FCS), in random order.
inline constexpr std::size_t imix = 0;

struct Traffic {
  std::uint8_t family = 4;  // 4 or 6
  EspMode mode = EspMode::tunnel_preserve;
  std::size_t key_bytes = 16;    // 16 or 32
  std::size_t frame_bytes = 64;  // of the plain frame, Ethernet header included, FCS not; from 64, or imix
  std::size_t groups = 1;    // each with a destination, an SPI and a key of its own; every frame picks one at random
  std::size_t frames = 512;  // different frames, a multiple of lane_burst

  auto operator<=>(const Traffic&) const = default;
};

// Bytes of Ethernet frames of one pass, FCS not counted.
std::uint64_t frame_bytes_of(const std::vector<Bytes>& frames);

// As received on red.
std::vector<Bytes> plain_frames(const Traffic& traffic);

// One worker's data plane with every group of the traffic installed, and the RCU it publishes through.
struct Plane {
  std::unique_ptr<dataplane::RcuPublisher> publisher;
  std::unique_ptr<dataplane::DataPlane> plane;
  std::vector<dataplane::OpeningSa*> opening;  // of each group of an opening plane

  dataplane::Worker& worker() { return plane->worker(0); }
  // Forgets all numbers seen, and takes the time back to that of the recording: the next pass over it is new again.
  // Only a benchmark may do that.
  void rewind();
  // Packets sealed, opened, and dropped for whatever reason, since the plane was made.
  std::uint64_t sealed() const { return plane->worker(0).counters().sealed.get(); }
  std::uint64_t opened() const { return plane->worker(0).counters().opened.get(); }
  std::uint64_t dropped() const;
  std::string drops() const;  // "reason=N …", for messages
};

// engine: one of aead::engine_names(), "auto", or "none": an engine that leaves every packet as it is and reports it
// sealed or authentic. With it a worker costs everything but AES-GCM.
std::unique_ptr<Plane> make_plane(const Traffic& traffic, bool sealing, const std::string& engine);

// As received on black: plain_frames() sealed by a sealing plane of the same traffic.
std::vector<Bytes> sealed_frames(const Traffic& traffic, Plane& sealer);

// A port that receives the frames again and again, one after the other. folder holds the file while it is read.
std::unique_ptr<dataplane::Port> recording(const std::string& folder, const std::vector<Bytes>& frames);

// Ends the program: the benchmark cannot be set up.
[[noreturn]] void give_up(const std::string& message);
template <typename T>
T need(Result<T> result) {
  if (!result) give_up(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace sealcast::bench
