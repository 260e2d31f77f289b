#include "controlplane/keyserver/group/premaster_vault.h"

#include <algorithm>
#include <new>

namespace sealcast::keyserver {

Result<PremasterVault::Handle> PremasterVault::take() {
  if (free_.empty()) {
    constexpr std::size_t page = 4096;
    SEALCAST_TRY_ASSIGN(auto arena, LockedArena::create(page));
    auto* bytes = static_cast<std::uint8_t*>(arena.data());
    for (std::size_t at = 0; at + sizeof(Premaster) <= arena.size(); at += sizeof(Premaster))
      free_.push_back(new (bytes + at) Premaster);
    arenas_.push_back(std::move(arena));
  }
  Premaster* premaster = free_.back();
  free_.pop_back();
  return Handle(premaster, GiveBack{this});
}

Result<PremasterVault::Handle> PremasterVault::keep(const Premaster& premaster) {
  auto handle = take();
  if (handle) std::copy(premaster.view().begin(), premaster.view().end(), (*handle)->data());
  return handle;
}

void PremasterVault::release(Premaster* premaster) {
  wipe(premaster->data(), premaster->size());
  free_.push_back(premaster);
}

}  // namespace sealcast::keyserver
