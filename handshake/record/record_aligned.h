#pragma once

namespace sealcast::handshake {

// No handshake message is half read: the keys may change here. Made by MessageJoiner alone; whoever installs keys takes
// it as a parameter, so forgetting the check does not compile.
class RecordAligned {
  friend class MessageJoiner;
  RecordAligned() = default;
};

}  // namespace sealcast::handshake
