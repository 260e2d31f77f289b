#include "dataplane/dpdk/rcu_publisher.h"

#include <rte_rcu_qsbr.h>

#include <chrono>
#include <cstdlib>
#include <thread>

namespace sealcast::dataplane {

struct RcuPublisher::State {
  rte_rcu_qsbr* qsbr = nullptr;
  std::uint32_t workers = 0;
};

RcuPublisher::RcuPublisher(std::uint32_t workers) : state_(std::make_unique<State>()) {
  const std::size_t bytes = rte_rcu_qsbr_get_memsize(workers);
  // Ordinary memory: a peer that maps DPDK's memory must not see this.
  state_->qsbr = static_cast<rte_rcu_qsbr*>(std::aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_CACHE_LINE_ROUNDUP(bytes)));
  state_->workers = workers;
  rte_rcu_qsbr_init(state_->qsbr, workers);
  for (std::uint32_t worker = 0; worker < workers; ++worker)
    rte_rcu_qsbr_thread_register(state_->qsbr, worker);
}

RcuPublisher::~RcuPublisher() {
  std::free(state_->qsbr);
}

void RcuPublisher::publish(const Snapshot* next) {
  current_.store(next, std::memory_order_release);
  synchronize();
}

void RcuPublisher::synchronize() {
  const std::uint64_t token = rte_rcu_qsbr_start(state_->qsbr);
  while (rte_rcu_qsbr_check(state_->qsbr, token, false) == 0)
    std::this_thread::sleep_for(std::chrono::microseconds(20));
}

void RcuPublisher::enter(std::uint32_t worker) {
  rte_rcu_qsbr_thread_online(state_->qsbr, worker);
}
void RcuPublisher::leave(std::uint32_t worker) {
  rte_rcu_qsbr_thread_offline(state_->qsbr, worker);
}
void RcuPublisher::quiescent(std::uint32_t worker) {
  rte_rcu_qsbr_quiescent(state_->qsbr, worker);
}

}  // namespace sealcast::dataplane
