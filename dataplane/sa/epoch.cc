#include "dataplane/sa/epoch.h"

#include <algorithm>

#include "base/spi_text.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint8_t max_slot_bits = 24;

std::string epoch_name(const std::string& group_id, std::uint64_t number) {
  return "group " + group_id + " epoch " + std::to_string(number);
}

Result<void> check_key(const Epoch& epoch, const SaKey& key) {
  const std::string where = epoch_name(epoch.group_id, epoch.number) + ": ";
  if (key.spi < epoch.range.first || key.spi > epoch.range.last)
    return fail(where + "expected an SPI in " + spi_text(epoch.range.first) + ".." + spi_text(epoch.range.last) +
                ", got " + spi_text(key.spi));
  if (key.key_size != 16 && key.key_size != 32)
    return fail(where + "SPI " + spi_text(key.spi) + ": expected a key of 16 or 32 bytes, got " +
                std::to_string(key.key_size));
  return {};
}

template <typename Sa>
Result<void> give_key(KeyStore& store, Sa& sa, const SaKey& key, aead::Direction direction) {
  SEALCAST_TRY_ASSIGN(auto context, store.contexts.allocate());
  auto expanded = store.engine.expand_key(std::span(key.key.data(), key.key_size), direction, context);
  if (!expanded) {
    store.contexts.release(context);
    return tl::unexpected<Error>(expanded.error());
  }
  sa.key = *expanded;
  sa.spi = key.spi;
  sa.salt = key.salt;
  return {};
}

// timed last: a worker that sees it set sees zero_ms, too.
void follow_clock(SealingSa& sa, const Epoch& epoch) {
  sa.zero_ms.store(epoch.zero_ms + epoch.held_back_ms, std::memory_order_relaxed);
  sa.timed.store(epoch.timed, std::memory_order_release);
}

void follow_clock(OpeningSa& sa, const Epoch& epoch) {
  sa.zero_ms.store(epoch.zero_ms, std::memory_order_relaxed);
  sa.timed.store(epoch.timed, std::memory_order_release);
  sa.fresh.set(epoch.fresh.get());
}

std::uint64_t floor_of(const Epoch& epoch, const sealcast::InboundSa& slot) {
  const auto before = epoch.accepted_before.find(slot.key.spi);
  const std::uint64_t above_accepted = before == epoch.accepted_before.end() ? 0 : before->second + 1;
  return std::max({slot.floor, epoch.floor, above_accepted});
}

}  // namespace

void Epoch::update_window() {
  std::uint32_t highest = range.first;
  bool any = false;
  if (!inbound.empty()) {
    highest = std::max(highest, inbound.rbegin()->first);
    any = true;
  }
  if (!own_spis.empty()) {
    highest = std::max(highest, *own_spis.rbegin());
    any = true;
  }
  const std::uint64_t last = std::uint64_t{highest} + slot_window - (any ? 0 : 1);
  range.window_last = static_cast<std::uint32_t>(std::min<std::uint64_t>(last, range.last));
}

void Epoch::set_clock(const EpochClock& clock, SteadyTime now, std::uint32_t now_ms) {
  using std::chrono::milliseconds;
  const auto ms = [](auto duration) {
    return static_cast<std::uint32_t>(std::chrono::duration_cast<milliseconds>(duration).count());
  };
  timed = true;
  zero_ms = now_ms - ms(now - clock.zero);
  held_back_ms = ms(std::max(clock.error - longest_sender_error, milliseconds(0)));
  if (clock.error <= freshness) {
    const std::uint32_t past = ms(freshness + clock.worst_error);
    fresh.set({zero_ms + past, past + ms(longest_ahead + clock.worst_error)});
  } else {
    fresh.set({});
  }
  for (const auto& sa : outbound)
    follow_clock(*sa, *this);
  for (const auto& [spi, sa] : inbound)
    follow_clock(*sa, *this);
}

HighestNumbers Epoch::accepted() const {
  HighestNumbers numbers = accepted_before;
  for (const auto& [spi, sa] : inbound)
    if (const std::uint64_t highest = sa->replay.highest(); highest != 0) numbers[spi] = highest;
  return numbers;
}

Result<void> check_clock(const EpochClock& clock, SteadyTime now) {
  using namespace std::chrono_literals;
  if (clock.zero > now) return fail("expected an epoch's clock with its zero in the past, got one to come");
  if (now - clock.zero > 24h * 45)
    return fail("expected an epoch's clock with its zero within the last 45 days, got one before that");
  if (clock.error < 0ms || clock.worst_error < clock.error || clock.worst_error > 1h)
    return fail("expected a clock's errors of 0 ms to an hour, the worst not below the present one");
  return {};
}

Result<void> check_protection(const GroupProtection& protection) {
  if (protection.selectors.empty()) return fail("expected at least one selector, got none");
  for (const Selector& selector : protection.selectors)
    SEALCAST_TRY(validate(selector));
  const bool fixed = protection.mode == EspMode::tunnel_fixed;
  if (!fixed && protection.outer)
    return fail("expected an outer header with mode tunnel-fixed only, got one with " + text(protection.mode));
  if (!fixed) return {};
  if (!protection.outer) return fail("expected an outer header with mode tunnel-fixed, got none");
  return validate(*protection.outer);
}

