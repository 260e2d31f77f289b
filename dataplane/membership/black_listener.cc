#include "dataplane/membership/black_listener.h"

#include <algorithm>
#include <cstring>

#include "base/limits.h"

namespace sealcast::dataplane {
namespace {

// Every address of the prefix, at most max_joined_per_selector.
Result<std::vector<IpAddress>> addresses_of(const Prefix& prefix) {
  const unsigned host_bits = static_cast<unsigned>(prefix.address.size() * 8) - prefix.length;
  if (host_bits > max_joined_bits)
    return fail("expected a prefix of at most " + std::to_string(max_joined_per_selector) + " groups to join, got " +
                prefix.text());
  std::vector<IpAddress> out;
  for (unsigned i = 0; i < (1U << host_bits); ++i) {
    IpAddress address = prefix.address;
    std::uint8_t& last = address.bytes[address.size() - 1];
    last = static_cast<std::uint8_t>(last | i);
    out.push_back(address);
  }
  return out;
}

void add(membership::Interests& to, const IpAddress& group, const membership::Filter& filter) {
  const auto [place, is_new] = to.emplace(group, filter);
  if (!is_new) place->second = membership::merge(place->second, filter);
}

Result<membership::Interests> interests_of(const GroupProtection& protection) {
  membership::Interests out;
  if (!protection.join) return out;
  if (protection.outer) {
    // Each member sends from its own address, and these are not known here.
    add(out, protection.outer->destination, {});
    return out;
  }
  for (const Selector& selector : protection.selectors) {
    membership::Filter filter;
    if (selector.source && selector.source->length == selector.source->address.size() * 8)
      filter = {false, {selector.source->address}};
    SEALCAST_TRY_ASSIGN(auto groups, addresses_of(selector.destination));
    for (const IpAddress& group : groups)
      add(out, group, filter);
  }
  return out;
}

}  // namespace

BlackListener::BlackListener(std::vector<Worker*> workers, const PathSettings& settings)
    : workers_(std::move(workers)), settings_(settings), last_loop_(settings.bypass.size()) {}

Result<void> BlackListener::protect(const std::string& group_id, const GroupProtection& protection) {
  auto interests = interests_of(protection);
  if (!interests) return fail("group " + group_id + ": " + interests.error().message);
  if (joined_ + interests->size() > max_joined)
    return fail("group " + group_id + ": expected at most " + std::to_string(max_joined) +
                " groups to join on black in all, got " + std::to_string(joined_ + interests->size()));
  joined_ += interests->size();
  on_demand_ = on_demand_ || protection.on_demand;
  groups_[group_id] = {std::move(*interests), false, protection.on_demand};
  for (const Selector& selector : protection.selectors) {
    red_destinations_.push_back(selector.destination);
    (protection.outer ? fixed_ : black_destinations_).push_back(selector.destination);
  }
  if (protection.outer) {
    const IpAddress& outer = protection.outer->destination;
    black_destinations_.push_back({outer, static_cast<std::uint8_t>(outer.size() * 8)});
    stopped_.reset();
  }
  return {};
}

void BlackListener::unprotect(const std::string& group_id, const GroupProtection& protection) {
  const auto found = groups_.find(group_id);
  if (found == groups_.end()) return;
  joined_ -= found->second.interests.size();
  changed_ = changed_ || (found->second.keyed && !found->second.interests.empty());
  groups_.erase(found);
  on_demand_ = std::any_of(groups_.begin(), groups_.end(), [](const auto& group) { return group.second.on_demand; });
  // Removes one of several equal prefixes: another group may have the same destination.
  const auto drop = [](std::vector<Prefix>& from, const Prefix& one) {
    if (const auto at = std::find(from.begin(), from.end(), one); at != from.end()) from.erase(at);
  };
  for (const Selector& selector : protection.selectors) {
    drop(red_destinations_, selector.destination);
    drop(protection.outer ? fixed_ : black_destinations_, selector.destination);
  }
  if (!protection.outer) return;
  const IpAddress& outer = protection.outer->destination;
  drop(black_destinations_, {outer, static_cast<std::uint8_t>(outer.size() * 8)});
  stopped_.reset();
}

std::shared_ptr<const GroupRanges> BlackListener::stopped_reports() {
  if (!stopped_ && !fixed_.empty()) stopped_ = std::make_shared<const GroupRanges>(fixed_);
  return stopped_;
}

void BlackListener::keyed(const std::string& group_id, bool now_keyed) {
  const auto found = groups_.find(group_id);
  if (found == groups_.end() || found->second.keyed == now_keyed) return;
  found->second.keyed = now_keyed;
  if (!found->second.interests.empty()) changed_ = true;
}

void BlackListener::start(const membership::Listener::Options& options) {
  listener_ = std::make_unique<membership::Listener>(options);
  own_ = {options.mac, options.address4, options.address6};
  changed_ = true;
  leaving_ = false;
}

void BlackListener::stop() {
  leaving_ = changed_ = true;
}

membership::Interests BlackListener::wanted() const {
  membership::Interests out;
  if (leaving_) return out;
  for (const auto& [id, group] : groups_)
    if (group.keyed)
      for (const auto& [address, filter] : group.interests)
        add(out, address, filter);
  return out;
}

void BlackListener::tick(SteadyTime now) {
  for (Worker* worker : workers_) {
    HostFrame query;
    while (worker->queries_heard().pop(query)) {
      const auto frame = std::span(query.bytes).first(query.length);
      if (on_query_) on_query_(frame, now);
      if (listener_) listener_->receive(frame, now);
    }
    BypassLoopSeen loop;
    while (worker->bypass_loops().pop(loop))
      last_loop_.at(loop.rule) = text(loop.source) + (loop.seen_on == Side::red ? " on red" : " on black");
  }
  if (!listener_) return;
  if (std::exchange(changed_, false)) listener_->want(wanted(), now);
  HostFrameRing& ring = workers_.front()->to_black();
  for (const Bytes& frame : listener_->due(now, ring.room()))
    send(frame);
}

bool BlackListener::send(ByteView frame) {
  if (!listener_ || frame.size() > HostFrame::most_bytes) return false;
  HostFrame out;
  out.length = static_cast<std::uint16_t>(frame.size());
  std::memcpy(out.bytes.data(), frame.data(), frame.size());
  return workers_.front()->to_black().push(out);
}

bool BlackListener::idle() const {
  const HostFrameRing& ring = workers_.front()->to_black();
  return ring.room() == HostFrameRing::capacity;
}

PortFilter BlackListener::red_filter() const {
  std::vector<BypassRule> rules = settings_.bypass;
  if (on_demand_) {
    // Red's listeners are tracked whether or not their reports pass on.
    for (const BypassProtocol one : {BypassProtocol::igmp_report, BypassProtocol::mld_report,
                                     BypassProtocol::igmp_query, BypassProtocol::mld_query}) {
      BypassRule rule;
      rule.protocol = one;
      rules.push_back(rule);
    }
  }
  return port_filter(red_destinations_, rules, BypassDirection::red_to_black);
}

PortFilter BlackListener::black_filter() const {
  std::vector<BypassRule> rules = settings_.bypass;
  if (joined_ != 0) {
    // The listener receives general queries whether or not they pass on.
    for (const BypassProtocol query : {BypassProtocol::igmp_query, BypassProtocol::mld_query}) {
      BypassRule rule;
      rule.protocol = query;
      rules.push_back(rule);
    }
  }
  return port_filter(black_destinations_, rules, BypassDirection::black_to_red);
}

std::vector<BypassStatistics> BlackListener::statistics() const {
  std::vector<BypassStatistics> out;
  for (std::size_t i = 0; i < settings_.bypass.size(); ++i) {
    const BypassRule& rule = settings_.bypass[i];
    for (const Side from : {Side::red, Side::black}) {
      const auto direction = from == Side::red ? BypassDirection::red_to_black : BypassDirection::black_to_red;
      if ((static_cast<unsigned>(rule.direction) & static_cast<unsigned>(direction)) == 0) continue;
      BypassStatistics entry;
      entry.rule = rule.name;
      entry.direction = std::string(name(direction));
      for (const Worker* worker : workers_) {
        const BypassCounters& counters = worker->bypass().counters(i, from);
        entry.passed += counters.passed.get();
        entry.passed_bytes += counters.passed_bytes.get();
        entry.rate_limited += counters.rate_limited.get();
        entry.looped += counters.looped.get();
      }
      entry.last_loop = entry.looped == 0 ? "" : last_loop_[i];
      out.push_back(std::move(entry));
    }
  }
  return out;
}

}  // namespace sealcast::dataplane
