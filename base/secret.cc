#include "base/secret.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace sealcast {

void wipe(void* p, std::size_t n) noexcept {
  if (n != 0) explicit_bzero(p, n);
}

bool equal_constant_time(const std::uint8_t* a, const std::uint8_t* b, std::size_t n) noexcept {
  // volatile keeps the compiler from turning the fold into an early-exit comparison.
  volatile std::uint8_t difference = 0;
  for (std::size_t i = 0; i < n; ++i)
    difference = static_cast<std::uint8_t>(difference | (a[i] ^ b[i]));
  return difference == 0;
}

namespace {
constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;
}

Result<LockedArena> LockedArena::create(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t size = (bytes + page - 1) / page * page;
  // Large arenas begin where a huge page may, which saves the packet path thousands of page table entries.
  const bool large = size != 0 && size % huge_page_bytes == 0;
  const std::size_t room = large ? size + huge_page_bytes : size;
  void* base = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return fail("cannot map " + std::to_string(size) + " bytes for keys: " + strerror(errno));
  if (large) {
    auto* const begin = static_cast<std::uint8_t*>(base);
    const std::size_t before =
        (huge_page_bytes - reinterpret_cast<std::uintptr_t>(begin) % huge_page_bytes) % huge_page_bytes;
    base = begin + before;
    if (before != 0) munmap(begin, before);
    if (before != huge_page_bytes) munmap(begin + before + size, huge_page_bytes - before);
    madvise(base, size, MADV_HUGEPAGE);  // a refusal only costs speed
  }
  LockedArena arena;
  arena.base_ = base;
  arena.size_ = size;
  if (mlock(base, size) != 0) {
    return fail("cannot lock " + std::to_string(size) + " bytes of key memory: " + strerror(errno) +
                "; raise RLIMIT_MEMLOCK (systemd: LimitMEMLOCK=infinity)");
  }
  // The kernel must not move keys into a huge page later: it would leave the old pages unwiped.
  madvise(base, size, MADV_NOHUGEPAGE);
  if (madvise(base, size, MADV_DONTDUMP) != 0 || madvise(base, size, MADV_WIPEONFORK) != 0) {
    return fail(std::string("cannot keep key memory out of core dumps and children: ") + strerror(errno));
  }
  return arena;
}

LockedArena::~LockedArena() {
  if (base_ == nullptr) return;
  wipe(base_, size_);
  munmap(base_, size_);
}

LockedArena& LockedArena::operator=(LockedArena&& other) noexcept {
  if (this != &other) {
    std::swap(base_, other.base_);
    std::swap(size_, other.size_);
  }
  return *this;
}

Result<void> harden_process() {
  const rlimit none{0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return fail(std::string("cannot turn core dumps off: ") + strerror(errno));
  if (prctl(PR_SET_DUMPABLE, 0) != 0)
    return fail(std::string("cannot make the process undumpable: ") + strerror(errno));
  return {};
}

}  // namespace sealcast
