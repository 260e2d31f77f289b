#include "app/gateway/key_export.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/spi_text.h"

namespace sealcast::gateway {

std::string esp_sa_lines(const SaKey& key) {
  const std::string rest = "\",\"*\",\"*\",\"" + spi_text(key.spi) + "\",\"AES-GCM with 16 octet ICV [RFC4106]\",\"0x" +
                           to_hex({key.key.data(), key.key_size}) + to_hex(key.salt) + "\",\"NULL\",\"\"\n";
  return "\"IPv4" + rest + "\"IPv6" + rest;
}

Result<std::unique_ptr<KeyExport>> KeyExport::open(const std::string& path, DataPlaneControl& next) {
  // Made anew, not emptied: a process that has the old file open, or another name for it, reads none of the new keys.
  struct stat found {};
  if (lstat(path.c_str(), &found) == 0) {
    if (!S_ISREG(found.st_mode)) return fail("export_keys file " + path + " exists and is no regular file");
    if (unlink(path.c_str()) != 0) return fail("cannot replace export_keys file " + path + ": " + strerror(errno));
  }
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return fail("cannot open export_keys file " + path + ": " + strerror(errno));
  if (fchmod(file, 0600) != 0) {
    const std::string why = strerror(errno);
    close(file);
    return fail("cannot make export_keys file " + path + " private (mode 0600): " + why);
  }
  spdlog::warn("export_keys is on: every SA key goes to {} in clear; its reader can read the groups' traffic", path);
  return std::unique_ptr<KeyExport>(new KeyExport(file, path, next));
}

KeyExport::KeyExport(int file, std::string path, DataPlaneControl& next)
    : file_(file), path_(std::move(path)), next_(next) {}

KeyExport::~KeyExport() {
  close(file_);
}

void KeyExport::write_line(const SaKey& key) {
  std::string line = esp_sa_lines(key);
  // O_APPEND and one write: a reader never sees half a line of a small file.
  if (write(file_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    spdlog::error("cannot write a key to {}: {}", path_, strerror(errno));
  }
  wipe(line.data(), line.size());
}

Result<void> KeyExport::install(GroupEpoch epoch) {
  for (const auto& sa : epoch.inbound)
    write_line(sa.key);
  for (const auto& sa : epoch.outbound)
    write_line(sa.key);
  return next_.install(std::move(epoch));
}

Result<void> KeyExport::add_inbound(const std::string& group_id, std::uint64_t epoch, std::vector<InboundSa> slots) {
  for (const auto& sa : slots)
    write_line(sa.key);
  return next_.add_inbound(group_id, epoch, std::move(slots));
}

Result<void> KeyExport::replace_outbound(const std::string& group_id, std::uint64_t epoch,
                                         std::vector<OutboundSa> slots) {
  for (const auto& sa : slots)
    write_line(sa.key);
  return next_.replace_outbound(group_id, epoch, std::move(slots));
}

}  // namespace sealcast::gateway
