// sealcast-wire-peer: one port driven by lines on standard input, for tests that need an end of the network they can
// kill. Frames carry a tag and a number after an Ethernet header of EtherType 0x88b5 (IEEE 802 local experimental).
//   send TAG COUNT SIZE   sends COUNT frames of SIZE bytes, numbered on from the last one of this tag -> "sent N"
//   got TAG               -> "got TOTAL DISTINCT LATE": received, different numbers, behind a higher number
//   link                  -> "up" or "down"
//   quit
#include <poll.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <iostream>
#include <map>
#include <set>
#include <sstream>

#include "base/bytes.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/packet_thread.h"
#include "dataplane/dpdk/port.h"

namespace sealcast::wire {
namespace {

constexpr std::size_t header = 14;
constexpr std::size_t payload = 12;  // tag 4, number 8

struct Received {
  std::uint64_t total = 0;
  std::uint64_t late = 0;
  std::uint64_t highest = 0;
  std::set<std::uint64_t> numbers;
};

class Peer {
 public:
  Peer(std::unique_ptr<dataplane::Port> port, rte_mempool* pool) : port_(std::move(port)), pool_(pool) {}

  // Executes one line of input; false: end.
  bool execute(const std::string& line) {
    std::istringstream words(line);
    std::string order;
    std::uint32_t tag = 0;
    words >> order >> tag;
    if (order == "quit") return false;
    if (order == "send") {
      std::uint64_t count = 0;
      std::size_t size = 0;
      words >> count >> size;
      std::cout << "sent " << send(tag, count, size) << std::endl;
    } else if (order == "got") {
      receive_for(20);
      const Received& r = received_[tag];
      std::cout << "got " << r.total << " " << r.numbers.size() << " " << r.late << std::endl;
    } else {
      std::cout << (port_->link_up() ? "up" : "down") << std::endl;
    }
    return true;
  }

  void receive() {
    rte_mbuf* frames[32];
    const std::uint16_t n = rte_eth_rx_burst(port_->id(), 0, frames, 32);
    for (std::uint16_t i = 0; i < n; ++i) {
      std::uint8_t scratch[header + payload];
      const auto* bytes = static_cast<const std::uint8_t*>(rte_pktmbuf_read(frames[i], 0, header + payload, scratch));
      if (bytes != nullptr && load_be<std::uint16_t>(bytes + 12) == 0x88b5) {
        Received& r = received_[load_be<std::uint32_t>(bytes + header)];
        const auto number = load_be<std::uint64_t>(bytes + header + 4);
        ++r.total;
        if (number < r.highest) ++r.late;
        r.highest = std::max(r.highest, number);
        r.numbers.insert(number);
      }
      rte_pktmbuf_free(frames[i]);
    }
    if (n == 0) usleep(50);
  }

 private:
  void receive_for(int rounds) {
    for (int i = 0; i < rounds; ++i)
      receive();
  }

  std::uint64_t send(std::uint32_t tag, std::uint64_t count, std::size_t size) {
    std::uint64_t sent = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      rte_mbuf* frame = rte_pktmbuf_alloc(pool_);
      if (frame == nullptr) break;
      auto* bytes = reinterpret_cast<std::uint8_t*>(rte_pktmbuf_append(frame, static_cast<std::uint16_t>(size)));
      if (bytes == nullptr || size < header + payload) {
        rte_pktmbuf_free(frame);
        break;
      }
      std::memset(bytes, 0xff, size);
      store_be<std::uint16_t>(bytes + 12, 0x88b5);
      store_be<std::uint32_t>(bytes + header, tag);
      store_be<std::uint64_t>(bytes + header + 4, ++next_[tag]);
      // Waits while the ring is full: later losses are the network's.
      int patience = 20'000;
      while (rte_eth_tx_burst(port_->id(), 0, &frame, 1) == 0 && --patience > 0)
        usleep(50);
      if (patience == 0) {
        rte_pktmbuf_free(frame);
        break;
      }
      ++sent;
      if (sent % 32 == 0) receive();
    }
    return sent;
  }

  std::unique_ptr<dataplane::Port> port_;
  rte_mempool* pool_;
  std::map<std::uint32_t, Received> received_;
  std::map<std::uint32_t, std::uint64_t> next_;
};

int run(const std::string& device) {
  const auto complain = [](const std::string& message) {
    std::fprintf(stderr, "sealcast-wire-peer: %s\n", message.c_str());
    return 1;
  };
  const auto show = [](dataplane::LogLevel level, std::string_view line) {
    if (level >= dataplane::LogLevel::warning)
      std::fprintf(stderr, "sealcast-wire-peer: %.*s\n", static_cast<int>(line.size()), line.data());
  };
  auto spec = dataplane::parse_port(device);
  if (!spec) return complain(spec.error().message);
  if (auto ok = dataplane::Eal::start({64, {}, show}); !ok) return complain(ok.error().message);
  auto port = dataplane::Port::open({"peer", *spec, 1600, 1, 0});
  if (!port) return complain(port.error().message);
  rte_mempool* const pool = rte_pktmbuf_pool_create("peer_tx", 4095, 128, 0, 2176 + 128, SOCKET_ID_ANY);
  if (pool == nullptr) return complain("no memory");
  const dataplane::PacketThread registered;
  Peer peer(std::move(*port), pool);
  std::cout << "READY" << std::endl;
  std::string line;
  while (true) {
    pollfd input{0, POLLIN, 0};
    if (poll(&input, 1, 0) > 0 && (!std::getline(std::cin, line) || !peer.execute(line))) return 0;
    peer.receive();
  }
}

}  // namespace
}  // namespace sealcast::wire

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: sealcast-wire-peer PORT\n", stderr);
    return 2;
  }
  return sealcast::wire::run(argv[1]);
}
