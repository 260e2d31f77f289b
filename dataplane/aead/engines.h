// The engines compiled in. For this folder only; all other code calls create_engine().
#pragma once

#include <memory>

#include "dataplane/aead/engine.h"

namespace sealcast::dataplane::aead {

Result<std::unique_ptr<Engine>> create_ipsec_mb();
Result<std::unique_ptr<Engine>> create_openssl();

}  // namespace sealcast::dataplane::aead
