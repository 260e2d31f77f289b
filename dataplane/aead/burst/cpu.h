// Which kernels this CPU and operating system can run.
#pragma once

namespace sealcast::dataplane::aead::burst {

// AVX-512 F/DQ/BW/VL, VAES, VPCLMULQDQ, AES, BMI2, and an operating system that keeps 512-bit registers.
bool cpu_runs_vaes512() noexcept;
// AVX2, VAES, VPCLMULQDQ, AES, BMI2, and an operating system that keeps 256-bit registers.
bool cpu_runs_vaes256() noexcept;

}  // namespace sealcast::dataplane::aead::burst
