// One direction of one worker: a burst from a receive queue, through the packet path, to a transmit queue. Internal to
// this folder and the benchmarks; the one header here with DPDK types.
#pragma once

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/counter.h"
#include "dataplane/dpdk/active_ports.h"
#include "dataplane/frame.h"
#include "dataplane/worker.h"

namespace sealcast::dataplane {

// Frames moved together. More would not speed up the engines, and would lengthen the wait of a burst's first frame.
inline constexpr std::uint16_t lane_burst = 64;
static_assert(lane_burst <= max_burst);

// Written by one worker.
struct alignas(cache_line) LaneCounters {
  Counter tx_full;         // forwarded, but the transmit ring took no more, or the device is away
  Counter not_contiguous;  // several segments or a shared buffer, and no room to copy it into one of its own
  Counter hand_off_full;   // for another worker, whose ring was full
  Counter reply_full;      // an answer to the side a frame came from, whose transmit ring was full
};

// A buffer with this frame alone, in one segment: frame itself, or a copy (frame is then freed). Null: it does not fit
// one buffer, or there is none; frame is freed. The path rewrites frames in place, so nobody else may see them.
rte_mbuf* own_buffer(rte_mbuf* frame);

// Moves frames from mbufs to the path's view of them. mbufs that cannot be used are freed and counted; returns how many
// frames there are.
inline std::uint16_t to_frames(rte_mbuf** mbufs, std::uint16_t n, Frame* frames, LaneCounters& counters) {
  std::uint16_t kept = 0;
  for (std::uint16_t i = 0; i < n; ++i) {
    rte_mbuf* m = mbufs[i];
    if (i + 4 < n) rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + 4], void*));
    if (m->nb_segs != 1 || rte_mbuf_refcnt_read(m) != 1 || !RTE_MBUF_DIRECT(m)) [[unlikely]] {
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

// The buffer's own description follows the path's.
inline void fit_buffer(const Frame& f) {
  auto* const m = static_cast<rte_mbuf*>(f.buffer);
  m->data_off = static_cast<std::uint16_t>(f.data - static_cast<std::uint8_t*>(m->buf_addr));
  m->data_len = static_cast<std::uint16_t>(f.length);
  m->pkt_len = f.length;
}

// Sends the forwarded frames on port and the replies on back (the port they came from), frees the others but those
// that the worker keeps. hand_off(frame) is called for frames of another worker, takes the
// buffer over and returns true, or returns false (the frame is then dropped). A full ring's leftovers are freed and
// counted.
template <typename HandOff>
void send_frames(std::span<Frame> frames, std::uint16_t port, std::uint16_t back, std::uint16_t queue,
                 LaneCounters& counters, HandOff&& hand_off) {
  std::array<rte_mbuf*, lane_burst> out;
  std::array<rte_mbuf*, lane_burst> dead;
  std::uint16_t outs = 0;
  unsigned deads = 0;
  for (const Frame& f : frames) {
    auto* const m = static_cast<rte_mbuf*>(f.buffer);
    if (f.verdict == Verdict::forward) [[likely]] {
      fit_buffer(f);
      out[outs++] = m;
      continue;
    }
    switch (f.verdict) {
      case Verdict::park:
        break;
      case Verdict::hand_off:
        if (!hand_off(f)) dead[deads++] = m;
        break;
      case Verdict::reply: {
        fit_buffer(f);
        rte_mbuf* answer = m;
        if (back == no_port || rte_eth_tx_burst(back, queue, &answer, 1) == 0) {
          counters.reply_full.add(1);
          dead[deads++] = m;
        }
        break;
      }
      case Verdict::fragment:  // not cut yet: the path does not ask for it
      case Verdict::punt:      // no port has a host interface yet
      case Verdict::drop:
      case Verdict::forward:
        dead[deads++] = m;
        break;
    }
  }
  if (outs != 0) {
    const std::uint16_t sent = port == no_port ? 0 : rte_eth_tx_burst(port, queue, out.data(), outs);
    if (sent < outs) {
      counters.tx_full.add(static_cast<std::uint64_t>(outs - sent));
      rte_pktmbuf_free_bulk(out.data() + sent, static_cast<unsigned>(outs - sent));
    }
  }
  if (deads != 0) rte_pktmbuf_free_bulk(dead.data(), deads);
}

// One burst: receive, process(frames), send. Returns how many frames were received.
template <typename Process, typename HandOff>
std::uint16_t move_burst(std::uint16_t from_port, std::uint16_t to_port, std::uint16_t queue, LaneCounters& counters,
                         Process&& process, HandOff&& hand_off) {
  if (from_port == no_port) [[unlikely]]
    return 0;
  std::array<rte_mbuf*, lane_burst> in;
  const std::uint16_t n = rte_eth_rx_burst(from_port, queue, in.data(), lane_burst);
  if (n == 0) return 0;
  std::array<Frame, lane_burst> frames;
  const std::uint16_t kept = to_frames(in.data(), n, frames.data(), counters);
  const std::span<Frame> burst(frames.data(), kept);
  process(burst);
  send_frames(burst, to_port, from_port, queue, counters, hand_off);
  return n;
}

}  // namespace sealcast::dataplane
