// Cuts an IPv4 packet into fragments before it is sealed (RFC 791 §3.2), by librte_ip_frag. Internal to this folder;
// has DPDK types.
#pragma once

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/packet/frame.h"
#include "dataplane/path/worker.h"
#include "dataplane/sa/counter.h"

namespace sealcast::dataplane {

// Of one packet: 9000 bytes in fragments for the smallest black MTU (mtu_limits) make 21.
inline constexpr std::uint16_t max_fragments = 64;

struct Fragments {
  std::array<rte_mbuf*, max_fragments> buffers;
  std::uint16_t count = 0;
};

// Written by one worker.
struct CutCounters {
  Counter packets;     // cut
  Counter no_buffer;   // not cut: no buffer for a fragment, dropped
  Counter impossible;  // not cut: see CutResult, dropped
};

enum class CutResult : std::uint8_t {
  done,
  no_buffer,   // the pool is empty
  impossible,  // DF, too many fragments, or they do not fit the pool's buffers
};

// Copies the IPv4 packet of frame into fragments of at most max_bytes each (IP header included, from 68), every one in
// a contiguous buffer of its own with the frame's Ethernet header and tags in front and room for sealing on both sides.
// Options that must be copied are in all of them (RFC 791 §3.1), the others in the first alone; checksums are right.
// frame has passed the packet path's checks and keeps its buffer and content. On failure there are no fragments.
CutResult cut_ipv4(const Frame& frame, std::uint32_t max_bytes, rte_mempool* pool, Fragments& out);

// Of the IP packet in a frame that has passed the packet path's checks.
std::uint32_t ip_bytes(const Frame& frame);

// Cuts a frame with Verdict::fragment; the pieces come from its own buffer's pool, and the path must process them.
// False: counted, there are no pieces.
bool cut_frame(const Frame& frame, Fragments& out, CutCounters& counters);
Frame frame_of(rte_mbuf* buffer);

// Handles the rest of a burst from its first frame to be cut on. Cuts frames that are too long. Calls again(frames) for
// the pieces and for frames that the path held back to keep the order. Calls send(frames, places) for all, in order, at
// most max_burst frames each; places: the index in rest of each one's origin. A fragment takes the place of its packet.
template <typename Again, typename Send>
void cut_rest(std::span<Frame> rest, CutCounters& counters, Again&& again, Send&& send) {
  std::array<Frame, max_burst> line;
  std::array<std::uint8_t, max_burst> from;
  std::size_t length = 0;
  const auto flush = [&] {
    std::array<Frame, max_burst> second;
    std::array<std::uint8_t, max_burst> place;
    std::size_t count = 0;
    for (std::size_t i = 0; i < length; ++i) {
      if (line[i].verdict != Verdict::fragment) continue;
      second[count] = line[i];
      place[count++] = static_cast<std::uint8_t>(i);
    }
    if (count != 0) again(std::span<Frame>(second.data(), count));
    for (std::size_t i = 0; i < count; ++i) {
      Frame& f = line[place[i]] = second[i];
      if (f.verdict != Verdict::fragment) continue;
      counters.impossible.add(1);  // never cut twice: that might not end
      f.verdict = Verdict::drop;
    }
    send(std::span<Frame>(line.data(), length), std::span<const std::uint8_t>(from.data(), length));
    length = 0;
  };
  const auto push = [&](const Frame& f, std::size_t place) {
    if (length == line.size()) flush();
    from[length] = static_cast<std::uint8_t>(place);
    line[length++] = f;
  };
  for (std::size_t i = 0; i < rest.size(); ++i) {
    Frame& f = rest[i];
    if (f.verdict == Verdict::fragment && ip_bytes(f) > f.target) {
      Fragments parts;
      if (cut_frame(f, parts, counters)) {
        for (rte_mbuf* const buffer : std::span<rte_mbuf*>(parts.buffers.data(), parts.count)) {
          Frame part = frame_of(buffer);
          part.verdict = Verdict::fragment;
          push(part, i);
        }
      }
      f.verdict = Verdict::drop;  // the pieces replace it
    }
    push(f, i);
  }
  flush();
}

}  // namespace sealcast::dataplane
