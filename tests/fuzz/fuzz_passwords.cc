// The password file (H7): an accepted file is written back unchanged and means the same; a user who is not in it never
// passes. Hashes are as cheap as Argon2id allows, so that the parser takes most of the time.
#include "controlplane/passwords/password_file.h"
#include "tests/fuzz/input.h"

namespace {

using namespace sealcast;             // NOLINT: a fuzzer of it
using namespace sealcast::passwords;  // NOLINT
using fuzz::require;

SecretBytes secret(ByteView bytes) {
  SecretBytes made(bytes.size());
  std::copy(bytes.begin(), bytes.end(), made.data());
  return made;
}

}  // namespace

// The first byte: the operation on the file; then a user and a password with their lengths; the rest is the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const HashPolicy policy{{8, 1}, {8, 1}, {64, 3}};
  fuzz::Input input(data, size);
  const std::uint8_t change = input.u8();
  const std::string user = fuzz::text(input.short_block());
  const SecretBytes password = secret(input.short_block());
  const std::string text = fuzz::text(input.rest());

  auto file = PasswordFile::parse(text, "passwd", policy);
  if (!file) {
    require(file.error().message.starts_with("passwd:") && file.error().message.find('\n') == std::string::npos);
    return 0;
  }
  // Written back it differs at most in the last line's end.
  require(file->text() == text || file->text() == text + "\n");
  const auto users = file->users();
  require(users.size() <= max_users && std::all_of(users.begin(), users.end(), valid_user));
  const bool known = std::find(users.begin(), users.end(), user) != users.end();
  if ((change & 1) != 0) {
    const auto verified = file->verify(user, password);
    require(verified && (known || !*verified));
  }
  if ((change & 2) != 0) {
    const auto set = file->set(user, password);
    const bool sound = valid_user(user) && !password.empty() && password.size() <= max_password_bytes;
    require(set.has_value() == sound);
    if (set) {
      require(*file->verify(user, password));
      const auto again = PasswordFile::parse(file->text(), "again", policy);
      require(again && again->users().size() == users.size() + (known ? 0 : 1));
    }
  } else if ((change & 4) != 0) {
    require(file->remove(user) == known);
    require(file->users().size() + (known ? 1 : 0) == users.size());
  }
  return 0;
}
