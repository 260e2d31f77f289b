#include "controlplane/cluster/kept_memory.h"

#include <utility>

namespace sealcast::cluster {

KeptMemory::KeptMemory(Memory memory, std::string path, NodeHost& host)
    : memory_(std::move(memory)), path_(std::move(path)), host_(host) {}

Memory& KeptMemory::change() {
  changed_ = true;
  return memory_;
}

void KeptMemory::save() {
  if (!changed_) return;
  if (auto saved = memory_.save(path_); !saved)
    host_.note(NodeHost::Weight::error, Event("cluster_memory_failed", {{"why", saved.error().message}}));
  else
    changed_ = false;
}

}  // namespace sealcast::cluster
