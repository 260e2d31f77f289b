#include "dataplane/path/worker.h"

#include <random>

#include "dataplane/path/parking_lot.h"
#include "dataplane/path/worker_scratch.h"

namespace sealcast::dataplane {
namespace {

// From a datagram's first fragment to its last: they leave a sender back to back, while identifications come round in
// less than a second on a fast link.
constexpr std::uint64_t fragment_seconds = 2;

std::uint64_t random_word() {
  std::random_device random;
  return (std::uint64_t{random()} << 32) | random();
}

}  // namespace

Worker::Worker(std::uint32_t index, const PathSettings& settings, const aead::Engine& engine)
    : index_(index),
      settings_(settings),
      engine_(engine),
      keys_together_(engine.wants_keys_together()),
      scratch_(std::make_unique<Scratch>()),
      black_limit_(settings.black_mtu),
      red_fragments_(settings.tsc_hz * fragment_seconds, random_word()),
      opened_fragments_(settings.tsc_hz * fragment_seconds, random_word()),
      parking_(std::make_unique<ParkingLot>()),
      bypass_(settings.bypass, settings.tsc_hz, settings.bypass_seed) {
  for (const Prefix& prefix : settings.local_red_sources) {
    Selector source_only;
    source_only.destination = Prefix{{prefix.address.family, {}}, 0};
    source_only.source = prefix;
    if (prefix.address.family == 4) {
      local_red_.push_back(compile(source_only, 0));
    } else {
      local_red6_.push_back(compile_for<Address6>(source_only, 0));
    }
  }
}

Worker::~Worker() = default;

void Worker::red_burst(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) {
  black_limit_ = settings_.black_mtu;
  for (; frames.size() > max_burst; frames = frames.subspan(max_burst))
    red_chunk(frames.first(max_burst), now_tsc, snapshot);
  red_chunk(frames, now_tsc, snapshot);
}

void Worker::black_burst(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) {
  for (; frames.size() > max_burst; frames = frames.subspan(max_burst))
    black_chunk(frames.first(max_burst), now_tsc, snapshot);
  black_chunk(frames, now_tsc, snapshot);
}

}  // namespace sealcast::dataplane
