#include "controlplane/pki/folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/atomic_file.h"

namespace sealcast::pki {
namespace {

constexpr std::int64_t seconds_per_day = 86400;
constexpr std::size_t max_file = 1024 * 1024;  // of a PEM file we read
constexpr int max_days = 36500;

struct Paths {
  std::string certificate, key;
};

Paths paths_of(const FolderOptions& options, const std::string& name) {
  return {options.folder + "/" + name + ".pem", options.folder + "/" + name + ".key"};
}
std::string list_path(const FolderOptions& options) {
  return options.folder + "/crl.pem";
}

// One command at a time in a folder. Two that read, extend and replace the revocation list side by side would lose one
// of the two revocations (H8); two that replace a pair would mix certificate and key.
class FolderLock {
 public:
  static Result<FolderLock> take(const std::string& folder) {
    FolderLock lock;
    lock.fd_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock.fd_ < 0)
      return fail(folder + ": cannot open the folder: " + std::strerror(errno) +
                  (errno == ENOENT ? "; make the CA first: sealcast pki init" : ""));
    int rc = 0;
    do {
      rc = ::flock(lock.fd_, LOCK_EX);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) return fail(folder + ": cannot lock the folder: " + std::strerror(errno));
    return lock;
  }
  FolderLock(FolderLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock() {
    if (fd_ >= 0) ::close(fd_);
  }

 private:
  FolderLock() = default;
  int fd_ = -1;
};

Result<SecretBytes> read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const bool missing = errno == ENOENT;
    return fail(path + ": cannot read: " + std::strerror(errno) +
                (missing ? "; make the CA first: sealcast pki init" : ""));
  }
  SecretBytes content;
  struct stat found {};
  const bool sane = ::fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && found.st_size >= 0 &&
                    static_cast<std::size_t>(found.st_size) <= max_file;
  bool whole = sane;
  if (sane) {
    content = SecretBytes(static_cast<std::size_t>(found.st_size));
    for (std::size_t done = 0; whole && done < content.size();) {
      const ssize_t n = ::read(fd, content.data() + done, content.size() - done);
      if (n < 0 && errno == EINTR) continue;
      whole = n > 0;
      if (whole) done += static_cast<std::size_t>(n);
    }
  }
  ::close(fd);
  if (!whole) return fail(path + ": expected a regular file of at most 1 MiB that can be read");
  return content;
}

std::string_view text_of(const SecretBytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<Authority> load_authority(const FolderOptions& options) {
  const Paths paths = paths_of(options, "ca");
  SEALCAST_TRY_ASSIGN(const auto certificate, read_file(paths.certificate));
  SEALCAST_TRY_ASSIGN(const auto key, read_file(paths.key));
  auto authority = Authority::load(text_of(certificate), key.view());
  if (!authority) return fail(paths.certificate + ", " + paths.key + ": " + authority.error().message);
  return authority;
}

Result<Validity> validity_of(const FolderOptions& options, int default_days) {
  const int days = options.days == 0 ? default_days : options.days;
  if (days < 1 || days > max_days) return fail("--days: expected 1 to 36500, got " + std::to_string(days));
  return Validity{options.now - backdate_seconds, options.now + days * seconds_per_day};
}

// Neither file may exist: a certificate without its key is useless.
Result<void> check_free(const FolderOptions& options, const Paths& paths) {
  if (options.force) return {};
  for (const std::string& path : {paths.key, paths.certificate}) {
    struct stat found {};
    if (::lstat(path.c_str(), &found) == 0)
      return fail(path + " exists; nothing was changed. Give --force to replace it (its old key is then lost)");
  }
  return {};
}

Result<void> write_pair(const FolderOptions& options, const Paths& paths, const std::string& certificate_pem,
                        const SecretBytes& key_pem, Made& made) {
  const IfExists rule = options.force ? IfExists::replace : IfExists::refuse;
  remove_stale_temporaries(paths.key);
  remove_stale_temporaries(paths.certificate);
  SEALCAST_TRY(write_file_atomically(paths.key, key_pem.view(), 0600, rule));
  made.files.push_back(paths.key);
  if (const auto done = write_file_atomically(paths.certificate, as_bytes(certificate_pem), 0644, rule); !done)
    return fail(done.error().message + "; " + paths.key + " was written already: remove it or use --force");
  made.files.push_back(paths.certificate);
  return {};
}

template <typename Request>
Result<Made> make_leaf(const FolderOptions& options, Request request) {
  if (request.name == "ca" || request.name == "crl")
    return fail("name \"" + request.name + "\": taken by the CA's own files; choose another");
  SEALCAST_TRY_ASSIGN(const auto lock, FolderLock::take(options.folder));
  SEALCAST_TRY_ASSIGN(const auto authority, load_authority(options));
  SEALCAST_TRY_ASSIGN(const auto validity, validity_of(options, default_leaf_days));
  request.key = options.key;
  request.validity = validity;
  Made made;
  // A leaf that outlives its CA would one day fail for no visible reason.
  if (request.validity.not_after > authority.not_after()) {
    request.validity.not_after = authority.not_after();
    made.cut_to_ca_life = true;
    if (request.validity.not_after <= options.now)
      return fail(options.folder + "/ca.pem has expired: make a new CA: sealcast pki init --force");
  }
  const Paths paths = paths_of(options, request.name);
  SEALCAST_TRY(check_free(options, paths));
  SEALCAST_TRY_ASSIGN(const auto identity, authority.issue(request));
  if (const auto facts = facts_of(identity.certificate_pem)) made.serial_hex = facts->serial_hex;
  made.not_after = request.validity.not_after;
  SEALCAST_TRY(write_pair(options, paths, identity.certificate_pem, identity.private_key_pem, made));
  return made;
}

Result<Made> write_list(const FolderOptions& options, const Authority& authority, std::string_view revoked_pem) {
  SecretBytes previous;
  if (::access(list_path(options).c_str(), F_OK) == 0) {
    SEALCAST_TRY_ASSIGN(previous, read_file(list_path(options)));
  }
  SEALCAST_TRY_ASSIGN(const auto validity, validity_of(options, default_crl_days));
  const auto list = authority.revocation_list(text_of(previous), revoked_pem, validity);
  if (!list) return fail(list_path(options) + ": " + list.error().message);
  SEALCAST_TRY(write_file_atomically(list_path(options), as_bytes(*list), 0644, IfExists::replace));
  Made made;
  made.list = {list_path(options), validity.not_after};
  return made;
}

}  // namespace

