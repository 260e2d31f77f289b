// Which sources were heard on one side within the last two seconds. One worker writes a table and any thread reads it:
// a stream may come in at one worker on red and at another one on black. Bounded, whatever a hostile host sends.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "dataplane/policy/policy.h"
#include "dataplane/sa/counter.h"

namespace sealcast::dataplane {

class SourceTable {
 public:
  // A source stays for so long after its last packet.
  static constexpr std::uint32_t hold_ms = 2000;
  // A source that goes on is written no more often than this.
  static constexpr std::uint32_t refresh_ms = 250;
  // So many sources may begin at once, and so many each second after that. Places are kept for twice as many, so that
  // nearly all of these find one.
  static constexpr std::uint32_t new_per_second = 1000;

  // The owner: a packet of the source came, at that time of the workers' clock in milliseconds. tag: Sources::tag().
  // True: the source begins, as it was not in the table.
  bool note(std::uint64_t tag, std::uint32_t now_ms) noexcept;

  // Any thread. Clocks of two bursts may differ by less than a second.
  bool has(std::uint64_t tag, std::uint32_t now_ms) const noexcept {
    for (const Entry& entry : sets_[tag % sets])
      if (entry.tag.load(std::memory_order_acquire) == tag)
        return live(entry.seen_ms.load(std::memory_order_relaxed), now_ms);
    return false;
  }
  // Rises when a source begins. A thread that read it before has() found nothing need not ask again until it rises.
  std::uint32_t generation() const noexcept { return generation_.load(std::memory_order_acquire); }
  // Sources that found no place or came too fast.
  std::uint64_t left_out() const noexcept { return left_out_.get(); }

 private:
  static constexpr std::size_t sets = 1024, ways = 4;  // 64 KiB
  // A source that was silent for so long begins anew for generation(): readers may have dropped it a bit before.
  static constexpr std::uint32_t renew_ms = hold_ms / 2;
  struct Entry {
    std::atomic<std::uint64_t> tag{0};  // 0: none
    std::atomic<std::uint32_t> seen_ms{0};
  };
  static_assert(sizeof(Entry) * ways == cache_line);

  // A reader's clock may be behind the writer's.
  static constexpr std::uint32_t slack_ms = hold_ms / 2;
  static bool live(std::uint32_t seen_ms, std::uint32_t now_ms) noexcept {
    return now_ms - seen_ms + slack_ms < hold_ms + slack_ms;
  }
  bool may_begin(std::uint32_t now_ms) noexcept;

  alignas(cache_line) std::array<std::array<Entry, ways>, sets> sets_{};
  // Read by others once a burst, and written when a source begins.
  alignas(cache_line) std::atomic<std::uint32_t> generation_{0};
  // The owner's alone.
  alignas(cache_line) Counter left_out_;
  std::uint32_t credit_ = new_per_second, credited_ms_ = 0;
};

// The tables of all workers of a gateway.
class Sources {
 public:
  // seed: random and secret, so that nothing can choose sources that share a place.
  Sources(std::uint32_t workers, std::uint64_t seed)
      : workers_(workers), seed_(seed), tables_(std::make_unique<Tables[]>(workers)) {}

  struct Tables {
    SourceTable red, black;  // heard on red; opened from black
  };
  Tables& of(std::uint32_t worker) noexcept { return tables_[worker]; }

  // Never 0.
  std::uint64_t tag(Address4 source) const noexcept;
  std::uint64_t tag(const Address6& source) const noexcept;

  bool on_red(std::uint64_t tag, std::uint32_t now_ms) const noexcept;
  bool from_black(std::uint64_t tag, std::uint32_t now_ms) const noexcept;
  // Rises when a source begins on red, at any worker.
  std::uint32_t generation() const noexcept;
  std::uint64_t left_out() const noexcept;

 private:
  const std::uint32_t workers_;
  const std::uint64_t seed_;
  std::unique_ptr<Tables[]> tables_;
};

}  // namespace sealcast::dataplane
