// Checks a port's device without opening it and without DPDK.
#pragma once

#include <cstdint>

#include "base/port_spec.h"
#include "base/result.h"
#include "base/secret.h"

namespace sealcast::dataplane {

// Finds an interface or file that is missing, an MTU that is too small, a NIC not bound to vfio-pci, a live server on a
// socket that this end would have to make, a tap name in use: one line with the remedy. Changes nothing.
Result<void> check_device(const PortSpec& spec, std::uint16_t mtu);

inline constexpr std::size_t memif_secret_bytes = 24;
// The secret of a memif port from its secret_file, without its line end: 1..24 bytes. Refuses a file that others than
// its owner may read.
Result<SecretBytes> read_memif_secret(const PortSpec& spec);

}  // namespace sealcast::dataplane
