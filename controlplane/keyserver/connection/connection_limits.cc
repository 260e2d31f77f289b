#include "controlplane/keyserver/connection/connection_limits.h"

#include <dirent.h>
#include <sys/resource.h>

#include <algorithm>
#include <memory>

namespace sealcast::keyserver {
namespace {

constexpr std::size_t fewest = 16;  // connections; with less a key server is of no use

std::size_t open_descriptors() {
  const auto close = [](DIR* folder) { ::closedir(folder); };
  const std::unique_ptr<DIR, decltype(close)> folder(::opendir("/proc/self/fd"), close);
  if (!folder) return descriptors_kept;  // without /proc: more than there are
  std::size_t entries = 0;
  while (::readdir(folder.get()))
    ++entries;
  return entries - std::min<std::size_t>(entries, 3);  // ".", ".." and the folder itself
}

}  // namespace

const char* ConnectionLimits::take(const std::string& address, const Most& most) {
  const auto found = from_.find(address);
  const From from = found == from_.end() ? From() : found->second;
  if (half_open_ + members_ >= most.in_all) return "max_connections";
  if (from.half_open + from.members >= most.from_address) return "max_connections_per_address";
  if (from.half_open >= std::max(most.half_open_from_address, from.most_members)) return "half_open_per_address";
  const std::size_t quarter = std::max<std::size_t>(most.in_all / 4, 2);
  if (half_open_ >= (from.most_members != 0 ? quarter : quarter / 2)) return "half_open";
  if (found != from_.end() && !from.is_there()) --remembered_;
  ++from_[address].half_open;
  ++half_open_;
  return nullptr;
}

void ConnectionLimits::joined(const std::string& address) {
  From& from = from_[address];
  --from.half_open;
  --half_open_;
  ++members_;
  from.most_members = std::max(from.most_members, ++from.members);
}

void ConnectionLimits::over(const std::string& address, bool was_joined) {
  const auto found = from_.find(address);
  if (found == from_.end()) return;
  From& from = found->second;
  --(was_joined ? from.members : from.half_open);
  --(was_joined ? members_ : half_open_);
  if (from.is_there()) return;
  if (from.most_members == 0) {
    from_.erase(found);
  } else if (++remembered_ > most_remembered) {
    forget_some();
  }
}

// A sixteenth of them, so that it is not done at each connection.
void ConnectionLimits::forget_some() {
  for (auto at = from_.begin(); at != from_.end() && remembered_ > most_remembered - most_remembered / 16;) {
    if (at->second.is_there()) {
      ++at;
      continue;
    }
    at = from_.erase(at);
    --remembered_;
  }
}

void ConnectionLimits::clear() {
  *this = ConnectionLimits();
}

Result<std::size_t> connections_that_fit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return fail("can't read the limit of open files");
  const auto allowed = static_cast<std::size_t>(std::min<rlim_t>(limit.rlim_cur, rlim_t{1} << 30));
  const std::size_t taken = open_descriptors() + descriptors_kept;
  if (allowed < taken + fewest)
    return fail("expected a limit of at least " + std::to_string(taken + fewest) + " open files, got " +
                std::to_string(allowed) + ": raise it (systemd: LimitNOFILE=, a shell: ulimit -Hn)");
  return allowed - taken;
}

}  // namespace sealcast::keyserver
