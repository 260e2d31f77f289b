// Reading: whole configuration files, and the PEM files they name.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/descriptor.h"
#include "base/file_owner.h"
#include "base/limits.h"
#include "controlplane/config/table_reader.h"

namespace sealcast::config {
namespace {

constexpr std::size_t max_file_bytes = 1 << 20;  // a thousand times a usual file

std::string system_error() {
  return std::strerror(errno);
}

// Non-blocking, so that a pipe in the file's place is refused and cannot hang the daemon.
Descriptor open_to_read(const std::string& path) {
  return Descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
}

// Reads the whole of a regular file into `out`, which is sized once and never reallocated (it may be a secret).
template <typename Buffer>
Result<Buffer> read_all(const Descriptor& file) {
  struct stat status {};
  if (file.get() < 0 || fstat(file.get(), &status) != 0) return fail(system_error());
  if (!S_ISREG(status.st_mode)) return fail("expected a regular file");
  if (static_cast<std::size_t>(status.st_size) > max_file_bytes) return fail("expected at most 1 MiB");
  Buffer buffer(static_cast<std::size_t>(status.st_size));
  std::size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t n = read(file.get(), buffer.data() + done, buffer.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(system_error());
    if (n == 0) return fail("the file shrank while it was read");
    done += static_cast<std::size_t>(n);
  }
  return buffer;
}

// std::string's constructor of a size alone does not exist.
struct Text : std::string {
  explicit Text(std::size_t n) : std::string(n, '\0') {}
};

}  // namespace

tl::expected<std::string, Diagnostic> read_config_file(const std::string& path) {
  const Descriptor file = open_to_read(path);
  auto text = read_all<Text>(file);
  if (!text) return tl::unexpected(Diagnostic{path, 0, 0, "", "can't read it: " + text.error().message});
  return std::string(std::move(*text));
}

Loaded<KeyserverConfig> load_keyserver_config(const std::string& path) {
  const auto text = read_config_file(path);
  return text ? parse_keyserver_config(*text, path) : failed<KeyserverConfig>(text.error());
}

Loaded<GatewayConfig> load_gateway_config(const std::string& path) {
  const auto text = read_config_file(path);
  return text ? parse_gateway_config(*text, path) : failed<GatewayConfig>(text.error());
}

Loaded<FileKind> detect_kind(const std::string& path) {
  const auto text = read_config_file(path);
  if (!text) return failed<FileKind>(text.error());
  const auto tree = parse_tree(*text, path);
  if (!tree) return failed<FileKind>(tree.error());
  Loaded<FileKind> kind;
  if (tree->find("gateway") || tree->find("red") || tree->find("black") || tree->find("member"))
    kind.value = FileKind::gateway;
  else if (tree->find("keyserver"))
    kind.value = FileKind::keyserver;
  else
    return failed<FileKind>({path, 1, 1, "", "expected [gateway] (a gateway's file) or [keyserver] (a key server's)"});
  return kind;
}

CheckReport check_file(const std::string& path) {
  CheckReport report;
  auto kind = detect_kind(path);
  if (!kind.ok()) {
    report.errors = std::move(kind.errors);
    return report;
  }
  report.kind = kind.value;
  const auto take = [&](auto loaded) {
    report.errors = std::move(loaded.errors);
    report.warnings = std::move(loaded.warnings);
  };
  if (*kind.value == FileKind::gateway)
    take(load_gateway_config(path));
  else
    take(load_keyserver_config(path));
  return report;
}

Result<std::string> read_pem(const std::string& path, std::string_view what) {
  const Descriptor file = open_to_read(path);
  auto text = read_all<Text>(file);
  if (!text) return fail("can't read the " + std::string(what) + " " + path + ": " + text.error().message);
  return std::string(std::move(*text));
}

Result<SecretBytes> read_private_key(const std::string& path) {
  const Descriptor file = open_to_read(path);
  struct stat status {};
  if (file.get() >= 0 && fstat(file.get(), &status) == 0 && (status.st_mode & 077) != 0)
    return fail("expected the private key " + path + " to be readable by its owner alone; run: chmod 600 " + path);
  if (file.get() >= 0 && !good_owner(status.st_uid))
    return fail("expected the private key " + path + " to belong to this user or to root, got user id " +
                std::to_string(status.st_uid) + "; run: chown");
  auto key = read_all<SecretBytes>(file);
  if (!key) return fail("can't read the private key " + path + ": " + key.error().message);
  return key;
}

namespace {

// One line of a file that only its owner may read, or of a credential. what: "password", in errors.
Result<SecretBytes> read_secret_line(const PasswordSource& source, const std::string& what_of) {
  const bool credential = source.kind == PasswordSource::Kind::credential;
  std::string path = source.place;
  if (credential) {
    const char* folder = std::getenv("CREDENTIALS_DIRECTORY");
    if (folder == nullptr || *folder == '\0')
      return fail("the credential \"" + source.place +
                  "\": the service manager passed none ($CREDENTIALS_DIRECTORY is not set); see LoadCredential= in "
                  "systemd.exec(5)");
    path = std::string(folder) + "/" + source.place;
  }
  const auto problem = [&](const std::string& what) { return fail("the " + what_of + " file " + path + ": " + what); };
  const Descriptor file = open_to_read(path);
  struct stat status {};
  if (file.get() < 0 || fstat(file.get(), &status) != 0) return problem("can't read it: " + system_error());
  if (!S_ISREG(status.st_mode)) return problem("expected a regular file");
  // The service manager lets this user in by an access list, which shows as a group's right; its folder keeps others
  // out.
  if ((status.st_mode & (credential ? 007 : 077)) != 0) return problem("others may access it; run: chmod 600 " + path);
  if (!good_owner(status.st_uid))
    return problem("expected it to belong to this user or to root, got user id " + std::to_string(status.st_uid));
  const auto line = read_all<SecretBytes>(file);
  if (!line) return problem("can't read it: " + line.error().message);
  std::size_t size = line->size();
  if (size != 0 && line->data()[size - 1] == '\n') --size;
  if (size == 0) return problem("expected one line with the " + what_of + ", got nothing");
  if (std::memchr(line->data(), '\n', size)) return problem("expected one line with the " + what_of + ", got several");
  SecretBytes secret(size);
  std::memcpy(secret.data(), line->data(), size);
  return secret;
}

int hex_digit(std::uint8_t c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<Secret<32>> read_key(const std::optional<std::string>& file, const std::optional<std::string>& credential,
                            const std::string& what) {
  const std::string place = credential ? *credential : file.value_or("");
  SEALCAST_TRY_ASSIGN(
      const auto line,
      read_secret_line({credential ? PasswordSource::Kind::credential : PasswordSource::Kind::file, place}, what));
  Secret<32> key;
  bool good = line.size() == 2 * key.span().size();
  for (std::size_t i = 0; good && i < key.span().size(); ++i) {
    const int high = hex_digit(line.data()[2 * i]);
    const int low = hex_digit(line.data()[2 * i + 1]);
    good = high >= 0 && low >= 0;
    if (good) key.span()[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  if (!good)
    return fail("the " + what + " " + place +
                ": expected 64 hexadecimal digits; make it with: (umask 077; openssl rand -hex 32 > FILE)");
  return key;
}

}  // namespace

Result<SecretBytes> read_password(const PasswordSource& source) {
  if (source.kind == PasswordSource::Kind::prompt) return fail("the password is asked for on a terminal, not read");
  auto password = read_secret_line(source, "password");
  if (password && password->size() > max_password_bytes)
    return fail("the password " + source.place + ": expected at most " + std::to_string(max_password_bytes) +
                " bytes, got " + std::to_string(password->size()));
  return password;
}

Result<Secret<32>> read_cluster_key(const ClusterConfig& cluster) {
  return read_key(cluster.key_file, cluster.key_credential, "cluster key");
}

Result<std::optional<Secret<32>>> read_wrapping_key(const KeyserverConfig& keyserver) {
  if (!keyserver.wrapping_key_file && !keyserver.wrapping_key_credential) return std::optional<Secret<32>>();
  SEALCAST_TRY_ASSIGN(auto key,
                      read_key(keyserver.wrapping_key_file, keyserver.wrapping_key_credential, "wrapping key"));
  return std::optional<Secret<32>>(std::move(key));
}

}  // namespace sealcast::config
