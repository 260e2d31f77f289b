#include "dataplane/path/worker.h"

namespace sealcast::dataplane {

Worker::Worker(std::uint32_t index, const PathSettings& settings, const aead::Engine& engine, Sources& sources)
    : tally_(index),
      clear_path_(settings, tally_),
      missing_keys_(index, settings, tally_),
      source_guard_(index, settings, sources, tally_),
      sealer_(index, settings, engine, tally_, clear_path_, source_guard_),
      opener_(index, settings, engine, tally_, clear_path_, missing_keys_, source_guard_) {}

void Worker::red_burst(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) {
  sealer_.burst(frames, now_tsc, snapshot);
}

void Worker::black_burst(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) {
  opener_.burst(frames, now_tsc, snapshot);
}

std::size_t Worker::unpark(std::span<Frame> out, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept {
  if (missing_keys_.empty()) return 0;
  if (out.size() > max_burst) out = out.first(max_burst);
  const std::size_t n = missing_keys_.take_decided(out, snapshot);
  if (n == 0) return missing_keys_.take_late(out, now_tsc);
  opener_.burst(out.first(n), now_tsc, snapshot, Opener::Judge::parked);
  return n;
}

}  // namespace sealcast::dataplane
