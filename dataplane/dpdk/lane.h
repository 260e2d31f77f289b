// One direction of one worker: a burst from a receive queue, through the packet path, to a transmit queue. Internal to
// this folder and the benchmarks; the one header here with DPDK types.
#pragma once

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <rte_ring.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/dpdk/active_ports.h"
#include "dataplane/dpdk/cut.h"
#include "dataplane/dpdk/host_interface.h"
#include "dataplane/packet/frame.h"
#include "dataplane/path/worker.h"
#include "dataplane/sa/counter.h"

namespace sealcast::dataplane {

// Frames moved together. More would not speed up the engines, and would lengthen the wait of a burst's first frame.
inline constexpr std::uint16_t lane_burst = 64;
static_assert(lane_burst <= max_burst);

// Written by one worker.
struct alignas(cache_line) LaneCounters {
  Counter tx_full;         // forwarded, but the transmit ring took no more, or the device is away
  Counter not_contiguous;  // several segments or a shared buffer, and no room to copy it into one of its own
  Counter reply_full;      // an answer to the sender's side, but its transmit ring was full
  CutCounters cut;
};

// A buffer with this frame alone, in one segment: frame itself, or a copy (frame is then freed). Null: it does not fit
// one buffer, or there is none; frame is freed. The path rewrites frames in place, so that no buffer may be shared.
rte_mbuf* own_buffer(rte_mbuf* frame);

// Room for a burst, not initialised: to_frames() sets what the path reads, the path the rest.
union FrameRoom {
  FrameRoom() {}  // NOLINT: deliberately not initialised
  Frame frames[lane_burst];
};

// One segment, one reference, and memory of its own. Reference and segment count are read as one word.
inline bool is_plain(const rte_mbuf* m) {
  static_assert(offsetof(rte_mbuf, nb_segs) == offsetof(rte_mbuf, refcnt) + 2);
  std::uint32_t counts;
  std::memcpy(&counts, reinterpret_cast<const std::uint8_t*>(m) + offsetof(rte_mbuf, refcnt), sizeof counts);
  return counts == 0x00010001 && RTE_MBUF_DIRECT(m);
}

// Fills frames, the path's view, from mbufs. Frees and counts mbufs that cannot be used; returns the number of frames.
inline std::uint16_t to_frames(rte_mbuf** mbufs, std::uint16_t n, Frame* frames, LaneCounters& counters) {
  std::uint16_t kept = 0;
  for (std::uint16_t i = 0; i < n; ++i) {
    rte_mbuf* m = mbufs[i];
    if (i + 4 < n) rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + 4], void*));
    if (!is_plain(m)) [[unlikely]] {
      m = own_buffer(m);
      if (m == nullptr) {
        counters.not_contiguous.add(1);
        continue;
      }
    }
    Frame& f = frames[kept++];
    f.data = rte_pktmbuf_mtod(m, std::uint8_t*);
    f.length = m->data_len;
    f.headroom = m->data_off;
    f.tailroom = static_cast<std::uint32_t>(m->buf_len) - m->data_off - m->data_len;
    f.buffer = m;
  }
  return kept;
}

// Sets the buffer's own fields to the path's result.
inline void fit_buffer(const Frame& f) {
  auto* const m = static_cast<rte_mbuf*>(f.buffer);
  m->data_off = static_cast<std::uint16_t>(f.data - static_cast<std::uint8_t*>(m->buf_addr));
  m->data_len = static_cast<std::uint16_t>(f.length);
  m->pkt_len = f.length;
}

// How frames leave: by a transmit queue of this worker's own, or by a ring to the worker that has one.
struct Way {
  std::uint16_t port = 0, queue = 0;
  rte_ring* ring = nullptr;       // null: the queue is our own
  HostInterface* host = nullptr;  // of that port, if it has one
  std::uint32_t worker = 0;       // that asks it

  std::uint16_t receive(rte_mbuf** frames, std::uint16_t n) const {
    return port == no_port ? 0 : rte_eth_rx_burst(port, queue, frames, n);
  }
  // Takes over as many as it has room for, at most lane_burst, and returns how many.
  std::uint16_t send(rte_mbuf** frames, std::uint16_t n) const {
    if (ring == nullptr) [[likely]]
      return port == no_port ? 0 : rte_eth_tx_burst(port, queue, frames, n);
    void* buffers[lane_burst];
    std::copy(frames, frames + n, buffers);
    return static_cast<std::uint16_t>(rte_ring_enqueue_burst(ring, buffers, n, nullptr));
  }
  // A received frame that is for the host interface. False: not taken over.
  bool punt(rte_mbuf* frame) const { return host != nullptr && host->punt(worker, frame, rte_rdtsc()); }
};

// Frees and counts frames for which a ring has no room.
inline void send_all(const Way& way, rte_mbuf** frames, std::uint16_t n, LaneCounters& counters) {
  const std::uint16_t sent = way.send(frames, n);
  if (sent == n) [[likely]]
    return;
  counters.tx_full.add(static_cast<std::uint64_t>(n - sent));
  rte_pktmbuf_free_bulk(frames + sent, static_cast<unsigned>(n - sent));
}

