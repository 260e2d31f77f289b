#include "dataplane/aead/burst/cpu.h"

#include <cpuid.h>

#include <cstdint>

namespace sealcast::dataplane::aead::burst {
namespace {

struct Features {
  std::uint32_t leaf1_ecx = 0, leaf7_ebx = 0, leaf7_ecx = 0;
  std::uint64_t kept_state = 0;  // XCR0: register sets the operating system saves
};

constexpr std::uint32_t bit(int n) {
  return 1u << n;
}

Features read_features() noexcept {
  Features f;
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) != 0) f.leaf1_ecx = c;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) {
    f.leaf7_ebx = b;
    f.leaf7_ecx = c;
  }
  if ((f.leaf1_ecx & bit(27)) != 0) {  // OSXSAVE
    std::uint32_t low = 0, high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    f.kept_state = (std::uint64_t{high} << 32) | low;
  }
  return f;
}

constexpr bool has(std::uint64_t value, std::uint64_t wanted) {
  return (value & wanted) == wanted;
}

}  // namespace

bool cpu_runs_vaes512() noexcept {
  const Features f = read_features();
  return has(f.leaf1_ecx, bit(25) | bit(1) | bit(19)) &&                               // AES, PCLMULQDQ, SSE4.1
         has(f.leaf7_ebx, bit(5) | bit(8) | bit(16) | bit(17) | bit(30) | bit(31)) &&  // AVX2 BMI2 AVX-512 F DQ BW VL
         has(f.leaf7_ecx, bit(9) | bit(10)) &&                                         // VAES, VPCLMULQDQ
         has(f.kept_state, 0xe6);                                                      // xmm, ymm, masks, zmm
}

bool cpu_runs_vaes256() noexcept {
  const Features f = read_features();
  return has(f.leaf1_ecx, bit(25) | bit(1) | bit(19) | bit(28)) &&  // AES, PCLMULQDQ, SSE4.1, AVX
         has(f.leaf7_ebx, bit(5) | bit(8)) &&                       // AVX2, BMI2
         has(f.leaf7_ecx, bit(9) | bit(10)) &&                      // VAES, VPCLMULQDQ
         has(f.kept_state, 0x6);                                    // xmm, ymm
}

}  // namespace sealcast::dataplane::aead::burst
