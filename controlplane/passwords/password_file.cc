#include "controlplane/passwords/password_file.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "base/atomic_file.h"
#include "base/descriptor.h"
#include "base/file_owner.h"

namespace sealcast::passwords {
namespace {

constexpr std::string_view hash_prefix = "$argon2id$v=19$";
constexpr std::size_t salt_characters = 22;  // 16 bytes in base64 without padding: libsodium's
constexpr std::size_t hash_characters = 43;  // 32 bytes likewise

Result<void> libsodium_ready() {
  if (sodium_init() < 0) return fail("libsodium cannot start: no source of randomness");
  return {};
}

bool is_base64(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
  });
}

// Takes "m=65536" and the like off the front: the number, without sign, leading zero or blank.
std::optional<std::uint32_t> take_number(std::string_view& text, std::string_view before, char after) {
  if (!text.starts_with(before)) return std::nullopt;
  const char* begin = text.data() + before.size();
  const char* end = text.data() + text.size();
  if (begin == end || *begin < '1' || *begin > '9') return std::nullopt;
  std::uint32_t value = 0;
  const auto [next, error] = std::from_chars(begin, end, value);
  if (error != std::errc{} || next == end || *next != after) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(next - text.data()) + 1);
  return value;
}

// The cost of a hash in exactly the form crypto_pwhash_str() writes; nullopt for anything else.
std::optional<HashCost> cost_of(std::string_view hash) {
  if (hash.size() >= crypto_pwhash_STRBYTES || !hash.starts_with(hash_prefix)) return std::nullopt;
  hash.remove_prefix(hash_prefix.size());
  const auto memory = take_number(hash, "m=", ',');
  if (!memory) return std::nullopt;
  const auto passes = take_number(hash, "t=", ',');
  if (!passes) return std::nullopt;
  const auto lanes = take_number(hash, "p=", '$');
  if (!lanes || *lanes != 1) return std::nullopt;
  if (hash.size() != salt_characters + 1 + hash_characters || hash[salt_characters] != '$') return std::nullopt;
  if (!is_base64(hash.substr(0, salt_characters)) || !is_base64(hash.substr(salt_characters + 1))) return std::nullopt;
  return HashCost{*memory, *passes};
}

Result<std::string> make_hash(const SecretBytes& password, const HashCost& cost) {
  std::array<char, crypto_pwhash_STRBYTES> out{};
  if (crypto_pwhash_str(out.data(), reinterpret_cast<const char*>(password.data()), password.size(), cost.passes,
                        std::size_t{cost.memory_kib} * 1024) != 0) {
    return fail("cannot compute a password hash of cost " + cost.text() + ": not enough memory");
  }
  return std::string(out.data());
}

Result<std::string> hash_of_random_password(const HashCost& cost) {
  SecretBytes random(32);
  randombytes_buf(random.data(), random.size());
  return make_hash(random, cost);
}

std::string hash_of(std::string_view text) {
  std::array<std::uint8_t, crypto_generichash_BYTES> digest{};
  crypto_generichash(digest.data(), digest.size(), reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                     nullptr, 0);
  return to_hex(digest);
}

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<std::string> read_private_file(const std::string& path) {
  const auto problem = [&](const std::string& what) { return fail(path + ": " + what); };
  // Non-blocking, so that a pipe in the file's place cannot hang the daemon.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return problem(std::string("cannot open the password file: ") + std::strerror(errno));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return problem(std::string("fstat: ") + std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return problem("expected a regular file for passwords");
  if ((status.st_mode & 077) != 0)
    return problem("others may access this password file; expected mode 0600: chmod 600");
  if (!good_owner(status.st_uid))
    return problem("expected this password file to belong to this user or to root, got user id " +
                   std::to_string(status.st_uid) + ": chown");
  std::string text;
  std::array<char, 16384> part{};
  for (;;) {
    const ssize_t n = ::read(file.get(), part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return problem(std::string("read: ") + std::strerror(errno));
    if (n == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(n));
    if (text.size() > max_file_bytes) return problem("expected at most " + std::to_string(max_file_bytes) + " bytes");
  }
}

}  // namespace

std::string HashCost::text() const {
  return "m=" + std::to_string(memory_kib) + ",t=" + std::to_string(passes) + ",p=1";
}

