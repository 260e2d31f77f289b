#include "controlplane/keyserver/group/newcomers.h"

namespace sealcast::keyserver {
namespace {

constexpr std::chrono::seconds comes_again_within{60};
constexpr std::size_t most_told = 4096;

}  // namespace

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
