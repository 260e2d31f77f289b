#include "dataplane/dpdk/packet_thread.h"

#include <rte_lcore.h>

namespace sealcast::dataplane {

PacketThread::PacketThread() : registered_(rte_thread_register() == 0) {}

PacketThread::~PacketThread() {
  if (registered_) rte_thread_unregister();
}

}  // namespace sealcast::dataplane
