// Counts what a packet path must not do: allocate, lock, call the system, throw. It replaces the C library's allocator
// and locks and the C++ run time's throw in every program that links this, whatever library calls them; the kernel
// catches system calls (Linux 5.11: syscall user dispatch). Not for programs under sanitizers, which have their own
// allocator.
#pragma once

#include <string>

namespace sealcast::dataplane::testing {

// Begins or ends the watch over the calling thread.
void watch_this_thread(bool on);

// Of all watched threads, since forget_what_was_seen().
struct Seen {
  int allocations = 0;  // calls of malloc, calloc, realloc, aligned allocation, free
  int locks = 0;        // of mutexes, read-write locks and semaphores; waits on condition variables
  int throws = 0;
  // Threads that called the system. Each counts once: after its first call it is not watched any more, so that the test
  // ends.
  int system_calls = 0;
  long system_call = -1;  // number of one of them
  std::string text() const;
  bool quiet() const { return allocations == 0 && locks == 0 && throws == 0 && system_calls == 0; }
};
Seen what_was_seen();
void forget_what_was_seen();

// False: this kernel cannot catch system calls; they are not counted then.
bool catches_system_calls();

// Watches every thread of a gateway's workers from the start of its loop to its end.
void watch_workers(bool on);

}  // namespace sealcast::dataplane::testing
