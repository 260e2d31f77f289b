// The `burst` AEAD engine: AES-GCM over many packets at once, with the project's own vector kernels.
#pragma once

#include <memory>

#include "dataplane/aead/engine.h"

namespace sealcast::dataplane::aead {

// Each names the missing instruction sets if this CPU cannot run it. Keys' contexts are 896 bytes.
Result<std::unique_ptr<Engine>> create_burst_512();  // AVX-512, VAES, VPCLMULQDQ
Result<std::unique_ptr<Engine>> create_burst_256();  // AVX2, VAES, VPCLMULQDQ
Result<std::unique_ptr<Engine>> create_burst();      // the first of them that this CPU runs

}  // namespace sealcast::dataplane::aead
