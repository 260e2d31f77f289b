// Group premaster secrets in memory that is locked into RAM, kept out of core dumps and wiped on release (H14). They
// outlive every handshake and are written to disk only sealed, under a wrapping key (epoch_keeper.h).
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "base/secret.h"

namespace sealcast::keyserver {

class PremasterVault {
 public:
  using Premaster = Secret<48>;
  struct GiveBack {
    PremasterVault* vault;
    void operator()(Premaster* premaster) const { vault->release(premaster); }
  };
  using Handle = std::unique_ptr<Premaster, GiveBack>;

  PremasterVault() = default;
  PremasterVault(const PremasterVault&) = delete;
  PremasterVault& operator=(const PremasterVault&) = delete;

  // An all-zero premaster; the vault must outlive the handle. Fails when no more memory can be locked.
  Result<Handle> take();
  // The same, with this premaster in it.
  Result<Handle> keep(const Premaster& premaster);

 private:
  void release(Premaster* premaster);

  std::vector<LockedArena> arenas_;  // a page each; grows with the number of live epochs
  std::vector<Premaster*> free_;
};

}  // namespace sealcast::keyserver
