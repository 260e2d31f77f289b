// How much of the life of certificates and revocation lists is over, and when an operator has to be told (H19). Plain
// arithmetic on Unix seconds.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace sealcast {

struct Life {
  enum class Kind : std::uint8_t { certificate, authority, list };
  Kind kind = Kind::certificate;
  std::string of;                     // subject or issuer
  std::int64_t begins = 0, ends = 0;  // Unix seconds
  bool operator==(const Life&) const = default;

  std::string what() const {
    return (kind == Kind::list ? "the revocation list of "
                               : (kind == Kind::authority ? "the authority " : "the certificate of ")) +
           of;
  }
  // Percent of it that are over; 100: it has ended.
  int used(std::int64_t unix_now) const {
    if (unix_now >= ends) return 100;
    if (unix_now <= begins) return 0;
    return static_cast<int>(
        std::min<double>(99, 100.0 * static_cast<double>(unix_now - begins) / static_cast<double>(ends - begins)));
  }
};

// The last threshold that is passed: 0, 50, 80, 95 or 100.
inline int stage_of(const Life& life, std::int64_t unix_now) {
  static constexpr int thresholds[] = {0, 50, 80, 95, 100};
  return *std::prev(std::upper_bound(std::begin(thresholds), std::end(thresholds), life.used(unix_now)));
}

class LifeWatch {
 public:
  static constexpr std::int64_t day = 86400;

  // Those of `lives` that have to be told of now: each threshold once, then, from 95 percent on, once a day.
  std::vector<Life> due(const std::vector<Life>& lives, std::int64_t unix_now) {
    std::map<std::string, Told> told;
    std::vector<Life> out;
    for (const Life& life : lives) {
      const int stage = stage_of(life, unix_now);
      const auto before = told_.find(life.what());
      const bool known = before != told_.end() && before->second.ends == life.ends;
      const Told last = known ? before->second : Told{life.ends, 0, unix_now};
      const bool again = stage >= 95 && (unix_now - last.at >= day || unix_now < last.at);
      const bool say = stage > last.stage || again;
      if (say) out.push_back(life);
      told[life.what()] = {life.ends, std::max(stage, last.stage), say ? unix_now : last.at};
    }
    told_ = std::move(told);
    return out;
  }

 private:
  struct Told {
    std::int64_t ends = 0;
    int stage = 0;        // the highest that was told
    std::int64_t at = 0;  // when it was last
  };
  std::map<std::string, Told> told_;  // by Life::what()
};

}  // namespace sealcast
