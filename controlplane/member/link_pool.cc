#include "controlplane/member/link_pool.h"

#include "controlplane/member/shared_link.h"

namespace sealcast::member {

LinkPool::LinkPool(const World& world, Timing timing) : world_(world), timing_(timing) {}

LinkPool::~LinkPool() = default;

std::shared_ptr<Link> LinkPool::open(LinkWish wish, Link::Callbacks callbacks) {
  const auto now = world_.now();
  std::erase_if(places_, [&](const auto& entry) {
    const Place& place = *entry.second;
    return !place.link && place.not_before <= now && place.separate <= now && entry.first != wish.alike;
  });
  auto& place = places_[wish.alike];
  if (!place) place = std::make_shared<Place>(timing_);
  if (!place->link) place->link = std::make_shared<SharedLink>(world_, place);
  auto branch = std::make_shared<Branch>(std::move(wish), std::move(callbacks));
  place->link->add(branch);
  return branch;
}

std::size_t LinkPool::connections() const {
  std::size_t count = 0;
  for (const auto& [alike, place] : places_)
    count += place->link && place->link->established() ? 1 : 0;
  return count;
}

}  // namespace sealcast::member