Result<Made> init(const FolderOptions& options, const std::string& ca_name) {
  if (::mkdir(options.folder.c_str(), 0700) != 0 && errno != EEXIST)
    return fail(options.folder + ": cannot make the folder: " + std::strerror(errno));
  SEALCAST_TRY_ASSIGN(const auto lock, FolderLock::take(options.folder));
  const Paths paths = paths_of(options, "ca");
  SEALCAST_TRY(check_free(options, paths));
  SEALCAST_TRY_ASSIGN(const auto validity, validity_of(options, default_ca_days));
  SEALCAST_TRY_ASSIGN(const auto authority, Authority::create(ca_name, options.key, validity));
  SEALCAST_TRY_ASSIGN(const auto key, authority.private_key_pem());
  Made made;
  if (const auto facts = facts_of(authority.certificate_pem())) made.serial_hex = facts->serial_hex;
  made.not_after = validity.not_after;
  SEALCAST_TRY(write_pair(options, paths, authority.certificate_pem(), key, made));
  // Another CA's list would make every certificate of this one unacceptable.
  const Validity list_validity{validity.not_before,
                               std::min(validity.not_after, options.now + default_crl_days * seconds_per_day)};
  SEALCAST_TRY_ASSIGN(const auto list, authority.revocation_list("", "", list_validity));
  const auto rule = options.force ? IfExists::replace : IfExists::refuse;
  SEALCAST_TRY(write_file_atomically(list_path(options), as_bytes(list), 0644, rule));
  made.list = {list_path(options), list_validity.not_after};
  return made;
}

Result<Made> make_server(const FolderOptions& options, const std::string& name) {
  SEALCAST_TRY(check_server_name(name));
  return make_leaf(options, ServerRequest{name, options.key, {}});
}

Result<Made> make_member(const FolderOptions& options, const std::string& name,
                         const std::vector<std::string>& groups) {
  SEALCAST_TRY(check_name(name));
  return make_leaf(options, MemberRequest{name, groups, options.key, {}});
}

Result<Made> renew_revocation_list(const FolderOptions& options) {
  SEALCAST_TRY_ASSIGN(const auto lock, FolderLock::take(options.folder));
  SEALCAST_TRY_ASSIGN(const auto authority, load_authority(options));
  return write_list(options, authority, "");
}

Result<Made> revoke(const FolderOptions& options, const std::string& name) {
  SEALCAST_TRY(check_name(name));
  if (name == "ca" || name == "crl") return fail("name \"" + name + "\": expected a key server's or member's name");
  SEALCAST_TRY_ASSIGN(const auto lock, FolderLock::take(options.folder));
  SEALCAST_TRY_ASSIGN(const auto authority, load_authority(options));
  const std::string path = paths_of(options, name).certificate;
  const auto certificate = read_file(path);
  if (!certificate) return fail(path + ": cannot read the certificate to revoke");
  auto made = write_list(options, authority, text_of(*certificate));
  if (made)
    if (const auto facts = facts_of(text_of(*certificate))) made->serial_hex = facts->serial_hex;
  return made;
}

}  // namespace sealcast::pki
