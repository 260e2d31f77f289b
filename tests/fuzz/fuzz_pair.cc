// Two real ends with an attacker between them, who edits the stream by the input: per 4 bytes of input one edit
// { where: u16 counted over both directions, what: flip | drop | double, how }. If both ends are established, nothing
// of the handshake may have been changed: same group, same peer names.
#include "tests/fuzz/fuzz_endpoint.h"

namespace {

using namespace sealcast;             // NOLINT: a fuzzer of it
using namespace sealcast::handshake;  // NOLINT

class Editor {
 public:
  explicit Editor(ByteView edits) : edits_(edits) {}
  // The bytes as they arrive.
  Bytes carry(const Bytes& bytes) {
    Bytes out;
    for (const std::uint8_t byte : bytes) {
      std::uint8_t now = byte;
      int copies = 1;
      for (std::size_t i = 0; i + 4 <= edits_.size(); i += 4) {
        if (load_be<std::uint16_t>(edits_.data() + i) != position_) continue;
        if (edits_[i + 2] % 3 == 0) now = static_cast<std::uint8_t>(now ^ edits_[i + 3]);
        if (edits_[i + 2] % 3 == 1) copies = 0;
        if (edits_[i + 2] % 3 == 2) copies = 2;
      }
      changed_ = changed_ || now != byte || copies != 1;
      out.insert(out.end(), static_cast<std::size_t>(copies), now);
      ++position_;
    }
    return out;
  }
  bool changed() const { return changed_; }

 private:
  ByteView edits_;
  std::uint32_t position_ = 0;
  bool changed_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto& world = fuzz::world(false);
  const auto server = world.server();
  const auto client = world.client();
  Editor editor({data, size});
  for (bool moved = true; moved;) {
    const Bytes up = editor.carry(client->take_output());
    if (!server->failed()) (void)server->receive(up, testing::kNow);
    const Bytes down = editor.carry(server->take_output());
    if (!client->failed()) (void)client->receive(down, testing::kNow);
    moved = !up.empty() || !down.empty();
  }
  // A record's outer version is not authenticated before the first keys; everything else is.
  if (client->established()) fuzz::require(server->established() || editor.changed());
  if (!editor.changed()) fuzz::require(client->established() && server->established());
  if (client->established()) {
    auto events = client->take_events();
    const auto established = testing::find_event<Established>(events);
    fuzz::require(established && established->group_id == "tv" && established->peer.name == "ks.example" &&
                  established->keying->premaster.equals(world.authority.keying.premaster));
  }
  return 0;
}
