#include "dataplane/neighbours/neighbours.h"

#include <algorithm>
#include <utility>

namespace sealcast::dataplane {

std::string text(Standing standing) {
  switch (standing) {
    case Standing::works:
      return "works";
    case Standing::listens:
      return "listens";
    case Standing::stands_by:
      return "stands by";
  }
  return "";
}

Neighbours::Neighbours(NeighbourSettings settings)
    : settings_(std::move(settings)), own_(beacon_text(settings_.name), settings_.nonce) {}

void Neighbours::start(const MacAddress& mac, SteadyTime now) {
  mac_ = mac;
  standing_ = Standing::listens;
  since_ = due_ = now;
  link_was_up_ = true;
  others_.clear();
}

std::vector<Bytes> Neighbours::stop() {
  if (!mac_) return {};
  standing_ = Standing::stands_by;
  std::vector<Bytes> last = beacons();
  mac_.reset();
  return last;
}

void Neighbours::hear(std::span<const std::uint8_t> frame, SteadyTime now) {
  const auto heard = read_beacon(frame);
  // Its own beacon comes back where red itself has a loop, or from a hub.
  if (!mac_ || !heard || heard->beacon.nonce == settings_.nonce) return;
  const Identity identity(heard->beacon.name, heard->beacon.nonce);
  auto found = others_.find(identity);
  if (found == others_.end()) {
    if (others_.size() >= most) {
      // Those that work count most, and then those that were heard last.
      const auto less = [](const auto& a, const auto& b) {
        const auto rank = [](const Neighbour& one) {
          return std::pair(one.standing == Standing::works && !one.ignored, one.heard);
        };
        return rank(a.second) < rank(b.second);
      };
      others_.erase(std::min_element(others_.begin(), others_.end(), less));
    }
    found = others_.emplace(identity, Neighbour{}).first;
    found->second.ignored = std::any_of(settings_.ignored.begin(), settings_.ignored.end(),
                                        [&](const std::string& name) { return beacon_text(name) == identity.first; });
  }
  Neighbour& other = found->second;
  if (heard->beacon.standing == Standing::works && other.standing != Standing::works) other.works_since = now;
  other.standing = heard->beacon.standing;
  other.site = heard->beacon.site;
  other.mac = heard->source;
  other.heard = now;
  // A gateway that begins wants to know at once.
  if (other.standing == Standing::listens) due_ = std::min(due_, now);
}

bool Neighbours::must_yield_to(const Identity& identity, const Neighbour& other) const {
  if (other.ignored) return false;
  const bool lower = identity < own_;
  switch (other.standing) {
    case Standing::works:
      return standing_ != Standing::works || lower || other.heard - std::max(other.works_since, since_) >= deaf;
    case Standing::listens:
      return standing_ == Standing::listens && lower;
    case Standing::stands_by:
      return false;
  }
  return false;
}

bool Neighbours::tick(SteadyTime now, bool link_up) {
  if (!mac_) return false;
  if (link_up && !std::exchange(link_was_up_, link_up)) {
    others_.clear();
    since_ = due_ = now;
    return std::exchange(standing_, Standing::listens) != Standing::listens;
  }
  link_was_up_ = link_up;
  std::erase_if(others_, [&](const auto& other) { return now - other.second.heard >= lifetime; });
  const bool yields = std::any_of(others_.begin(), others_.end(),
                                  [&](const auto& other) { return must_yield_to(other.first, other.second); });
  Standing next = standing_;
  if (yields) {
    next = Standing::stands_by;
  } else if (standing_ == Standing::stands_by) {
    next = Standing::listens;
  } else if (standing_ == Standing::listens && now - since_ >= listening) {
    next = Standing::works;
  }
  if (next == standing_) return false;
  standing_ = next;
  since_ = due_ = now;
  return true;
}

std::vector<Bytes> Neighbours::beacons() const {
  const Beacon beacon{standing_, settings_.nonce, own_.first, beacon_text(settings_.site)};
  std::vector<Bytes> out{write_beacon(beacon, *mac_, std::nullopt)};
  for (const std::uint16_t vlan : settings_.vlans)
    out.push_back(write_beacon(beacon, *mac_, vlan));
  return out;
}

std::vector<Bytes> Neighbours::due(SteadyTime now) {
  if (!mac_ || now < due_) return {};
  due_ = now + (standing_ == Standing::listens ? quick_period : period);
  return beacons();
}

RedSegmentStatistics Neighbours::statistics() const {
  RedSegmentStatistics out;
  out.state = text(standing_);
  for (const auto& [identity, other] : others_)
    out.neighbours.push_back({identity.first, other.site, text(other.mac), text(other.standing), other.ignored});
  return out;
}

}  // namespace sealcast::dataplane