Result<HashCost> HashCost::parse(std::string_view text) {
  std::string whole(text);
  if (!whole.ends_with(",p=1")) whole += ",p=1";
  std::string_view rest = whole;
  const auto memory = take_number(rest, "m=", ',');
  const auto passes = memory ? take_number(rest, "t=", ',') : std::nullopt;
  if (!passes || rest != "p=1")
    return fail("expected m=KIB,t=PASSES such as m=65536,t=3, got \"" + std::string(text.substr(0, 64)) + "\"");
  return HashCost{*memory, *passes};
}

Result<void> strong_enough(std::string_view user, const SecretBytes& password) {
  constexpr std::size_t shortest = 10;
  constexpr std::size_t fewest_different = 5;
  if (password.size() < shortest)
    return fail("expected a password of at least " + std::to_string(shortest) + " bytes, got " +
                std::to_string(password.size()));
  std::array<bool, 256> seen{};
  std::size_t different = 0, runs = 0;
  for (std::size_t i = 0; i < password.size(); ++i) {
    different += !std::exchange(seen[password.data()[i]], true);
    if (i > 0) runs += std::abs(int{password.data()[i]} - int{password.data()[i - 1]}) <= 1;
  }
  if (different < fewest_different)
    return fail("expected a password of at least " + std::to_string(fewest_different) + " different characters, got " +
                std::to_string(different));
  if (runs * 2 > password.size())
    return fail("expected a password that is no run of characters such as 1234567890 or aaaaabbbbb");
  const auto lower = [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; };
  const auto same = [&](unsigned char a, unsigned char b) { return lower(a) == lower(b); };
  const auto* const end = password.data() + password.size();
  if (user.size() >= 3 && std::search(password.data(), end, user.begin(), user.end(), same) != end)
    return fail("expected a password without the user's name");
  return {};
}

bool valid_user(std::string_view user) {
  if (user.empty() || user.size() > max_name_bytes) return false;
  return std::all_of(user.begin(), user.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-' || c == '@';
  });
}

Result<PasswordFile> PasswordFile::parse(std::string_view text, const std::string& name, const HashPolicy& policy) {
  SEALCAST_TRY(libsodium_ready());
  PasswordFile file;
  file.cost_ = policy.preferred;
  std::map<std::string_view, std::size_t> line_of_user;  // views into text
  std::size_t cost_line = 0;
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const auto end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto problem = [&](const std::string& what) {
      return fail(name + ":" + std::to_string(number) + ": " + what);
    };

    if (line.empty() || line.front() == '#') {
      file.lines_.push_back({"", std::string(line)});
      continue;
    }
    // Errors never quote a line: it may hold a password, written there by mistake.
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return problem("expected USER:HASH, a comment (#) or an empty line");
    const std::string_view user = line.substr(0, colon);
    const std::string_view hash = line.substr(colon + 1);
    if (!valid_user(user)) return problem("expected a user name of " + std::string(user_form) + " before ':'");
    if (const auto [before, fresh] = line_of_user.emplace(user, number); !fresh)
      return problem("user " + std::string(user) + " stands in line " + std::to_string(before->second) + " already");
    if (line_of_user.size() > max_users) return problem("expected at most " + std::to_string(max_users) + " users");
    const auto cost = cost_of(hash);
    // libsodium decides, so that a hash taken here can be verified later: 0 means well-formed and of this cost.
    if (!cost || crypto_pwhash_str_needs_rehash(std::string(hash).c_str(), cost->passes,
                                                std::size_t{cost->memory_kib} * 1024) != 0)
      return problem("expected a hash $argon2id$v=19$m=…,t=…,p=1$SALT$HASH of 16 and 32 bytes; set the password again");
    const auto& least = policy.least;
    const auto& most = policy.most;
    if (cost->memory_kib < least.memory_kib || cost->passes < least.passes)
      return problem("hash of cost " + cost->text() + " is guessed too easily; expected at least " + least.text());
    if (cost->memory_kib > most.memory_kib || cost->passes > most.passes)
      return problem("hash of cost " + cost->text() + " takes too long; expected at most " + most.text());
    if (cost_line != 0 && *cost != file.cost_) {
      return problem("hash of cost " + cost->text() + ", expected " + file.cost_.text() + " as in line " +
                     std::to_string(cost_line) + ": different delays would tell users apart; set the password again");
    }
    if (cost_line == 0) cost_line = number;
    file.cost_ = *cost;
    file.lines_.push_back({std::string(user), std::string(hash)});
  }
  auto decoy = hash_of_random_password(file.cost_);
  if (!decoy) return fail(name + ": " + decoy.error().message);
  file.decoy_hash_ = std::move(*decoy);
  return file;
}

