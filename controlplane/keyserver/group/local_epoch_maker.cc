#include "controlplane/keyserver/group/local_epoch_maker.h"

#include <algorithm>
#include <utility>

namespace sealcast::keyserver {

Result<std::optional<MadeEpoch>> LocalEpochMaker::want_epoch(const EpochWish& wish) {
  if (wish.live >= max_live_epochs)
    return fail(audit_prefix(wish.group_id) + "too many epochs are alive; wait for the oldest to retire");
  SEALCAST_TRY_ASSIGN(auto premaster, context_.vault->take());
  const auto lifetime_s = std::chrono::ceil<std::chrono::seconds>(wish.lifetime).count();
  SEALCAST_TRY_ASSIGN(
      auto record,
      context_.store->begin_epoch({wish.group_id, context_.spi_range.first, context_.spi_range.last, context_.slot_bits,
                                   wish.now.unix_seconds, wish.now.unix_seconds + lifetime_s}));

  MadeEpoch made;
  made.number = record.epoch;
  made.policy = wish.policy;
  made.policy.spi_prefix = record.block.prefix;
  made.policy.spi_slot_bits = record.block.slot_bits;
  made.premaster = std::move(premaster);
  do {
    context_.random->fill(made.premaster->span());
  } while (made.premaster->is_zero());  // a member refuses an all-zero one
  if (context_.clock && wish.policy.numbers == Numbers::timed) made.zero = context_.clock->zero();
  made.remaining = wish.lifetime;
  made.why = wish.why;
  made.earlier_holders = std::move(record.earlier_holders);
  made.earlier_lasts = std::chrono::seconds(record.earlier_end - wish.now.unix_seconds);
  return made;
}

}  // namespace sealcast::keyserver
