#include "controlplane/keyserver/group/newcomers.h"

#include <algorithm>

namespace sealcast::keyserver {
namespace {

constexpr std::chrono::seconds comes_again_within{60};
constexpr std::size_t most_told = 4096;

SteadyTime::duration join_interval(std::uint32_t per_minute) {
  return SteadyTime::duration(std::chrono::minutes(1)) / std::max(per_minute, 1U);
}

}  // namespace

Result<void> JoinLimit::may_join(const std::string& member, std::uint32_t per_minute, SteadyTime now) const {
  const auto found = used_until_.find(member);
  if (found == used_until_.end()) return {};
  const auto wait = found->second + join_interval(per_minute) - now - std::chrono::minutes(minutes_at_once);
  if (wait <= SteadyTime::duration{}) return {};
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(wait).count();
  return fail("it joins too often (joins_per_minute); it may come again in " + std::to_string(seconds) + " s");
}

void JoinLimit::took_place(const std::string& member, std::uint32_t per_minute, SteadyTime now) {
  if (used_until_.size() >= sweep_at_) {
    std::erase_if(used_until_, [&](const auto& one) { return one.second <= now; });
    sweep_at_ = std::max<std::size_t>(1024, 2 * used_until_.size());
  }
  SteadyTime& until = used_until_[member];
  until = std::max(until, now) + join_interval(per_minute);
}

void Newcomers::told_to_come_again(const Principal& newcomer, std::uint64_t active, SteadyTime now) {
  if (told_.size() >= most_told) told_.clear();
  Told& told = told_[newcomer];
  if (told.until <= now) told = {active, now + comes_again_within};
}

bool Newcomers::is_expected(const Principal& newcomer, std::uint64_t active, SteadyTime now) const {
  const auto told = told_.find(newcomer);
  return told != told_.end() && told->second.active < active && now < told->second.until;
}

}  // namespace sealcast::keyserver