Result<PasswordFile> PasswordFile::load(const std::string& path, const HashPolicy& policy) {
  SEALCAST_TRY_ASSIGN(const auto text, read_private_file(path));
  return parse(text, path, policy);
}

const PasswordFile::Line* PasswordFile::find(std::string_view user) const {
  if (user.empty()) return nullptr;  // comments have no user
  const Line* found = nullptr;
  for (const Line& line : lines_)  // to the end even when found: the delay must not reveal the place
    found = line.user == user ? &line : found;
  return found;
}

Result<bool> PasswordFile::verify(std::string_view user, const SecretBytes& password) const {
  const Line* line = find(user);
  const std::string& hash = line != nullptr ? line->rest : decoy_hash_;
  // Lengths beyond the protocol's take the same time, too, and never match.
  const bool length_ok = !password.empty() && password.size() <= max_password_bytes;
  const std::size_t length = std::min(password.size(), max_password_bytes);
  const char nothing = 0;
  const char* bytes = password.empty() ? &nothing : reinterpret_cast<const char*>(password.data());
  errno = 0;
  const bool matches = crypto_pwhash_str_verify(hash.c_str(), bytes, length) == 0;
  // libsodium reports EINVAL for a wrong password and another error if it could not compute.
  if (!matches && errno != EINVAL) return fail("cannot compute a password hash of cost " + cost_.text());
  return matches && length_ok && line != nullptr;
}

std::optional<std::string> PasswordFile::stamp(std::string_view user) const {
  const Line* line = find(user);
  if (line == nullptr) return std::nullopt;
  return hash_of(line->rest).substr(0, 16);  // begins with the salt: differs even for the same password
}

std::string PasswordFile::digest() const {
  return hash_of(text());
}

Result<void> PasswordFile::set(std::string_view user, const SecretBytes& password) {
  if (!valid_user(user)) return fail("expected a user name of " + std::string(user_form));
  if (password.empty() || password.size() > max_password_bytes)
    return fail("expected a password of 1 to 128 bytes, got " + std::to_string(password.size()));
  const Line* known = find(user);
  if (known == nullptr && users().size() >= max_users)
    return fail("expected at most " + std::to_string(max_users) + " users");
  SEALCAST_TRY_ASSIGN(auto hash, make_hash(password, cost_));
  if (known != nullptr)
    lines_[static_cast<std::size_t>(known - lines_.data())].rest = std::move(hash);
  else
    lines_.push_back({std::string(user), std::move(hash)});
  return {};
}

bool PasswordFile::remove(std::string_view user) {
  const Line* line = find(user);
  if (line == nullptr) return false;
  lines_.erase(lines_.begin() + (line - lines_.data()));
  return true;
}

std::vector<std::string> PasswordFile::users() const {
  std::vector<std::string> names;
  for (const Line& line : lines_)
    if (!line.user.empty()) names.push_back(line.user);
  return names;
}

std::string PasswordFile::text() const {
  std::string out;
  for (const Line& line : lines_)
    out += (line.user.empty() ? line.rest : line.user + ":" + line.rest) + "\n";
  return out;
}

Result<void> PasswordFile::save(const std::string& path) const {
  return write_file_atomically(path, as_bytes(text()), 0600, IfExists::replace);
}

Result<void> update(const std::string& path, const HashPolicy& policy,
                    const std::function<Result<void>(PasswordFile&)>& change) {
  // The folder is locked: each update replaces the file itself.
  const std::string folder = folder_of(path);
  const Descriptor lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (lock.get() < 0) return fail(folder + ": cannot open the password file's folder: " + std::strerror(errno));
  while (::flock(lock.get(), LOCK_EX) != 0)
    if (errno != EINTR) return fail(folder + ": flock: " + std::strerror(errno));

  remove_stale_temporaries(path);
  const bool missing = ::access(path.c_str(), F_OK) != 0 && errno == ENOENT;
  SEALCAST_TRY_ASSIGN(auto file, missing ? PasswordFile::parse("", path, policy) : PasswordFile::load(path, policy));
  SEALCAST_TRY(change(file));
  return file.save(path);
}

}  // namespace sealcast::passwords