// Gathers forwarded frames until they are sent; their places in the burst do not matter here.
class WaySink {
 public:
  WaySink(const Way& way, LaneCounters& counters) : way_(way), counters_(counters) {}
  void add(std::size_t, rte_mbuf* frame) {
    if (n_ == lane_burst) [[unlikely]]
      flush();
    out_[n_++] = frame;
  }
  void flush() {
    if (n_ != 0) send_all(way_, out_.data(), n_, counters_);
    n_ = 0;
  }

 private:
  const Way& way_;
  LaneCounters& counters_;
  std::array<rte_mbuf*, lane_burst> out_;
  std::uint16_t n_ = 0;
};

// What else frames may need. A lane derives from it and overrides what it can do; the defaults refuse. i: the frame's
// place in its burst.
struct LaneHooks {
  // A frame for another worker: takes the buffer over and returns true, or returns false (the frame is then dropped).
  bool hand_off(std::size_t, const Frame&) { return false; }
  // A fragment of an ESP packet; takes the buffer over.
  void reassemble(const Frame& f) { rte_pktmbuf_free(static_cast<rte_mbuf*>(f.buffer)); }
  // The rest of a burst, from its first frame to be cut, the i-th; takes all its buffers over and gives sink the frames
  // to send.
  template <typename Sink>
  void cut(std::span<Frame> rest, std::size_t, Sink&) {
    for (const Frame& f : rest)
      rte_pktmbuf_free(static_cast<rte_mbuf*>(f.buffer));
  }
};

// An answer leaves with the address of the port that sends it.
[[gnu::cold]] inline void sign_answer(const Frame& f, const Way& way) {
  rte_ether_addr own;
  if (way.port != no_port && rte_eth_macaddr_get(way.port, &own) == 0)
    std::memcpy(f.data + sizeof own, &own, sizeof own);
}

// Gives the forwarded frames to sink, in order, and sends replies back to the side they came from. Frees the others,
// except those that the worker keeps or a hook takes.
template <typename Sink, typename Hooks>
void finish_frames(std::span<Frame> frames, Sink& sink, const Way& back, LaneCounters& counters, Hooks&& hooks) {
  std::array<rte_mbuf*, lane_burst> dead;
  unsigned deads = 0;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const Frame& f = frames[i];
    auto* const m = static_cast<rte_mbuf*>(f.buffer);
    if (f.verdict == Verdict::forward) [[likely]] {
      fit_buffer(f);
      sink.add(i, m);
      continue;
    }
    switch (f.verdict) {
      case Verdict::park:
        break;
      case Verdict::hand_off:
        if (!hooks.hand_off(i, f)) dead[deads++] = m;
        break;
      case Verdict::punt:
        if (!back.punt(m)) dead[deads++] = m;
        break;
      case Verdict::reply: {
        fit_buffer(f);
        sign_answer(f, back);
        rte_mbuf* answer = m;
        if (back.send(&answer, 1) == 0) {
          counters.reply_full.add(1);
          dead[deads++] = m;
        }
        break;
      }
      case Verdict::reassemble:
        hooks.reassemble(f);
        break;
      case Verdict::fragment:
        hooks.cut(frames.subspan(i), i, sink);
        i = frames.size() - 1;  // cut() has handled the rest
        break;
      case Verdict::drop:
      case Verdict::forward:
        dead[deads++] = m;
        break;
    }
  }
  sink.flush();
  if (deads != 0) rte_pktmbuf_free_bulk(dead.data(), deads);
}

// The same, and sends the forwarded frames.
template <typename Hooks>
void send_frames(std::span<Frame> frames, const Way& forth, const Way& back, LaneCounters& counters, Hooks&& hooks) {
  // Nearly always all frames are forwarded. If one is not, finish_frames() starts over: fitting a buffer twice does no
  // harm.
  std::array<rte_mbuf*, lane_burst> out;
  std::uint16_t n = 0;
  for (const Frame& f : frames) {
    if (f.verdict != Verdict::forward) [[unlikely]]
      break;
    fit_buffer(f);
    out[n++] = static_cast<rte_mbuf*>(f.buffer);
  }
  if (n == frames.size()) [[likely]] {
    if (n != 0) send_all(forth, out.data(), n, counters);
    return;
  }
  WaySink sink(forth, counters);
  finish_frames(frames, sink, back, counters, hooks);
}

// One burst: receive on a queue of from, process(frames), send. Returns how many frames were received.
template <typename Process, typename Hooks>
std::uint16_t move_burst(const Way& from, const Way& forth, const Way& back, LaneCounters& counters, Process&& process,
                         Hooks&& hooks) {
  std::array<rte_mbuf*, lane_burst> in;
  const std::uint16_t n = from.receive(in.data(), lane_burst);
  if (n == 0) return 0;
  FrameRoom room;
  const std::uint16_t kept = to_frames(in.data(), n, room.frames, counters);
  const std::span<Frame> burst(room.frames, kept);
  process(burst);
  send_frames(burst, forth, back, counters, hooks);
  return n;
}

// Between queues of this worker's own.
template <typename Process>
std::uint16_t move_burst(std::uint16_t from_port, std::uint16_t to_port, std::uint16_t queue, LaneCounters& counters,
                         Process&& process) {
  const Way from{from_port, queue}, forth{to_port, queue};
  return move_burst(from, forth, from, counters, process, LaneHooks{});
}

}  // namespace sealcast::dataplane
