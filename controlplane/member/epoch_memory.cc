#include "controlplane/member/epoch_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"

namespace sealcast::member {
namespace {

using Json = nlohmann::json;

constexpr std::size_t max_file = 4 * 1024 * 1024;
constexpr int format_version = 1;

Result<std::optional<std::string>> read_if_there(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return std::optional<std::string>();
    return fail("state file " + path + ": cannot read: " + std::strerror(errno));
  }
  std::string content;
  char buffer[8192];
  ssize_t n = 0;
  while (content.size() <= max_file && ((n = ::read(fd, buffer, sizeof(buffer))) > 0 || (n < 0 && errno == EINTR)))
    if (n > 0) content.append(buffer, static_cast<std::size_t>(n));
  const int error = n < 0 ? errno : 0;
  ::close(fd);
  if (error != 0) return fail("state file " + path + ": cannot read: " + std::strerror(error));
  return std::optional<std::string>(std::move(content));
}

std::optional<handshake::EpochId> parse_id(const std::string& hex) {
  handshake::EpochId id{};
  if (hex.size() != id.size() * 2) return std::nullopt;
  for (std::size_t i = 0; i < hex.size(); ++i) {
    const char c = hex[i];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return std::nullopt;
    id[i / 2] = static_cast<std::uint8_t>(id[i / 2] << 4 | digit);
  }
  return id;
}

bool is_text(const Json& value) {
  return value.is_string();
}

}  // namespace

Result<EpochMemory> EpochMemory::load(const std::string& path) {
  EpochMemory memory;
  memory.path_ = path;
  const auto content = read_if_there(path);
  if (!content) return tl::unexpected(content.error());
  if (!*content) return memory;
  const auto damaged = [&](const std::string& what) {
    return fail(
        "state file " + path + " is damaged: " + what +
        ". It keeps replayed epochs out. Restore it from a copy; or, accepting that an epoch older than the last "
        "one could be replayed to this gateway once, remove it");
  };
  const Json root = Json::parse(**content, nullptr, false);
  if (!root.is_object() || !root.contains("version") || root["version"] != format_version)
    return damaged("expected a JSON object with \"version\": " + std::to_string(format_version));
  if (!root.contains("epochs") || !root["epochs"].is_array()) return damaged("expected a list \"epochs\"");
  for (const Json& item : root["epochs"]) {
    const bool sound = item.is_object() && item.size() == 5 && item.contains("server_name") &&
                       is_text(item["server_name"]) && item.contains("key_server_id") &&
                       is_text(item["key_server_id"]) && item.contains("group") && is_text(item["group"]) &&
                       item.contains("epoch") && item["epoch"].is_number_unsigned() && item.contains("epoch_id") &&
                       is_text(item["epoch_id"]);
    const auto id = sound ? parse_id(item["epoch_id"].get<std::string>()) : std::nullopt;
    if (!id) return damaged("an entry is not {server_name, key_server_id, group, epoch, epoch_id}");
    Key key{item["server_name"].get<std::string>(), item["key_server_id"].get<std::string>(),
            item["group"].get<std::string>()};
    if (!memory.entries_.emplace(std::move(key), RememberedEpoch{item["epoch"].get<std::uint64_t>(), *id}).second)
      return damaged("an entry stands there twice");
  }
  return memory;
}

std::optional<RememberedEpoch> EpochMemory::find(const std::string& server_name, const std::string& key_server_id,
                                                 const std::string& group_id) const {
  const auto found = entries_.find({server_name, key_server_id, group_id});
  return found == entries_.end() ? std::nullopt : std::optional(found->second);
}

Result<void> EpochMemory::remember(const std::string& server_name, const std::string& key_server_id,
                                   const std::string& group_id, const RememberedEpoch& epoch) {
  const Key key{server_name, key_server_id, group_id};
  const auto found = entries_.find(key);
  if (found != entries_.end()) {
    if (found->second == epoch) return {};
    if (epoch.epoch < found->second.epoch)
      return fail(fmt::format("epoch {} is below the remembered {} (H5)", epoch.epoch, found->second.epoch));
    if (epoch.epoch == found->second.epoch)
      return fail(fmt::format("epoch {} names another epoch than the remembered one (H5)", epoch.epoch));
  }
  auto next = entries_;
  next[key] = epoch;
  if (const auto stored = store(next); !stored) return stored;
  entries_ = std::move(next);
  return {};
}

Result<void> EpochMemory::store(const std::map<Key, RememberedEpoch>& entries) const {
  Json list = Json::array();
  for (const auto& [key, value] : entries)
    list.push_back({{"server_name", std::get<0>(key)},
                    {"key_server_id", std::get<1>(key)},
                    {"group", std::get<2>(key)},
                    {"epoch", value.epoch},
                    {"epoch_id", to_hex(value.epoch_id)}});
  const std::string text = Json{{"version", format_version}, {"epochs", std::move(list)}}.dump(
                               1, ' ', false, Json::error_handler_t::replace) +
                           "\n";
  const auto written = write_file_atomically(path_, as_bytes(text), 0600, IfExists::replace);
  if (!written) return fail("state file " + written.error().message);
  return {};
}

}  // namespace sealcast::member
