#include "dataplane/dpdk/spread.h"

#include <rte_errno.h>

namespace sealcast::dataplane {
namespace {

// As many items as may be under way, and as many again for pieces of cut frames.
constexpr unsigned ring_size = 2 * Spread::window;

}  // namespace

Result<std::unique_ptr<Spread>> Spread::create(const std::string& name, std::uint32_t workers) {
  std::unique_ptr<Spread> made(new Spread);
  made->job_rings_.assign(workers, nullptr);
  made->results_.assign(workers, nullptr);
  for (std::uint32_t w = 1; w < workers; ++w) {
    for (auto* rings : {&made->job_rings_, &made->results_}) {
      const std::string ring = name + (rings == &made->results_ ? "r" : "j") + std::to_string(w);
      (*rings)[w] = rte_ring_create(ring.c_str(), ring_size, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
      if ((*rings)[w] == nullptr)
        return fail("spread: no memory for the ring " + ring + " (" + rte_strerror(rte_errno) + "); raise memory_mb");
    }
  }
  made->jobs_ = std::make_unique<HandOff>(made->job_rings_);
  return made;
}

Spread::~Spread() {
  for (auto* rings : {&job_rings_, &results_}) {
    for (rte_ring* ring : *rings) {
      void* item = nullptr;
      while (ring != nullptr && rte_ring_dequeue(ring, &item) == 0)
        if (kind_of(item) != Kind::nothing) rte_pktmbuf_free(frame_of(item));
      rte_ring_free(ring);
    }
  }
  for (; first_ != next_; ++first_) {
    for (rte_mbuf* m = pending_[first_ % window].first; m != nullptr;) {
      rte_mbuf* const next = m->next;
      m->next = nullptr;
      rte_pktmbuf_free(m);
      m = next;
    }
  }
}

void Spread::piece(std::uint16_t number, rte_mbuf* frame) {
  Pending& pending = pending_[number];
  (pending.first == nullptr ? pending.first : pending.last->next) = frame;
  pending.last = frame;
}

unsigned Spread::collect() {
  unsigned all = 0;
  for (rte_ring* const ring : results_) {
    if (ring == nullptr) continue;
    void* items[lane_burst];
    const unsigned n = rte_ring_sc_dequeue_burst(ring, items, lane_burst, nullptr);
    for (unsigned i = 0; i < n; ++i) {
      const Kind kind = kind_of(items[i]);
      const std::uint16_t number = number_of(items[i]);
      if (kind != Kind::nothing) piece(number, frame_of(items[i]));
      if (kind != Kind::piece) done(number);
    }
    all += n;
  }
  return all;
}

unsigned Spread::emit(const Way& forth, LaneCounters& counters) {
  const std::uint32_t before = first_;
  WaySink sink(forth, counters);
  for (; first_ != next_ && pending_[first_ % window].done; ++first_) {
    for (rte_mbuf* m = pending_[first_ % window].first; m != nullptr;) {
      rte_mbuf* const next = m->next;
      m->next = nullptr;
      sink.add(0, m);
      m = next;
    }
  }
  sink.flush();
  return first_ - before;
}

unsigned Spread::take(std::uint32_t worker, rte_mbuf** frames, std::uint16_t* numbers) {
  void* items[lane_burst];
  const unsigned n = rte_ring_sc_dequeue_burst(job_rings_[worker], items, lane_burst, nullptr);
  for (unsigned i = 0; i < n; ++i) {
    frames[i] = frame_of(items[i]);
    numbers[i] = number_of(items[i]);
  }
  return n;
}

void Spread::Results::add(std::size_t i, rte_mbuf* frame) {
  if (n_ == 2 * lane_burst) [[unlikely]]
    send();
  last_[i] = n_;
  items_[n_++] = pack(frame, numbers_[i], Kind::piece);
}

void Spread::Results::flush() {
  for (std::size_t i = 0; i < numbers_.size(); ++i) {
    if (last_[i] != none) {
      items_[last_[i]] = pack(frame_of(items_[last_[i]]), numbers_[i], Kind::last);
    } else {
      items_[n_++] = pack(nullptr, numbers_[i], Kind::nothing);
    }
  }
  send();
}

// At most window items of the kinds last and nothing are under way: there is always room for them, so long as pieces
// leave it.
void Spread::Results::send() {
  if (rte_ring_free_count(ring_) < window + n_) [[unlikely]] {
    std::uint16_t kept = 0;
    for (std::uint16_t i = 0; i < n_; ++i) {
      if (kind_of(items_[i]) == Kind::piece) {
        rte_pktmbuf_free(frame_of(items_[i]));
        counters_.tx_full.add(1);
      } else {
        items_[kept++] = items_[i];
      }
    }
    n_ = kept;
  }
  rte_ring_sp_enqueue_burst(ring_, items_.data(), n_, nullptr);
  n_ = 0;
  last_.fill(none);
}

}  // namespace sealcast::dataplane
