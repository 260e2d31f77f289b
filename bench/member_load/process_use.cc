#include "bench/member_load/process_use.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

namespace sealcast::load {

ProcessUse use_of(pid_t pid) {
  ProcessUse out;
  if (pid <= 0) return out;
  const std::string folder = "/proc/" + std::to_string(pid);
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator(folder + "/task", gone)) {
    std::ifstream file(task.path() / "schedstat");  // the first number: nanoseconds on a CPU
    double nanoseconds = 0;
    if (file >> nanoseconds) out.cpu_s += nanoseconds / 1e9;
  }
  std::ifstream status(folder + "/status");
  for (std::string word; status >> word;) {
    if (word != "VmRSS:") continue;
    std::uint64_t kib = 0;
    status >> kib;
    out.resident_bytes = kib * 1024;
  }
  return out;
}

Result<void> raise_descriptor_limit(std::uint64_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return fail(std::string("getrlimit: ") + std::strerror(errno));
  if (limit.rlim_cur >= wanted) return {};
  const rlim_t most = limit.rlim_max;
  limit.rlim_cur = std::max<rlim_t>(limit.rlim_cur, wanted);
  limit.rlim_max = std::max(most, limit.rlim_cur);  // root may raise it
  if (::setrlimit(RLIMIT_NOFILE, &limit) == 0) return {};
  return fail("expected room for " + std::to_string(wanted) + " open files, the limit is " + std::to_string(most) +
              ": raise it (ulimit -n " + std::to_string(wanted) + " as root, LimitNOFILE= in systemd)");
}

}  // namespace sealcast::load
