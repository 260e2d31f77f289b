#include "dataplane/dpdk/cut.h"

#include <rte_ip_frag.h>

#include <cerrno>
#include <cstring>

#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {
namespace {

std::uint32_t link_bytes(const Frame& frame) {
  std::uint32_t offset = 0;
  std::uint16_t type = 0;
  parse_link(frame, type, offset);  // it was read before
  return offset;
}

// The library leaves the checksum to a card, and ignores what stands in front of the IP header.
bool finish(rte_mbuf* fragment, const std::uint8_t* link, std::uint32_t link_length) {
  auto* const ip = rte_pktmbuf_mtod(fragment, std::uint8_t*);
  const std::uint16_t sum = static_cast<std::uint16_t>(~fold16(sum_words(ip, (ip[0] & 0x0fU) * 4)));
  std::memcpy(ip + 10, &sum, 2);
  char* const front = rte_pktmbuf_prepend(fragment, static_cast<std::uint16_t>(link_length));
  if (front == nullptr) return false;
  std::memcpy(front, link, link_length);
  return true;
}

}  // namespace

std::uint32_t ip_bytes(const Frame& frame) {
  return frame.length - link_bytes(frame);
}

Frame frame_of(rte_mbuf* buffer) {
  Frame f;
  f.data = rte_pktmbuf_mtod(buffer, std::uint8_t*);
  f.length = buffer->data_len;
  f.headroom = buffer->data_off;
  f.tailroom = static_cast<std::uint32_t>(buffer->buf_len) - buffer->data_off - buffer->data_len;
  f.buffer = buffer;
  return f;
}

bool cut_frame(const Frame& frame, Fragments& out, CutCounters& counters) {
  const CutResult result = cut_ipv4(frame, frame.target, static_cast<rte_mbuf*>(frame.buffer)->pool, out);
  Counter& counter = result == CutResult::done        ? counters.packets
                     : result == CutResult::no_buffer ? counters.no_buffer
                                                      : counters.impossible;
  counter.add(1);
  return result == CutResult::done;
}

CutResult cut_ipv4(const Frame& frame, std::uint32_t max_bytes, rte_mempool* pool, Fragments& out) {
  out.count = 0;
  auto* const packet = static_cast<rte_mbuf*>(frame.buffer);
  const std::uint32_t link = link_bytes(frame);
  packet->data_off = static_cast<std::uint16_t>(frame.data + link - static_cast<std::uint8_t*>(packet->buf_addr));
  packet->data_len = static_cast<std::uint16_t>(frame.length - link);
  packet->pkt_len = packet->data_len;
  const std::int32_t made = rte_ipv4_fragment_copy_nonseg_packet(packet, out.buffers.data(), max_fragments,
                                                                 static_cast<std::uint16_t>(max_bytes), pool);
  if (made <= 0) return made == -ENOMEM ? CutResult::no_buffer : CutResult::impossible;
  out.count = static_cast<std::uint16_t>(made);
  for (std::uint16_t i = 0; i < out.count; ++i) {
    if (finish(out.buffers[i], frame.data, link)) continue;
    rte_pktmbuf_free_bulk(out.buffers.data(), out.count);
    out.count = 0;
    return CutResult::impossible;
  }
  return CutResult::done;
}

}  // namespace sealcast::dataplane
