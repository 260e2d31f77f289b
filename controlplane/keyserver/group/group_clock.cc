#include "controlplane/keyserver/group/group_clock.h"

#include <fstream>

namespace sealcast::keyserver {
namespace {

using std::chrono::milliseconds;

// A new clock begins here: room for the zero of the first epoch.
constexpr milliseconds beginning = std::chrono::hours(1);
constexpr milliseconds zero_before = std::chrono::minutes(1);

}  // namespace

Result<std::string> boot_id() {
  constexpr const char* path = "/proc/sys/kernel/random/boot_id";
  std::ifstream in(path);
  std::string id;
  if (!(in >> id)) return fail(std::string(path) + ": expected the kernel's boot id, got nothing");
  return id;
}

Result<GroupClock> GroupClock::open(Now now, std::string boot_id, store::Store& store, handshake::Random& random) {
  GroupClock clock(std::move(now), std::move(boot_id), store, random);
  SEALCAST_TRY_ASSIGN(const auto kept, store.clock());
  if (kept && kept->boot_id == clock.boot_id_) {
    clock.id_ = kept->id;
    clock.offset_ = milliseconds(kept->offset_ms);
    return clock;
  }
  SEALCAST_TRY(clock.renew());
  return clock;
}

Result<void> GroupClock::renew() {
  std::uint64_t id = 0;
  do {
    random_->fill(ByteSpan(reinterpret_cast<std::uint8_t*>(&id), sizeof id));
    id >>= 1;  // stores keep signed numbers
  } while (id == 0);
  const auto offset = beginning - std::chrono::duration_cast<milliseconds>(now_());
  SEALCAST_TRY(store_->keep_clock({id, boot_id_, offset.count()}));
  id_ = id;
  offset_ = offset;
  return {};
}

milliseconds GroupClock::now() const {
  return std::chrono::duration_cast<milliseconds>(now_()) + offset_;
}

handshake::ClockReading GroupClock::read() const {
  return {id_, static_cast<std::uint64_t>(now().count()), 1};  // whole milliseconds
}

handshake::EpochZero ClockSource::zero() const {
  const handshake::ClockReading reading = read();
  return {reading.clock_id, reading.now_ms - static_cast<std::uint64_t>(zero_before.count())};
}

}  // namespace sealcast::keyserver
