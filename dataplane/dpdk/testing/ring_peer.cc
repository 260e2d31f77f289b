#include "dataplane/dpdk/testing/ring_peer.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "dataplane/dpdk/port.h"

namespace sealcast::dataplane::testing {
namespace {

constexpr unsigned burst = 64;
constexpr unsigned buffers = 8191;

[[noreturn]] void give_up(const std::string& what) {
  std::fprintf(stderr, "ring peer: %s\n", what.c_str());
  std::abort();
}

}  // namespace

struct RingPeer::State {
  std::unique_ptr<Port> port;
  rte_mempool* pool = nullptr;
};

RingPeer::RingPeer(const std::string& device) : state_(std::make_unique<State>()) {
  PortConfig config;
  config.role = "peer";
  const auto spec = parse_port(device);
  if (!spec) give_up(spec.error().message);
  config.spec = *spec;
  config.mtu = 1600;
  config.queues = spec->queues;
  auto port = Port::open(config);
  if (!port) give_up(port.error().message);
  state_->port = std::move(*port);
  static std::atomic<unsigned> number{0};
  const std::string name = "peer_pool" + std::to_string(number++);
  // No cache: threads without a DPDK identity use it. Its ring (mt_rts) makes no thread wait for another: if CPUs are
  // scarce, a thread would spend its time waiting for one that does not run.
  state_->pool = rte_pktmbuf_pool_create_by_ops(name.c_str(), buffers, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY,
                                                "ring_mt_rts");
  if (state_->pool == nullptr) give_up("no memory for frames");
}

RingPeer::~RingPeer() {
  state_->port->close();
  if (rte_mempool_full(state_->pool) == 1) rte_mempool_free(state_->pool);
}

std::size_t RingPeer::send(const std::vector<Bytes>& frames, std::uint16_t queue) {
  std::size_t sent = 0;
  while (sent < frames.size()) {
    rte_mbuf* out[burst];
    std::uint16_t n = 0;
    for (; n < burst && sent + n < frames.size(); ++n) {
      out[n] = rte_pktmbuf_alloc(state_->pool);
      if (out[n] == nullptr) break;
      const Bytes& frame = frames[sent + n];
      rte_memcpy(rte_pktmbuf_append(out[n], static_cast<std::uint16_t>(frame.size())), frame.data(), frame.size());
    }
    const std::uint16_t taken = rte_eth_tx_burst(state_->port->id(), queue, out, n);
    for (std::uint16_t i = taken; i < n; ++i)
      rte_pktmbuf_free(out[i]);
    sent += taken;
    if (taken < n || n == 0) break;
  }
  return sent;
}

std::vector<Bytes> RingPeer::receive(std::uint16_t queue) {
  rte_mbuf* in[burst];
  const std::uint16_t n = rte_eth_rx_burst(state_->port->id(), queue, in, burst);
  std::vector<Bytes> frames;
  for (std::uint16_t i = 0; i < n; ++i) {
    const auto* const p = rte_pktmbuf_mtod(in[i], const std::uint8_t*);
    frames.emplace_back(p, p + rte_pktmbuf_data_len(in[i]));
    rte_pktmbuf_free(in[i]);
  }
  return frames;
}

void RingPeer::close() {
  state_->port->close();
}

std::size_t RingPeer::pools_kept() {
  std::size_t kept = 0;
  rte_mempool_walk(
      [](rte_mempool* pool, void* count) {
        if (std::string(pool->name).rfind("sc_pool", 0) == 0) ++*static_cast<std::size_t*>(count);
      },
      &kept);
  return kept;
}

std::uint32_t RingPeer::buffers_in_use() const {
  return rte_mempool_in_use_count(state_->pool);
}

}  // namespace sealcast::dataplane::testing
