// Which key server of a group's list is tried next, and after how long. No socket and no clock.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "controlplane/member/backoff.h"
#include "controlplane/member/member_settings.h"
#include "handshake/endpoint.h"

namespace sealcast::member {

inline constexpr std::chrono::milliseconds longest_after_proof{1000};

class Attempts {
 public:
  // servers: length of the list, at least 1.
  Attempts(std::size_t servers, const AgentTiming& timing)
      : servers_(servers),
        backoff_(timing.backoff_first, timing.backoff_max),
        broken_(timing.backoff_first, std::min(timing.backoff_max, longest_after_proof)),
        dismissed_(timing.backoff_first, timing.backoff_max),
        password_(timing.refused_password, timing.refused_password_max),
        key_(timing.refused_key, timing.refused_key_max) {}

  std::size_t server() const { return server_; }  // index into the list

  struct Next {
    std::chrono::milliseconds wait{};
    bool penalty = false;  // what was refused must not be tried again soon, at this key server or another
  };
  // An attempt came to nothing: the next server at once, a wait before the list begins anew. cause: nullptr where the
  // handshake did not fail. random: any 64 random bits.
  Next failed(bool password_shown, const handshake::HandshakeError* cause, std::uint64_t random) {
    server_ = (server_ + 1) % servers_;
    if (const auto longer = cause != nullptr ? penalty(password_shown, *cause, random) : std::nullopt)
      return {*longer, true};
    return {server_ == 0 ? backoff_.next(random) : std::chrono::milliseconds(0), false};
  }
  // The handshake proved both ends: whatever kept them from it is over.
  void joined() {
    backoff_.reset();
    password_.reset();
    key_.reset();
  }
  // The connection was there and is no more. The key server may be silent for long: the next one of the list.
  // dismissed: the key server itself ended it, or said what cannot be taken. Whoever merely stands in the middle cannot
  // do that, and makes the member wait no longer than longest_after_proof, however often it breaks what was proved.
  std::chrono::milliseconds lost(bool dismissed, bool held_long, std::uint64_t random) {
    if (held_long) {
      broken_.reset();
      dismissed_.reset();
    }
    server_ = (server_ + 1) % servers_;
    return (dismissed ? dismissed_ : broken_).next(random);
  }

 private:
  // A refused password counts against the user's allowance (H7), and refused key material must not be asked for again
  // and again (H6).
  std::optional<std::chrono::milliseconds> penalty(bool password_shown, const handshake::HandshakeError& cause,
                                                   std::uint64_t random) {
    if (password_shown && cause.from_peer && cause.alert == handshake::Alert::access_denied)
      return password_.next(random);
    if (cause.reason == handshake::Reason::key_material_refused) return key_.next(random);
    return std::nullopt;
  }

  std::size_t servers_;
  std::size_t server_ = 0;
  Backoff backoff_;             // no handshake came to its end
  Backoff broken_, dismissed_;  // of connections that were there, but not for long
  Penalty password_, key_;
};

}  // namespace sealcast::member
