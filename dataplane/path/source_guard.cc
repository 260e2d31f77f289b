#include "dataplane/path/source_guard.h"

#include "base/bytes.h"

namespace sealcast::dataplane {
namespace {

IpAddress plain_address(Address4 address) {
  return IpAddress::v4(address);
}
IpAddress plain_address(const Address6& address) {
  IpAddress out{6, {}};
  store_be(&out.bytes[0], address.high);
  store_be(&out.bytes[8], address.low);
  return out;
}

}  // namespace

SourceGuard::SourceGuard(std::uint32_t worker, const PathSettings& settings, Sources& all, Tally& tally)
    : all_(all),
      own_(all.of(worker)),
      tally_(tally),
      pinned_(settings.local_red_sources),
      learns_(settings.learn_sources) {}

template <typename Address>
[[gnu::noinline]] void SourceGuard::note_red(const Address& source) noexcept {
  if (!learns_) return;
  const std::uint64_t tag = all_.tag(source);
  if (own_.red.note(tag, now_ms_) && all_.from_black(tag, now_ms_)) tell_moved(source, Side::red);
}

template <typename Address>
[[gnu::noinline]] DropReason SourceGuard::judge(const Address& source) noexcept {
  if (standing_ != Standing::works) return DropReason::standing_by;
  if (pinned_.has(source)) return DropReason::local_red_source;
  if (!learns_) return DropReason::none;
  const std::uint64_t tag = all_.tag(source);
  const bool begins = own_.black.note(tag, now_ms_);
  if (!all_.on_red(tag, now_ms_)) return DropReason::none;
  if (begins) tell_moved(source, Side::black);
  return DropReason::local_source;
}

template <typename Address>
[[gnu::noinline, gnu::cold]] void SourceGuard::tell_moved(const Address& source, Side to) noexcept {
  tally_.count(DropReason::source_moved);
  moved_.push({plain_address(source), to});
}

template void SourceGuard::note_red(const Address4&) noexcept;
template void SourceGuard::note_red(const Address6&) noexcept;
template DropReason SourceGuard::judge(const Address4&) noexcept;
template DropReason SourceGuard::judge(const Address6&) noexcept;

}  // namespace sealcast::dataplane
