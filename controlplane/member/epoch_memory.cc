#include "controlplane/member/epoch_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/atomic_file.h"

namespace sealcast::member {
namespace {

using Json = nlohmann::json;

constexpr std::size_t max_file = 64 * 1024 * 1024;  // some 100,000 groups, each with as many appended lines
constexpr std::size_t fewest_appended = 64;         // before the file is written whole again
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

Json entry_of(const EpochMemory::Key& key, const RememberedEpoch& value) {
  return {{"server_name", std::get<0>(key)},
          {"key_server_id", std::get<1>(key)},
          {"group", std::get<2>(key)},
          {"epoch", value.epoch},
          {"epoch_id", to_hex(value.epoch_id)}};
}

std::optional<std::pair<EpochMemory::Key, RememberedEpoch>> read_entry(const Json& item) {
  const bool sound = item.is_object() && item.size() == 5 && item.contains("server_name") &&
                     is_text(item["server_name"]) && item.contains("key_server_id") && is_text(item["key_server_id"]) &&
                     item.contains("group") && is_text(item["group"]) && item.contains("epoch") &&
                     item["epoch"].is_number_unsigned() && item.contains("epoch_id") && is_text(item["epoch_id"]);
  const auto id = sound ? parse_id(item["epoch_id"].get<std::string>()) : std::nullopt;
  if (!id) return std::nullopt;
  return std::pair(EpochMemory::Key{item["server_name"].get<std::string>(), item["key_server_id"].get<std::string>(),
                                    item["group"].get<std::string>()},
                   RememberedEpoch{item["epoch"].get<std::uint64_t>(), *id});
}

// What is after the document: one entry a line. What has no newline was being written when its process or machine
// died; no caller was told that it is remembered.
constexpr std::string_view document_end = "\n}\n";

Result<std::size_t> append(const std::string& path, const std::string& line, std::size_t expected_size) {
  const auto problem = [&](const char* call) {
    return fail("state file " + path + ": " + call + ": " + std::strerror(errno));
  };
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return problem("open");
  struct stat found {};
  Result<std::size_t> out = std::size_t{0};  // 0: this is not the file that was written last
  if (::fstat(fd, &found) != 0) {
    out = problem("fstat");
  } else if (S_ISREG(found.st_mode) && static_cast<std::size_t>(found.st_size) == expected_size) {
    std::size_t done = 0;
    while (out && done < line.size()) {
      const ssize_t n = ::write(fd, line.data() + done, line.size() - done);
      if (n > 0) done += static_cast<std::size_t>(n);
      if (n < 0 && errno != EINTR) out = problem("write");
    }
    if (out && ::fdatasync(fd) != 0) out = problem("fdatasync");
    if (out) out = expected_size + line.size();
  }
  ::close(fd);
  return out;
}

}  // namespace

Result<EpochMemory> EpochMemory::load(const std::string& path) {
  remove_stale_temporaries(path);
  EpochMemory memory;
  memory.path_ = path;
  SEALCAST_TRY_ASSIGN(const auto content, read_if_there(path));
  if (!content) return memory;
  const auto damaged = [&](const std::string& what) {
    return fail(
        "state file " + path + " is damaged: " + what +
        ". It keeps replayed epochs out. Restore it from a copy; or, accepting that an epoch older than the last "
        "one could be replayed to this gateway once, remove it");
  };
  const std::string_view whole = *content;
  const auto end = whole.find(document_end);
  const auto document = whole.substr(0, end == std::string_view::npos ? whole.size() : end + document_end.size());
  const Json root = Json::parse(document, nullptr, false);
  if (!root.is_object() || !root.contains("version") || root["version"] != format_version)
    return damaged("expected a JSON object with \"version\": " + std::to_string(format_version));
  if (!root.contains("epochs") || !root["epochs"].is_array()) return damaged("expected a list \"epochs\"");
  for (const Json& item : root["epochs"]) {
    auto entry = read_entry(item);
    if (!entry) return damaged("an entry is not {server_name, key_server_id, group, epoch, epoch_id}");
    if (!memory.entries_.insert(std::move(*entry)).second) return damaged("an entry stands there twice");
  }
  std::string_view rest = whole.substr(document.size());
  for (auto newline = rest.find('\n'); newline != std::string_view::npos; newline = rest.find('\n')) {
    auto entry = read_entry(Json::parse(rest.substr(0, newline), nullptr, false));
    if (!entry) return damaged("an appended line is not {server_name, key_server_id, group, epoch, epoch_id}");
    const auto found = memory.entries_.find(entry->first);
    if (found != memory.entries_.end() && entry->second.epoch <= found->second.epoch)
      return damaged("an appended epoch is not above the one before it");
    memory.entries_.insert_or_assign(std::move(entry->first), entry->second);
    ++memory.appended_;
    rest.remove_prefix(newline + 1);
  }
  // What was cut off by a crash must not become the beginning of another line.
  memory.size_ = rest.empty() && whole.back() == '\n' ? whole.size() : 0;
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
  if (size_ != 0 && appended_ < std::max(fewest_appended, entries_.size())) {
    const std::string line = entry_of(key, epoch).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    const std::size_t size = std::exchange(size_, 0);  // whatever happens to it: after a failure it is written whole
    SEALCAST_TRY_ASSIGN(const auto appended, append(path_, line, size));
    if (appended != 0) {
      size_ = appended;
      ++appended_;
      entries_.insert_or_assign(key, epoch);
      return {};
    }
  }
  return store(key, epoch);
}

Result<void> EpochMemory::store(const Key& key, const RememberedEpoch& epoch) {
  const auto found = entries_.find(key);
  const auto before = found == entries_.end() ? std::nullopt : std::optional(found->second);
  entries_.insert_or_assign(key, epoch);
  Json list = Json::array();
  for (const auto& [each, value] : entries_)
    list.push_back(entry_of(each, value));
  const std::string text = Json{{"version", format_version}, {"epochs", std::move(list)}}.dump(
                               1, ' ', false, Json::error_handler_t::replace) +
                           "\n";
  const auto written = write_file_atomically(path_, as_bytes(text), 0600, IfExists::replace);
  if (written) {
    size_ = text.size();
    appended_ = 0;
    return {};
  }
  if (before)
    entries_.insert_or_assign(key, *before);
  else
    entries_.erase(key);
  return fail("state file " + written.error().message);
}

}  // namespace sealcast::member
