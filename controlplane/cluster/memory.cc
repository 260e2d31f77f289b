#include "controlplane/cluster/memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include "base/atomic_file.h"
#include "base/bytes.h"
#include "base/descriptor.h"
#include "controlplane/cluster/hex_text.h"

namespace sealcast::cluster {
namespace {

constexpr const char* magic = "sealcast-cluster-memory 1";
constexpr std::size_t max_size = 16 * 1024 * 1024;  // bytes

// Ids may hold spaces, and may be empty: the mark makes a word of each.
constexpr char id_mark = 'x';

std::string word_of(const std::string& id) {
  return id_mark + hex_text(id);
}

bool read_id(std::string_view word, std::string& id) {
  if (word.empty() || word[0] != id_mark) return false;
  const auto text = text_from_hex(word.substr(1));
  if (text) id = *text;
  return text.has_value();
}

Result<std::string> read_file(const std::string& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 && errno == ENOENT) return std::string();
  std::string text;
  char buffer[8192];
  for (;;) {
    const ssize_t n = file.get() < 0 ? -1 : read(file.get(), buffer, sizeof buffer);
    if (n < 0) return fail("state file " + path + ": can't read it: " + std::strerror(errno));
    if (n == 0) return text;
    text.append(buffer, static_cast<std::size_t>(n));
    if (text.size() > max_size) return fail("state file " + path + ": too large");
  }
}

}  // namespace

Result<Memory> Memory::load(const std::string& path) {
  remove_stale_temporaries(path);
  SEALCAST_TRY_ASSIGN(const auto text, read_file(path));
  Memory memory;
  if (text.empty()) return memory;
  std::istringstream in(text);
  std::string line;
  std::string end;
  std::size_t revoked = 0;
  bool good = static_cast<bool>(std::getline(in, line)) && line == magic &&
              static_cast<bool>(in >> memory.etcd_cluster >> memory.revision >> memory.highest_epoch >>
                                memory.last_prefix >> revoked) &&
              memory.revision > 0;
  for (std::size_t i = 0; good && i < revoked; ++i) {
    std::string member;
    std::string group;
    std::int64_t since = 0;
    std::pair<std::string, std::string> subject;
    good = static_cast<bool>(in >> member >> group >> since) && read_id(member, subject.first) &&
           read_id(group, subject.second);
    if (good) memory.revoked[subject] = since;
  }
  good = good && static_cast<bool>(in >> end);
  if (good && end == "lease") good = static_cast<bool>(in >> memory.lease >> end);
  while (good && end == "standing") {
    std::string group;
    std::string id;
    std::string standing;
    good = static_cast<bool>(in >> group >> standing >> end) && read_id(group, id);
    if (good) memory.standing[id] = standing;
  }
  if (!good || end != "end")
    return fail("state file " + path +
                ": expected what a key server of a cluster remembers, got something else. Without the file it starts, "
                "too: then, where it is alone, all groups get new epochs");
  return memory;
}

Result<void> Memory::save(const std::string& path) const {
  std::ostringstream out;
  out << magic << "\n"
      << etcd_cluster << " " << revision << " " << highest_epoch << " " << last_prefix << " " << revoked.size() << "\n";
  for (const auto& [subject, since] : revoked)
    out << word_of(subject.first) << " " << word_of(subject.second) << " " << since << "\n";
  if (lease) out << "lease " << lease << "\n";
  for (const auto& [group, digest] : standing)
    out << "standing " << word_of(group) << " " << digest << "\n";
  out << "end\n";
  return write_file_atomically(path, as_bytes(out.str()), 0600, IfExists::replace);
}

}  // namespace sealcast::cluster
