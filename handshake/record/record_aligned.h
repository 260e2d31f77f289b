#pragma once

namespace sealcast::handshake {

// Proves that no handshake message is half read, so that the keys may change. Only MessageJoiner makes one; a function
// that installs keys takes it as a parameter, so that a forgotten check does not compile.
class RecordAligned {
  friend class MessageJoiner;
  RecordAligned() = default;
};

}  // namespace sealcast::handshake
