// Snapshots for running workers, with DPDK's quiescent-state RCU (rte_rcu_qsbr). No DPDK type in this header.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "dataplane/control/control.h"

namespace sealcast::dataplane {

class RcuPublisher final : public Publisher {
 public:
  explicit RcuPublisher(std::uint32_t workers);
  ~RcuPublisher() override;

  // Control thread. Returns when every worker that was online has passed a quiescent point since; sleeps meanwhile,
  // since a worker may share this thread's CPU.
  void publish(const Snapshot* next) override;
  // Only the wait of publish(); from any thread but a worker's.
  void synchronize();

  // Worker thread index, between enter() and leave(): current() is valid until the next quiescent() or leave().
  void enter(std::uint32_t worker);
  void leave(std::uint32_t worker);
  void quiescent(std::uint32_t worker);
  const Snapshot& current() const { return *current_.load(std::memory_order_acquire); }

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::atomic<const Snapshot*> current_{nullptr};
};

}  // namespace sealcast::dataplane
