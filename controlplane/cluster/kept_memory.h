// The Memory of this process, and its file.
#pragma once

#include <string>

#include "controlplane/cluster/memory.h"
#include "controlplane/cluster/node_host.h"

namespace sealcast::cluster {

class KeptMemory {
 public:
  // memory: as it was loaded from path. host must outlive it.
  KeptMemory(Memory memory, std::string path, NodeHost& host);

  const Memory& operator*() const { return memory_; }
  const Memory* operator->() const { return &memory_; }
  // What is changed is written by the next save().
  Memory& change();
  // On disk when it returns; nothing is written where nothing was changed. An error is noted, and the next call tries
  // again.
  void save();

 private:
  Memory memory_;
  std::string path_;
  NodeHost& host_;
  bool changed_ = false;
};

}  // namespace sealcast::cluster