OuterHeader compile_outer(const OuterTunnel& outer) {
  OuterHeader header;
  header.family = outer.destination.family;
  header.ttl = outer.ttl.value_or(0);
  header.dscp = outer.dscp.value_or(OuterHeader::inner_dscp);
  if (header.family == 4) {
    header.source = address4(outer.source);
    header.destination = address4(outer.destination);
  } else {
    header.source6 = address6(outer.source);
    header.destination6 = address6(outer.destination);
  }
  return header;
}

Result<void> check_epoch(const GroupEpoch& epoch, const GroupProtection& protection, std::uint32_t workers) {
  const std::string where = epoch_name(epoch.group_id, epoch.epoch) + ": ";
  if (epoch.mode != protection.mode)
    return fail(where + "expected ESP mode " + text(protection.mode) + ", as configured, got " + text(epoch.mode) +
                " (H12)");
  if (epoch.selectors.empty()) return fail(where + "expected at least one selector, got none");
  for (const Selector& selector : epoch.selectors) {
    if (auto valid = validate(selector); !valid) return fail(where + valid.error().message);
    const bool covered = std::any_of(protection.selectors.begin(), protection.selectors.end(),
                                     [&](const Selector& outer) { return outer.covers(selector); });
    if (!covered) return fail(where + "selector " + selector.text() + " lies outside what the configuration protects");
  }
  if (!valid_replay_window(epoch.replay_window))
    return fail(where + "expected a replay window that is a power of two from " + replay_window_limits.range() +
                ", got " + std::to_string(epoch.replay_window));
  if (epoch.spi_slot_bits > max_slot_bits)
    return fail(where + "expected at most 24 slot bits, got " + std::to_string(epoch.spi_slot_bits));
  const std::uint32_t slot_mask = (1U << epoch.spi_slot_bits) - 1;
  if ((epoch.spi_prefix & slot_mask) != 0)
    return fail(where + "SPI prefix " + spi_text(epoch.spi_prefix) + " has bits among its " +
                std::to_string(epoch.spi_slot_bits) + " slot bits");
  if (epoch.spi_prefix < first_usable_spi)
    return fail(where + "expected an SPI prefix of at least 0x00000100, got " + spi_text(epoch.spi_prefix));
  if (!epoch.outbound.empty() && epoch.outbound.size() != workers)
    return fail(where + "expected no outbound SA or one per worker (" + std::to_string(workers) + "), got " +
                std::to_string(epoch.outbound.size()));
  return {};
}

Result<OpeningSas> make_inbound(KeyStore& store, const Epoch& epoch, std::vector<sealcast::InboundSa> slots,
                                std::uint32_t workers) {
  OpeningSas made;
  for (const sealcast::InboundSa& slot : slots) {
    const std::uint32_t spi = slot.key.spi;
    SEALCAST_TRY(check_key(epoch, slot.key));
    if (epoch.own_spis.count(spi) != 0 || epoch.inbound.count(spi) != 0 || made.count(spi) != 0) continue;
    SEALCAST_TRY_ASSIGN(auto sa, Locked<OpeningSa>::make(store.opening, epoch.replay_window, floor_of(epoch, slot)));
    KeyedSa<OpeningSa> keyed(store, std::move(sa), epoch.ledger);
    SEALCAST_TRY(give_key(store, *keyed, slot.key, aead::Direction::open));
    keyed->worker = static_cast<std::uint16_t>(worker_of_spi(spi, workers));
    keyed->set_rules(epoch.rules);
    follow_clock(*keyed, epoch);
    made.emplace(spi, std::move(keyed));
  }
  return made;
}

Result<SealingSas> make_outbound(KeyStore& store, const Epoch& epoch, std::vector<sealcast::OutboundSa> slots) {
  SealingSas made;
  std::set<std::uint32_t> seen;
  for (const sealcast::OutboundSa& slot : slots) {
    const std::uint32_t spi = slot.key.spi;
    SEALCAST_TRY(check_key(epoch, slot.key));
    // If the same SPI began again, it would count from 1: the same nonces under the same key (H9).
    if (epoch.own_spis.count(spi) != 0 || !seen.insert(spi).second)
      return fail(epoch_name(epoch.group_id, epoch.number) + ": outbound SPI " + spi_text(spi) +
                  " was in use before in this epoch; expected a slot never used");
    SEALCAST_TRY_ASSIGN(auto sa, Locked<SealingSa>::make(store.sealing));
    // Before any failure: when an SA ends, the ledger reads its counts from its numbers.
    sa->next_number.set(1);
    KeyedSa<SealingSa> keyed(store, std::move(sa), epoch.ledger);
    SEALCAST_TRY(give_key(store, *keyed, slot.key, aead::Direction::seal));
    keyed->set_rules(epoch.rules);
    follow_clock(*keyed, epoch);
    keyed->worker = static_cast<std::uint32_t>(made.size());
    made.push_back(std::move(keyed));
  }
  return made;
}

}  // namespace sealcast::dataplane
