// Replaces keyserver::seal_announcement() at link time: records the packets that a key server seals itself.
#include <cstdio>
#include <cstdlib>

#include "controlplane/keyserver/group/announcement.h"
#include "tests/nonces/log.h"

using sealcast::Bytes;
using sealcast::ByteView;
using sealcast::SaKey;

Bytes real_seal_announcement(const SaKey&, std::uint64_t, ByteView) __asm__(
    "__real__ZN8sealcast9keyserver17seal_announcementERKNS_5SaKeyEmSt4spanIKhLm18446744073709551615EE");
Bytes recording_seal_announcement(const SaKey&, std::uint64_t, ByteView) __asm__(
    "__wrap__ZN8sealcast9keyserver17seal_announcementERKNS_5SaKeyEmSt4spanIKhLm18446744073709551615EE");

Bytes recording_seal_announcement(const SaKey& key, std::uint64_t number, ByteView datagram) {
  const auto log = sealcast::nonces::Log::of_process();
  if (!log) {  // the caller expects no error, and an unrecorded packet must not leave
    std::fprintf(stderr, "%s\n", log.error().message.c_str());
    std::abort();
  }
  (*log)->begin(sealcast::nonces::key_id(ByteView(key.key.data(), key.key_size)), key.spi, number);
  return real_seal_announcement(key, number, datagram);
}
