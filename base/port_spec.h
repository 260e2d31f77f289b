// The port string: one text that names a device, so that the same configuration file works on a NIC, on a virtual
// machine's socket and in a test. Parsing needs no DPDK: `sealcast check` links this alone. docs/ports.md is the
// manual.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sealcast::dataplane {

enum class PortKind : std::uint8_t {
  pci,          // pci:0000:3b:00.0            a NIC bound to vfio-pci
  virtio_user,  // virtio-user:/run/x.sock     the virtio end; by default the socket's server
  vhost_user,   // vhost-user:/run/x.sock      the vhost end; by default the socket's client
  af_packet,    // af_packet:eth1              a kernel network interface
  af_xdp,       // af_xdp:eth1                 a kernel network interface, past the kernel's stack
  tap,          // tap:name                    a kernel network interface that the port makes
  memif,        // memif:/run/x.sock           shared memory with another process; by default the socket's client
  pcap,         // pcap:in.pcap,out.pcap       files; either may be left empty
  ring,         // ring:name                   one end of a crossed pair inside the process
  null,         // null                        sends to nowhere; receives nothing unless ?size= is given
};

// The name in a port string: "pci", "virtio-user", …
std::string_view name(PortKind kind);

// Every kind takes only the options that mean something to it; kind_options() lists them.
struct PortSpec {
  PortKind kind = PortKind::null;
  std::string text;    // as configured, options included
  std::string target;  // PCI address, socket path, interface name, ring name, or the pcap to read
  std::string output;  // pcap: the file to write; empty = frames are discarded

  // Options ("?name=value&name=value").
  std::uint16_t queues = 1;       // rx/tx queue pairs, at most one for each worker there may be
  std::uint32_t descriptors = 0;  // ring entries per queue, power of two 64..4096; 0 = 1024 (?descriptors=)
  std::uint32_t mbufs = 0;        // packet buffers of the port's pool, 1024..4194304; 0 = enough for its queues
  std::uint32_t framesz = 0;      // af_packet: bytes of a ring frame, power of two; 0 = fits the MTU
  std::uint32_t framecnt = 0;     // af_packet: frames in each ring; 0 = 4096
  std::uint16_t start_queue = 0;  // af_xdp: the interface's first queue used; the port takes `queues` of them
  bool copy = false;              // af_xdp: never zero-copy, whatever the interface's driver offers
  bool socket_server = false;     // this end makes the socket (?server=0|1; memif: ?role=server|client)
  std::optional<std::array<std::uint8_t, 6>> mac;  // tap: the interface's own; none: random
  std::string netns;                 // tap: named network namespace it is made in; empty: the process' own
  std::uint32_t memif_id = 0;        // memif: both ends must name the same (?id=)
  std::uint16_t socket_mode = 0600;  // memif server: permissions of the socket (?mode=, octal)
  std::string secret_file;           // memif: path; both ends must know the same 1 to 24 bytes
  bool infinite = false;             // pcap: read the file again and again (?infinite=1; benchmarks)
  std::uint16_t frame_bytes = 0;     // null: receive frames of this size without end (?size=; benchmarks), 0 = none
};

// A kind's options and their ranges, for people: "queues=1..16 descriptors=64..4096 …".
std::string kind_options(PortKind kind);

// Reads a port string. Refuses unknown kinds and options, empty or over-long names and paths, malformed PCI addresses,
// numbers out of range; the message names the expected form and what was given. Does not look at the machine.
Result<PortSpec> parse_port(std::string_view text);

// The port string with relative file and socket paths made absolute under folder (a configuration file's own folder;
// empty: left as they are).
Result<std::string> resolve_port(std::string_view text, const std::string& folder);

// Warnings of `sealcast check` about a gateway with this port: one line each, without a full stop.
// Today: a virtio-user end, because its peer can map the gateway's packet memory.
std::vector<std::string> port_warnings(const PortSpec& spec);

}  // namespace sealcast::dataplane
