// Registers the calling thread with DPDK for its lifetime: buffer pools then give it a cache of its own.
#pragma once

namespace sealcast::dataplane {

class PacketThread {
 public:
  PacketThread();
  ~PacketThread();
  PacketThread(const PacketThread&) = delete;
  PacketThread& operator=(const PacketThread&) = delete;

  // False: all of DPDK's thread numbers are taken; everything works, slower.
  bool registered() const { return registered_; }

 private:
  bool registered_;
};

}  // namespace sealcast::dataplane
