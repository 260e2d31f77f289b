#include "controlplane/member/keying_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/limits.h"

namespace sealcast::member {
namespace {

using handshake::GroupKeying;

Result<void> check_origin(const config::MemberGroup& group, const GroupKeying& keying) {
  // Before anything is compared with what is remembered, since the id is part of the memory's key.
  if (keying.key_server_id != group.keyserver_id)
    return fail(fmt::format("expected the key server \"{}\" (keyserver_id), got \"{}\"", group.keyserver_id,
                            keying.key_server_id));
  if (keying.group_id != group.id)
    return fail(fmt::format("expected the group \"{}\", got \"{}\"", group.id, keying.group_id));
  return {};
}

Result<void> check_epoch(const GroupKeying& keying, const handshake::EpochId& id, const KeyingContext& context) {
  if (keying.epoch == 0) return fail("epoch 0 is never used");
  for (const LiveEpoch& live : context.live) {
    if (live.group_id != keying.group_id) continue;
    if (live.epoch == keying.epoch && live.epoch_id != id)
      return fail(fmt::format("epoch {} came with the epoch_id {}, but it is held with {} (H5)", keying.epoch,
                              to_hex(id), to_hex(live.epoch_id)));
    if (context.source == KeyingSource::group_update && live.active && keying.epoch <= live.epoch)
      return fail(
          fmt::format("GroupUpdate: expected an epoch above the active {}, got {} (H5)", live.epoch, keying.epoch));
  }
  if (!context.remembered) return {};
  if (keying.epoch < context.remembered->epoch)
    return fail(
        fmt::format("expected an epoch of at least {}, as remembered, got {}: a replay, or the key server lost "
                    "its state (H5)",
                    context.remembered->epoch, keying.epoch));
  if (keying.epoch == context.remembered->epoch && id != context.remembered->epoch_id)
    return fail(
        fmt::format("epoch {} came with the epoch_id {}, but is remembered with {}: one number must not name two "
                    "epochs (H5)",
                    keying.epoch, to_hex(id), to_hex(context.remembered->epoch_id)));
  return {};
}

Result<void> check_policy(const config::MemberGroup& group, const GroupKeying& keying) {
  const handshake::GroupPolicy& policy = keying.policy;
  if (!group.accepts(policy.cipher_suite))
    return fail(fmt::format("expected the suite {}, got {} (H12)", handshake::name(group.flows.front().suite),
                            handshake::name(policy.cipher_suite)));
  if (policy.esp_mode != group.mode)
    return fail(fmt::format("expected the mode {}, got {} (H12)", text(group.mode), text(policy.esp_mode)));
  if (policy.numbers != group.numbers)
    return fail(fmt::format("expected {} numbers, got {} ones (H12)", text(group.numbers), text(policy.numbers)));
  if (policy.selectors.empty()) return fail("expected at least one selector, got none (H12)");
  for (const Selector& selector : policy.selectors) {
    if (const auto sound = validate(selector); !sound) return fail(sound.error().message + " (H12)");
    if (std::none_of(group.selectors.begin(), group.selectors.end(),
                     [&](const Selector& allowed) { return allowed.covers(selector); }))
      return fail(fmt::format("the selector {} is not within the configured ones (H12)", selector.text()));
  }
  const auto longest = static_cast<std::uint64_t>(group.max_lifetime.count());
  if (keying.remaining_ms == 0) return fail("the epoch has no life left");
  if (keying.remaining_ms > longest)
    return fail(fmt::format("expected at most {} s of life (max_lifetime), got {} s (H12)", longest / 1000,
                            keying.remaining_ms / 1000));
  if (!authority_lease_limits.allow(std::chrono::seconds(policy.authority_lease_s)))
    return fail(fmt::format("expected an authority lease of 1 to {} s, got {} s (H12)",
                            authority_lease_limits.most.count(), policy.authority_lease_s));
  constexpr auto longest_delay_ms = deactivation_delay_limits.most.count();  // the longer of the two
  if (policy.activation_delay_ms > longest_delay_ms || policy.deactivation_delay_ms > longest_delay_ms)
    return fail(fmt::format("expected activation and deactivation delays of at most {} ms, got {} and {} (H12)",
                            longest_delay_ms, policy.activation_delay_ms, policy.deactivation_delay_ms));
  if (!valid_replay_window(policy.replay_window))
    return fail(fmt::format("expected a replay window that is a power of two from {}, got {} (H12)",
                            replay_window_limits.range(), policy.replay_window));
  return {};
}

Result<void> check_spis(const config::MemberGroup& group, const GroupKeying& keying, const KeyingContext& context) {
  const handshake::GroupPolicy& policy = keying.policy;
  if (policy.spi_slot_bits == 0 || policy.spi_slot_bits > 16)
    return fail(fmt::format("expected 1 to 16 slot bits, got {} (H12)", policy.spi_slot_bits));
  const std::uint32_t slots = 1u << policy.spi_slot_bits;
  if ((policy.spi_prefix & (slots - 1)) != 0)
    return fail(fmt::format("the SPI prefix 0x{:08x} reaches into its {} slot bits (H12)", policy.spi_prefix,
                            policy.spi_slot_bits));
  const std::uint32_t first = policy.spi_prefix;
  const std::uint32_t last = first | (slots - 1);
  if (first < first_usable_spi)
    return fail(fmt::format("the SPI range 0x{:08x}-0x{:08x} reaches 0-255 (H12)", first, last));
  if (!group.spi_range.contains(first) || !group.spi_range.contains(last))
    return fail(fmt::format("the SPI range 0x{:08x}-0x{:08x} is not within the configured 0x{:08x}-0x{:08x} (H12)",
                            first, last, group.spi_range.first, group.spi_range.last));
  for (const LiveEpoch& live : context.live) {
    if (live.group_id == keying.group_id && live.epoch == keying.epoch) {
      if (live.first_spi != first || live.last_spi != last)
        return fail(fmt::format("epoch {} moved its SPI range to 0x{:08x}-0x{:08x} (H12)", keying.epoch, first, last));
      continue;
    }
    if (first <= live.last_spi && live.first_spi <= last)
      return fail(
          fmt::format("the SPI range 0x{:08x}-0x{:08x} overlaps that of epoch {} of group \"{}\", which is still "
                      "held (H12)",
                      first, last, live.epoch, live.group_id));
  }
  const auto& own = keying.assignment;
  if (std::uint32_t{own.first_slot} + own.slot_count > slots)
    return fail(fmt::format("the slots {}-{} do not fit into {} slot bits (H12)", own.first_slot,
                            std::uint32_t{own.first_slot} + own.slot_count - 1, policy.spi_slot_bits));
  if (policy.slots_used > slots)
    return fail(
        fmt::format("{} used slots do not fit into {} slot bits (H12)", policy.slots_used, policy.spi_slot_bits));
  return {};
}

}  // namespace

Result<void> check_keying(const config::MemberGroup& group, const GroupKeying& keying,
                          const handshake::EpochId& epoch_id, const KeyingContext& context) {
  SEALCAST_TRY(check_origin(group, keying));
  SEALCAST_TRY(check_epoch(keying, epoch_id, context));
  SEALCAST_TRY(check_policy(group, keying));
  return check_spis(group, keying, context);
}

}  // namespace sealcast::member
