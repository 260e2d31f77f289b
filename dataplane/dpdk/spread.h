// One direction of a gateway that spreads single streams over all workers: worker 0 receives, numbers every frame and
// gives it to some worker; results come back by rings and leave in the order of the numbers. Internal to this folder;
// has DPDK types.
#pragma once

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "dataplane/dpdk/hand_off.h"
#include "dataplane/dpdk/lane.h"
#include "dataplane/sa/counter.h"

namespace sealcast::dataplane {

// No thread waits: without room, worker 0 leaves frames in the device's ring and counts that; the rings hold all that
// may be under way.
class Spread {
 public:
  // The most frames under way, from their number to the transmit ring; bounds what one stalled worker holds up.
  static constexpr std::uint32_t window = 2048;

  // name: unique in the process, names the rings.
  static Result<std::unique_ptr<Spread>> create(const std::string& name, std::uint32_t workers);
  ~Spread();  // frees what is under way; no worker may run any more
  Spread(const Spread&) = delete;
  Spread& operator=(const Spread&) = delete;

  // ---- Worker 0

  std::uint32_t room() const { return window - (next_ - first_); }
  // The number of the next frame; room() must not be 0.
  std::uint16_t begin() {
    pending_[next_ % window] = Pending{};
    return static_cast<std::uint16_t>(next_++ % window);
  }
  // Gives frame to worker target (not 0), gathered until flush(). At most lane_burst frames between two flushes.
  void give(std::uint32_t target, std::uint16_t number, rte_mbuf* frame) {
    jobs_->add(target, pack(frame, number, Kind::last));
  }
  void flush() { jobs_->flush(); }
  // A frame to be sent in number's place; and its end: there are no more. For frames that worker 0 processed itself.
  void piece(std::uint16_t number, rte_mbuf* frame);
  void done(std::uint16_t number) { pending_[number].done = true; }
  // Collects what the other workers have finished; returns how many.
  unsigned collect();
  // Sends finished frames in order; returns how many numbers that settled.
  unsigned emit(const Way& forth, LaneCounters& counters);

  // ---- Worker 1 and up

  // Frames given to worker, with their numbers; up to lane_burst.
  unsigned take(std::uint32_t worker, rte_mbuf** frames, std::uint16_t* numbers);

  // The results of one burst; a sink for finish_frames().
  class Results {
   public:
    Results(Spread& spread, std::uint32_t worker, std::span<const std::uint16_t> numbers, LaneCounters& counters)
        : ring_(spread.results_[worker]), numbers_(numbers), counters_(counters) {
      last_.fill(none);
    }
    void add(std::size_t i, rte_mbuf* frame);
    // Every number comes back exactly once as its last item, whatever became of its frame.
    void flush();

   private:
    static constexpr std::uint16_t none = 0xffff;
    void send();

    rte_ring* const ring_;
    const std::span<const std::uint16_t> numbers_;
    LaneCounters& counters_;
    std::array<void*, 3 * lane_burst> items_;     // a third for frames without a result
    std::array<std::uint16_t, lane_burst> last_;  // by frame of the burst: its last item in items_
    std::uint16_t n_ = 0;
  };

 private:
  // The meaning of a ring's item for its frame: one of several results in its number's place, the last or only one, or
  // none (any more).
  enum class Kind : std::uint8_t { piece, last, nothing };
  // Frames of one number, linked by their next pointer until they are sent.
  struct Pending {
    rte_mbuf* first = nullptr;
    rte_mbuf* last = nullptr;
    bool done = false;
  };

  // User-space addresses have 47 bits, numbers 11, kinds 2.
  static void* pack(rte_mbuf* frame, std::uint16_t number, Kind kind) {
    return reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(frame) << 16) | (std::uintptr_t{number} << 2) |
                                   static_cast<std::uintptr_t>(kind));
  }
  static rte_mbuf* frame_of(void* item) {
    return reinterpret_cast<rte_mbuf*>(reinterpret_cast<std::uintptr_t>(item) >> 16);
  }
  static std::uint16_t number_of(void* item) {
    return static_cast<std::uint16_t>((reinterpret_cast<std::uintptr_t>(item) & 0xffff) >> 2);
  }
  static Kind kind_of(void* item) { return static_cast<Kind>(reinterpret_cast<std::uintptr_t>(item) & 3); }
  static_assert(window <= 1U << 14 && sizeof(std::uintptr_t) == 8);

  Spread() = default;

  std::uint32_t next_ = 0, first_ = 0;  // numbers given out; settled. They wrap; window divides 2^32
  std::array<Pending, window> pending_;
  std::unique_ptr<HandOff> jobs_;
  std::vector<rte_ring*> job_rings_, results_;  // by worker; null: worker 0
};

}  // namespace sealcast::dataplane
