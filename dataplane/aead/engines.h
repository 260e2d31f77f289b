// The engines compiled in. Inside this folder only; everybody else calls create_engine().
#pragma once

#include <memory>

#include "dataplane/aead/engine.h"

namespace sealcast::dataplane::aead {

Result<std::unique_ptr<Engine>> create_ipsec_mb();
Result<std::unique_ptr<Engine>> create_openssl();

}  // namespace sealcast::dataplane::aead
