#include "dataplane/worker.h"

#include "dataplane/worker_scratch.h"

namespace sealcast::dataplane {

Worker::Worker(std::uint32_t index, const PathSettings& settings, const aead::Engine& engine)
    : index_(index), settings_(settings), engine_(engine), scratch_(std::make_unique<Scratch>()) {
  for (const Prefix& prefix : settings.local_red_sources) {
    if (prefix.address.family != 4) continue;
    Selector source_only;
    source_only.destination = Prefix{IpAddress::v4(0), 0};
    source_only.source = prefix;
    local_red_.push_back(compile(source_only, 0));
  }
}

Worker::~Worker() = default;

void Worker::red_burst(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) {
  for (; frames.size() > max_burst; frames = frames.subspan(max_burst))
    red_chunk(frames.first(max_burst), now_tsc, snapshot);
  red_chunk(frames, now_tsc, snapshot);
}

void Worker::black_burst(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) {
  for (; frames.size() > max_burst; frames = frames.subspan(max_burst))
    black_chunk(frames.first(max_burst), now_tsc, snapshot);
  black_chunk(frames, now_tsc, snapshot);
}

DropReason Worker::bypass(Frame& frame, TokenBucket& bucket, std::uint64_t now_tsc) noexcept {
  if (!take_tokens(bucket, (frame.length + bypass_unit_bytes - 1) / bypass_unit_bytes, now_tsc))
    return DropReason::rate_limited;
  frame.verdict = Verdict::forward;
  counters_.bypassed.add(1);
  return DropReason::none;
}

bool Worker::take_tokens(TokenBucket& bucket, std::uint32_t tokens, std::uint64_t now_tsc) const noexcept {
  if (settings_.igmp_per_second == 0) return false;
  const std::uint64_t cost = std::min(tokens * (settings_.tsc_hz / settings_.igmp_per_second), settings_.tsc_hz);
  const std::uint64_t elapsed = now_tsc > bucket.last_tsc ? now_tsc - bucket.last_tsc : 0;
  if (!bucket.started || elapsed >= settings_.tsc_hz) {
    bucket.started = true;
    bucket.credit = settings_.tsc_hz;
  } else {
    bucket.credit = std::min(bucket.credit + elapsed, settings_.tsc_hz);
  }
  bucket.last_tsc = now_tsc;
  if (bucket.credit < cost) return false;
  bucket.credit -= cost;
  return true;
}

}  // namespace sealcast::dataplane
