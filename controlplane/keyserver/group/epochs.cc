#include "controlplane/keyserver/group/epochs.h"

#include <algorithm>

namespace sealcast::keyserver {
namespace {

void make_old(Epoch& epoch, SteadyTime now) {
  epoch.phase = Phase::old;
  epoch.retire_at = now + std::chrono::milliseconds(epoch.policy.deactivation_delay_ms);
}

}  // namespace

const Epoch* Epochs::find(std::uint64_t number) const {
  const auto found = std::find_if(epochs_.begin(), epochs_.end(), [&](const Epoch& e) { return e.number == number; });
  return found == epochs_.end() ? nullptr : &*found;
}

Epoch& Epochs::add(Epoch epoch) {
  return epochs_.emplace_back(std::move(epoch));
}

void Epochs::remove(std::uint64_t number) {
  std::erase_if(epochs_, [&](const Epoch& epoch) { return epoch.number == number; });
}

std::uint64_t Epochs::oldest_inactive() const {
  const auto found =
      std::find_if(epochs_.begin(), epochs_.end(), [](const Epoch& epoch) { return epoch.phase != Phase::active; });
  return found == epochs_.end() ? 0 : found->number;
}

void Epochs::activate(std::uint64_t number, SteadyTime now) {
  for (Epoch& epoch : epochs_) {
    if (epoch.phase == Phase::active)
      make_old(epoch, now);
    else if (epoch.number == number)
      epoch.phase = Phase::active;
  }
}

void Epochs::skip_pending_before(std::uint64_t number, SteadyTime now) {
  for (Epoch& epoch : epochs_)
    if (epoch.number < number && epoch.phase == Phase::pending) make_old(epoch, now);
}

std::vector<std::uint64_t> Epochs::over(SteadyTime now) const {
  std::vector<std::uint64_t> out;
  for (const Epoch& epoch : epochs_) {
    const bool retired = epoch.phase == Phase::old && epoch.retire_at <= now;
    if (retired || epoch.expires <= now) out.push_back(epoch.number);
  }
  return out;
}

std::optional<SteadyTime> Epochs::next_deadline() const {
  std::optional<SteadyTime> next;
  for (const Epoch& epoch : epochs_) {
    const SteadyTime end = epoch.phase == Phase::old ? std::min(epoch.retire_at, epoch.expires) : epoch.expires;
    if (!next || end < *next) next = end;
  }
  return next;
}

std::chrono::seconds Epochs::longest_lease(std::chrono::seconds configured) const {
  for (const Epoch& epoch : epochs_)
    configured = std::max(configured, std::chrono::seconds(epoch.policy.authority_lease_s));
  return configured;
}

std::chrono::seconds Epochs::shortest_lease(std::chrono::seconds configured) const {
  for (const Epoch& epoch : epochs_)
    configured = std::min(configured, std::chrono::seconds(epoch.policy.authority_lease_s));
  return configured;
}

}  // namespace sealcast::keyserver
