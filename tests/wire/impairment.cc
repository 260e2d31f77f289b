#include "tests/wire/impairment.h"

#include <charconv>

namespace sealcast::wire {

Result<void> validate(const Impairments& i) {
  const auto probability = [](const char* name, double p) -> Result<void> {
    if (p >= 0 && p <= 1) return {};
    return fail(std::string(name) + ": expected a probability from 0 to 1, got " + std::to_string(p));
  };
  for (const auto& [name, p] : {std::pair{"drop", i.drop}, {"duplicate", i.duplicate}, {"reorder", i.reorder}})
    SEALCAST_TRY(probability(name, p));
  if (i.reorder_depth < 1 || i.reorder_depth > 64)
    return fail("reorder: expected a depth from 1 to 64 frames, got " + std::to_string(i.reorder_depth));
  if (!(i.delay_ms >= 0 && i.delay_ms <= 10'000 && i.jitter_ms >= 0 && i.jitter_ms <= 10'000))
    return fail("delay: expected 0 to 10000 milliseconds");
  return {};
}

LinkDice::LinkDice(std::uint64_t seed, std::uint32_t from, std::uint32_t to) {
  std::seed_seq mixed{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32), from, to};
  generator_.seed(mixed);
}

// Not std::uniform_real_distribution: its values differ between library versions.
double LinkDice::uniform() {
  return static_cast<double>(generator_() >> 11) * 0x1p-53;
}

Decision LinkDice::next(const Impairments& impairments) {
  const double drop = uniform();
  const double duplicate = uniform();
  const double reorder = uniform();
  const double jitter = uniform();
  Decision decision;
  if (drop < impairments.drop) {
    decision.copies = 0;
    return decision;
  }
  if (duplicate < impairments.duplicate) decision.copies = 2;
  if (reorder < impairments.reorder) decision.overtaken_by = impairments.reorder_depth;
  decision.delay_ms = impairments.delay_ms + (2 * jitter - 1) * impairments.jitter_ms;
  if (decision.delay_ms < 0) decision.delay_ms = 0;
  return decision;
}

Result<Partition> Partition::parse(const std::string& text, std::uint32_t ports) {
  Partition partition;
  partition.text_ = text;
  std::uint32_t island = 0;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  const auto bad = [&](const std::string& why) { return fail("partition \"" + text + "\": " + why); };
  while (true) {
    std::uint32_t port = 0;
    const auto [next, error] = std::from_chars(at, end, port);
    if (error != std::errc{}) return bad("expected port numbers like 0,1/2");
    if (port >= ports)
      return bad("there is no port " + std::to_string(port) + ", the last is " + std::to_string(ports - 1));
    if (!partition.island_.emplace(port, island).second) return bad("port " + std::to_string(port) + " is named twice");
    if (next == end) return partition;
    if (*next != ',' && *next != '/') return bad("expected port numbers like 0,1/2");
    if (*next == '/') ++island;
    at = next + 1;
  }
}

bool Partition::connected(std::uint32_t from, std::uint32_t to) const {
  if (text_.empty()) return true;
  const auto a = island_.find(from);
  const auto b = island_.find(to);
  return a != island_.end() && b != island_.end() && a->second == b->second;
}

}  // namespace sealcast::wire
