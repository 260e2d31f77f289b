// The `burst` AEAD engine: AES-GCM over many packets at once, with the project's own vector kernels.
#pragma once

#include <memory>

#include "dataplane/aead/engine.h"

namespace sealcast::dataplane::aead {

// Names the missing instruction sets if this CPU cannot run it. Keys' contexts are 896 bytes.
Result<std::unique_ptr<Engine>> create_burst();

}  // namespace sealcast::dataplane::aead
