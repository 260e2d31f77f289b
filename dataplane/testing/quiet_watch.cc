#include "dataplane/testing/quiet_watch.h"

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

namespace {

thread_local bool watching = false;
// Read by the kernel at every system call of the thread.
thread_local volatile char dispatch = 0;
constexpr char allow = 0, block = 1;
constexpr int user_dispatch = 59;  // PR_SET_SYSCALL_USER_DISPATCH

std::atomic<int> allocations{0}, locks{0}, throws{0}, system_calls{0};
std::atomic<long> system_call{-1};
std::atomic<bool> workers_too{false};

template <typename F>
F next_symbol(const char* symbol) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, symbol));
}

// Records the call, carries it out, and no longer catches this thread's calls.
void on_system_call(int, siginfo_t* info, void* context) {
  dispatch = allow;
  ++system_calls;
  system_call = info->si_syscall;
  auto& r = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const long result = ::syscall(info->si_syscall, r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]);
  r[REG_RAX] = result == -1 ? -errno : result;
}

bool dispatch_this_thread(bool on) {
  return ::syscall(SYS_prctl, user_dispatch, on ? 1UL : 0UL, 0UL, 0UL,
                   on ? reinterpret_cast<unsigned long>(&dispatch) : 0UL) == 0;
}

}  // namespace

extern "C" {
// glibc's own names for its allocator, so that no call of dlsym, which allocates, is needed here.
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

void* malloc(size_t n) {
  if (watching) ++allocations;
  return __libc_malloc(n);
}
void* calloc(size_t n, size_t m) {
  if (watching) ++allocations;
  return __libc_calloc(n, m);
}
void* realloc(void* p, size_t n) {
  if (watching) ++allocations;
  return __libc_realloc(p, n);
}
void* aligned_alloc(size_t alignment, size_t n) {
  if (watching) ++allocations;
  return __libc_memalign(alignment, n);
}
void* memalign(size_t alignment, size_t n) {
  if (watching) ++allocations;
  return __libc_memalign(alignment, n);
}
int posix_memalign(void** p, size_t alignment, size_t n) {
  if (watching) ++allocations;
  *p = __libc_memalign(alignment, n);
  return *p == nullptr ? ENOMEM : 0;
}
void free(void* p) {
  if (watching && p != nullptr) ++allocations;
  __libc_free(p);
}

int pthread_mutex_lock(pthread_mutex_t* mutex) {
  static const auto real = next_symbol<int (*)(pthread_mutex_t*)>("pthread_mutex_lock");
  if (watching) ++locks;
  return real(mutex);
}
int pthread_mutex_trylock(pthread_mutex_t* mutex) {
  static const auto real = next_symbol<int (*)(pthread_mutex_t*)>("pthread_mutex_trylock");
  if (watching) ++locks;
  return real(mutex);
}
int pthread_spin_lock(pthread_spinlock_t* lock) {
  static const auto real = next_symbol<int (*)(pthread_spinlock_t*)>("pthread_spin_lock");
  if (watching) ++locks;
  return real(lock);
}
int pthread_rwlock_rdlock(pthread_rwlock_t* lock) {
  static const auto real = next_symbol<int (*)(pthread_rwlock_t*)>("pthread_rwlock_rdlock");
  if (watching) ++locks;
  return real(lock);
}
int pthread_rwlock_wrlock(pthread_rwlock_t* lock) {
  static const auto real = next_symbol<int (*)(pthread_rwlock_t*)>("pthread_rwlock_wrlock");
  if (watching) ++locks;
  return real(lock);
}
int sem_wait(sem_t* semaphore) {
  static const auto real = next_symbol<int (*)(sem_t*)>("sem_wait");
  if (watching) ++locks;
  return real(semaphore);
}
int sem_post(sem_t* semaphore) {
  static const auto real = next_symbol<int (*)(sem_t*)>("sem_post");
  if (watching) ++locks;
  return real(semaphore);
}

[[noreturn]] void __cxa_throw(void* thrown, void* type, void (*destroy)(void*)) {
  static const auto real = next_symbol<void (*)(void*, void*, void (*)(void*))>("__cxa_throw");
  if (watching) ++throws;
  real(thrown, type, destroy);
  std::abort();
}

// A worker's thread sets its timer slack when it enters its loop, and unregisters from DPDK after it leaves: the watch
// runs between these two moments, without any code in the worker.
int prctl(int option, ...) {
  va_list list;
  va_start(list, option);
  unsigned long arguments[4];
  for (unsigned long& argument : arguments)
    argument = va_arg(list, unsigned long);
  va_end(list);
  const long result = ::syscall(SYS_prctl, option, arguments[0], arguments[1], arguments[2], arguments[3]);
  if (option == PR_SET_TIMERSLACK && workers_too) sealcast::dataplane::testing::watch_this_thread(true);
  return static_cast<int>(result);
}
void rte_thread_unregister() {
  if (watching) sealcast::dataplane::testing::watch_this_thread(false);
  static const auto real = next_symbol<void (*)()>("rte_thread_unregister");
  if (real != nullptr) real();
}
}

namespace sealcast::dataplane::testing {

void watch_this_thread(bool on) {
  if (on) {
    struct sigaction action {};
    action.sa_sigaction = on_system_call;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    ::sigaction(SIGSYS, &action, nullptr);
    watching = true;
    if (dispatch_this_thread(true)) dispatch = block;
  } else {
    dispatch = allow;
    watching = false;
    dispatch_this_thread(false);
  }
}

Seen what_was_seen() {
  return {allocations, locks, throws, system_calls, system_call};
}

std::string Seen::text() const {
  return std::to_string(allocations) + " allocations, " + std::to_string(locks) + " locks, " + std::to_string(throws) +
         " throws, " + std::to_string(system_calls) + " threads with system calls (such as number " +
         std::to_string(system_call) + ")";
}

void forget_what_was_seen() {
  allocations = locks = throws = system_calls = 0;
  system_call = -1;
}

bool catches_system_calls() {
  if (!dispatch_this_thread(true)) return false;
  dispatch_this_thread(false);
  return true;
}

void watch_workers(bool on) {
  workers_too = on;
}

}  // namespace sealcast::dataplane::testing
