#include "dataplane/dpdk/reassembly.h"

#include <rte_errno.h>
#include <sys/random.h>

#include <cstring>

#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint32_t link_room = ethernet_bytes + max_vlan_tags * vlan_tag_bytes;
constexpr unsigned reassembly_pool_cache = 32;
constexpr std::uint32_t prefetch = 3;

}  // namespace

Result<std::unique_ptr<Reassembler>> Reassembler::create(unsigned number, std::uint64_t hz) {
  std::unique_ptr<Reassembler> made(new Reassembler);
  const std::string name = "sc_reassembly" + std::to_string(number);
  const auto no_memory = [&] {
    return fail("reassembly: no memory for its tables and buffers (" + std::string(rte_strerror(rte_errno)) +
                "); raise memory_mb");
  };
  if (::getrandom(&made->secret_, sizeof made->secret_, 0) != sizeof made->secret_)
    return fail("reassembly: the system gives no random numbers");
  made->dead_ = std::make_unique<rte_ip_frag_death_row>();
  constexpr std::uint32_t room = RTE_PKTMBUF_HEADROOM + link_room + max_packet_bytes;
  made->pool_ = rte_pktmbuf_pool_create(name.c_str(), packets_out, reassembly_pool_cache, 0,
                                        static_cast<std::uint16_t>(room), SOCKET_ID_ANY);
  if (made->pool_ == nullptr) return no_memory();
  for (auto& table : made->tables_) {
    table = rte_ip_frag_table_create(datagrams, datagrams, datagrams, hz / 1000 * lifetime_ms, SOCKET_ID_ANY);
    if (table == nullptr) return no_memory();
  }
  return made;
}

Reassembler::~Reassembler() {
  for (auto* const table : tables_)
    if (table != nullptr) rte_ip_frag_table_destroy(table);  // frees the buffers it holds
  if (pool_ != nullptr) rte_mempool_free(pool_);
}

std::uint32_t Reassembler::release_dead() {
  const std::uint32_t count = dead_->cnt;
  if (count != 0) rte_ip_frag_free_death_row(dead_.get(), prefetch);
  return count;
}

rte_mbuf* Reassembler::add(const Frame& frame, std::uint64_t now) {
  auto* const buffer = static_cast<rte_mbuf*>(frame.buffer);
  buffer->data_off = static_cast<std::uint16_t>(frame.data - static_cast<std::uint8_t*>(buffer->buf_addr));
  buffer->data_len = static_cast<std::uint16_t>(frame.length);
  buffer->pkt_len = frame.length;
  std::uint32_t link = 0;
  std::uint16_t type = 0;
  parse_link(frame, type, link);  // it was read before
  std::uint8_t* const ip = frame.data + link;
  buffer->l2_len = link & 0x7f;
  rte_mbuf* whole = nullptr;
  if (type == 0x0800) {
    buffer->l3_len = (ip[0] & 0x0fU) * 4;
    std::uint64_t source = load32(ip + 12) ^ secret_;
    source = source * 0x9e3779b97f4a7c15 >> 32;
    whole = rte_ipv4_frag_reassemble_packet(tables_[source % tables], dead_.get(), buffer, now,
                                            reinterpret_cast<rte_ipv4_hdr*>(ip));
  } else {
    buffer->l3_len = ipv6_header_bytes + fragment_header_bytes;
    std::uint64_t source = (load64(ip + 8) ^ secret_) * 0x9e3779b97f4a7c15;
    source = (source ^ (source >> 32) ^ load64(ip + 16)) * 0x9e3779b97f4a7c15 >> 32;
    whole = rte_ipv6_frag_reassemble_packet(tables_[source % tables], dead_.get(), buffer, now,
                                            reinterpret_cast<rte_ipv6_hdr*>(ip),
                                            reinterpret_cast<rte_ipv6_fragment_ext*>(ip + ipv6_header_bytes));
  }
  counters_.refused.add(release_dead());
  if (whole == nullptr) return nullptr;
  return contiguous(whole, link);
}

rte_mbuf* Reassembler::contiguous(rte_mbuf* chain, std::uint32_t link_length) {
  const std::uint32_t length = rte_pktmbuf_pkt_len(chain);
  if (length > link_length + max_packet_bytes) {
    counters_.refused.add(1);
    rte_pktmbuf_free(chain);
    return nullptr;
  }
  rte_mbuf* const copy = rte_pktmbuf_alloc(pool_);
  if (copy == nullptr) {
    counters_.no_buffer.add(1);
    rte_pktmbuf_free(chain);
    return nullptr;
  }
  char* to = rte_pktmbuf_append(copy, static_cast<std::uint16_t>(length));
  for (const rte_mbuf* segment = chain; segment != nullptr; segment = segment->next) {
    std::memcpy(to, rte_pktmbuf_mtod(segment, const char*), segment->data_len);
    to += segment->data_len;
  }
  rte_pktmbuf_free(chain);
  auto* const ip = rte_pktmbuf_mtod_offset(copy, std::uint8_t*, link_length);
  if ((ip[0] >> 4) == 4) {  // the library leaves the checksum zero
    const std::uint16_t sum = static_cast<std::uint16_t>(~fold16(sum_words(ip, (ip[0] & 0x0fU) * 4)));
    std::memcpy(ip + 10, &sum, 2);
  }
  counters_.packets.add(1);
  return copy;
}

void Reassembler::expire(std::uint64_t now) {
  for (auto* const table : tables_) {
    rte_ip_frag_table_del_expired_entries(table, dead_.get(), now);
    counters_.expired.add(release_dead());
  }
}

}  // namespace sealcast::dataplane
