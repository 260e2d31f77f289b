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

bool is_locked(const UserAllowance& allowance, std::uint32_t in_a_row) {
  return in_a_row >= std::max(allowance.lock, allowance.burst);
}

milliseconds back_off(const UserAllowance& allowance, std::uint32_t in_a_row) {
  if (in_a_row < allowance.burst) return milliseconds{0};
  const auto doublings = std::min<std::uint32_t>(in_a_row - allowance.burst, 20);
  return std::min(allowance.interval * (std::int64_t{1} << doublings), std::max(allowance.longest, allowance.interval));
}

}  // namespace

AttemptLimiter::AttemptLimiter(const AttemptLimits& limits, const Secret<16>& hash_key)
    : limits_(limits),
      hash_key_(hash_key.clone()),
      names_(std::max<std::size_t>(limits.cells, 1)),
      addresses_(std::max<std::size_t>(limits.cells, 1), Cell{0}) {}

std::uint64_t AttemptLimiter::hash(const std::uint8_t* bytes, std::size_t size) const {
  static_assert(crypto_shorthash_KEYBYTES == 16 && crypto_shorthash_BYTES == 8);
  std::array<std::uint8_t, crypto_shorthash_BYTES> hash{};
  crypto_shorthash(hash.data(), bytes, size, hash_key_.data());
  return load_be<std::uint64_t>(hash.data());
}

std::uint64_t AttemptLimiter::tag_of(const SecretBytes& password) const {
  return hash(password.data(), password.size()) | 1;  // never 0, which stands for none
}

AttemptLimiter::Failures& AttemptLimiter::failures_of(const Guess& guess, const IpAddress& address) {
  if (!guess.stamp.empty()) {
    User& user = users_[{guess.user, guess.stamp}];
    return user.home == address ? user.at_home : user.elsewhere;
  }
  const ByteView name = as_bytes(guess.user);
  return names_[hash(name.data(), name.size()) % names_.size()];
}

AttemptLimiter::Cell& AttemptLimiter::cell_of(const IpAddress& address) {
  std::array<std::uint8_t, 9> key{address.family};
  std::copy_n(address.bytes.begin(), address.family == 4 ? 4 : 8, key.begin() + 1);
  return addresses_[hash(key.data(), key.size()) % addresses_.size()];
}

AttemptLimiter::Verdict AttemptLimiter::take(const Guess& guess, const IpAddress& address, Clock::time_point now) {
  now_ = std::max(now_, std::chrono::duration_cast<milliseconds>(now.time_since_epoch()));
  Failures& of_user = failures_of(guess, address);
  Cell& of_address = cell_of(address);
  if (is_locked(limits_.user, of_user.in_a_row)) return Verdict::locked;
  if (of_user.again > now_ || wait(of_address, limits_.address, now_) > milliseconds{0}) return Verdict::later;
  of_user.again = now_ + back_off(limits_.user, ++of_user.in_a_row);
  of_address = std::max(of_address, now_) + limits_.address.interval;
  return Verdict::allowed;
}

void AttemptLimiter::right(const Guess& guess, const IpAddress& address) {
  failures_of(guess, address) = Failures();
  if (!guess.stamp.empty()) {
    User& user = users_[{guess.user, guess.stamp}];
    if (user.home != address) user.at_home = Failures();
    user.home = address;
  }
  cell_of(address) -= limits_.address.interval;
}

AttemptLimiter::Told AttemptLimiter::wrong(const Guess& guess, const IpAddress& address) {
  Failures& of_user = failures_of(guess, address);
  if (of_user.last_wrong == guess.tag) {
    if (of_user.in_a_row > 0) --of_user.in_a_row;
    of_user.again = std::max(of_user.again, now_ + limits_.user.interval);  // it costs a hash all the same
    return Told::nothing;
  }
  of_user.last_wrong = guess.tag;
  if (guess.stamp.empty()) return Told::nothing;
  if (is_locked(limits_.user, of_user.in_a_row)) return Told::locked;
  if (of_user.in_a_row < limits_.user.alarm || std::exchange(of_user.alarmed, true)) return Told::nothing;
  return Told::alarm;
}

void AttemptLimiter::unchecked(const Guess& guess, const IpAddress& address) {
  Failures& of_user = failures_of(guess, address);
  if (of_user.in_a_row > 0) --of_user.in_a_row;
  of_user.again = std::min(of_user.again, now_);
}

bool AttemptLimiter::unlock(const std::string& user) {
  bool any = false;
  for (auto& [who, of_user] : users_) {
    if (who.first != user) continue;
    any = any || of_user.elsewhere.in_a_row + of_user.at_home.in_a_row != 0;
    of_user.elsewhere = of_user.at_home = Failures();
  }
  return any;
}

std::vector<std::string> AttemptLimiter::locked() const {
  std::vector<std::string> out;
  for (const auto& [who, of_user] : users_)
    if (is_locked(limits_.user, std::max(of_user.elsewhere.in_a_row, of_user.at_home.in_a_row)))
      out.push_back(who.first);
  return out;
}

void AttemptLimiter::forget_unless(
    const std::function<bool(const std::string& user, const std::string& stamp)>& stands) {
  std::erase_if(users_, [&](const auto& one) { return !stands(one.first.first, one.first.second); });
}

}  // namespace sealcast::passwords
