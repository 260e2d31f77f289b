#include "controlplane/passwords/attempt_limiter.h"

#include <sodium.h>

#include <algorithm>
#include <array>

namespace sealcast::passwords {
namespace {

using std::chrono::milliseconds;

// Time until the allowance permits one more attempt; zero or less: now.
milliseconds wait(milliseconds used_until, const AttemptAllowance& allowance, milliseconds now) {
  const auto used = std::max(used_until, now) - now;
  return used + allowance.interval - allowance.interval * std::max<std::int64_t>(allowance.burst, 1);
}

}  // namespace

AttemptLimiter::AttemptLimiter(const AttemptLimits& limits, const Secret<16>& hash_key)
    : limits_(limits),
      hash_key_(hash_key.clone()),
      users_(std::max<std::size_t>(limits.cells, 1), Cell{0}),
      addresses_(std::max<std::size_t>(limits.cells, 1), Cell{0}) {}

std::size_t AttemptLimiter::place(const std::uint8_t* bytes, std::size_t size) const {
  static_assert(crypto_shorthash_KEYBYTES == 16 && crypto_shorthash_BYTES == 8);
  std::array<std::uint8_t, crypto_shorthash_BYTES> hash{};
  crypto_shorthash(hash.data(), bytes, size, hash_key_.data());
  return static_cast<std::size_t>(load_be<std::uint64_t>(hash.data()) % users_.size());
}

AttemptLimiter::Cell& AttemptLimiter::cell_of(std::string_view user) {
  return users_[place(reinterpret_cast<const std::uint8_t*>(user.data()), user.size())];
}

AttemptLimiter::Cell& AttemptLimiter::cell_of(const IpAddress& address) {
  std::array<std::uint8_t, 9> key{address.family};
  std::copy_n(address.bytes.begin(), address.family == 4 ? 4 : 8, key.begin() + 1);
  return addresses_[place(key.data(), key.size())];
}

AttemptLimiter::Verdict AttemptLimiter::take(std::string_view user, const IpAddress& address, Clock::time_point now) {
  now_ = std::max(now_, std::chrono::duration_cast<milliseconds>(now.time_since_epoch()));
  Cell& of_user = cell_of(user);
  Cell& of_address = cell_of(address);
  const auto longest = std::max(wait(of_user, limits_.user, now_), wait(of_address, limits_.address, now_));
  if (longest > milliseconds{0}) return {false, longest};
  of_user = std::max(of_user, now_) + limits_.user.interval;
  of_address = std::max(of_address, now_) + limits_.address.interval;
  return {true, milliseconds{0}};
}

void AttemptLimiter::give_back(std::string_view user, const IpAddress& address) {
  give_back_user(user);
  cell_of(address) -= limits_.address.interval;
}

void AttemptLimiter::give_back_user(std::string_view user) {
  cell_of(user) -= limits_.user.interval;
}

}  // namespace sealcast::passwords
